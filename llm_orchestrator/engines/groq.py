"""Groq: the chat-completions API through its own SDK."""

from __future__ import annotations

from typing import Any

from llm_orchestrator.chat import ChatCompletions
from llm_orchestrator.config import Config
from llm_orchestrator.engine import Request
from mesh.errors import NotInstalled


class GroqEngine(ChatCompletions):
    """Takes part with a key."""

    def __init__(self, config: Config) -> None:
        if not config.groq_api_key:
            raise NotInstalled("set GROQ_API_KEY")
        # Here and not above: the import takes a second, and without a key it is not used.
        import groq
        import httpx

        client = groq.AsyncGroq(
            api_key=config.groq_api_key,
            base_url=config.groq_base_url,
            max_retries=0,  # the next provider is a better retry
            timeout=config.overall_timeout_s,
        )
        failures = (groq.GroqError, httpx.HTTPError, ValueError)
        super().__init__(
            "groq",
            client,
            failures,
            config.groq_model,
            context_tokens=config.groq_context_tokens,
            sees=config.groq_sees,
        )

    async def particulars(self, request: Request) -> dict[str, Any]:
        made: dict[str, Any] = {"model": request.model or self.model}
        if request.max_output_tokens:
            made["max_completion_tokens"] = request.max_output_tokens
        return made
