"""The TTS engines. To add one: one file in this folder, one line in ENGINES.

Names map to import paths, not classes, so that choosing one engine does not
import the libraries of the others.
"""

ENGINES = {
    "kokoro": "tts_service.engines.kokoro:Kokoro",
    "piper": "tts_service.engines.piper:Piper",
    "espeak": "tts_service.engines.espeak:Espeak",
}
