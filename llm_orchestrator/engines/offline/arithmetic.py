"""Arithmetic as it is asked: in digits, in words, or both.

    expression  = term (("plus" | "minus") term)*
    term        = power (("times" | "over" | "modulo" | "percent of") power)*
    power       = factor ("to the power of" power)?
    factor      = ("minus" | "root of" | "half of" …) factor | primary ("squared" | "cubed")*
    primary     = number | "(" expression ")"

Values are exact fractions until a root leaves them; nothing is evaluated as code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from llm_orchestrator.engines.offline import numbers

MAX_POWER = 64
"""Larger exponents are not worked out: no answer could be said."""

MAX_CHARACTERS = 300
"""Longer utterances are not arithmetic, and the parser recurses."""

_TOO_LARGE = "The result is too large to say."

_SPELLINGS = [
    (r"(?<=[\d)])\s*%\s*(?:of\b)", " percent of "),
    (r"\bper cent\b", "percent"),
    (r"\*\*|\^", " to the power of "),
    (r"×|\*|(?<=\d)\s*x\s*(?=\d)", " times "),
    (r"÷|/", " over "),
    (r"\+", " plus "),
    (r"−|–|(?<=[\d)\s(])-(?=[\d(\s])|^-(?=\d)", " minus "),
    (r"=", " equals "),
    (r"√", " square root of "),
]
_TOKEN = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[a-z']+|[()]")

_OPERATORS = {
    "to the power of": "^", "raised to the power of": "^", "to the power": "^",
    "multiplied by": "*", "times": "*", "divided by": "/", "over": "/",
    "modulo": "mod", "mod": "mod", "percent of": "%", "plus": "+", "minus": "-",
    "take away": "-", "squared": "²", "cubed": "³", "the square root of": "√",
    "square root of": "√", "square root": "√", "root of": "√", "negative": "-",
    "one half of": "½", "half of": "½", "a third of": "⅓", "one third of": "⅓",
    "a quarter of": "¼", "one quarter of": "¼", "double": "2×", "twice": "2×", "triple": "3×",
}  # fmt: skip
_SAID = {
    "^": "to the power of", "*": "times", "/": "divided by", "mod": "modulo", "%": "percent of",
    "+": "plus", "-": "minus", "²": "squared", "³": "cubed", "√": "the square root of",
    "½": "half of", "⅓": "a third of", "¼": "a quarter of", "2×": "twice", "3×": "three times",
}  # fmt: skip
_PREFIX = {
    "½": Fraction(1, 2), "⅓": Fraction(1, 3), "¼": Fraction(1, 4), "2×": Fraction(2),
    "3×": Fraction(3),
}  # fmt: skip
_HOMOPHONES = {"to": 2, "too": 2, "for": 4, "won": 1, "ate": 8}
"""Numbers as a recogniser may have spelled them."""

_VERBS = [
    (r"^(?:add|the sum of|sum of|sum up) (.+?) (?:and|to|plus) (.+)$", r"\1 plus \2"),
    (r"^(?:multiply|the product of|product of) (.+?) (?:by|and|with|times) (.+)$", r"\1 times \2"),
    (r"^divide (.+?) by (.+)$", r"\1 over \2"),
    (r"^subtract (.+?) from (.+)$", r"\2 minus \1"),
    (r"^(?:the difference between|difference between) (.+?) and (.+)$", r"\1 minus \2"),
]
_OPENINGS = re.compile(
    r"^(?:(?:hello|hi|hey|please|so|and|okay|ok|well|now|what's|whats|what|is|are|does|do|how much"
    r"|how many|can you|could you|tell me|calculate|compute|work out|solve|equals|equal|answer of"
    r"|the answer to|the value of|the result of|you|me) )+"
)
_CLOSINGS = re.compile(r"(?: (?:please|equals?(?: to)?|is|makes?|be|now|for me|what))+$")


class _NoSense(Exception):
    """The words are not arithmetic."""


class _NoAnswer(Exception):
    """They are, and have no value we can say. The message is the answer."""


@dataclass(frozen=True, slots=True)
class _Number:
    value: Fraction


_Token = _Number | str


def answer(text: str) -> str | None:
    """The answer as a sentence; None if the text asks no arithmetic."""
    if len(text) > MAX_CHARACTERS:
        return None
    tokens = _tokens(_ask(text))
    if not any(isinstance(t, str) and t not in "()" for t in tokens):
        return None
    try:
        value = _Parser(tokens).whole()
    except _NoSense:
        return None
    except _NoAnswer as impossible:
        return str(impossible)
    except OverflowError:
        return _TOO_LARGE
    said = _said(value)
    if said is None:
        return _TOO_LARGE
    question = _spoken(tokens)
    exact = (value * 10**numbers.DECIMALS).denominator == 1
    return f"{question} is {'' if exact else 'about '}{said}."


def _ask(text: str) -> str:
    """The bare expression in words: 'What's 3 x 4?' → '3 times 4'."""
    text = text.lower().replace("-", " - ") if re.search(r"\d\s*-\s*\d", text) else text.lower()
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    for pattern, spelling in _SPELLINGS:
        text = re.sub(pattern, spelling, text)
    line = " ".join(_TOKEN.findall(text))
    line = _CLOSINGS.sub("", _OPENINGS.sub("", line + " ").strip())
    for pattern, infix in _VERBS:
        line = re.sub(pattern, infix, line.removeprefix("the "))
    return line


