"""Who it is, greetings, thanks and farewells."""

from __future__ import annotations

import re

from llm_orchestrator.engines.offline.words import Utterance, vocabulary

IDENTITY = (
    "I am the offline responder. I answer by rules, without a network and without a language"
    " model. I can greet you, tell the time and the date, do arithmetic and call tools. I can not"
    " follow instructions."
)
GREETING = "Hello. How can I help you?"
BLIND = "I was shown a picture, but I can not see."
REPEAT = "Sorry, I did not hear anything. Could you say that again?"

_WHO = re.compile(
    r"\b(?:who|what) (?:are|r) (?:you|u)\b(?! (?:doing|saying|talking about|up to|waiting))"
    r"|\bwhat(?:'s| is|s)? your name\b|\byour name\b.*\bwhat\b"
    r"|\b(?:what|which) (?:language |ai |a i )?(?:model|ai|a i|assistant)"
    r" (?:are|do|is) (?:you|this)\b"
    r"|\bare you (?:an? |the )?(?:\w+ )?(?:ai|a i"
    r"|robot|bot|machine|human|person|real|computer|model|chatgpt|gpt|assistant|offline|alive)\b"
    r"|\bwho (?:made|built|created|trained|developed) you\b"
    r"|\bwho am i (?:talking|speaking) (?:to|with)\b|\bwho is (?:this|speaking|there)\b"
    r"|\b(?:introduce|identify|describe) yourself\b|\babout yourself\b"
    r"|\bwhat can you do\b|\bwhat do you do\b|\bwhat should i call you\b"
)
_GREETINGS = vocabulary("hello hi hey greetings howdy hiya hullo good morning afternoon evening")
_WITH_GREETINGS = vocabulary("there everyone everybody you all to again assistant computer")
_MOODS = re.compile(r"\bhow(?:'s| is| are|s)? (?:it going|you|you doing|things|everything)\b")
_THANKS = re.compile(r"\b(?:thanks|thank you|cheers|much appreciated)\b")
_BYE = re.compile(r"\b(?:bye|goodbye|good bye|good night|see you|farewell|take care|so long)\b")
_SHORT = 6
"""Words of the longest utterance that thanks or farewells are the point of."""


def identity(said: Utterance) -> str | None:
    """What it is, if that was asked."""
    return IDENTITY if _WHO.search(said.line) else None


def answer(said: Utterance) -> str | None:
    """The answer to a courtesy; None if the utterance is about something else."""
    line, words = said.line, said.plain
    if len(words) > _SHORT:
        return None
    if _MOODS.search(line):
        return "I am well, thank you. How can I help you?"
    if _BYE.search(line):
        return "Goodbye."
    if _THANKS.search(line):
        return "You are welcome."
    if words and words[0] in _GREETINGS and all(w in _GREETINGS | _WITH_GREETINGS for w in words):
        return _greeting(line)
    return None


def _greeting(line: str) -> str:
    for part in ("morning", "afternoon", "evening"):
        if f"good {part}" in line:
            return f"Good {part}. How can I help you?"
    return GREETING
