"""The language model providers. To add one: one file in this folder, one line in ENGINES.

Names map to import paths, not classes, so that choosing one provider does not import the
libraries of the others. A provider's class takes the Config; it raises
mesh.errors.NotInstalled when its key or address is not set, and imports its library only
after that.
"""

from __future__ import annotations

ENGINES = {
    "openai": "llm_orchestrator.engines.openai:OpenAiEngine",
    "groq": "llm_orchestrator.engines.groq:GroqEngine",
    "ollama": "llm_orchestrator.engines.ollama:OllamaEngine",
    "offline": "llm_orchestrator.engines.offline.engine:OfflineEngine",
}
