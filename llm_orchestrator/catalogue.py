"""Which models can be asked for, over all providers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from llm_orchestrator.providers import Preference, Provider, Providers
from mesh.errors import MeshError, Rejected

ASK_S = 2.0
"""How long a provider may take to list its models before only the configured one is named."""

KEEP_S = 300.0
"""How long a provider's list is believed."""

log = logging.getLogger(__name__)


class Catalogue:
    def __init__(self, providers: Providers, clock: Callable[[], float] = time.monotonic) -> None:
        self._providers, self._clock = providers, clock
        self._listed: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def models(self) -> list[tuple[Preference, bool]]:
        """Every model and whether it could be used now, providers in order of preference.

        The first one that can be used is the one that serves.
        """
        async with asyncio.TaskGroup() as tasks:
            asked = [
                (provider, tasks.create_task(self._models(provider), name=provider.name))
                for provider in self._providers.all
            ]
        return [
            (Preference(provider.name, model), provider.available and answers)
            for provider, task in asked
            for models, answers in [task.result()]
            for model in models
        ]

    async def _models(self, provider: Provider) -> tuple[tuple[str, ...], bool]:
        """A provider's models, and whether it answers."""
        asked_s, models = self._listed.get(provider.name, (-KEEP_S, ()))
        if self._clock() - asked_s < KEEP_S and provider.engine.model in models:
            return models, True
        try:
            async with asyncio.timeout(ASK_S):
                models = await provider.engine.models()
        except (MeshError, TimeoutError) as error:
            reason = type(error).__name__
            log.info("models not listed", extra={"provider": provider.name, "reason": reason})
            configured = (provider.engine.model,) if provider.engine.model else ()
            return configured, isinstance(error, Rejected)  # some servers answer, and list nothing
        self._listed[provider.name] = (self._clock(), models)
        return models, True
