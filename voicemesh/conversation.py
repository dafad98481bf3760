"""What a caller makes of the server's events: turns, with a time for each stage. No I/O."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STAGES = ("transcript", "first text", "first audio", "done")


@dataclass(slots=True)
class Turn:
    """Something said and what was answered."""

    item_id: str
    stopped_s: float
    """When the server said that the speech had ended; all stages count from it."""
    heard: str | None = None
    response_id: str = ""
    answered: str = ""
    pcm: bytearray = field(default_factory=bytearray)
    status: str = ""
    """How the response ended; empty while it has not."""
    problem: str = ""
    """Why it failed, in the server's words."""
    stages_ms: dict[str, float] = field(default_factory=dict)

    def stage(self, name: str, at_s: float) -> None:
        """Note when a stage was reached for the first time."""
        self.stages_ms.setdefault(name, (at_s - self.stopped_s) * 1000)


class Conversation:
    """The turns so far. Tell it every event and the time it came."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.complaints: list[str] = []
        """Errors the server sent that did not end the session."""
        self.speaking = False
        """Whether the server hears speech now."""
        self.heard_speech = False

    @property
    def is_complete(self) -> bool:
        """Whether everything said so far was heard and answered."""
        return (
            bool(self.turns)
            and not self.speaking
            and all(turn.status and turn.heard is not None for turn in self.turns)
        )

    def take(self, event: Mapping[str, Any], at_s: float) -> None:
        """Take one server event in."""
        kind: str = event["type"]
        if kind.startswith("input_audio_buffer."):
            self._speech(kind.rpartition(".")[2], event, at_s)
        elif kind.startswith("conversation.item.input_audio_transcription."):
            self._transcription(kind.rpartition(".")[2], event, at_s)
        elif kind.startswith("response."):
            self._response(kind.removeprefix("response."), event, at_s)
        elif kind == "error":
            self.complaints.append(str(event["error"].get("message")))

    def _speech(self, kind: str, event: Mapping[str, Any], at_s: float) -> None:
        if kind == "speech_started":
            self.speaking = self.heard_speech = True
        elif kind == "speech_stopped":
            self.speaking = False
            self.turns.append(Turn(event["item_id"], at_s))

    def _transcription(self, kind: str, event: Mapping[str, Any], at_s: float) -> None:
        turn = next((one for one in self.turns if one.item_id == event["item_id"]), None)
        if turn is None:
            return
        if kind == "completed":
            turn.heard = event["transcript"]
            turn.stage("transcript", at_s)
        elif kind == "failed":
            turn.heard = ""
            turn.problem = str(event["error"].get("message"))

    def _response(self, kind: str, event: Mapping[str, Any], at_s: float) -> None:
        if kind == "created":
            # One response a turn, in order: the first turn without one.
            for turn in self.turns:
                if not turn.response_id:
                    turn.response_id = event["response"]["id"]
                    return
        wanted = event["response"]["id"] if "response" in event else event.get("response_id")
        found = next((one for one in self.turns if one.response_id == wanted), None)
        if found is None:
            return
        if kind in ("output_audio_transcript.delta", "output_text.delta"):
            found.stage("first text", at_s)
            found.answered += event["delta"]
        elif kind == "output_audio.delta":
            found.stage("first audio", at_s)
            found.pcm += base64.b64decode(event["delta"])
        elif kind == "done":
            found.stage("done", at_s)
            found.status = event["response"]["status"]
            found.problem = _problem(event["response"]) or found.problem


def _problem(response: Mapping[str, Any]) -> str:
    details = response.get("status_details") or {}
    error = details.get("error") or {}
    return str(error.get("message") or details.get("reason") or "")
