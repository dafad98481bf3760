"""The STT engines. To add one: one file in this folder, one line in ENGINES.

Names map to import paths, not classes, so that choosing one engine does not
import the libraries of the others.
"""

ENGINES = {
    "faster_whisper": "stt_service.engines.faster_whisper:FasterWhisper",
    "pocketsphinx": "stt_service.engines.pocketsphinx:PocketSphinx",
}
