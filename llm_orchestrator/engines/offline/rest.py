"""What of an answer is left to say, after a part of an answer was written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"\w+")


def rest(answers: Iterable[str], written: str) -> str:
    """
    Args:
        answers: What could have been begun, the likeliest first: an answer to "what time is it"
            is another one a minute later. Not empty.
        written: Of one of them, or of another model's answer.

    Returns:
        What goes right behind: of the first answer that begins so, exactly the rest. Else
        what follows the words of the first answer that were written, as it can be told.
    """
    first = ""
    for answer in answers:
        if answer.startswith(written):
            return answer[len(written) :]
        first = first or answer
    more = first[_said(first, written) :].strip()
    return more if not more or written[-1:].isspace() else f" {more}"


def _said(answer: str, written: str) -> int:
    """How many characters of an answer the end of another text has said.

    The longest beginning that the text ends with counts: "Sure! Seven times" of "Seven times
    eight". If there is none, what both begin with does, and further on what the text ends with:
    "It is ten forty one in" of "It is noon in Paris"; or one word that stands for another:
    "It is ten forty one" of "It is ten forty two".
    """
    theirs = _WORD.findall(written.casefold())
    ours = list(_WORD.finditer(answer))
    words = [match.group().casefold() for match in ours]
    n_said = next(_repeated(words, theirs), 0) or _begun(words, theirs)
    if not n_said:
        return 0
    return len(answer) if n_said == len(ours) else ours[n_said].start()


def _repeated(words: list[str], theirs: list[str]) -> Iterator[int]:
    for n in range(min(len(words), len(theirs)), 0, -1):
        if theirs[-n:] == words[:n]:
            yield n


def _begun(words: list[str], theirs: list[str]) -> int:
    n_same = 0
    for ours, their in zip(words, theirs, strict=False):
        if ours != their:
            break
        n_same += 1
    if not n_same:
        return 0
    for n in range(len(theirs) - n_same, 0, -1):
        for at in range(n_same, len(words) - n + 1):
            if words[at : at + n] == theirs[-n:]:
                return at + n
    return min(len(words), n_same + (len(theirs) == n_same + 1))
