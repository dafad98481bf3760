"""One client's session: the rules of the Realtime protocol and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

import msgspec

from . import client_events as ce
from . import effects as do
from . import server_events as ev
from . import signals as sig
from .conversation import Conversation, Entry, NewId, words_of
from .effects import Effect
from .items import FunctionCall, FunctionCallOutput, Message, OutputAudio
from .refusals import Refusal, Refused, no_item, refuse
from .replies import Replies
from .settings import Settings, merge, voice_is_fixed
from .turns import Turns


@dataclass(frozen=True, slots=True)
class Identity:
    """What is fixed when a session begins."""

    session_id: str
    model: str
    expires_at_s: int  # unix time


class Session:
    """Turns inputs into effects. Never waits, and never fails on what a peer did."""

    def __init__(
        self,
        identity: Identity,
        *,
        new_id: NewId,
        settings: Settings | None = None,
        lead_ms: float = 400.0,
    ) -> None:
        """
        Args:
            new_id: Makes a unique id from a prefix, e.g. "item" gives "item_8f2".
            settings: What the client finds before it changes anything.
            lead_ms: How far ahead of the user's ears audio is sent.
        """
        self.identity = identity
        self._new_id = new_id
        self._default = self._settings = settings or Settings()
        self._conversation = Conversation(new_id("conv"))
        self._replies = Replies(self._conversation, new_id, lead_ms)
        self._turns = Turns(self._conversation, self._replies, new_id)
        self._turns.settings = self._settings

    @property
    def conversation_id(self) -> str:
        return self._conversation.id

    def open(self) -> list[Effect]:
        """What to do first: clients get `session.created` unasked."""
        return [do.Listen(self._listening()), do.Send(ev.SessionCreated(self._wire()))]

    def receive(self, event: ce.ClientEvent | sig.Signal) -> list[Effect]:
        """Take one input; return what must be done about it, in order."""
        if isinstance(event, sig.Reply):
            return self._replies.receive(event)
        try:
            if isinstance(event, sig.Hearing):
                return self._turns.receive(event)
            return self._client(event)
        except Refused as refused:
            event_id = getattr(event, "event_id", None)
            return [do.Send(ev.Error.of(refused.refusal.of(event_id)))]

    def _client(self, event: ce.ClientEvent) -> list[Effect]:  # noqa: C901 - a table
        match event:
            case ce.AppendAudio():
                return self._turns.append(event.pcm)
            case ce.CommitAudio():
                return self._turns.commit()
            case ce.ClearAudio():
                return self._turns.clear()
            case ce.UpdateSession():
                return self._update(event.patch)
            case ce.CreateItem():
                return self._create_item(event)
            case ce.RetrieveItem():
                return [do.Send(ev.ItemRetrieved(self._find(event.item_id, "retrieve").item))]
            case ce.DeleteItem():
                return self._delete_item(event.item_id)
            case ce.TruncateItem():
                return self._truncate_item(event)
            case ce.CreateResponse():
                return self._replies.create(event.wanted, self._settings)
            case ce.CancelResponse():
                return self._replies.cancel(event.response_id)
            case Refusal():
                return [do.Send(ev.Error.of(event))]
            case _:
                assert_never(event)

    def _update(self, patch: dict[str, Any]) -> list[Effect]:
        new = merge(self._settings, patch, self._default)
        old = self._settings
        if new.audio.output.voice != old.audio.output.voice and self._conversation.has_audio:
            raise voice_is_fixed("session.audio.output.voice")
        before = self._listening()
        self._settings = self._turns.settings = new
        now = self._listening()
        listen = self._turns.listen(now) if now != before else []
        return [*listen, do.Send(ev.SessionUpdated(self._wire()))]

    def _create_item(self, event: ce.CreateItem) -> list[Effect]:
        item = event.new.item
        index = self._conversation.place(event.previous_item_id)
        if isinstance(item, FunctionCallOutput) and not self._conversation.has_call(item.call_id):
            message = f"Tool call ID '{item.call_id}' not found in conversation."
            raise refuse("invalid_tool_call_id", message)
        entry = Entry(msgspec.structs.replace(item, id=item.id or self._new_id("item")))
        if isinstance(item, FunctionCall) and not item.call_id:
            entry.change(call_id=self._new_id("call"))
        entry.text = words_of(item)
        previous = self._conversation.insert(entry, index)
        effects: list[Effect] = [
            do.Send(ev.ItemAdded(previous, entry.item)),
            do.Send(ev.ItemDone(previous, entry.item)),
            do.Record(entry.fact()),
            *(do.Record(moved.fact()) for moved in self._conversation.moved()),
        ]
        if event.new.pcm and not event.new.transcript:
            effects += self._turns.transcribe(entry, event.new.pcm)
        return effects

    def _delete_item(self, item_id: str) -> list[Effect]:
        entry = self._find(item_id, "delete")
        self._conversation.remove(entry)
        return [
            do.Send(ev.ItemDeleted(item_id)),
            do.Record(do.ItemDropped(item_id)),
            *self._replies.words_are_there(item_id),
        ]

    def _truncate_item(self, event: ce.TruncateItem) -> list[Effect]:
        """Keep what the client says was heard. The item may still be in progress."""
        entry = self._find(event.item_id, "truncate")
        if not (isinstance(entry.item, Message) and (entry.audio_bytes or entry.is_spoken)):
            raise refuse(None, "Only model output audio messages can be truncated")
        if event.audio_end_ms > entry.audio_ms:
            raise refuse(
                "invalid_value",
                f"Audio content of {entry.audio_ms}ms is already shorter than "
                f"{event.audio_end_ms}ms",
            )
        entry.cut_ms = event.audio_end_ms
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
        audio = self._settings.audio.input
        if audio.transcription is None:
            return do.Listening(audio.turn_detection)
        asked = audio.transcription
        return do.Listening(audio.turn_detection, asked.language, asked.prompt)

    def _wire(self) -> dict[str, Any]:
        """The whole session, every key present."""
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self.identity.session_id,
            "model": self.identity.model,
            **msgspec.to_builtins(self._settings),
            "expires_at": self.identity.expires_at_s,
        }