def _tokens(line: str) -> list[_Token]:
    words = line.split()
    tokens: list[_Token] = []
    i = 0
    while i < len(words):
        token, i = _next(words, i, tokens)
        tokens.append(token)
    return tokens


def _next(words: Sequence[str], i: int, before: Sequence[_Token]) -> tuple[_Token, int]:
    for length in (5, 4, 3, 2, 1):
        operator = _OPERATORS.get(" ".join(words[i : i + length]))
        if operator and i + length <= len(words):
            return operator, i + length
    if found := numbers.at(words, i):
        return _Number(found.value), found.end
    operand_due = not before or (isinstance(before[-1], str) and before[-1] not in ")²³")
    if operand_due and words[i] in _HOMOPHONES:
        return _Number(Fraction(_HOMOPHONES[words[i]])), i + 1
    return words[i], i + 1


class _Parser:
    """Recursive descent over tokens; each method reads what its name says."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens, self._at = tokens, 0

    def whole(self) -> Fraction:
        value = self._expression()
        if self._at < len(self._tokens):
            raise _NoSense
        return value

    def _take(self, *operators: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at] in operators:
            self._at += 1
            return str(self._tokens[self._at - 1])
        return None

    def _expression(self) -> Fraction:
        value = self._term()
        while operator := self._take("+", "-"):
            right = self._term()
            value = value + right if operator == "+" else value - right
        return value

    def _term(self) -> Fraction:
        value = self._power()
        while operator := self._take("*", "/", "mod", "%"):
            value = _combine(operator, value, self._power())
        return value

    def _power(self) -> Fraction:
        base = self._factor()
        return _raised(base, self._power()) if self._take("^") else base

    def _factor(self) -> Fraction:
        if self._take("-"):
            return -self._factor()
        if self._take("√"):
            return _root(self._factor())
        if part := self._take(*_PREFIX):
            return _PREFIX[part] * self._factor()
        value = self._primary()
        while operator := self._take("²", "³"):
            value = _raised(value, Fraction(2 if operator == "²" else 3))
        return value

    def _primary(self) -> Fraction:
        if self._take("("):
            value = self._expression()
            if not self._take(")"):
                raise _NoSense
            return value
        if self._at < len(self._tokens):
            token = self._tokens[self._at]
            if isinstance(token, _Number):
                self._at += 1
                return token.value
        raise _NoSense


def _combine(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator == "*":
        return left * right
    if operator == "%":
        return left * right / 100
    if right == 0:
        raise _NoAnswer("Nothing can be divided by zero.")
    return left / right if operator == "/" else left % right


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    if abs(exponent) > MAX_POWER or abs(base) >= numbers.LARGEST:
        raise _NoAnswer(_TOO_LARGE)
    if base == 0 and exponent < 0:
        raise _NoAnswer("Nothing can be divided by zero.")
    if base < 0 and exponent.denominator != 1:
        raise _NoAnswer("That has no real value.")
    return Fraction(base**exponent)


def _root(value: Fraction) -> Fraction:
    if value < 0:
        raise _NoAnswer("A negative number has no real square root.")
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return Fraction(math.sqrt(value))


def _said(value: Fraction) -> str | None:
    return numbers.decimal(value) if abs(value) < numbers.LARGEST else None


def _spoken(tokens: Sequence[_Token]) -> str:
    """The expression said back; one with brackets is too clumsy for that."""
    if "(" in tokens:
        return "That"
    said = [
        _said(token.value) or "that" if isinstance(token, _Number) else _SAID[token]
        for token in tokens
    ]
    line = " ".join(said)
    return line[0].upper() + line[1:]
