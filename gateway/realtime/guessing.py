"""What the model would be asked if the user had said just what they seem to be saying.

Asking early saves the time that a model takes to begin. Nothing here changes a session: until
its words are known, a turn is what it would have been.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .conversation import Entry, lines_of
from .effects import StartReply
from .items import InputAudio, Message
from .refusals import Refused
from .reply_checks import check_choice
from .session import Session
from .signals import Hypothesis
from .starting import start_of

_WORD = re.compile(r"\w+")


def guess(session: Session, news: Hypothesis) -> StartReply | None:
    """The reply that would be started, without an id; None if there would be none, if what it is
    made from is not all known, or if the words may still change."""
    text = news.text.strip()
    if not text or news.stable_chars < len(news.text.rstrip()):
        return None
    replies, settings = session._replies, session._settings
    if not _is_answered(session, news.utterance):
        return None
    context, lists = session.conversation.entries(), replies._servers.lists(settings.servers)
    if any(entry.awaited for entry in (*context, *lists)):
        return None
    try:
        check_choice(settings)
    except Refused:
        return None
    said = Entry(Message("", "user", (InputAudio(text),)), text)
    instructions, offer = replies._prompts.instructions(settings), replies._servers.offer(settings)
    return start_of("", settings, instructions, offer, lines_of((*context, said)))


def _is_answered(session: Session, utterance: str) -> bool:
    """Whether the end of this speech will start a response."""
    turns, vad = session._turns, session._settings.audio.input.turn_detection
    if vad is None or not vad.create_response or session.identity.kind != "realtime":
        return False
    return turns._microphone.utterance == utterance and session._replies.active is None


def agree(guessed: StartReply, start: StartReply) -> bool:
    """Whether what was asked is what is to be asked, but for how the user's words are written."""
    if not start.context or len(guessed.context) != len(start.context):
        return False
    seemed, said = guessed.context[-1], start.context[-1]
    same = replace(guessed, response_id=start.response_id, context=start.context) == start
    return (
        same
        and guessed.context[:-1] == start.context[:-1]
        and _is_speech(said.item)
        and alike(seemed.text, said.text)
    )


def _is_speech(item: object) -> bool:
    return isinstance(item, Message) and [type(part) for part in item.content] == [InputAudio]


def alike(one: str, other: str) -> bool:
    """Whether these are the same words, but for capitals and punctuation."""
    return _WORD.findall(one.casefold()) == _WORD.findall(other.casefold())
