"""How far an answer has come over several providers: what its caller was told, and how the
next one goes on. No I/O.

Why calls are not simply asked for again: the caller may have acted on one. So after a failure

- with nothing but text, the next provider goes on behind the last character;
- with whole calls, the answer has ended: what goes on needs their results;
- in the middle of calls, the next provider has to make them again, under the ids that the
  caller knows. It hears no more of their arguments until they are whole. They may differ from
  what it was told of them: the whole call counts;
- with both, nobody can go on: whichever calls came again could be those that were made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from llm_orchestrator.call_ids import mint
from llm_orchestrator.engine import (
    News,
    Request,
    Role,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
)


class Stage(Enum):
    """What a failure now would mean."""

    UNTOLD = auto()
    """Nothing was told: anybody can answer."""

    GOES_ON = auto()
    """The next provider goes on."""

    ENDED = auto()
    """All that was begun is whole, and there are calls: this is the answer."""

    STUCK = auto()
    """Nobody can go on."""


@dataclass(slots=True)
class _Call:
    """A call that was begun and is not whole."""

    call_id: str
    name: str
    told: str
    """Of its arguments."""


class Progress:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._text = ""
        self._open: dict[str, _Call] = {}
        self._made: set[str] = set()
        self._ids: dict[str, str] = {}
        """Of the provider that writes now: its id of a call → the one that the caller knows."""

        self._broken: list[_Call] = []
        """What an earlier provider began and the one that writes now has not yet made again."""

    @property
    def stage(self) -> Stage:
        begun = bool(self._open or self._broken)
        if self._made:
            return Stage.STUCK if begun else Stage.ENDED
        return Stage.GOES_ON if begun or self._text else Stage.UNTOLD

    @property
    def expects_answer(self) -> bool:
        """Whether an answer without a word is no answer: nothing was said yet, and what the
        model was given is not a tool's result."""
        last = self._request.messages[-1:]
        tool = bool(last) and last[0].role is Role.TOOL
        return self.stage is Stage.UNTOLD and not self._request.already_written and not tool

    @property
    def owes(self) -> bool:
        """Whether a call that was begun was not made again."""
        return bool(self._broken)

    def next(self) -> Request:
        """What the next provider is asked."""
        self._broken += self._open.values()
        self._open, self._ids = {}, {}
        request = replace(self._request, already_written=self._request.already_written + self._text)
        if not self._broken:
            return request
        names = {call.name for call in self._broken}
        tools = tuple(tool for tool in request.tools if tool.name in names)
        choice = ToolChoice(ToolMode.REQUIRED)
        if len(names) == 1:
            choice = ToolChoice(ToolMode.FUNCTION, *names)
        return replace(request, tools=tools, tool_choice=choice)

    def told(self, news: News) -> Iterator[News]:
        """What of a provider's news is new to the caller. It is told all that this gives."""
        match news:
            case TextDelta(text):
                self._text += text
                yield news
            case ToolCallDelta():
                yield from self._grown(news)
            case ToolCall():
                yield from self._whole(news)
            case _:
                pass

    def _grown(self, delta: ToolCallDelta) -> Iterator[News]:
        if delta.call_id not in self._ids:
            self._ids[delta.call_id] = self._id_for(delta)
        call_id = self._ids[delta.call_id]
        if any(call.call_id == call_id for call in self._broken):
            return
        call = self._open.setdefault(call_id, _Call(call_id, delta.name, ""))
        call.told += delta.arguments_json
        yield replace(delta, call_id=call_id)

    def _id_for(self, delta: ToolCallDelta) -> str:
        """The id that the caller knows a new call by."""
        taken = set(self._ids.values())
        for call in self._broken:
            if call.name == delta.name and call.call_id not in taken:
                return call.call_id
        known = self._made | self._open.keys() | {call.call_id for call in self._broken}
        return mint() if delta.call_id in known else delta.call_id

    def _whole(self, call: ToolCall) -> Iterator[News]:
        call_id = self._ids.setdefault(call.call_id, call.call_id)
        self._open.pop(call_id, None)
        again = next((broken for broken in self._broken if broken.call_id == call_id), None)
        if again is not None:
            self._broken.remove(again)
            rest = call.arguments_json.removeprefix(again.told)
            if rest and call.arguments_json.startswith(again.told):
                yield ToolCallDelta(call_id, "", rest)
        self._made.add(call_id)
        yield replace(call, call_id=call_id)
