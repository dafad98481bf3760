"""The transcripts of the Realtime contract (§12): reading them, and comparing with them."""

from __future__ import annotations

import json
import re
from typing import Any

from tests import wire

Event = dict[str, Any]

EXCEPTIONS = {
    "event_id": "ours; that every event has one, and its own, is checked",
    "ids": "ours, compared as names: one of ours for each of the transcript's",
    "times": "`expires_at`, `audio_start_ms`, `audio_end_ms` and durations depend on the audio",
    "obfuscation": "random padding, which every client lets us leave out (contract §3.4)",
    "usage": "the numbers are the provider's; the keys are compared",
    "transcription usage": "by duration: our recognition has no tokens",
    "audio": "the transcripts have a placeholder; where a delta begins is free (contract §8), so"
    " that deltas side by side count as one",
    "audio of a retrieved item": "the transcripts leave out what contract §2.6 asks for",
    "rate_limits.updated": "the figures are ours; it follows response.done at once, and in the beta"
    " response.created, which the captures leave open",
    "input_audio_transcription.*": "floats freely behind the item (contract §3.7); compared"
    " in order by themselves",
    "status_details.error.message": "is in our words; type and code are the transcript's",
    "04c": "WebRTC and SIP: nothing of it occurs on a WebSocket",
    "08, expiry": "by a session of one second, so that its minutes are not 60",
    "10": "with no `GATEWAY_APOLOGY`, which else is spoken when there is no model",
}
"""What may differ from the transcripts, and why."""

FLOATING = "conversation.item.input_audio_transcription."
RATES = "rate_limits.updated"
AUDIO = ("response.output_audio.delta", "response.audio.delta")

_ID = re.compile(r"(?:item|resp|conv|sess|mcpl|mcpr|mcpa|mcp)_[A-Za-z0-9_]+")
_TIMES = ("expires_at", "audio_start_ms")


def lines_of(number: str) -> list[Event]:
    """Each has a `dir` (c2s, c2s_raw, s2c, s2c_close, note) and an `event` or a `text`."""
    [file] = wire.GOLDEN.glob(f"{number}_*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


class Names:
    """Which of our ids stands for which of the transcript's."""

    def __init__(self) -> None:
        self.ours: dict[str, str] = {}

    def learn(self, theirs: Any, ours: Any) -> None:
        """Walk through two events side by side; an id that is met first is the other's name."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for key in theirs.keys() & ours.keys():
                self.learn(theirs[key], ours[key])
        elif isinstance(theirs, list) and isinstance(ours, list):
            for one, other in zip(theirs, ours, strict=False):
                self.learn(one, other)
        elif _is_id(theirs) and _is_id(ours) and ours not in self.ours.values():
            self.ours.setdefault(theirs, ours)

    def to_ours(self, event: Event) -> Event:
        """What the transcript's client says, with our ids."""
        return self._renamed(event, self.ours)

    def to_theirs(self, event: Event) -> Event:
        return self._renamed(event, {ours: theirs for theirs, ours in self.ours.items()})

    def _renamed(self, event: Event, names: dict[str, str]) -> Event:
        text = _ID.sub(lambda found: names.get(found[0], found[0]), json.dumps(event))
        renamed: Event = json.loads(text)
        return renamed


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def normal(event: Event) -> Event:
    """The event without what may differ (EXCEPTIONS)."""
    event = json.loads(json.dumps(event))
    del event["event_id"]
    event.pop("obfuscation", None)
    if event["type"] in AUDIO:
        assert event["delta"]
        event["delta"] = "AAAA…"
    if event["type"].startswith(FLOATING):
        event.pop("usage", None)
    if event["type"] == "conversation.item.retrieved":
        for part in event["item"].get("content", []):
            part.pop("audio", None)
    if response := event.get("response"):
        response["usage"] = _keys(response["usage"])
        if error := (response["status_details"] or {}).get("error"):
            assert error.pop("message")
    _blur(event)
    return event


def _keys(value: Any) -> Any:
    return {k: _keys(v) for k, v in value.items()} if isinstance(value, dict) else value is None


def _blur(event: Event) -> None:
    """Times say only that they are there."""
    for holder in (event, event.get("session") or {}):
        for key in _TIMES:
            if key in holder:
                holder[key] = "…"
    if event["type"].startswith("input_audio_buffer.") and "audio_end_ms" in event:
        event["audio_end_ms"] = "…"
