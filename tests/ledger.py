"""The invariants of the Realtime contract (§3.6), as a client would notice them.

A Ledger reads the server events of one session in order and fails on the first that
cannot come now.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]

TRANSCRIPTION = "conversation.item.input_audio_transcription"
ENDS = ("completed", "cancelled", "incomplete", "failed")
WITHOUT_STATUS = ("mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response")
PAYLOADS = {"text", "transcript", "arguments"}


@dataclass
class Output:
    """An output item of a response: how far its ladder has come."""

    id: str
    type: str
    rung: str = "output_added"
    deltas: dict[str, str] = field(default_factory=lambda: defaultdict(str))
    part: str = ""
    audio_is_over: bool = False
    item: Event = field(default_factory=dict)  # as told last


@dataclass
class Running:
    """A response from `response.created` to `response.done`."""

    created: Event
    outputs: list[Output] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        return self.created["conversation_id"] is not None


class Ledger:
    """What a client knows of a session; fails on an event that cannot come now."""

    def __init__(self) -> None:
        self.event_ids: set[str] = set()
        self.dropped: set[str] = set()  # items that were deleted
        self.session: Event = {}
        self.conversation_id: str | None = None
        self.order: list[str] = []  # ids of the conversation's items
        self.creating: str | None = None  # an item of the client that is not done yet
        self.speech: dict[str, str] = {}  # item of the user → its last event
        self.committed: Event | None = None
        self.live: dict[str, Running] = {}
        self.ended: set[str] = set()
        self.outputs: dict[str, Output] = {}  # of responses, by item
        self.wordless: Counter[str] = Counter()  # items whose words were not told
        self.twins: set[str] = set()  # ids that two of those had at a time
        self.words: dict[str, str] = defaultdict(str)
        self.mcp: dict[str, str] = {}  # items of MCP outside of responses → their last event

    @property
    def active(self) -> str | None:
        """The response of the conversation that runs."""
        return next((rid for rid, running in self.live.items() if running.is_kept), None)

    @property
    def aside(self) -> list[str]:
        return [rid for rid, running in self.live.items() if not running.is_kept]

    def read(self, event: Event) -> None:
        assert (event["type"] == "session.created") is (not self.event_ids)  # I1
        assert event["event_id"] not in self.event_ids  # I2
        self.event_ids.add(event["event_id"])
        family, _, name = event["type"].rpartition(".")
        if self.committed is not None:  # I4: at once
            assert (name, event["item"]["id"]) == ("added", self.committed["item_id"])
        if self.creating is not None:
            assert event["type"] == "conversation.item.done"
        if rid := event.get("response_id") or event.get("response", {}).get("id"):
            self._response(event, rid)
        elif family == "session":
            self.session = event["session"]
        else:
            self._others(family, name, event)

    def _others(self, family: str, name: str, event: Event) -> None:
        if family == "input_audio_buffer" and name != "cleared":
            self._speech(name, event)
        elif family == TRANSCRIPTION:
            self._words(name, event)
        elif family == "conversation.item":
            self._item(name, event)
        elif family in ("mcp_list_tools", "response.mcp_call"):
            self._mcp(name, event)

    # The user's side.

    def _speech(self, name: str, event: Event) -> None:  # I3
        item_id = event["item_id"]
        before = self.speech.get(item_id)
        allowed: dict[str, set[str | None]] = {
            "speech_started": {None},
            "speech_stopped": {"speech_started"},
            "timeout_triggered": {None},
            "committed": {None, "speech_started", "speech_stopped", "timeout_triggered"},
        }
        assert before in allowed[name], f"{name} after {before}"
        self.speech[item_id] = name
        if name == "committed":
            self.committed = event
        if name == "timeout_triggered":
            assert event["audio_start_ms"] < event["audio_end_ms"]

    def _words(self, name: str, event: Event) -> None:  # §3.7
        item_id = event["item_id"]
        is_asked = self.session["audio"]["input"]["transcription"] is not None
        assert is_asked or self.words[item_id] or item_id in self.twins
        assert self.wordless[item_id] > 0, "nobody waits for these words"
        if name == "delta":
            self.words[item_id] += event["delta"]
        elif name != "segment":
            self.wordless[item_id] -= 1
            told = self.words.pop(item_id, "")
            if name == "completed" and item_id not in self.twins:
                assert told == event["transcript"]  # I7

    def _item(self, name: str, event: Event) -> None:
        if name == "deleted":
            at = len(self.order) - 1 - self.order[::-1].index(event["item_id"])
            del self.order[at]
            self.dropped.add(event["item_id"])
        elif name == "added":
            self._added(event["item"], event["previous_item_id"])
        elif name == "done":
            self._done(event["item"])
        else:
            assert name in ("retrieved", "truncated")

    def _added(self, item: Event, previous: str | None) -> None:
        output = self.outputs.get(item["id"])
        if output is not None and output.rung == "output_added":  # I6, I13
            assert item == output.item
            output.rung = "added"
            self._append(item, previous)
        elif self.committed is not None:  # I4
            assert self.committed["previous_item_id"] == previous
            self.committed = None
            self.speech[item["id"]] = "added"
            self._append(item, previous)
            self._create(item)
        elif item["type"] == "mcp_list_tools":
            self._append(item, previous)
            self.mcp[item["id"]] = "added"
        else:
            self._insert(item, previous)
            if item["type"] == "mcp_call":
                self.mcp[item["id"]] = "added"
            else:
                self._create(item)

    def _append(self, item: Event, previous: str | None) -> None:  # I12
        assert previous == (self.order[-1] if self.order else None)
        self.order.append(item["id"])

    def _insert(self, item: Event, previous: str | None) -> None:  # I12
        at = 0
        if previous is not None:
            at = len(self.order) - self.order[::-1].index(previous)
        self.order.insert(at, item["id"])

    def _create(self, item: Event) -> None:
        """The client or its user made it: it is done at once."""
        assert item.get("status", "completed") == "completed"
        assert ("status" in item) is (item["type"] not in WITHOUT_STATUS)
        self.creating = item["id"]
        for part in item.get("content", []):
            if part["type"] == "input_audio" and part["transcript"] is None:
                self.wordless[item["id"]] += 1
                if self.wordless[item["id"]] > 1:
                    self.twins.add(item["id"])

    def _done(self, item: Event) -> None:
        if self.creating is not None:  # I13
            assert item["id"] == self.creating
            assert item.get("status", "completed") == "completed"
            self.creating = None
        elif item["id"] in self.mcp:
            assert self.mcp[item["id"]] in ("in_progress", "completed", "failed")
            self.mcp[item["id"]] += ", done"
        else:
            self._close(self.outputs[item["id"]], item, "done")

    def _mcp(self, name: str, event: Event) -> None:  # §6.8
        output = self.outputs.get(event["item_id"])
        if output is not None:  # of a response
            before = {"in_progress": "said", "completed": "calling", "failed": "calling"}
            assert output.rung == before[name]
            output.rung = "calling" if name == "in_progress" else "returned"
            return
        last = self.mcp[event["item_id"]]
        begun = ("added",) if name == "in_progress" else ("in_progress", "in_progress, done")
        assert last in begun
        self.mcp[event["item_id"]] = f"{name}, done" if last.endswith("done") else name

    # The model's side.

    def _response(self, event: Event, rid: str) -> None:
        if event["type"] == "response.created":
            self._created(event["response"])
            return
        running = self.live.get(rid)
        assert running is not None, "news of a response that does not run"  # I5
        if event["type"] == "response.done":
            self._ended(running, event["response"])
            return
        assert event.get("content_index", 0) == 0  # I9
        if event["type"] == "response.output_item.added":
            self._opened(running, event["output_index"], event["item"])
            return
        output = running.outputs[event["output_index"]]  # I9
        assert output.id == (event.get("item_id") or event["item"]["id"])
        self._rung(running, output, event)

    def _created(self, response: Event) -> None:
        rid = response["id"]
        assert rid not in self.live  # I5
        assert rid not in self.ended
        running = Running(response)
        if running.is_kept:
            assert self.active is None  # I11
            self.conversation_id = self.conversation_id or response["conversation_id"]
            assert response["conversation_id"] == self.conversation_id
        assert (response["status"], response["output"]) == ("in_progress", [])
        assert (response["status_details"], response["usage"]) == (None, None)
        self.live[rid] = running

    def _opened(self, running: Running, index: int, item: Event) -> None:
        assert index == len(running.outputs)  # I9
        assert item["id"] not in self.outputs
        assert item.get("status", "in_progress") == "in_progress"  # I13
        assert ("status" in item) is (item["type"] not in WITHOUT_STATUS)
        assert not item.get("content")
        assert not item.get("arguments")
        output = Output(item["id"], item["type"], item=item)
        running.outputs.append(output)
        self.outputs[item["id"]] = output

    def _rung(self, running: Running, output: Output, event: Event) -> None:  # I6, I7, I8
        kind, _, name = event["type"].removeprefix("response.").rpartition(".")
        begun = "added" if running.is_kept else "output_added"  # I10
        if (kind, name) == ("content_part", "added"):
            assert (output.rung, output.type) == (begun, "message")
            output.rung, output.part = "open", event["part"]["type"]
        elif name == "delta":
            self._delta(output, kind, event["delta"], begun)
        elif kind == "output_audio":
            assert (output.rung, output.part, output.audio_is_over) == ("open", "audio", False)
            output.audio_is_over = True
        elif kind == "content_part":
            assert output.rung == "said"
            assert event["part"]["type"] == output.part
            assert output.audio_is_over is (output.part == "audio")
            [words] = PAYLOADS & set(event["part"])
            assert event["part"][words] == output.deltas[words]  # I7
            output.rung = "part_done"
        elif kind == "output_item":
            dropped = event["item"]["id"] in self.dropped and output.rung != "done"
            if dropped or not running.is_kept:
                self._close(output, event["item"], "output_done")
            assert output.rung in ("done", "output_done")
            assert event["item"] == output.item
            output.rung = "output_done"
        else:
            [words] = PAYLOADS & set(event)
            assert output.rung in (("open",) if output.part else (begun, "open"))
            if output.type != "mcp_approval_request":  # it asks when all is said
                assert event[words] == output.deltas[words]  # I7
            output.rung = "said"

    def _delta(self, output: Output, kind: str, delta: str, begun: str) -> None:
        if kind == "output_audio":
            assert (output.rung, output.part, output.audio_is_over) == ("open", "audio", False)
            return
        words = {
            "output_text": "text", "output_audio_transcript": "transcript",
            "function_call_arguments": "arguments", "mcp_call_arguments": "arguments",
        }[kind]  # fmt: skip
        if words == "arguments":
            assert output.type != "message"
            assert output.rung in (begun, "open")
            output.rung = "open"
        else:
            assert output.rung == "open"
            assert output.part == ("text" if words == "text" else "audio")
        assert delta
        output.deltas[words] += delta

    def _close(self, output: Output, item: Event, rung: str) -> None:
        """The item is final. What was cut off may have said nothing of its arguments."""
        last: tuple[str, ...] = {
            "message": ("part_done",),
            "function_call": ("said",),
            "mcp_call": ("said", "returned"),
            "mcp_approval_request": ("added", "output_added", "said"),
        }[output.type]
        is_cut_off = item.get("status", "incomplete") == "incomplete"
        if is_cut_off and output.type != "message":
            last = (*last, "added", "output_added", "open")
        assert output.rung in last, f"closed when {output.rung}"
        assert item.get("status") in (None, "completed", "incomplete")  # I13
        assert item["id"] == output.id
        if output.type == "message":
            [content] = item["content"]
            assert content["type"] == f"output_{output.part}"
        if output.type == "function_call":
            assert item["arguments"] == output.deltas["arguments"]  # I7
        output.rung, output.item = rung, item

    def _ended(self, running: Running, response: Event) -> None:
        created = running.created
        del self.live[response["id"]]
        self.ended.add(response["id"])
        assert response["status"] in ENDS  # I13
        details = response["status_details"]
        assert (details is None) is (response["status"] == "completed")
        if details is not None:
            assert details["type"] == response["status"]
        for key in ("conversation_id", "output_modalities", "max_output_tokens", "audio"):
            assert response[key] == created[key]
        noted = {k for k in response["metadata"] or {} if not k.startswith("ovos_")}
        assert noted == set(created["metadata"] or {})
        assert response["output"] == [output.item for output in running.outputs]
        assert all(output.rung == "output_done" for output in running.outputs)  # I5
        _adds_up(response["usage"])


def _adds_up(usage: Event) -> None:
    came, went = usage["input_token_details"], usage["output_token_details"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    parts = ("text_tokens", "audio_tokens", "image_tokens")
    assert usage["input_tokens"] == sum(came[part] for part in parts)
    assert usage["output_tokens"] == went["text_tokens"] + went["audio_tokens"]
    cached = came["cached_tokens_details"]
    assert came["cached_tokens"] == sum(cached[part] for part in parts)
    assert all(cached[part] <= came[part] for part in parts)
