"""Lua that Redis runs in one step. It is named by its hash, and sent where it is not known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from mesh.redis import Command, each


@dataclass(frozen=True, slots=True)
class Script:
    """A script whose keys lie in one slot."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # SHA-1 is what EVALSHA names scripts by.
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


@dataclass(frozen=True, slots=True)
class Call:
    """A script with what it is given."""

    script: Script
    keys: tuple[str, ...]
    args: tuple[Any, ...] = ()

    def by_hash(self) -> Command:
        return self._command("EVALSHA", self.script.sha)

    def by_text(self) -> Command:
        return self._command("EVAL", self.script.text)

    def _command(self, name: str, script: str) -> Command:
        return Command(self.keys[0], (name, script, len(self.keys), *self.keys, *self.args))


async def run(redis: Redis, calls: Sequence[Call]) -> list[Any]:
    """Run scripts that may be repeated, in one round trip for each node.

    Returns:
        The answer of each, or the exception that it met; see mesh.redis.each.

    Raises:
        RedisError, OSError: Redis is away.
    """
    answers = await each(redis, [call.by_hash() for call in calls])
    # A new node, or a replica that became the primary, has none of them.
    unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        again = await each(redis, [calls[n].by_text() for n in unknown])
        for n, answer in zip(unknown, again, strict=True):
            answers[n] = answer
    return answers


async def run_one(redis: Redis, call: Call) -> Any:
    """Run one script that may be repeated.

    Raises:
        RedisError, OSError: Redis, or what holds those keys, is away.
    """
    [answer] = await run(redis, [call])
    if isinstance(answer, Exception):
        raise answer
    return answer
