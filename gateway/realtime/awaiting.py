"""Items whose words are being recognised, and what becomes of them.

Source: realtime contract §3.7. The words of an item come later than the item.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import effects as do
from . import signals as sig
from .conversation import Conversation, Entry, NewId, words_of
from .effects import Effect
from .replies import Replies
from .settings import LOGPROBS, Settings
from .transcripts import Awaited, completed, delta, failed, with_words

LOST = "The audio was lost with the server that heard it."


class Awaiting:
    """Awaited items by the names that their words come under: an item may have several."""

    __slots__ = ("_awaited", "_conversation", "_new_id", "_replies", "_settings")

    def __init__(self, conversation: Conversation, replies: Replies, new_id: NewId) -> None:
        self._conversation, self._replies, self._new_id = conversation, replies, new_id
        self._settings = Settings()
        self._awaited: dict[str, Awaited] = {}

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._awaited

    def __bool__(self) -> bool:
        """Whether any words are awaited."""
        return bool(self.entries())

    def entries(self) -> list[Entry]:
        """The items whose words are awaited."""
        return [awaited.entry for awaited in self._awaited.values() if awaited.entry.awaited]

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    def add(self, utterance: str, entry: Entry) -> None:
        """The words of this item will come under that name."""
        entry.awaited = True
        self._awaited[utterance] = Awaited(entry)

    def also(self, utterance: str, known: str) -> None:
        """What is known by one name may come under another one."""
        self._awaited[utterance] = self._awaited[known]

    def forget(self, entries: Sequence[Entry]) -> None:
        """The response that these were for will not come."""
        self._awaited = {
            utterance: awaited
            for utterance, awaited in self._awaited.items()
            if self._conversation.holds(awaited.entry)
            or not any(awaited.entry is entry for entry in entries)
        }

    def hypothesis(self, news: sig.Hypothesis) -> list[Effect]:
        awaited = self._awaited.get(news.utterance)
        if awaited is None or not self._tells(awaited):
            return []
        return delta(awaited, news.text[: news.stable_chars])

    def transcribed(self, news: sig.Transcribed) -> list[Effect]:
        awaited = self._take(news.utterance)
        if awaited is None:
            return []  # deleted meanwhile, or known already
        entry = awaited.entry
        entry.change(content=with_words(entry.item, news.text))
        entry.text = words_of(entry.item)
        effects: list[Effect] = []
        if self._tells(awaited):
            logprobs = LOGPROBS in (self._settings.include or ())
            effects = completed(awaited, news, self._new_id, logprobs=logprobs)
        if self._conversation.holds(entry):
            effects.append(do.Record(entry.fact()))
        return [*effects, *self._replies.go_on()]

    def not_transcribed(self, utterance: str, reason: str) -> list[Effect]:
        awaited = self._take(utterance)
        if awaited is None:
            return []
        item_id = awaited.entry.item.id
        effects: list[Effect] = []
        if self._tells(awaited):
            effects = [failed(item_id)]
        return [*effects, *self._replies.words_are_lost(awaited.entry, reason)]

    def all_lost(self, reason: str, late: Sequence[str] = ()) -> list[Effect]:
        """No words come, but of those in `late`, and of recordings that are kept: those are
        heard once more."""
        elsewhere = [self._awaited[name] for name in late if name in self._awaited]
        effects: list[Effect] = []
        for utterance, awaited in self._by_item():
            if not any(awaited is one for one in elsewhere):
                effects += self._again(utterance, awaited, reason)
        return effects

    def resumed(self) -> list[Effect]:
        """Whoever was to recognise them is gone: hear the recordings that are kept once more."""
        effects: list[Effect] = []
        for utterance, awaited in self._by_item():
            effects += self._again(utterance, awaited, LOST)
        return effects

    def _by_item(self) -> list[tuple[str, Awaited]]:
        """Those awaited, under the first of their names each."""
        found: dict[int, tuple[str, Awaited]] = {}
        for name, awaited in self._awaited.items():
            if awaited.entry.awaited:
                found.setdefault(id(awaited.entry), (name, awaited))
        return list(found.values())

    def _again(self, utterance: str, awaited: Awaited, reason: str) -> list[Effect]:
        pcm = bytes(awaited.entry.recording.pcm)
        return [do.Transcribe(utterance, pcm)] if pcm else self.not_transcribed(utterance, reason)

    def _take(self, utterance: str) -> Awaited | None:
        """Whose words these are; nobody waits for them any more."""
        awaited = self._awaited.get(utterance)
        if awaited is None:
            return None
        self._awaited = {name: a for name, a in self._awaited.items() if a is not awaited}
        if not awaited.entry.awaited:
            return None
        awaited.entry.awaited = awaited.entry.is_late = False
        return awaited

    def _tells(self, awaited: Awaited) -> bool:
        """Whether the client asked for the transcript. One that was begun is ended."""
        asked = self._settings.audio.input.transcription is not None or awaited.told
        return bool(asked) and self._conversation.holds(awaited.entry)
