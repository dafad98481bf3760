"""The responses of a session: which run, when they start, how they end.

A response is announced at once and started when the words of every recording in its
context are there: clients wait for the announcement, the model for the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from msgspec.structs import replace

from . import effects as do
from . import signals as sig
from .calls import unknown_end
from .conversation import Conversation, Entry, NewId
from .effects import Effect
from .mcp import Servers
from .prompts import Prompts
from .recordings import Shelf
from .refusals import SERVER_ERROR, Refused, refuse
from .reply_checks import answers, check_choice, check_voice, needed
from .response import Response
from .response_wire import failed_with
from .server_events import Error
from .settings import Settings, merge

MOST_ASIDE = 8  # responses of a session outside its conversation, at a time

_OVERRIDES = {
    "instructions", "output_modalities", "audio", "tools", "tool_choice", "max_output_tokens",
    "prompt", "reasoning", "parallel_tool_calls", "temperature",
}  # fmt: skip


class Replies:
    """Live responses by id, since several can run at a time outside the conversation."""

    __slots__ = (
        "_conversation", "_degraded", "_lead_ms", "_live", "_new_id", "_prompts",
        "_servers", "_unheard_ms", "shelf",
    )  # fmt: skip

    def __init__(
        self,
        conversation: Conversation,
        new_id: NewId,
        shelf: Shelf,
        prompts: Prompts,
        servers: Servers,
        lead_ms: float,
    ) -> None:
        """
        Args:
            shelf: Keeps what was said.
            servers: Knows the tools of MCP servers.
            lead_ms: How far ahead of the user's ears audio is sent.
        """
        self._conversation, self._new_id, self._lead_ms = conversation, new_id, lead_ms
        self.shelf, self._prompts, self._servers = shelf, prompts, servers
        self._live: dict[str, Response] = {}
        self._degraded = False
        self._unheard_ms: int | None = None

    @property
    def active(self) -> Response | None:
        """The response of the conversation, if one runs."""
        return next((r for r in self._live.values() if r.conversation is not None), None)

    def take_ended(self) -> int | None:
        """Milliseconds still to be heard of a response that has ended since this was asked last."""
        unheard_ms, self._unheard_ms = self._unheard_ms, None
        return unheard_ms

    def create(
        self,
        wanted: dict[str, Any],
        settings: Settings,
        entries: Sequence[Entry] | None = None,
    ) -> list[Effect]:
        """Announce a response, and start it if it need not wait.

        Args:
            wanted: The client's overrides, checked.
            entries: What it is made from, instead of the conversation.

        Raises:
            Refused: one runs already, or an override is not possible now.
        """
        own = self._settings_of(wanted, settings)
        aside = wanted.get("conversation") == "none"
        self._check_room(aside)
        if not aside and self._conversation.has_audio:
            check_voice(own, settings, "response.audio.output.voice")
        self._servers.check(own.servers, "response.tools")
        context = self._conversation.entries() if entries is None else tuple(entries)
        listing = self._servers.use(own.servers, again="tools" in wanted)
        response = Response(
            id=self._new_id("resp"),
            settings=own,
            instructions=self._prompts.instructions(own),
            metadata=wanted.get("metadata"),
            conversation=None if aside else self._conversation,
            context=context,
            is_own=entries is not None,
            new_id=self._new_id,
            shelf=self.shelf,
            servers=self._servers,
        )
        response.waits_for = needed(response, (*context, *self._servers.lists(own.servers)))
        self._live[response.id] = response
        effects = [*response.created(), *listing]
        return effects if response.waits_for else [*effects, response.start(self._conversation)]

    def _settings_of(self, wanted: dict[str, Any], settings: Settings) -> Settings:
        overrides = {key: value for key, value in wanted.items() if key in _OVERRIDES}
        own = merge(settings, overrides, settings)
        if not own.tools and own.tools != settings.tools and "tool_choice" not in overrides:
            own = replace(own, tool_choice="auto")  # that of the session was for its own tools
        check_choice(own)
        self._prompts.check(own.prompt, "response.prompt")
        return own

    def _check_room(self, aside: bool) -> None:
        if aside:
            if sum(r.conversation is None for r in self._live.values()) >= MOST_ASIDE:
                message = f"At most {MOST_ASIDE} responses can run outside the conversation."
                raise refuse("too_many_active_responses", message, "response.conversation")
        elif self.active is not None:
            raise refuse(
                "conversation_already_has_active_response",
                "Conversation already has an active response in progress: "
                f"{self.active.id}. Wait until the response is finished before creating a new one.",
            )

    def answer(self, settings: Settings) -> list[Effect]:
        """The user has spoken. The turn stands, even if it cannot be answered now."""
        try:
            return [*self.create({}, settings), do.CountRequest()]
        except Refused as refused:
            return [do.Send(Error.of(refused.refusal))]

    def cancel(self, response_id: str | None) -> list[Effect]:
        """
        Raises:
            Refused: that response does not run.
        """
        response = self._live.get(response_id) if response_id else self.active
        if response is None:
            message = "Cancellation failed: no active response found"
            raise refuse("response_cancel_not_active", message)
        return self._stop(response, "client_cancelled")

    def interrupt(self) -> list[Effect]:
        """The user speaks over the response."""
        return self._stop(self.active, "turn_detected") if self.active else []

    def go_on(self) -> list[Effect]:
        """Items that were awaited are there, or gone: what waited for them starts."""
        effects: list[Effect] = []
        for response in self._live.values():
            if response.waits_for and not needed(response, response.waits_for):
                response.waits_for = []
                effects.append(response.start(self._conversation))
        return effects

    def words_are_lost(self, entry: Entry, reason: str) -> list[Effect]:
        """An item got no words: what was to answer it fails."""
        effects: list[Effect] = []
        for response in list(self._live.values()):
            waits = any(awaited is entry for awaited in response.waits_for)
            if waits and (response.is_own or answers(response.context, entry)):
                effects += self._fail(response, "transcription_failed", reason)
        return [*effects, *self.go_on()]

    def words_are_late(self, entries: Iterable[Entry]) -> list[Effect]:
        """These items may get no words for long: what answers something else starts now."""
        for entry in entries:
            entry.is_late = True
        return self.go_on()

    def use_servers(self, settings: Settings, *, again: bool = False) -> list[Effect]:
        """The session has the MCP servers of these settings from now on.

        Args:
            again: Ask those that failed once more.
        """
        return [*self._servers.configure(settings.servers, again=again), *self.go_on()]

    def hear_of_tools(self, news: sig.Mcp) -> list[Effect]:
        """News of an MCP server: of a response's own call, of another one, or of a list."""
        owner = next((r for r in self._live.values() if news.item_id in r.running), None)
        if owner is None or not isinstance(news, sig.ToolReturned | sig.ToolFailed):
            return [*self._servers.receive(news), *self.go_on()]
        effects = [*owner.called(news), *self.go_on()]
        if owner.ended and not owner.running:
            effects += self._end(owner, owner.ended)
        return effects

    def receive(self, news: sig.Reply) -> list[Effect]:  # noqa: C901 - a table
        response = self._live.get(news.response_id)
        if response is None:
            return []  # late news of a reply already stopped
        match news:
            case sig.ReplyText():
                return response.say(news.delta)
            case sig.ReplyAudio():
                return response.play(news.pcm)
            case sig.ReplyPlayed():
                return response.played(news.n_bytes)
            case sig.ReplyTiming():
                response.timed(news)
                return []
            case sig.ReplyThought():
                response.thought = news.ended
                return []
            case sig.ReplyFailing():
                return response.failing(news)
            case sig.ReplyMuted():
                response.mute()
                return []
            case sig.ReplyCall():
                return response.call(news)
            case sig.ReplyCallDone():
                return response.call_done(news)
            case sig.ReplyDegraded():
                self._note_degraded(response, news)
                return []
            case sig.ReplyEnded():
                return self._end(response, news)
            case sig.ReplyFailed():
                return self._fail(response, news.code, news.message, news.type)
            case _:
                assert_never(news)

    @property
    def is_quiet(self) -> bool:
        """Whether no response runs and no tool that was approved."""
        return not self._live and self._servers.is_quiet

    def resumed(self) -> list[Effect]:
        """Another process goes on with what runs. What tools did in the last one is not known,
        and they may not be called twice."""
        begun = [response for response in self._live.values() if response.started]
        effects = self._servers.resumed()
        for response in begun:
            for item_id in list(response.running):
                effects += self.hear_of_tools(unknown_end(item_id))
            if response.id in self._live:
                effects += response.resumed()
        return [*effects, *self.go_on()]

    def saved(self) -> tuple[bool, int | None]:
        return self._degraded, self._unheard_ms

    def restore(self, degraded: bool, unheard_ms: int | None) -> None:
        self._degraded, self._unheard_ms = degraded, unheard_ms

    def _end(self, response: Response, news: sig.ReplyEnded) -> list[Effect]:
        if response.running:
            return response.rest(news)
        status = "completed" if news.incomplete is None else "incomplete"
        details = news.incomplete and {"type": "incomplete", "reason": news.incomplete}
        return self._done(response, status, details or None, news.tokens, response.audio_ms)

    def _stop(self, response: Response, reason: str) -> list[Effect]:
        heard_ms = max(0.0, response.audio_ms - self._lead_ms)
        details = {"type": "cancelled", "reason": reason}
        is_at_work = not response.waits_for and response.ended is None
        stop: list[Effect] = [do.StopReply(response.id)] if is_at_work else []
        return [*stop, *self._done(response, "cancelled", details, sig.Tokens(), heard_ms)]

    def _fail(
        self, response: Response, code: str, message: str, type_: str = SERVER_ERROR
    ) -> list[Effect]:
        details = failed_with(type_, code, message)
        return self._done(response, "failed", details, sig.Tokens(), response.audio_ms)

    def _done(
        self,
        response: Response,
        status: str,
        details: dict[str, Any] | None,
        tokens: sig.Tokens,
        heard_ms: float,
    ) -> list[Effect]:
        del self._live[response.id]
        if response.conversation is not None:
            self._unheard_ms = int(min(response.audio_ms, self._lead_ms))
        effects = response.done(status, details, tokens, heard_ms)
        return [*effects, *self.go_on()]  # another response may wait for a call of this one

    def _note_degraded(self, response: Response, news: sig.ReplyDegraded) -> None:
        """Tell the client once, where no client can trip over it: the contract has no event
        for it, unknown events end some clients, and so do unknown error codes."""
        if not self._degraded:
            self._degraded = True
            note = {"ovos_tts_degraded": f"{news.failed} failed, {news.serving} speaks"}
            response.metadata = {**(response.metadata or {}), **note}
