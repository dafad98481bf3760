"""The invariants of the Realtime contract (§3.6), as a client would notice them.

A Ledger reads the server events of one session in order and fails on the first that
cannot come now.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

Event = dict[str, Any]

TRANSCRIPTION = "conversation.item.input_audio_transcription."
DELTAS = {
    "response.output_text.delta": "text",
    "response.output_audio_transcript.delta": "transcript",
    "response.function_call_arguments.delta": "arguments",
}


class Ledger:
    """What a client knows of a session; fails on an event that cannot come now."""

    def __init__(self) -> None:
        self.n = 0
        self.order: list[str] = []  # ids of the conversation's items
        self.speech: dict[str, str] = {}  # item of the user → its last event
        self.live: str | None = None
        self.ended: set[str] = set()
        self.outputs: dict[str, list[str]] = defaultdict(list)  # response → items
        self.ladder: dict[str, str] = {}  # item of the model → its last rung
        self.deltas: dict[tuple[str, str], str] = defaultdict(str)
        self.told: set[str] = set()  # items whose words were told
        self.committed: Event = {}
        self.session: Event = {}

    def read(self, event: Event) -> None:
        self.n += 1
        assert (event["type"] == "session.created") is (self.n == 1)  # I1
        family, _, name = event["type"].rpartition(".")
        rid = event.get("response_id") or event.get("response", {}).get("id")
        if rid is not None:
            self._response(event, rid)
        elif family == "input_audio_buffer" and name != "cleared":
            self._speech(name, event)
        elif event["type"].startswith(TRANSCRIPTION):
            self._words(name, event)
        elif family == "conversation.item":
            self._item(name, event)
        elif family == "session":
            self.session = event["session"]

    def _speech(self, name: str, event: Event) -> None:  # I3, I4
        item_id = event["item_id"]
        before = self.speech.get(item_id)
        allowed = {
            "speech_started": {None},
            "speech_stopped": {"speech_started"},
            "committed": {None, "speech_started", "speech_stopped"},
        }
        assert before in allowed[name], f"{name} after {before}"
        self.speech[item_id] = name
        if name == "committed":
            self.committed = event

    def _words(self, name: str, event: Event) -> None:  # §3.7
        item_id = event["item_id"]
        assert item_id not in self.told
        if name == "delta":
            self.deltas[item_id, "words"] += event["delta"]
            return
        self.told.add(item_id)
        if name == "completed":
            assert self.deltas[item_id, "words"] == event["transcript"]  # I7

    def _item(self, name: str, event: Event) -> None:
        if name == "deleted":
            self.order.remove(event["item_id"])
        elif name in ("added", "done"):
            item, previous = event["item"], event["previous_item_id"]
            if name == "added":
                self._added(item, previous)
            if item["id"] in self.ladder:
                self._model_item(name, item)
            else:
                assert item["status"] == "completed"  # I13

    def _added(self, item: Event, previous: str | None) -> None:
        if self.speech.get(item["id"]) == "committed":  # I4
            assert self.committed["item_id"] == item["id"]
            assert self.committed["previous_item_id"] == previous
            self.speech[item["id"]] = "added"
        if previous is None:  # I12
            self.order.insert(0, item["id"])
        else:
            last = len(self.order) - 1 - self.order[::-1].index(previous)
            self.order.insert(last + 1, item["id"])

    def _model_item(self, name: str, item: Event) -> None:  # I6, I13
        if name == "added":
            assert self.ladder[item["id"]] == "output_added"
            assert item["status"] == "in_progress"
            assert not item.get("content")
            self.ladder[item["id"]] = "added"
        else:
            assert item["status"] in ("completed", "incomplete")
            opened = ("part_done",) if item["type"] == "message" else ("added", "deltas", "said")
            assert self.ladder[item["id"]] in opened
            self.ladder[item["id"]] = "done"

    def _response(self, event: Event, rid: str) -> None:
        if event["type"] == "response.created":  # I5, I11
            assert self.live is None
            assert rid not in self.ended
            assert event["response"]["status"] == "in_progress"
            self.live = rid
            return
        assert self.live == rid, "news of a response that does not run"  # I5
        if event["type"] == "response.done":
            self._done(event["response"])
            self.live = None
            self.ended.add(rid)
            return
        assert event.get("content_index", 0) == 0  # I9
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(self.outputs[rid])  # I9
            self.outputs[rid].append(event["item"]["id"])
            self.ladder[event["item"]["id"]] = "output_added"
            return
        item_id = event.get("item_id") or event["item"]["id"]
        assert self.outputs[rid][event["output_index"]] == item_id
        self._rung(event, item_id)

    def _rung(self, event: Event, item_id: str) -> None:  # I6, I7, I8
        type_, rung = event["type"], self.ladder[item_id]
        if type_ == "response.content_part.added":
            assert rung == "added"
            self.ladder[item_id] = "deltas"
        elif type_.endswith(".delta"):
            assert rung == "deltas" or (rung == "added" and "arguments" in type_)
            self.ladder[item_id] = "deltas"
            if type_ in DELTAS:
                self.deltas[item_id, DELTAS[type_]] += event["delta"]
        elif type_ == "response.output_audio.done":
            assert rung == "deltas"
        elif type_ == "response.content_part.done":
            assert rung == "said"
            [words] = {"text", "transcript"} & set(event["part"])
            assert event["part"][words] == self.deltas[item_id, words]
            self.ladder[item_id] = "part_done"
        elif type_ == "response.output_item.done":
            assert rung == "done"
            self.ladder[item_id] = "output_done"
        else:
            assert rung == "deltas"
            [words] = {"text", "transcript", "arguments"} & set(event)
            assert event[words] == self.deltas[item_id, words]
            self.ladder[item_id] = "said"

    def _done(self, response: Event) -> None:
        assert response["status"] in ("completed", "cancelled", "incomplete", "failed")  # I13
        details = response["status_details"]
        assert (details is None) is (response["status"] == "completed")
        assert response["usage"] is not None
        assert [item["id"] for item in response["output"]] == self.outputs[response["id"]]
        assert all(self.ladder[item["id"]] == "output_done" for item in response["output"])  # I5
