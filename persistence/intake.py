"""Where appended facts go before they are acknowledged: into the stream, or into PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import Unavailable
from mesh.stream import RECORD, fact_stream
from persistence.facts import Fact
from persistence.store import Outcome, Store


class Intake(Protocol):
    """Makes facts durable."""

    async def take(self, facts: Sequence[Fact]) -> list[Outcome]:
        """
        Returns:
            What became of each, in order.

        Raises:
            Unavailable: it cannot now; send all of them again.
        """


class Committed:
    """Durable once PostgreSQL has committed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, facts: Sequence[Fact]) -> list[Outcome]:
        return await self._store.write(facts)


class Buffered:
    """Durable once Redis has it; the consumers store it.

    Whether a fact is new shows only there, so that every one counts as stored here.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, facts: Sequence[Fact]) -> list[Outcome]:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for fact in facts:
                    pipe.xadd(fact_stream(fact.session_id), {RECORD: fact.record})
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise Unavailable(f"Redis is away ({type(error).__name__})", retry_after_s=1) from error
        return [Outcome.STORED] * len(facts)
