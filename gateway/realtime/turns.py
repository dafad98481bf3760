"""The user's side: what was heard becomes items, by detection or by hand.

Source: realtime contract §5.2 and §3.7. The words of an item come later than the item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from . import effects as do
from . import g711
from . import server_events as ev
from . import signals as sig
from .awaiting import LOST, Awaiting
from .conversation import Conversation, Entry, NewId
from .effects import Effect
from .items import InputAudio, Message
from .microphone import Heard, Microphone, SavedMicrophone, law_of
from .new_items import NewItem
from .recordings import BYTES_PER_MS
from .refusals import refuse
from .replies import Replies
from .reply_checks import lost
from .settings import RATE_HZ, Pcm, ServerVad, Settings, TurnDetection

MAX_BUFFERED_MS = 330_000  # the largest append of PCM fits; recognition takes 340 s at a time
LOSSES_PER_ERROR = 3  # losses come every few seconds while somebody speaks: say it now and then


class Turns:
    __slots__ = (
        "_answers", "_awaited", "_conversation", "_losses", "_microphone", "_new_id",
        "_replies", "_settings", "_shelf", "_silent_since_ms",
    )  # fmt: skip

    def __init__(
        self,
        conversation: Conversation,
        replies: Replies,
        new_id: NewId,
        *,
        kept_ms: int,
        answers: bool,
    ) -> None:
        """
        Args:
            kept_ms: How much of the user's audio is kept.
            answers: Whether a turn of the user can get a response.
        """
        self._answers = answers
        self._settings = Settings()
        self._new_id = new_id
        self._conversation, self._replies = conversation, replies
        self._microphone = Microphone(new_id, kept_ms)
        self._shelf = replies.shelf
        self._awaited = Awaiting(conversation, replies, new_id)
        self._losses = 0  # of hearing, since something was heard
        self._silent_since_ms: int | None = None  # while the idle timeout runs

    def configure(self, settings: Settings) -> None:
        """The session's settings changed."""
        if settings.audio.input.format != self._settings.audio.input.format:
            self._microphone.tune(settings.audio.input.format)
        self._settings = settings
        self._awaited.configure(settings)

    def append(self, data: bytes) -> list[Effect]:
        """
        Raises:
            Refused: nobody has committed for too long.
        """
        if self._vad is None and self._microphone.buffered_ms_with(data) > MAX_BUFFERED_MS:
            raise refuse(
                "input_audio_buffer_full",
                f"The input audio buffer holds at most {MAX_BUFFERED_MS // 1000} s of audio: "
                "commit or clear it.",
                "audio",
            )
        pcm = self._microphone.append(data)
        effects: list[Effect] = [do.Hear(pcm)] if pcm else []
        return [*effects, *self._time_passed()]

    def passed(self, news: sig.AudioPassed | sig.AudioKept) -> list[Effect]:
        """What was appended in another process."""
        if isinstance(news, sig.AudioKept):
            self._microphone.tape.put_back(news.pcm)
            return []
        self._microphone.passed(news.n_samples, news.pcm, news.odd)
        return self._time_passed()

    def _time_passed(self) -> list[Effect]:
        """Our clock is the audio that comes in."""
        if self._microphone.is_overdue:
            return self._never_heard_again()
        if self._answers and isinstance(self._vad, ServerVad) and self._vad.idle_timeout_ms:
            return self._idle(self._vad.idle_timeout_ms)
        return []

    def commit(self) -> list[Effect]:
        """
        Raises:
            Refused: there is less than 100 ms of audio.
        """
        spoken = self._microphone.utterance
        heard = self._microphone.commit()
        self._stop_waiting()
        effects = self._committed(heard)
        if spoken:  # recognition may have ended it just now, under its own name
            self._awaited.also(spoken, heard.item_id)
        return [do.EndUtterance(heard.item_id), *effects]

    def clear(self) -> list[Effect]:
        self._microphone.clear()
        self._stop_waiting()
        return [do.ForgetAudio(), do.Send(ev.AudioCleared())]

    def listen(self, how: do.Listening) -> list[Effect]:
        """Detection or language changed. Speech being heard without detection is abandoned."""
        if how.turn_detection is None:
            self._microphone.abandon()
            self._stop_waiting()
        return [do.Listen(how)]

    def keep(self, entry: Entry, new: NewItem, *, aside: bool = False) -> list[Effect]:
        """An item came with a recording of its own. Without its words, they are recognised.

        Args:
            aside: It is not part of the conversation.
        """
        pcm = self._decoded(new.audio)
        entry.heard_ms = len(pcm) // BYTES_PER_MS
        if not aside:
            self._shelf.add(entry.recording, pcm)
        if new.transcript:
            return []
        utterance = entry.item.id
        while utterance in self._awaited:  # clients may use an id twice
            utterance = self._new_id("recording")
        self._awaited.add(utterance, entry)
        return [do.Transcribe(utterance, pcm)]

    def forget(self, entries: Sequence[Entry]) -> None:
        """The response that these were for will not come."""
        self._awaited.forget(entries)

    def _decoded(self, audio: bytes) -> bytes:
        wanted = self._settings.audio.input.format
        if isinstance(wanted, Pcm):
            return audio[: len(audio) // 2 * 2]  # whole samples
        return g711.decode(audio, law_of(wanted))

    def _idle(self, timeout_ms: int) -> list[Effect]:
        """Answer a silence that has lasted too long. Its clock is the audio that comes in: a
        client that sends none is not waiting for anybody."""
        now_ms = self._microphone.position_ms
        if self._microphone.utterance or self._replies.active:
            self._silent_since_ms = None
            return []
        if (unheard_ms := self._replies.take_ended()) is not None:
            self._silent_since_ms = now_ms + unheard_ms
        since_ms = self._silent_since_ms
        if since_ms is None or now_ms - since_ms < timeout_ms:
            return []
        self._stop_waiting()
        heard = self._microphone.timed_out(since_ms)
        effects: list[Effect] = [
            do.Send(ev.TimeoutTriggered(heard.start_ms, heard.end_ms, heard.item_id)),
            *self._committed(heard),
        ]
        nothing = sig.Transcribed(heard.item_id, "", heard.end_ms - heard.start_ms)
        answer = self._replies.answer(self._settings)
        return [*effects, *answer, *self._awaited.transcribed(nothing)]

    def _stop_waiting(self) -> None:
        """The idle timeout runs again after the next response."""
        self._silent_since_ms = None
        self._replies.take_ended()

    def receive(self, news: sig.Hearing) -> list[Effect]:
        if not isinstance(news, sig.EarsLost | sig.Hypothesis):
            self._losses = 0
        match news:
            case sig.SpeechStarted():
                return self._started(news)
            case sig.SpeechStopped():
                return self._stopped(news)
            case sig.Hypothesis():
                return self._awaited.hypothesis(news)
            case sig.Transcribed():
                self._microphone.failed(news.utterance)
                return self._awaited.transcribed(news)
            case sig.NotTranscribed():
                self._microphone.failed(news.utterance)
                return self._awaited.not_transcribed(news.utterance, news.reason)
            case sig.EarsLost():
                return self._ears_lost(news)
            case _:
                assert_never(news)

    @property
    def _vad(self) -> TurnDetection | None:
        return self._settings.audio.input.turn_detection

    def _started(self, news: sig.SpeechStarted) -> list[Effect]:
        if self._vad is None:
            return []  # detection was turned off meanwhile
        if self._microphone.is_carried:
            self._microphone.goes_on(news.utterance)
            return []  # the client knows that somebody speaks
        item_id = self._microphone.started(news.utterance, news.audio_ms)
        started = do.Send(ev.SpeechStarted(news.audio_ms, item_id))
        interrupt = self._replies.interrupt() if self._vad.interrupt_response else []
        self._stop_waiting()
        return [started, *interrupt]

    def _stopped(self, news: sig.SpeechStopped) -> list[Effect]:
        heard = self._microphone.stopped(news.utterance, news.audio_ms)
        if heard is None:
            return []
        return self._spoken(heard, news.audio_ms, news.utterance)

    def _spoken(self, heard: Heard, audio_ms: int, utterance: str) -> list[Effect]:
        effects: list[Effect] = [do.Send(ev.SpeechStopped(audio_ms, heard.item_id))]
        effects += self._committed(heard, utterance)
        if self._answers and self._vad is not None and self._vad.create_response:
            effects += self._replies.answer(self._settings)
        return effects

    def _committed(self, heard: Heard, utterance: str = "") -> list[Effect]:
        """
        Args:
            utterance: The name that its words come under, if that is not the item's id.
        """
        item_id = heard.item_id
        entry = Entry(Message(item_id, "user", (InputAudio(),)))
        self._awaited.add(utterance or item_id, entry)
        entry.heard_ms = heard.end_ms - heard.start_ms
        self._shelf.add(entry.recording, self._microphone.tape.cut(heard.start_ms, heard.end_ms))
        previous = self._conversation.insert(entry)
        return [
            do.Send(ev.AudioCommitted(previous, item_id)),
            do.Send(ev.ItemAdded(previous, entry.item)),
            do.Send(ev.ItemDone(previous, entry.item)),
            do.Record(entry.fact()),
        ]

    def _ears_lost(self, news: sig.EarsLost) -> list[Effect]:
        self._microphone.abandon()
        is_due = self._losses % LOSSES_PER_ERROR == 0
        self._losses += 1
        effects = lost(f"Speech recognition is away: {news.reason}") if is_due else []
        effects += self._awaited.all_lost("Speech recognition is away.", news.late)
        return [*effects, *self._replies.words_are_late(self._awaited.entries())]

    # In another process.

    @property
    def odd(self) -> bytes:
        return self._microphone.odd

    @property
    def kept_from_ms(self) -> int | None:
        return self._microphone.open_from_ms(by_hand=self._vad is None)

    def kept(self) -> bytes:
        start_ms = self.kept_from_ms
        return b"" if start_ms is None else self._microphone.tape.since(start_ms)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of the user is on its way."""
        return not self._awaited and self.kept_from_ms is None and not self._microphone.utterance

    def resumed(self) -> list[Effect]:
        """Hear again what was on its way."""
        microphone = self._microphone
        again, start_ms = self.kept(), self.kept_from_ms
        here = microphone.position_ms if start_ms is None or not again else start_ms
        hear: list[Effect] = [do.HearFrom(here * RATE_HZ // 1000)]
        if again:
            hear.append(do.Hear(again))
        microphone.carry()
        return [*hear, *self._awaited.resumed()]

    def _never_heard_again(self) -> list[Effect]:
        """Speech that another process heard the beginning of, and nobody the end."""
        utterance, now_ms = self._microphone.utterance or "", self._microphone.position_ms
        heard = self._microphone.stopped(utterance, now_ms)
        if heard is None:
            return []
        spoken = self._spoken(heard, now_ms, utterance)
        return [*spoken, *self._awaited.not_transcribed(utterance, LOST)]

    def saved(self) -> tuple[SavedMicrophone, int, int | None]:
        return self._microphone.saved(), self._losses, self._silent_since_ms

    def restore(self, saved: SavedMicrophone, losses: int, silent_since_ms: int | None) -> None:
        self._microphone.restore(saved)
        self._losses, self._silent_since_ms = losses, silent_since_ms
