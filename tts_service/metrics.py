"""What the TTS tier counts. Prometheus names, closed labels."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from mesh.metrics import LATENCY_BUCKETS_S

STREAMS_OPEN = Gauge("tts_streams_open", "Replies being spoken.")

FIRST_AUDIO = Histogram(
    "tts_first_audio_seconds",
    "From the first text of a stream to its first audio sent.",
    buckets=LATENCY_BUCKETS_S,
)

CANCEL = Histogram(
    "tts_cancel_seconds",
    "From a cancel or a lost client to the model thread being free of its work.",
    buckets=(0.001, 0.0025, *LATENCY_BUCKETS_S),
)

AUDIO = Counter("tts_audio_seconds", "Speech made.", ["engine"])

WORK = Counter(
    "tts_work_seconds",
    "Time model threads spent on it; over tts_audio_seconds_total it is the cost.",
    ["engine"],
)

HANDOVERS = Counter(
    "tts_handovers",
    "Segments that an engine failed and the next one spoke.",
    ["failed", "serving"],
)

QUEUE_DEPTH = Gauge("tts_queue_depth", "Segments that wait for a model thread.")

GAVE_WAY = Counter(
    "tts_gave_way",
    "Parts of speech, in good time, that were made anew because somebody heard nothing.",
)

OPENERS = Counter(
    "tts_openers",
    "Short first pieces of replies: spoken lately and taken from memory (hit) or made (miss).",
    ["result"],
)

OPENERS_BYTES = Gauge("tts_openers_bytes", "Memory that such pieces take.")

UTILISATION = Gauge(
    "tts_utilisation_ratio",
    "Share of the model threads' time that was work, 0 to 1, over the last ten seconds or since"
    " the last scrape.",
)
