"""The items of a session, in order, with the words the model may know of each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from .effects import ItemKept, Line
from .items import (
    Content,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpTools,
    Message,
    OutputAudio,
    OutputText,
    images_of,
)
from .recordings import Recording
from .refusals import refuse
from .settings import RATE_HZ

MAX_ITEMS = 2000  # that a client may make
MAX_WEIGHT = 24 << 20  # bytes of what a client may make, about
MAX_CONTEXT = 1 << 19  # characters of one request: even four bytes each fit a gRPC message
MAX_PICTURES = 12 << 20  # characters of the pictures of one request
_GAP = 1 << 20  # between ordinals, so that items can be inserted twenty deep
_BYTES_PER_MS = RATE_HZ * 2 // 1000
_CHARS_PER_MS = 0.015  # of ordinary speech
_NEARLY_MS = 40  # who has heard a word but for its last sound has heard it


NewId = Callable[[str], str]
"""Makes a unique id from a prefix: "item" gives "item_8f2…"."""


@dataclass(slots=True)
class Entry:
    """One item and what we know of it besides its wire form."""

    item: Item
    text: str = ""
    """What the model may know. Of an interrupted answer, what was heard."""
    spoken: str = ""
    """Of model audio: all its words, whether they were heard or not."""
    images: tuple[InputImage, ...] = ()
    awaited: bool = False
    """Its recording has no words yet."""
    heard_ms: int = 0
    """Of the user's audio: how long it is."""
    recording: Recording = field(default_factory=Recording)
    response_id: str = ""
    is_speech: bool = False
    """Whether it is, or will be, audio of the model."""
    audio_bytes: int = 0
    """Of model audio, as sent."""
    words: list[tuple[int, int]] = field(default_factory=list)
    """Of model audio: `(end_char, end_ms)` of each word."""
    pieces: list[tuple[int, int]] = field(default_factory=list)
    """Of model audio: `(end_char, end_ms)` of each piece that was spoken as one."""
    cut_ms: int | None = None
    """Of model audio: how much of it the client says was heard."""
    is_read: bool = False
    """Of model audio: some of its words have none, so that nobody can say they were not heard."""
    is_notice: bool = False
    """It is we who said it, in the place of a model that could not."""
    is_late: bool = False
    """Of what is awaited: it may be long in coming, so only what answers it waits for it."""
    ordinal: int = 0
    version: int = 0

    @property
    def audio_ms(self) -> int:
        return self.audio_bytes // _BYTES_PER_MS

    @property
    def is_spoken(self) -> bool:
        """Whether it is a message of the model with audio."""
        return isinstance(self.item, Message) and any(
            isinstance(part, OutputAudio) for part in self.item.content
        )

    def heard(self, audio_ms: float) -> str:
        """The whole words in so much of the audio; one that was cut off was not heard.

        Beyond the words whose time is known, they are taken to come at the pace of ordinary
        speech.
        """
        if self.is_read:
            return self.spoken
        n = bisect_right(self.words, audio_ms + _NEARLY_MS, key=lambda word: word[1])
        end, end_ms = self.words[n - 1] if n else (0, 0)
        if n < len(self.words):
            return self.spoken[:end]
        guess = max(0, int((audio_ms - end_ms) * _CHARS_PER_MS))
        if end + guess >= len(self.spoken):
            return self.spoken
        whole = self.spoken[: end + guess + 1].rpartition(" ")[0]
        return max(whole, self.spoken[:end], key=len)

    def timed(self, words: Iterable[tuple[int, int]], piece: tuple[int, int] | None) -> None:
        """More of it has been spoken; see `signals.ReplyTiming`."""
        self.words.extend(words)
        if piece is not None:
            self.pieces.append(piece)

    def change(self, **fields: object) -> None:
        """Change fields of the wire form."""
        self.item = msgspec.structs.replace(self.item, **fields)

    def fact(self) -> ItemKept:
        """The item as history should keep it; each call is a newer version."""
        self.version += 1
        return ItemKept(self.item, self.text, self.ordinal, self.version, self.response_id)


def made(item: Item, item_id: str, whole: Item | None = None) -> Entry:
    """The entry of an item that a client made.

    Args:
        whole: The item with all its pictures, if `item` is without.
    """
    whole = whole or item
    entry = Entry(msgspec.structs.replace(item, id=item_id))
    entry.text, entry.images = words_of(whole), images_of(whole)
    return entry


def words_of(item: Item) -> str:
    """The text that is in the item itself."""
    match item:
        case Message():
            return "\n".join(words for part in item.content if (words := _words(part)))
        case FunctionCall() | McpApprovalRequest():
            return item.arguments
        case FunctionCallOutput():
            return item.output
        case McpCall():
            return item.output or ""
        case McpTools() | McpApprovalResponse():
            return ""
        case _:
            assert_never(item)


