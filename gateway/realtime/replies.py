"""The responses of a session: which run, when they start, how they end.

A response is announced at once and started when the words of every recording in its
context are there: clients wait for the announcement, the model for the words.
"""

from __future__ import annotations

from typing import Any, assert_never

from . import effects as do
from . import signals as sig
from .conversation import Conversation, NewId
from .effects import Effect
from .refusals import SERVER_ERROR, Refusal, Refused, refuse
from .response import Response
from .server_events import Error
from .settings import Settings, merge, voice_is_fixed

_OVERRIDES = {
    "instructions", "output_modalities", "audio", "tools", "tool_choice", "max_output_tokens",
}  # fmt: skip


class Replies:
    """Live responses by id, since several can run at a time outside the conversation."""

    def __init__(self, conversation: Conversation, new_id: NewId, lead_ms: float) -> None:
        """
        Args:
            lead_ms: How far ahead of the user's ears audio is sent.
        """
        self._conversation, self._new_id, self._lead_ms = conversation, new_id, lead_ms
        self._live: dict[str, Response] = {}
        self._degraded = False

    @property
    def active(self) -> Response | None:
        """The response of the conversation, if one runs."""
        return next(iter(self._live.values()), None)

    def create(self, wanted: dict[str, Any], settings: Settings) -> list[Effect]:
        """Announce a response, and start it if it need not wait.

        Args:
            wanted: The client's overrides, checked.

        Raises:
            Refused: one runs already, or an override is not possible now.
        """
        if self.active is not None:
            raise refuse(
                "conversation_already_has_active_response",
                "Conversation already has an active response in progress: "
                f"{self.active.id}. Wait until the response is finished before creating a new one.",
            )
        overrides = {key: value for key, value in wanted.items() if key in _OVERRIDES}
        own = merge(settings, overrides, settings)
        _check_choice(own)
        if own.audio.output.voice != settings.audio.output.voice and self._conversation.has_audio:
            raise voice_is_fixed("response.audio.output.voice")
        response = Response(
            id=self._new_id("resp"),
            settings=own,
            metadata=wanted.get("metadata"),
            conversation=self._conversation,
            new_id=self._new_id,
            waits_for=set(self._conversation.awaited()),
        )
        self._live[response.id] = response
        effects = response.created()
        return effects if response.waits_for else [*effects, response.start()]

    def answer(self, settings: Settings) -> list[Effect]:
        """The user has spoken. The turn stands, even if it cannot be answered now."""
        try:
            return self.create({}, settings)
        except Refused as refused:
            return [do.Send(Error.of(refused.refusal))]

    def cancel(self, response_id: str | None) -> list[Effect]:
        """
        Raises:
            Refused: that response does not run.
        """
        response = self._live.get(response_id) if response_id else self.active
        if response is None:
            raise refuse(
                "response_cancel_not_active", "Cancellation failed: no active response found"
            )
        return self._stop(response, "client_cancelled")

    def interrupt(self) -> list[Effect]:
        """The user speaks over the response."""
        return self._stop(self.active, "turn_detected") if self.active else []

    def words_are_there(self, item_id: str) -> list[Effect]:
        """The words of an item are known, or the item is gone: what waited for it goes on."""
        effects: list[Effect] = []
        for response in self._live.values():
            if item_id in response.waits_for:
                response.waits_for.discard(item_id)
                if not response.waits_for:
                    effects.append(response.start())
        return effects

    def words_are_lost(self, item_id: str, reason: str) -> list[Effect]:
        """An item got no words: what waited for it fails."""
        effects: list[Effect] = []
        for response in [r for r in self._live.values() if item_id in r.waits_for]:
            effects += self._fail(response, "transcription_failed", reason)
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
            case sig.ReplyTiming():
                response.timed(news.words)
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
                return self._fail(response, news.code, news.message)
            case _:
                assert_never(news)

    def _end(self, response: Response, news: sig.ReplyEnded) -> list[Effect]:
        del self._live[response.id]
        if news.incomplete is None:
            return response.done("completed", None, news.tokens, response.audio_ms)
        details = {"type": "incomplete", "reason": news.incomplete}
        return response.done("incomplete", details, news.tokens, response.audio_ms)

    def _stop(self, response: Response, reason: str) -> list[Effect]:
        del self._live[response.id]
        heard_ms = max(0.0, response.audio_ms - self._lead_ms)
        details = {"type": "cancelled", "reason": reason}
        stop: list[Effect] = [] if response.waits_for else [do.StopReply(response.id)]
        return [*stop, *response.done("cancelled", details, sig.Tokens(), heard_ms)]

    def _fail(self, response: Response, code: str, message: str) -> list[Effect]:
        del self._live[response.id]
        error = {"type": SERVER_ERROR, "code": code, "message": message}
        details = {"type": "failed", "error": error}
        return response.done("failed", details, sig.Tokens(), response.audio_ms)

    def _note_degraded(self, response: Response, news: sig.ReplyDegraded) -> None:
        """Tell the client once, where no client can trip over it: the contract has no event
        for it, unknown events end some clients, and so do unknown error codes."""
        if not self._degraded:
            self._degraded = True
            note = {"ovos_tts_degraded": f"{news.failed} failed, {news.serving} speaks"}
            response.metadata = {**(response.metadata or {}), **note}


def _check_choice(settings: Settings) -> None:
    """A function that must be called has to be there."""
    choice = settings.tool_choice
    if isinstance(choice, dict) and choice["name"] not in {tool.name for tool in settings.tools}:
        message = f"Tool choice '{choice['name']}' not found in 'tools' parameter."
        raise refuse("invalid_value", message, "response.tool_choice")


def lost(what: str) -> list[Effect]:
    """The error that tells a client that a part of the mesh is away."""
    return [do.Send(Error.of(Refusal("service_unavailable", what, type=SERVER_ERROR)))]
