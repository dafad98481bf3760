"""Whether the tier serves: while any provider can answer.

One that rests after failures cannot. Where all do, callers go to another worker, or are told at
once; when the first rest is over the tier serves again, and a call is the trial.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from llm_orchestrator import metrics
from llm_orchestrator.providers import Providers
from mesh.serve import Server


class Watch:
    """Keeps health and metrics true to who can answer."""

    def __init__(self, providers: Providers, server: Server) -> None:
        self._providers, self._server = providers, server
        self._serving: bool | None = None

    async def look(self) -> list[str]:
        """See who is there now; their names, best first."""
        async with asyncio.TaskGroup() as tasks:
            for provider in self._providers.all:
                tasks.create_task(provider.engine.refresh(), name=provider.name)
        for provider in self._providers.all:
            metrics.AVAILABLE.labels(provider.name).set(provider.available)
        return [provider.name for provider in self._providers.all if provider.promises]

    async def tell(self, names: Sequence[str]) -> None:
        """Say SERVING while anybody is there."""
        if bool(names) is not self._serving and not self._server.draining.is_set():
            self._serving = bool(names)
            await (self._server.ready() if names else self._server.unready())

    async def keep(self, every_s: float) -> None:
        while True:
            rest_s = self._providers.next_change_s
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s if rest_s is None else min(every_s, rest_s)):
                    await self._providers.changed.wait()
            self._providers.changed.clear()
            await self.tell(await self.look())
