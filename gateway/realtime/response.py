"""One response, from `response.created` to `response.done`: the ladder of events.

Source: realtime contract §6.2 to §6.5 and §6.8. A response may hold a message and calls;
each is an output item with its own short ladder. A response whose model has ended goes on
until the MCP tools that it called have returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from . import effects as do
from . import g711
from . import server_events as ev
from . import signals as sig
from .calls import MAX_OUTPUT, call_of, called, grown, new_call, size, unfinished, whole
from .conversation import Conversation, Entry, NewId, lines_of
from .effects import Effect
from .items import McpApprovalRequest, McpCall, Message, OutputAudio, OutputText, Status
from .mcp import Servers
from .mcp_tools import Offer
from .microphone import law_of
from .recordings import Shelf
from .response_wire import TEXT_ONLY, Details, Output, Part, spoken, wire_of, written
from .resumption import begun
from .settings import Pcm, Settings
from .starting import start_of
from .usage import counted, heard_tokens, usage

MAX_OUTPUTS = 2 * MAX_OUTPUT  # bytes of what the MCP tools of one response return


@dataclass(slots=True)
class Response:
    id: str
    settings: Settings  # with this response's own overrides
    instructions: str
    metadata: dict[str, str] | None
    conversation: Conversation | None
    """None: what it says is not kept."""
    context: tuple[Entry, ...]
    """What it is made from."""
    is_own: bool
    """Whether that is its own `input`, and not the conversation as it was."""
    new_id: NewId
    shelf: Shelf
    servers: Servers
    waits_for: list[Entry] = field(default_factory=list)
    """Items whose words or tools must be there before the model can be asked."""
    offer: Offer = field(default_factory=Offer)
    outputs: list[Output] = field(default_factory=list)
    calls: dict[str, Output] = field(default_factory=dict)
    running: dict[str, Output] = field(default_factory=dict)
    """MCP tools that were called and have not returned, by item."""
    started: do.StartReply | None = None
    thought: sig.ReplyEnded | sig.ReplyFailed | None = None
    ended: sig.ReplyEnded | None = None
    """How the model ended: `thought` while its words are spoken, `ended` while its calls run."""
    room: int = MAX_OUTPUTS
    message: Output | None = None
    text: str = ""  # of the message, all of it
    is_mute: bool = False  # nobody speaks any more
    is_notice: bool = False  # its text is ours, not a model's
    lines: tuple[do.Line, ...] = ()  # what the model was asked
    input_audio_tokens: int = 0
    _encoder: g711.Encoder | None = None

    def __post_init__(self) -> None:
        wanted = self.settings.audio.output.format
        self._encoder = None if isinstance(wanted, Pcm) else g711.Encoder(law_of(wanted))

    def created(self) -> list[Effect]:
        return [do.Send(ev.ResponseCreated(self._wire("in_progress")))]

    def start(self, conversation: Conversation) -> do.StartReply:
        s = self.settings
        held = {id(entry) for entry in conversation.entries()}  # some may have been deleted
        entries = [entry for entry in self.context if self.is_own or id(entry) in held]
        self.input_audio_tokens = heard_tokens([entry.heard_ms for entry in entries])
        self.offer, self.lines = self.servers.offer(s), lines_of(entries)
        self.started = start_of(self.id, s, self.instructions, self.offer, self.lines)
        return self.started

    def resumed(self) -> list[Effect]:
        """Go on with what another process began. No model goes on in the middle of a call."""
        if self.started is None or self.ended is not None:
            return []
        calls = [output for output in self.outputs if output is not self.message]
        cut = [output for output in calls if output.closed is None]
        effects = [effect for output in cut for effect in self._close(output, "incomplete")]
        self.calls = {}
        has_called = any(output.entry.text for output in calls)
        whole = self.thought or (sig.ReplyEnded(self.id, sig.Tokens()) if has_called else None)
        message = self.message.entry if self.message else None
        voice = None if self.is_mute else self.started.voice
        start = replace(self.started, begun=begun(self.text, message, whole), voice=voice)
        return [*effects, start]

    def say(self, delta: str) -> list[Effect]:
        """More text of the message."""
        effects = self._open_message()
        self.text += delta
        self._message.entry.text = self._message.entry.spoken = self.text
        kind = ev.TranscriptDelta if self.settings.speaks else ev.TextDelta
        return [*effects, do.Send(kind(*self._part(), delta))]

    def play(self, pcm: bytes) -> list[Effect]:
        """More audio of the message, which the client hears from now on."""
        effects = self._open_message()
        entry = self._message.entry
        if self.conversation is not None and entry.cut_ms is None:
            self.shelf.add(entry.recording, pcm)
        audio = self._encoder.feed(pcm) if self._encoder else pcm
        self._count(audio)
        return [*effects, do.Send(ev.AudioDelta(*self._part(), audio))] if audio else effects

    def played(self, n_bytes: int) -> list[Effect]:
        """So much audio was played in another process; what it was is not known. Less than
        nothing did not reach the client, and will be played again."""
        effects = self._open_message()
        self._message.entry.recording.is_kept = False
        if n_bytes < 0:
            self._message.entry.audio_bytes += n_bytes
            return effects
        self._count(self._encoder.feed(bytes(n_bytes)) if self._encoder else bytes(n_bytes))
        return effects

    def _count(self, audio: bytes) -> None:
        """Audio that is sent counts as its receiver counts it."""
        pcm_bytes = len(audio) * g711.PCM_BYTES if self._encoder else len(audio)
        self._message.entry.audio_bytes += pcm_bytes

    def failing(self, news: sig.ReplyFailing) -> list[Effect]:
        """The model has failed. Its words, or our notice instead of any, are still spoken."""
        self.thought = news.failed
        if not news.notice:
            return []
        effects = self.say(news.notice)
        self.is_notice = self._message.entry.is_notice = True
        return effects

    def mute(self) -> None:
        self.is_mute = True
        self.metadata = {**(self.metadata or {}), **TEXT_ONLY}
        if self.message is not None:
            self.message.entry.is_read = True

    def timed(self, news: sig.ReplyTiming) -> None:
        if self.message is not None:
            self.message.entry.timed(news.words, news.piece)

    def call(self, signal: sig.ReplyCall | sig.ReplyCallDone) -> list[Effect]:
        """A call begins or grows."""
        effects: list[Effect] = []
        output = self.calls.get(signal.call_id)
        if output is None:
            bound = self.offer.bound.get(signal.name)
            item = new_call(signal.call_id, signal.name, bound, self.new_id)
            output, effects = self._open(Entry(item, response_id=self.id))
            self.calls[signal.call_id] = output
        if isinstance(signal, sig.ReplyCall) and signal.delta:
            item = call_of(output.entry.item)
            output.entry.change(arguments=item.arguments + signal.delta)
            effects += grown(self.id, output.index, item, signal.call_id, signal.delta)
        return effects

    def call_done(self, signal: sig.ReplyCallDone) -> list[Effect]:
        effects = self.call(signal)
        output = self.calls[signal.call_id]
        entry = output.entry
        arguments = signal.arguments or "{}"
        if rest := arguments.removeprefix(call_of(entry.item).arguments):
            effects += grown(self.id, output.index, entry.item, signal.call_id, rest)
        entry.change(arguments=arguments)
        effects += whole(self.id, output.index, entry.item, signal.call_id)
        bound = self.offer.bound.get(signal.name)
        if bound and isinstance(entry.item, McpCall):
            item_id = entry.item.id
            self.running[item_id] = output
            entry.awaited = True
            tool = do.CallTool(item_id, bound.server, bound.name, arguments)
            return [*effects, do.Send(ev.McpCalling(item_id, output.index)), tool]
        entry.text = arguments
        if bound and isinstance(entry.item, McpApprovalRequest):
            self.servers.ask(entry, bound)
        return [*effects, *self._close(output, "completed")]

    def called(self, news: sig.ToolReturned | sig.ToolFailed) -> list[Effect]:
        """An MCP tool of `running` has returned."""
        output = self.running.pop(news.item_id)
        told = called(output.entry, news, output.index, min(self.room, MAX_OUTPUT))
        self.room -= size(output.entry.text)
        return [do.Send(told), *self._close(output, "completed")]

    def rest(self, ended: sig.ReplyEnded) -> list[Effect]:
        """The model has ended, and tools still run."""
        self.ended = ended
        status: Status = "completed" if ended.incomplete is None else "incomplete"
        return self._close(self.message, status) if self.message else []

    def _give_up(self, output: Output) -> list[Effect]:
        """A call of an MCP tool comes too late."""
        item_id = output.entry.item.id
        told = called(output.entry, unfinished(item_id), output.index)
        return [do.DropTool(item_id), do.Send(told)] if self.running.pop(item_id, None) else []

    def done(
        self, status: str, details: Details, tokens: sig.Tokens, heard_ms: float
    ) -> list[Effect]:
        """Close what is open and say how it ended.

        Args:
            heard_ms: How much of the audio the user has heard, if it was cut off.
        """
        item_status: Status = "completed" if status == "completed" else "incomplete"
        effects: list[Effect] = []
        for output in self.outputs:
            if output.closed is None:
                if output is self.message and self.settings.speaks and status == "cancelled":
                    output.entry.text = output.entry.heard(heard_ms)
                if isinstance(output.entry.item, McpCall):
                    effects += self._give_up(output)
                effects += self._close(output, item_status)
        tokens = counted(tokens, self.lines, "" if self.is_notice else self.text)
        cost = usage(tokens, heard_tokens=self.input_audio_tokens, audio_ms=self.audio_ms)
        effects.append(do.Send(ev.ResponseDone(self._wire(status, details, cost))))
        if status != "failed":
            effects.append(do.TellLimits(cost["total_tokens"]))
        if self.conversation is not None:
            reason = str((details or {}).get("reason", ""))
            items = tuple(output.entry.item.id for output in self.outputs)
            kept = do.ResponseKept(self.id, status, reason, items, tokens.input, tokens.output)
            effects.append(do.Record(kept))
        return effects

    @property
    def audio_ms(self) -> int:
        return self.message.entry.audio_ms if self.message else 0

    @property
    def _message(self) -> Output:
        assert self.message is not None
        return self.message

    def _part(self) -> Part:
        return (self.id, self._message.entry.item.id, self._message.index, 0)

    def _open_message(self) -> list[Effect]:
        if self.message is not None:
            return []
        item = Message(self.new_id("item"), "assistant", (), "in_progress")
        speaks = self.settings.speaks
        entry = Entry(item, response_id=self.id, is_speech=speaks, is_read=self.is_mute)
        self.message, effects = self._open(entry)
        part = ev.AudioPart() if speaks else ev.TextPart()
        return [*effects, do.Send(ev.PartAdded(*self._part(), part))]

    def _open(self, entry: Entry) -> tuple[Output, list[Effect]]:
        output = Output(entry, len(self.outputs))
        self.outputs.append(output)
        added: list[Effect] = [do.Send(ev.OutputItemAdded(self.id, output.index, entry.item))]
        if self.conversation is not None:
            previous = self.conversation.insert(entry)
            added.append(do.Send(ev.ItemAdded(previous, entry.item)))
        return output, added

    def _close(self, output: Output, status: Status) -> list[Effect]:
        entry = output.entry
        entry.awaited = False
        effects: list[Effect] = []
        if output is self.message:
            effects = self._close_part()
            kind = OutputAudio if self.settings.speaks else OutputText
            entry.change(content=(kind(self.text),))
            if entry.cut_ms is not None:  # what the client says is better than what we think
                entry.text = entry.heard(entry.cut_ms)
        if hasattr(entry.item, "status"):  # items of MCP have none
            entry.change(status=status)
        output.closed = entry.item
        if self.conversation is not None and self.conversation.holds(entry):
            previous = self.conversation.previous_id(entry)
            effects += [do.Send(ev.ItemDone(previous, entry.item)), do.Record(entry.fact())]
        if output is self.message and entry.cut_ms is not None:
            entry.change(content=(OutputAudio(""),))  # as truncating a finished one leaves it
        return [*effects, do.Send(ev.OutputItemDone(self.id, output.index, output.closed))]

    def _close_part(self) -> list[Effect]:
        part = self._part()
        if not self.settings.speaks:
            return written(part, self.text)
        rest = self._encoder.finish() if self._encoder else b""
        self._count(rest)
        return [*([do.Send(ev.AudioDelta(*part, rest))] if rest else []), *spoken(part, self.text)]

    def _wire(self, status: str, details: Details = None, cost: Details = None) -> ev.Response:
        output = [o.closed for o in self.outputs if o.closed is not None]
        conversation_id = self.conversation.id if self.conversation else None
        fixed = wire_of(self.settings, self.id, conversation_id, self.metadata)
        now = {"status": status, "status_details": details, "output": output, "usage": cost}
        return fixed | now
