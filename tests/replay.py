"""Plays a transcript of the Realtime contract on one connection to a gateway."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp

from gateway.realtime import signals as sig
from mesh.errors import Overloaded
from tests import wire
from tests.fakes.scripted import ScriptedBackends
from tests.golden import AUDIO, FLOATING, RATES, Names, normal
from tests.script import pcm

WAIT_S = 30.0

Event = dict[str, Any]


class Replay:
    """One transcript on one connection."""

    def __init__(
        self, ws: aiohttp.ClientWebSocketResponse, backends: ScriptedBackends, beta: bool
    ) -> None:
        self._ws, self._backends = ws, backends
        self._check = wire.check_beta if beta else wire.check
        self.names = Names()
        self.lines: list[Event] = []
        self.got: list[Event] = []
        self.free: list[Event] = []  # of ours, what floats
        self._calls: dict[str, str] = {}  # call item → function
        self._by_hand: set[str] = set()  # items that the client committed
        self._utterance = ""  # item whose words are still to come
        self._fates: dict[str, Event] = {}  # response → how the transcript ends it
        self._given: set[int] = set()
        self._last = self._expected = ""  # types, of ours and the transcript's

    async def send(self, type_: str, **fields: Any) -> None:
        await self._ws.send_json(self.names.to_ours({"type": type_, **fields}))

    async def hear(self, ms: int) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm(ms)).decode())

    def give(self, signal: Any) -> None:
        if isinstance(signal, str):
            self._backends.outputs.put_nowait(signal)
        elif isinstance(signal, list):
            self._backends.listings.put_nowait(tuple(signal))
        else:
            self._backends.give(signal)

    def fail(self, response_id: str, code: str) -> None:
        self._backends.fail(self.ours(response_id), Overloaded("no credit", tier="llm", code=code))

    def ours(self, name: str) -> str:
        return self.names.ours.get(name, name)

    async def read(self) -> Event:
        """The next event, whichever."""
        async with asyncio.timeout(WAIT_S):
            event: Event = self._check(await self._ws.receive_json())
        self.got.append(event)
        return event

    async def next(self) -> Event:
        """The next event that has its place."""
        while True:
            event = await self.read()
            if floats(event):
                self.free.append(event)
                continue
            follows, self._last = self._last, event["type"]
            if not (event["type"] in AUDIO and follows == event["type"]):
                return event

    async def until(self, type_: str, **known: str) -> Event:
        """Read on to an event that no transcript has; `known`: transcript id → key of ours."""
        while (event := await self.read())["type"] != type_:
            pass
        for theirs, path in known.items():
            held: Any = event
            for step in path.split("."):
                held = held[step]
            self.names.ours[theirs] = held
        return event

    async def play(self, lines: list[Event], before: Steps) -> None:
        self.lines = lines
        self._fates = {
            line["event"]["response"]["id"]: line["event"]["response"]
            for line in lines
            if line["dir"] == "s2c" and line["event"]["type"] == "response.done"
        }
        for line in lines:
            event = line.get("event", {})
            if event.get("event_id") in before:
                await before[event["event_id"]](self)
            match line["dir"]:
                case "c2s":
                    await self._say(event)
                case "c2s_raw" if "BINARY" in line["text"]:
                    await self._ws.send_bytes(b"\x00\x01")
                case "c2s_raw":
                    await self._ws.send_str(line["text"])
                case "s2c":
                    await self._hear(event)

    async def _hear(self, event: Event) -> None:
        """Give the server its reasons to say this, and compare what it says."""
        for signal in self._signals(event):
            self.give(signal)
        if floats(event):
            return
        follows, self._expected = self._expected, event["type"]
        if not (event["type"] in AUDIO and follows == event["type"]):
            await self._expect(event)

    async def _say(self, event: Event) -> None:
        commits = [e for e in self.server() if e["type"] == "input_audio_buffer.committed"]
        if event["type"] == "input_audio_buffer.commit" and commits:
            await self.hear(200)  # "… more appends …"
        await self.send(**{"type_" if k == "type" else k: v for k, v in event.items()})

    def server(self) -> list[Event]:
        """What the transcript's server says."""
        return [line["event"] for line in self.lines if line["dir"] == "s2c"]

    async def _expect(self, theirs: Event) -> None:
        try:
            ours = await self.next()
        except TimeoutError:
            heard = [event["type"] for event in self.got]
            raise AssertionError(f"{theirs['type']} does not come after {heard}") from None
        self.names.learn(theirs, ours)
        said, expected = normal(self.names.to_theirs(ours)), normal(theirs)
        assert said == expected, f"\n{json.dumps(said)}\nis not\n{json.dumps(expected)}"

    async def end(self) -> None:
        """Nothing more may come, but for what floats and what answers this question."""
        await self.send("conversation.item.retrieve", event_id="the end", item_id="nobody")
        event = await self.next()
        assert event["type"] == "error", event
        assert event["error"]["event_id"] == "the end", event

    def _signals(self, event: Event) -> Iterator[Any]:  # noqa: C901 - a table
        """What backends must have reported for the server to say this."""
        match event:
            case {"type": "input_audio_buffer.speech_started", "item_id": item, **rest}:
                yield sig.SpeechStarted(item, rest["audio_start_ms"])
            case {"type": "input_audio_buffer.speech_stopped", "item_id": item, **rest}:
                yield sig.SpeechStopped(item, rest["audio_end_ms"])
                self._utterance = item
            case {"type": "conversation.item.done", "item": {"id": item, "content": [part, *_]}}:
                if part["type"] == "input_audio" and not self._utterance:
                    self._by_hand.add(item)
                    self._utterance = item
            case {"type": "response.output_item.added", "item": {"id": item}}:
                if self._utterance:
                    yield from self._words()  # no reply starts without them
                self._calls[item] = event["item"].get("name", "")
                for delta in self.server():
                    if delta.get("item_id") == item and "delta" in delta:
                        yield from self._delta(delta)  # it is what opens the item
                        break
            case {"type": type_} if type_.startswith(FLOATING) and self._utterance:
                yield from self._words()
            case {"response_id": _, "delta": _}:
                yield from self._delta(event)
            case {"type": "response.function_call_arguments.done", "response_id": rid, **rest}:
                yield sig.ReplyCallDone(
                    self.ours(rid), rest["call_id"], rest["name"], rest["arguments"]
                )
        yield from self._of_tools(event)
        yield from self._end_of_reply(event)

    def _of_tools(self, event: Event) -> Iterator[Any]:
        """What MCP servers and calls of their tools report."""
        match event:
            case {"type": "conversation.item.done", "item": {"type": "mcp_list_tools"}}:
                yield event["item"]["tools"]
            case {"type": "response.output_item.added", "item": {"type": "mcp_approval_request"}}:
                item = event["item"]  # its arguments come whole: no delta opens it
                ids = self.ours(event["response_id"]), f"call_{item['id']}"
                yield sig.ReplyCall(*ids, item["name"], "")
            case {"type": "response.mcp_call_arguments.done", "response_id": rid, "item_id": item}:
                ids = self.ours(rid), f"call_{item}"
                yield sig.ReplyCallDone(*ids, self._calls[item], event["arguments"])
            case {"type": "response.mcp_call.completed", "item_id": item}:
                yield self._output_of(item)

    def _end_of_reply(self, event: Event) -> Iterator[Any]:
        """The model is done: what closes a response comes after that."""
        name = event.get("response_id") or event.get("response", {}).get("id")
        closes = event["type"].endswith(("text.done", "audio.done", "response.done"))
        if not closes or name not in self._fates:
            return
        fate = self._fates.pop(name)
        match fate["status"]:
            case "completed":
                yield sig.ReplyEnded(self.ours(name), sig.Tokens(120, 64, 7))
            case "incomplete":
                why = fate["status_details"]["reason"]
                yield sig.ReplyEnded(self.ours(name), sig.Tokens(40, 0, 4), why)
            case "failed":
                self.fail(name, fate["status_details"]["error"]["code"])

    def _delta(self, event: Event) -> Iterator[Any]:
        """What the model or the voice said, unless it was given already."""
        if "delta" not in event or id(event) in self._given:
            return
        self._given.add(id(event))
        rid, delta = self.ours(event["response_id"]), event["delta"]
        if event["type"] in AUDIO:
            yield sig.ReplyAudio(rid, pcm(1000))
        elif event["type"].endswith("call_arguments.delta"):
            call_id = event.get("call_id", f"call_{event['item_id']}")
            yield sig.ReplyCall(rid, call_id, self._calls[event["item_id"]], delta)
        else:
            yield sig.ReplyText(rid, delta)

    def _output_of(self, item_id: str) -> str:
        """What the transcript's MCP call returns in the end."""
        items = [event["item"] for event in self.server() if "item" in event]
        return next(i["output"] for i in items if i["id"] == item_id and i.get("output"))

    def _words(self) -> Iterator[sig.Hearing]:
        """All that recognition reports of an utterance, as the transcript has it."""
        item, self._utterance = self._utterance, ""
        name = self.ours(item) if item in self._by_hand else item
        text = ""
        for line in self.lines:
            event = line.get("event", {})
            if event.get("item_id") == item and event["type"].startswith(FLOATING):
                text = event.get("transcript", text + event.get("delta", ""))
                if "delta" in event:
                    yield sig.Hypothesis(name, text, len(text))
        yield sig.Transcribed(name, text or "hello", 1500)


def floats(event: Event) -> bool:
    return event["type"].startswith(FLOATING) or event["type"] == RATES


Step = Callable[[Replay], Awaitable[None]]
Steps = dict[str, Step]
