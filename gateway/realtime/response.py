"""One response, from `response.created` to `response.done`: the ladder of events.

Source: realtime contract §6.2 to §6.5. A response may hold a message and function
calls; each is an output item with its own short ladder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from . import effects as do
from . import server_events as ev
from . import signals as sig
from .conversation import Conversation, Entry, NewId
from .effects import Effect
from .items import FunctionCall, Message, OutputAudio, OutputText, Status
from .settings import Settings

AUDIO_TOKEN_MS = 50  # one output audio token, as OpenAI counts them


@dataclass(slots=True)
class Output:
    """One output item while it is being produced."""

    entry: Entry
    index: int
    is_open: bool = True


@dataclass(slots=True)
class Response:
    id: str
    settings: Settings  # with this response's own overrides
    metadata: dict[str, str] | None
    conversation: Conversation
    new_id: NewId
    waits_for: set[str] = field(default_factory=set)
    """Items whose words must be there before the model can be asked."""
    outputs: list[Output] = field(default_factory=list)
    calls: dict[str, Output] = field(default_factory=dict)
    message: Output | None = None
    text: str = ""  # of the message, all of it

    def created(self) -> list[Effect]:
        return [do.Send(ev.ResponseCreated(self._wire("in_progress")))]

    def start(self) -> do.StartReply:
        s = self.settings
        limit = s.max_output_tokens
        output = s.audio.output
        return do.StartReply(
            self.id,
            s.instructions,
            self.conversation.lines(),
            s.tools,
            s.tool_choice,
            limit if isinstance(limit, int) else None,
            do.Voice(output.voice, output.speed) if s.speaks else None,
        )

    def say(self, delta: str) -> list[Effect]:
        """More text of the message."""
        effects = self._open_message()
        self.text += delta
        assert self.message is not None
        self.message.entry.text = self.message.entry.spoken = self.text
        kind = ev.TranscriptDelta if self.settings.speaks else ev.TextDelta
        return [*effects, do.Send(kind(*self._part(), delta))]

    def play(self, pcm: bytes) -> list[Effect]:
        """More audio of the message, which the client hears from now on."""
        effects = self._open_message()
        assert self.message is not None
        self.message.entry.audio_bytes += len(pcm)
        return [*effects, do.Send(ev.AudioDelta(*self._part(), pcm))]

    def timed(self, words: tuple[tuple[int, int], ...]) -> None:
        if self.message is not None:
            self.message.entry.words.extend(words)

    def call(self, signal: sig.ReplyCall | sig.ReplyCallDone) -> list[Effect]:
        """A function call begins or grows."""
        effects: list[Effect] = []
        output = self.calls.get(signal.call_id)
        if output is None:
            item = FunctionCall(self.new_id("item"), signal.name, signal.call_id, "", "in_progress")
            output, effects = self._open(Entry(item, response_id=self.id))
            self.calls[signal.call_id] = output
        if isinstance(signal, sig.ReplyCall) and signal.delta:
            item_ = output.entry.item
            assert isinstance(item_, FunctionCall)
            output.entry.change(arguments=item_.arguments + signal.delta)
            ids = (self.id, item_.id, output.index, signal.call_id)
            effects.append(do.Send(ev.ArgumentsDelta(*ids, signal.delta)))
        return effects

    def call_done(self, signal: sig.ReplyCallDone) -> list[Effect]:
        effects = self.call(signal)
        output = self.calls[signal.call_id]
        item = output.entry.item
        assert isinstance(item, FunctionCall)
        arguments = signal.arguments or "{}"
        ids = (self.id, item.id, output.index, signal.call_id)
        if rest := arguments.removeprefix(item.arguments):
            effects.append(do.Send(ev.ArgumentsDelta(*ids, rest)))
        effects.append(do.Send(ev.ArgumentsDone(*ids, signal.name, arguments)))
        output.entry.text = arguments
        output.entry.change(arguments=arguments)
        return [*effects, *self._close(output, "completed")]

    def done(
        self, status: str, details: dict[str, Any] | None, tokens: sig.Tokens, heard_ms: float
    ) -> list[Effect]:
        """Close what is open and say how it ended.

        Args:
            heard_ms: How much of the audio the user has heard, if it was cut off.
        """
        item_status: Status = "completed" if status == "completed" else "incomplete"
        effects: list[Effect] = []
        for output in self.outputs:
            if output.is_open:
                if output is self.message and self.settings.speaks and status == "cancelled":
                    output.entry.text = output.entry.heard(heard_ms)
                effects += self._close(output, item_status)
        effects.append(do.Send(ev.ResponseDone(self._wire(status, details, self._usage(tokens)))))
        effects.append(do.Send(ev.RateLimitsUpdated()))
        kept = do.ResponseKept(
            self.id,
            status,
            str((details or {}).get("reason", "")),
            tuple(output.entry.item.id for output in self.outputs),
            tokens.input,
            tokens.output,
        )
        return [*effects, do.Record(kept)]

    @property
    def audio_ms(self) -> int:
        return self.message.entry.audio_ms if self.message else 0

    def _part(self) -> tuple[str, str, int, int]:
        assert self.message is not None
        return (self.id, self.message.entry.item.id, self.message.index, 0)

    def _open_message(self) -> list[Effect]:
        if self.message is not None:
            return []
        item = Message(self.new_id("item"), "assistant", (), "in_progress")
        self.message, effects = self._open(Entry(item, response_id=self.id))
        part = ev.AudioPart() if self.settings.speaks else ev.TextPart()
        return [*effects, do.Send(ev.PartAdded(*self._part(), part))]

    def _open(self, entry: Entry) -> tuple[Output, list[Effect]]:
        output = Output(entry, len(self.outputs))
        self.outputs.append(output)
        previous = self.conversation.insert(entry)
        return output, [
            do.Send(ev.OutputItemAdded(self.id, output.index, entry.item)),
            do.Send(ev.ItemAdded(previous, entry.item)),
        ]

    def _close(self, output: Output, status: Status) -> list[Effect]:
        output.is_open = False
        entry = output.entry
        effects: list[Effect] = []
        if output is self.message:
            effects = self._close_part()
            speaks = self.settings.speaks
            content = OutputAudio(self.text) if speaks else OutputText(self.text)
            entry.change(content=(content,))
            if entry.cut_ms is not None:  # what the client says is better than what we think
                entry.text = entry.heard(entry.cut_ms)
        entry.change(status=status)
        previous = self.conversation.previous_id(entry)
        return [
            *effects,
            do.Send(ev.ItemDone(previous, entry.item)),
            do.Send(ev.OutputItemDone(self.id, output.index, entry.item)),
            do.Record(entry.fact()),
        ]

    def _close_part(self) -> list[Effect]:
        part = self._part()
        if not self.settings.speaks:
            return [
                do.Send(ev.TextDone(*part, self.text)),
                do.Send(ev.PartDone(*part, ev.TextPart(self.text))),
            ]
        return [
            do.Send(ev.AudioDone(*part)),
            do.Send(ev.TranscriptDone(*part, self.text)),
            do.Send(ev.PartDone(*part, ev.AudioPart(self.text))),
        ]

    def _usage(self, tokens: sig.Tokens) -> dict[str, Any]:
        audio = math.ceil(self.audio_ms / AUDIO_TOKEN_MS)
        cached = {"text_tokens": tokens.cached, "audio_tokens": 0, "image_tokens": 0}
        return {
            "total_tokens": tokens.input + tokens.output + audio,
            "input_tokens": tokens.input,
            "output_tokens": tokens.output + audio,
            "input_token_details": {
                "text_tokens": tokens.input,
                "audio_tokens": 0,
                "image_tokens": 0,
                "cached_tokens": tokens.cached,
                "cached_tokens_details": cached,
            },
            "output_token_details": {"text_tokens": tokens.output, "audio_tokens": audio},
        }

    def _wire(
        self,
        status: str,
        details: dict[str, Any] | None = None,
        usage: dict[str, Any] | None = None,
    ) -> ev.Response:
        output = self.settings.audio.output
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [o.entry.item for o in self.outputs if not o.is_open],
            "conversation_id": self.conversation.id,
            "output_modalities": self.settings.output_modalities,
            "max_output_tokens": self.settings.max_output_tokens,
            "audio": {"output": {"format": output.format, "voice": output.voice}},
            "usage": usage,
            "metadata": self.metadata,
        }
