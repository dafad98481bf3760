"""Makes the recordings beside it with flite and sox. See README.md."""

import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SPOKEN = {
    "what time is it in london today": "slt",
    "what is the weather in paris": "slt",
    "good morning": "kal16",
}
QUIET_BEFORE_S, QUIET_AFTER_S = 0.3, 0.8

for text, voice in SPOKEN.items():
    name = text.replace(" ", "_") + ".wav"
    with tempfile.NamedTemporaryFile(suffix=".wav") as raw:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", raw.name], check=True)
        form = ["-r", "24000", "-b", "16", "-c", "1", str(HERE / name)]
        pad = ["pad", str(QUIET_BEFORE_S), str(QUIET_AFTER_S)]
        subprocess.run(["sox", "-R", raw.name, *form, *pad], check=True)
