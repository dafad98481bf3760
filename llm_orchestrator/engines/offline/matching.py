"""Which of the offered tools an utterance asks for, if any.

A tool fits by the words of its name that are heard; its description helps. One word in
common is not enough for a name of several: "I read a book" is not for `book_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_orchestrator.engine import Tool
from llm_orchestrator.engines.offline import schema, words
from llm_orchestrator.engines.offline.words import Utterance

_NAME_WEIGHT = 3
"""A word of the name says as much as this many words of the description."""

_DESCRIPTION_WORDS = 40
"""Later words of a description are details, and any utterance has some of those."""

_GENERIC = words.stems(
    words.vocabulary(
        "get set fetch find do list show lookup look up run tool function api current new info"
        " information data handle perform execute request retrieve return provide given specified"
        " user use used using make create add update delete remove call by id specific value"
        " name one two latest all e g i e etc string number"
    )
)


_POLITE = words.vocabulary(
    "please can could would will you hey hi hello ok okay so now just and i i'd want need like to"
    " let let's me us"
)


def ranked(said: Utterance, tools: Sequence[Tool]) -> list[Tool]:
    """All tools, the one that fits best first."""
    return sorted(tools, key=lambda tool: _score(said, tool), reverse=True)


@dataclass(frozen=True, slots=True)
class Fit:
    tool: Tool
    sure: bool
    """If not, only plainly given arguments can show that the tool was meant."""


def fitting(said: Utterance, tools: Sequence[Tool]) -> list[Fit]:
    """The tools that fit, best first."""
    fits = [_fit(said, tool) for tool in ranked(said, tools)]
    return [fit for fit in fits if fit]


def subject(tool: Tool) -> set[str]:
    """Stems that an utterance may use to ask for the tool, so they are no arguments."""
    return words.stems(words.parts(tool.name)) | _described(tool)


def _fit(said: Utterance, tool: Tool) -> Fit | None:
    heard, lead = _content(said), _lead(said)
    name, about = _name(tool), _about(tool)
    named, described = len(heard & name), len(heard & about - name)
    if named and (2 * named > len(name) or lead in name):
        return Fit(tool, sure=True)
    if lead in _described(tool) - _GENERIC and 2 * (named + described) >= len(heard):
        return Fit(tool, sure=True)
    if described and named + described >= 2 and 3 * (named + described) >= len(heard):
        return Fit(tool, sure=True)
    return Fit(tool, sure=False) if named and 2 * named == len(name) else None


def _lead(said: Utterance) -> str:
    """Stem of the word an order begins with: "could you please play …" → play."""
    return next((words.stem(word) for word in said.plain if word not in _POLITE), "")


def _score(said: Utterance, tool: Tool) -> float:
    heard, name = _content(said), _name(tool)
    named = heard & name
    share = len(named) / len(name) if name else 0.0
    return _NAME_WEIGHT * len(named) + len(heard & _about(tool) - name) + share


def _content(said: Utterance) -> set[str]:
    return words.stems(word for word in said.plain if word not in words.FILLERS)


def _name(tool: Tool) -> set[str]:
    all_of_it = words.stems(words.parts(tool.name))
    return all_of_it - _GENERIC or all_of_it


def _described(tool: Tool) -> set[str]:
    plain = words.read(tool.description).plain[:_DESCRIPTION_WORDS]
    return words.stems(word for word in plain if word not in words.FILLERS)


def _about(tool: Tool) -> set[str]:
    about = _described(tool)
    for param in schema.params(tool):
        about |= param.stems
        for value in param.values:
            about |= words.stems(words.parts(str(value)))
    return about - _GENERIC
