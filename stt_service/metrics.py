"""The metrics of this tier."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from mesh.metrics import LATENCY_BUCKETS_S

STREAMS_OPEN = Gauge("stt_streams_open", "Live streams and whole recordings being heard.")
FINAL_SECONDS = Histogram(
    "stt_final_seconds",
    "From the end of an utterance, as heard, to its final transcript.",
    ["engine"],
    buckets=LATENCY_BUCKETS_S,
)
UTTERANCES = Counter(
    "stt_utterances",
    "Utterances that ended, by outcome: final, failed or dropped.",
    ["outcome"],
)
HANDOVERS = Counter(
    "stt_handovers",
    "Utterances that an engine failed and the next one heard again; the same one if it is alone.",
    ["failed", "serving"],
)
AUDIO_SECONDS = Counter("stt_audio_seconds", "Audio taken in.")
DECODE_SECONDS = Counter("stt_decode_seconds", "Time engines spent on their threads.", ["engine"])
BATCH_UTTERANCES = Histogram(
    "stt_batch_utterances",
    "Utterances in one call of a model, by step: encode, detect, decode or align.",
    ["step"],
    buckets=(1, 2, 3, 4, 6, 8, 10, 16, 32, 64),
)
QUEUE_DEPTH = Gauge("stt_queue_depth", "Pieces of work that wait for a model thread.")
TURNS_WAITING = Gauge(
    "stt_turns_waiting",
    "Turns in the queue that are not over, of all workers: the same on each.",
)
TURNS_AGE = Gauge(
    "stt_turns_oldest_seconds", "How long ago the oldest turn in the queue was put there."
)
TURNS = Counter(
    "stt_turns",
    "Turns of the queue that this worker ended, by outcome: done or failed.",
    ["outcome"],
)
UTILISATION = Gauge(
    "stt_utilisation_ratio",
    "Share of the time of an engine's threads that was work, 0 to 1, over the last ten seconds or"
    " since the last scrape. Where calls of a model take several utterances, of those places.",
    ["engine"],
)
VAD_SECONDS = Histogram(
    "stt_vad_seconds",
    "Voice activity detection on one piece of audio.",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02),
)
