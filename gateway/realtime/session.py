"""One client's session: the rules of the Realtime protocol and nothing else."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from . import client_events as ce
from . import effects as do
from . import server_events as ev
from . import signals as sig
from .conversation import Conversation, Entry, NewId, made
from .effects import Effect
from .identity import Identity, listening_of, wire_of
from .items import (
    FunctionCall,
    FunctionCallOutput,
    McpApprovalResponse,
    Message,
    OutputAudio,
    without_large_images,
)
from .mcp import Servers
from .new_items import NewItem, Reference
from .prompts import Prompts, Stock
from .recordings import Kept, Shelf
from .refusals import Refusal, Refused, no_item, refuse
from .replies import Replies
from .reply_checks import check_voice
from .retrieval import retrieved
from .session_checks import check_kind
from .settings import Settings, echo, merge
from .snapshot import Saved, entry_of, saved_entry
from .turns import Turns

MAX_ECHO = 960 << 10  # bytes: clients take frames of 1 MiB


class Session:
    """Turns inputs into effects. Never waits, and never fails on what a peer did."""

    def __init__(
        self,
        identity: Identity,
        *,
        new_id: NewId,
        settings: Settings | None = None,
        preset: dict[str, Any] | None = None,
        prompts: Stock | None = None,
        lead_ms: float = 400.0,
        kept_ms: int = 60_000,
    ) -> None:
        """
        Args:
            new_id: Makes a unique id from a prefix, e.g. "item" gives "item_8f2".
            settings: What a field is while nobody has set it.
            preset: A checked update that is applied before the client sends anything.
            prompts: What the operator stored.
            lead_ms: How far ahead of the user's ears audio is sent.
            kept_ms: How much audio is kept for `conversation.item.retrieve`.

        Raises:
            Refused: the preset asks for what there is not.
        """
        self.identity = identity
        self._new_id = new_id
        self._default = self._settings = settings or Settings()
        self._conversation = Conversation(new_id("conv"))
        self._shelf = Shelf(kept_ms)
        self._prompts = Prompts(prompts or {}, self._default.instructions)
        self._servers = Servers(self._conversation, new_id)
        self._replies = Replies(
            self._conversation, new_id, self._shelf, self._prompts, self._servers, lead_ms
        )
        answers = identity.kind == "realtime"
        self._turns = Turns(
            self._conversation, self._replies, new_id, kept_ms=kept_ms, answers=answers
        )
        if preset:
            self._settings = self._merged(preset)
        self._turns.configure(self._settings)

    @property
    def conversation(self) -> Conversation:
        return self._conversation

    def open(self) -> list[Effect]:
        """What to do first: clients get `session.created` unasked."""
        created = do.Send(ev.SessionCreated(self.wire()))
        listing = self._replies.use_servers(self._settings)
        return [do.Listen(self._listening()), created, *listing]

    def receive(self, event: ce.ClientEvent | sig.Signal) -> list[Effect]:
        """Take one input; return what must be done about it, in order."""
        try:
            if isinstance(event, ce.AppendAudio):  # first: fifty a second
                return self._turns.append(event.audio)
            if isinstance(event, sig.Reply):
                return self._replies.receive(event)
            if isinstance(event, sig.Mcp):
                return self._replies.hear_of_tools(event)
            if isinstance(event, sig.Hearing):
                return self._turns.receive(event)
            if isinstance(event, sig.Restored):
                return self._restored(event)
            return self._client(event)
        except Refused as refused:
            event_id = getattr(event, "event_id", None)
            return [do.Send(ev.Error.of(refused.refusal.of(event_id)))]

    def _client(self, event: ce.ClientEvent) -> list[Effect]:  # noqa: C901 - a table
        match event:
            case ce.AppendAudio():
                return self._turns.append(event.audio)
            case ce.CommitAudio():
                return self._turns.commit()
            case ce.ClearAudio():
                return self._turns.clear()
            case ce.UpdateSession():
                return self._update(event.patch)
            case ce.CreateItem():
                return self._create_item(event)
            case ce.RetrieveItem():
                entry = self._find(event.item_id, "retrieve")
                return [do.Send(ev.ItemRetrieved(retrieved(entry, self._settings.audio)))]
            case ce.DeleteItem():
                return self._delete_item(event.item_id)
            case ce.TruncateItem():
                return self._truncate_item(event)
            case ce.CreateResponse():
                return self._create_response(event)
            case ce.CancelResponse():
                return self._replies.cancel(event.response_id)
            case Refusal():
                return [do.Send(ev.Error.of(event))]
            case _:
                assert_never(event)

    def _update(self, patch: dict[str, Any]) -> list[Effect]:
        new = self._merged(patch)
        if self._conversation.has_audio:
            check_voice(new, self._settings, "session.audio.output.voice")
        before = self._listening()
        self._settings = new
        self._turns.configure(new)
        now = self._listening()
        listen = self._turns.listen(now) if now != before else []
        listing = self._replies.use_servers(new, again="tools" in patch)
        return [*listen, do.Send(ev.SessionUpdated(self.wire())), *listing]

    def _merged(self, patch: dict[str, Any]) -> Settings:
        """
        Raises:
            Refused: the patch is for another kind of session, or asks for what cannot be.
        """
        check_kind(patch, self.identity.kind)
        new = merge(self._settings, patch, self._default)
        if self._settings.tracing is not None and new.tracing != self._settings.tracing:
            message = "Tracing cannot be changed once it is enabled for a session."
            raise refuse("invalid_value", message, "session.tracing")
        if len(msgspec.json.encode(echo(new))) > MAX_ECHO:
            message = f"The session is too large: it may have {MAX_ECHO} bytes of JSON."
            raise refuse("object_above_max_size", message, "session")
        self._prompts.check(new.prompt, "session.prompt")
        self._servers.check(new.servers, "session.tools")
        return new

    def _create_response(self, event: ce.CreateResponse) -> list[Effect]:
        if self.identity.kind == "transcription":
            message = "A transcription session has no responses."
            raise refuse("invalid_value", message, "type")
        if event.input is None:
            return self._replies.create(event.wanted, self._settings)
        entries = [self._input(new) for new in event.input]
        heard: list[Effect] = []
        for new, entry in zip(event.input, entries, strict=True):
            if isinstance(new, NewItem) and new.audio:
                heard += self._turns.keep(entry, new, aside=True)
        try:
            return [*self._replies.create(event.wanted, self._settings, entries), *heard]
        except Refused:
            self._turns.forget(entries)
            raise

    def _input(self, new: NewItem | Reference) -> Entry:
        """One item of a response's `input`. New ones get an id of ours: nobody can ask for
        them, and theirs may be in use."""
        if isinstance(new, NewItem):
            return made(new.item, self._new_id("input"))
        found = self._conversation.find(new.id)
        if found is None:
            message = f"Item with id '{new.id}' not found in conversation."
            raise refuse("invalid_value", message, new.path)
        return found

    def _create_item(self, event: ce.CreateItem) -> list[Effect]:
        item = event.new.item
        index = self._conversation.place(event.previous_item_id)
        if isinstance(item, FunctionCallOutput) and not self._conversation.has_call(item.call_id):
            message = f"Tool call ID '{item.call_id}' not found in conversation."
            raise refuse("invalid_tool_call_id", message)
        if isinstance(item, McpApprovalResponse):
            self._servers.check_answer(item)
        kind = "mcpa" if isinstance(item, McpApprovalResponse) else "item"
        entry = made(without_large_images(item), item.id or self._new_id(kind), whole=item)
        if isinstance(item, FunctionCall) and not item.call_id:
            entry.change(call_id=self._new_id("call"))
        previous = self._conversation.insert(entry, index)
        effects: list[Effect] = [
            do.Send(ev.ItemAdded(previous, entry.item)),
            do.Send(ev.ItemDone(previous, entry.item)),
            do.Record(entry.fact()),
            *(do.Record(moved.fact()) for moved in self._conversation.moved()),
        ]
        if event.new.audio:
            effects += self._turns.keep(entry, event.new)
        if isinstance(item, McpApprovalResponse):
            effects += self._servers.answer(item, index + 1)
        return effects

    def _delete_item(self, item_id: str) -> list[Effect]:
        entry = self._find(item_id, "delete")
        self._conversation.remove(entry)
        self._shelf.drop(entry.recording)
        return [
            do.Send(ev.ItemDeleted(item_id)),
            do.Record(do.ItemDropped(item_id)),
            *self._servers.deleted(entry),
            *self._replies.go_on(),
        ]

    def _truncate_item(self, event: ce.TruncateItem) -> list[Effect]:
        """Keep what the client says was heard. The item may still be in progress."""
        entry = self._find(event.item_id, "truncate")
        if not (isinstance(entry.item, Message) and entry.is_speech):
            raise refuse(None, "Only model output audio messages can be truncated")
        has_ms = entry.audio_ms if entry.cut_ms is None else entry.cut_ms
        if event.audio_end_ms > has_ms:
            message = f"Audio content of {has_ms}ms is already shorter than {event.audio_end_ms}ms"
            raise refuse("invalid_value", message)
        entry.cut_ms = event.audio_end_ms
        self._shelf.cut(entry.recording, event.audio_end_ms)
        entry.text = entry.heard(entry.cut_ms)
        if entry.is_spoken:
            entry.change(content=(OutputAudio(""),))
        truncated = ev.ItemTruncated(event.item_id, event.content_index, event.audio_end_ms)
        return [do.Send(truncated), do.Record(entry.fact())]

    def _find(self, item_id: str, verb: str) -> Entry:
        entry = self._conversation.find(item_id)
        if entry is None:
            raise no_item(f"{verb.removesuffix('e')}ing", verb, item_id)
        return entry

    def _listening(self) -> do.Listening:
        return listening_of(self._settings)

    def wire(self) -> dict[str, Any]:
        """The whole session as clients read it, every key present."""
        return wire_of(self.identity, self._settings)

    @property
    def hearing(self) -> Kept:
        """The audio that is part of nothing yet."""
        return self._turns

    @property
    def is_quiet(self) -> bool:  # nothing of it runs
        return self._turns.is_quiet and self._replies.is_quiet

    def save(self) -> Saved | None:
        """The session as it is; None while something of it runs."""
        if not self.is_quiet:
            return None
        return Saved(
            self.identity,
            self._default,
            self._settings,
            self._conversation.id,
            tuple(map(saved_entry, self._conversation.entries())),
            *self._turns.saved(),
            *self._replies.saved(),
            self._servers.saved(),
        )

    def restore(self, saved: Saved) -> None:
        """Become the session that was saved."""
        self.identity, self._settings = saved.identity, saved.settings
        self._conversation.restore(saved.conversation_id, map(entry_of, saved.entries))
        self._turns.configure(saved.settings)
        self._turns.restore(saved.microphone, saved.losses, saved.silent_since_ms)
        self._replies.restore(saved.degraded, saved.unheard_ms)
        self._servers.restore(saved.servers)

    def _restored(self, news: sig.Restored) -> list[Effect]:
        if not isinstance(news, sig.Resumed):
            return self._turns.passed(news)
        replies = self._replies.resumed()
        return [do.Listen(self._listening()), *self._turns.resumed(), *replies]
