"""The metrics of this tier."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from mesh.metrics import LATENCY_BUCKETS_S

STREAMS_OPEN = Gauge("stt_streams_open", "Live recognition streams.")
FINAL_SECONDS = Histogram(
    "stt_final_seconds",
    "From the end of an utterance, as heard, to its final transcript.",
    ["engine"],
    buckets=LATENCY_BUCKETS_S,
)
UTTERANCES = Counter(
    "stt_utterances_total",
    "Utterances that ended, by outcome: final, failed or dropped.",
    ["outcome"],
)
RETRIES = Counter("stt_retries_total", "Utterances heard a second time after a failure.")
AUDIO_SECONDS = Counter("stt_audio_seconds_total", "Audio taken in.")
DECODE_SECONDS = Counter(
    "stt_decode_seconds_total", "Time engines spent on their threads.", ["engine"]
)
VAD_SECONDS = Histogram(
    "stt_vad_seconds",
    "Voice activity detection on one piece of audio.",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02),
)