def _words(part: Content) -> str:
    match part:
        case InputText(text=text) | OutputText(text=text):
            return text
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript):
            return transcript or ""
        case InputImage():
            return ""
        case _:
            assert_never(part)


class Conversation:
    """An ordered list of entries. Ids are the client's as well as ours."""

    __slots__ = ("_entries", "_moved", "id")

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self._entries: list[Entry] = []
        self._moved: list[Entry] = []

    @property
    def has_audio(self) -> bool:
        """Whether the model has spoken."""
        return any(entry.audio_bytes for entry in self._entries)

    @property
    def weight(self) -> int:
        """How many bytes its words and pictures are, about."""
        return sum(
            len(entry.text) + sum(len(image.image_url or "") for image in entry.images)
            for entry in self._entries
        )

    def find(self, item_id: str) -> Entry | None:
        """The newest entry of that id: a client may use an id twice, as with OpenAI."""
        return next((e for e in reversed(self._entries) if e.item.id == item_id), None)

    def holds(self, entry: Entry) -> bool:
        return self._index(entry) >= 0

    def has_call(self, call_id: str) -> bool:
        return any(
            isinstance(e.item, FunctionCall) and e.item.call_id == call_id for e in self._entries
        )

    def place(self, previous_item_id: str | None) -> int:
        """Where an item goes: at the end, after that item, or first for "root".

        Raises:
            Refused: there is no such item, or no room for another.
        """
        if len(self._entries) >= MAX_ITEMS:
            message = f"The conversation is full: it may have {MAX_ITEMS} items. Delete some."
            raise refuse("conversation_full", message)
        if self.weight > MAX_WEIGHT:
            message = (
                f"The conversation is full: it may have {MAX_WEIGHT} bytes. Delete some items."
            )
            raise refuse("conversation_full", message)
        if not previous_item_id:
            return len(self._entries)
        if previous_item_id == "root":
            return 0
        entry = self.find(previous_item_id)
        if entry is None:
            raise refuse(
                "item_create_invalid_previous_item_id",
                "Error adding item: the previous item with id "
                f"'{previous_item_id}' does not exist.",
            )
        return self._index(entry) + 1

    def insert(self, entry: Entry, index: int | None = None) -> str | None:
        """Add an entry, at the end unless told; returns the id before it."""
        index = len(self._entries) if index is None else index
        before = self._entries[index - 1].ordinal if index else 0
        after = self._entries[index].ordinal if index < len(self._entries) else before + 2 * _GAP
        entry.ordinal = (before + after) // 2
        self._entries.insert(index, entry)
        if entry.ordinal == before:
            self._spread()
        return self.previous_id(entry)

    def moved(self) -> list[Entry]:
        """Entries that got another ordinal since this was asked last; history must know."""
        moved, self._moved = self._moved, []
        return moved

    def _spread(self) -> None:
        """There was no room between two ordinals: number all anew."""
        for n, entry in enumerate(self._entries, start=1):
            entry.ordinal = n * _GAP
        self._moved = [entry for entry in self._entries if entry.version]

    def remove(self, entry: Entry) -> None:
        """Its words, if they are still being recognised, are awaited by nobody."""
        del self._entries[self._index(entry)]
        entry.awaited = False

    def previous_id(self, entry: Entry) -> str | None:
        """The id of the item before this one; None if it is first or was removed."""
        index = self._index(entry)
        return self._entries[index - 1].item.id if index > 0 else None

    def restore(self, conversation_id: str, entries: Iterable[Entry]) -> None:
        """Become the conversation that was saved."""
        self.id, self._entries = conversation_id, list(entries)

    def entries(self) -> tuple[Entry, ...]:
        """All items, in order."""
        return tuple(self._entries)

    def _index(self, entry: Entry) -> int:
        return next((n for n, e in enumerate(self._entries) if e is entry), -1)


def lines_of(entries: Sequence[Entry]) -> tuple[Line, ...]:
    """What a reply is made from: the newest items, as many as one request can carry."""
    lines: list[Line] = []
    room, pictures = MAX_CONTEXT, MAX_PICTURES
    for entry in reversed(entries):
        if entry.is_notice or _is_unfinished(entry.item):
            continue
        room -= len(entry.text)
        if room < 0 and lines:
            break
        pictures -= sum(len(image.image_url or "") for image in entry.images)
        lines.append(Line(entry.item, entry.text, entry.images if pictures >= 0 else ()))
    return tuple(reversed(lines))


def _is_unfinished(item: Item) -> bool:
    if isinstance(item, McpCall):
        return item.output is None and item.error is None
    return getattr(item, "status", "") == "in_progress"
