"""Makes phone_call.ulaw with flite and sox. See README.md."""

import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SPOKEN = ("good morning", "what time is it in tokyo")
QUIET_BEFORE_S, QUIET_AFTER_S = 0.5, 2.0
NOISE_DB = "-50"  # its peaks, below the loudest there is
TELEPHONE = ["-r", "8000", "-c", "1", "-e", "mu-law", "-b", "8", "-t", "ul"]
BAND = ["sinc", "300-3400"]


def sox(*args: str) -> None:
    subprocess.run(["sox", "-R", *args], check=True)


with tempfile.TemporaryDirectory() as folder:
    parts = []
    for n, text in enumerate(SPOKEN):
        raw, part = f"{folder}/raw{n}.wav", f"{folder}/part{n}.wav"
        subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", raw], check=True)
        sox(raw, part, "pad", str(QUIET_BEFORE_S), str(QUIET_AFTER_S))
        parts.append(part)
    speech, noise = f"{folder}/speech.wav", f"{folder}/noise.wav"
    sox(*parts, speech)
    sox(speech, noise, "synth", "pinknoise", "gain", "-n", NOISE_DB)
    sox("-m", "-v", "1", speech, "-v", "1", noise, *TELEPHONE, str(HERE / "phone_call.ulaw"), *BAND)
