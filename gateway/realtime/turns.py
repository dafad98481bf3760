"""The user's side: what was heard becomes items, by detection or by hand.

Source: realtime contract §5.2 and §3.7. The words of an item come later than the item.
"""

from __future__ import annotations

from typing import assert_never

from . import effects as do
from . import server_events as ev
from . import signals as sig
from .conversation import Conversation, Entry, NewId, words_of
from .effects import Effect
from .items import InputAudio, Message
from .microphone import Microphone
from .refusals import refuse
from .replies import Replies, lost
from .settings import ServerVad, Settings

MAX_BUFFERED_MS = 290_000  # recognition takes utterances of five minutes
LOSSES_PER_ERROR = 3  # losses come every few seconds while somebody speaks: say it now and then
_FAILED = "The audio could not be transcribed."


class Turns:
    def __init__(self, conversation: Conversation, replies: Replies, new_id: NewId) -> None:
        self.settings = Settings()
        """Kept up to date by the session."""
        self._conversation, self._replies = conversation, replies
        self._microphone = Microphone(new_id)
        self._streamed: dict[str, str] = {}  # item → what of its transcript was sent already
        self._losses = 0  # of hearing, since something was heard

    def append(self, data: bytes) -> list[Effect]:
        """
        Raises:
            Refused: nobody has committed for too long.
        """
        if self._vad is None and self._microphone.buffered_ms > MAX_BUFFERED_MS:
            raise refuse(
                "input_audio_buffer_full",
                "The input audio buffer holds at most five minutes: commit or clear it.",
                "audio",
            )
        pcm = self._microphone.append(data)
        return [do.Hear(pcm)] if pcm else []

    def commit(self) -> list[Effect]:
        """
        Raises:
            Refused: there is less than 100 ms of audio.
        """
        item_id = self._microphone.commit()
        return [do.EndUtterance(item_id), *self._committed(item_id)]

    def clear(self) -> list[Effect]:
        self._microphone.clear()
        return [do.ForgetAudio(), do.Send(ev.AudioCleared())]

    def listen(self, how: do.Listening) -> list[Effect]:
        """Detection or language changed. Speech being heard without detection is abandoned."""
        if how.turn_detection is None:
            self._microphone.abandon()
        return [do.Listen(how)]

    def transcribe(self, entry: Entry, pcm: bytes) -> list[Effect]:
        """An item came with a recording of its own."""
        entry.awaited = True
        self._microphone.expect(entry.item.id)
        return [do.Transcribe(entry.item.id, pcm)]

    def receive(self, news: sig.Hearing) -> list[Effect]:
        if not isinstance(news, sig.EarsLost):
            self._losses = 0
        match news:
            case sig.SpeechStarted():
                return self._started(news)
            case sig.SpeechStopped():
                return self._stopped(news)
            case sig.Hypothesis():
                return self._hypothesis(news)
            case sig.Transcribed():
                return self._transcribed(news)
            case sig.NotTranscribed():
                return self._not_transcribed(news.utterance, news.reason)
            case sig.EarsLost():
                return self._ears_lost(news)
            case _:
                assert_never(news)

    @property
    def _vad(self) -> ServerVad | None:
        return self.settings.audio.input.turn_detection

    def _started(self, news: sig.SpeechStarted) -> list[Effect]:
        if self._vad is None:
            return []  # detection was turned off meanwhile
        item_id = self._microphone.started(news.utterance)
        started = do.Send(ev.SpeechStarted(news.audio_ms, item_id))
        interrupt = self._replies.interrupt() if self._vad.interrupt_response else []
        return [started, *interrupt]

    def _stopped(self, news: sig.SpeechStopped) -> list[Effect]:
        item_id = self._microphone.stopped(news.utterance, news.audio_ms)
        if item_id is None:
            return []
        effects: list[Effect] = [do.Send(ev.SpeechStopped(news.audio_ms, item_id))]
        effects += self._committed(item_id)
        if self._vad is not None and self._vad.create_response:
            effects += self._replies.answer(self.settings)
        return effects

    def _committed(self, item_id: str) -> list[Effect]:
        entry = Entry(Message(item_id, "user", (InputAudio(),)), awaited=True)
        previous = self._conversation.insert(entry)
        return [
            do.Send(ev.AudioCommitted(previous, item_id)),
            do.Send(ev.ItemAdded(previous, entry.item)),
            do.Send(ev.ItemDone(previous, entry.item)),
            do.Record(entry.fact()),
        ]

    def _hypothesis(self, news: sig.Hypothesis) -> list[Effect]:
        entry = self._awaited(news.utterance)
        if entry is None or not self._tells:
            return []
        return self._delta(entry.item.id, news.text[: news.stable_chars])

    def _transcribed(self, news: sig.Transcribed) -> list[Effect]:
        entry = self._awaited(news.utterance)
        self._microphone.forget(news.utterance)
        if entry is None:
            return []  # deleted meanwhile, or known already
        entry.awaited = False
        entry.change(content=_heard(entry.item, news.text))
        entry.text = words_of(entry.item)
        effects: list[Effect] = []
        if self._tells:
            effects = self._delta(entry.item.id, news.text)
            usage = ev.Duration(news.audio_ms / 1000)
            done = ev.TranscriptionCompleted(entry.item.id, news.text, usage)
            effects.append(do.Send(done))
        self._streamed.pop(entry.item.id, None)
        effects.append(do.Record(entry.fact()))
        return [*effects, *self._replies.words_are_there(entry.item.id)]

    def _delta(self, item_id: str, text: str) -> list[Effect]:
        """What is new in `text`; nothing if it takes back what was sent."""
        sent = self._streamed.get(item_id, "")
        if len(text) <= len(sent) or not text.startswith(sent):
            return []
        self._streamed[item_id] = text
        return [do.Send(ev.TranscriptionDelta(item_id, text[len(sent) :]))]

    def _not_transcribed(self, utterance: str, reason: str) -> list[Effect]:
        entry = self._awaited(utterance)
        self._microphone.forget(utterance)
        if entry is None:
            return []
        entry.awaited = False
        item_id = entry.item.id
        effects: list[Effect] = []
        if self._tells:
            error: dict[str, str | None] = {
                "type": "transcription_error", "code": "audio_unintelligible",
                "message": _FAILED, "param": None,
            }  # fmt: skip
            effects = [do.Send(ev.TranscriptionFailed(item_id, error))]
        return [*effects, *self._replies.words_are_lost(item_id, reason)]

    def _ears_lost(self, news: sig.EarsLost) -> list[Effect]:
        self._microphone.abandon()
        is_due = self._losses % LOSSES_PER_ERROR == 0
        self._losses += 1
        effects = lost(f"Speech recognition is away: {news.reason}") if is_due else []
        for item_id in self._conversation.awaited():
            effects += self._not_transcribed(item_id, "Speech recognition is away.")
        return effects

    @property
    def _tells(self) -> bool:
        """Whether the client asked for transcripts."""
        return self.settings.audio.input.transcription is not None

    def _awaited(self, utterance: str) -> Entry | None:
        item_id = self._microphone.item_of(utterance)
        return self._conversation.find_awaited(item_id or utterance)


def _heard(item: object, text: str) -> tuple[object, ...]:
    """An item's content with the words of its recording."""
    assert isinstance(item, Message)
    return tuple(InputAudio(text) if isinstance(p, InputAudio) else p for p in item.content)
