"""The providers that take part, in order, each with a breaker, and which to try for a request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from llm_orchestrator import metrics
from llm_orchestrator.engine import Engine
from mesh.breaker import Breaker, State
from mesh.errors import MeshError, Overloaded, Rejected, Unavailable

REALTIME_PREFIX = "gpt-realtime"
"""Model names of the Realtime protocol; all of them mean our own chain."""

RETRY_S = 2.0
"""When to try again if nothing else is known: a provider that was restarted is back by then."""

MOST_LIMITED_S = 60.0
"""A provider that says when it may be asked again is believed up to here."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preference:
    """What a caller wants: a provider, a model of it, or both."""

    provider: str = ""
    model: str = ""


class Provider:
    """An engine, and whether it is worth asking."""

    def __init__(
        self, name: str, engine: Engine, clock: Callable[[], float], changed: asyncio.Event
    ) -> None:
        """
        Args:
            changed: Set when it begins or ends a rest.
        """
        self.name, self.engine, self._changed = name, engine, changed
        self._breaker, self._clock = Breaker(), clock
        self._limited_until_s = 0.0

    @property
    def available(self) -> bool:
        """Whether it is there and does not rest. Asking changes nothing."""
        return self.engine.available and self.rest_s == 0

    @property
    def promises(self) -> bool:
        """Whether a call could go well, for all that is known: it is there, and does not rest
        unless a trial is under way."""
        is_limited = self._clock() < self._limited_until_s
        resting = self._breaker.state is State.OPEN and self.rest_s > 0
        return self.engine.available and not is_limited and not resting

    @property
    def rest_s(self) -> float:
        """Seconds until it may be asked again after failures."""
        now_s = self._clock()
        return max(0.0, self._limited_until_s - now_s, self._breaker.rest_s(now_s))

    def allows(self) -> bool:
        """Whether to ask it now. After a yes, report the outcome."""
        now_s = self._clock()
        is_limited = now_s < self._limited_until_s
        return self.engine.available and not is_limited and self._breaker.allows(now_s)

    def succeeded(self) -> None:
        if self._breaker.succeeded():
            self._changed.set()
            log.info("provider recovered", extra={"provider": self.name})

    def failed(self, error: MeshError) -> None:
        """It failed. A request it does not accept says nothing about the provider."""
        metrics.FAILURES.labels(self.name, type(error).__name__).inc()
        log.warning("provider failed", extra={"provider": self.name, "reason": error.detail})
        if isinstance(error, Overloaded) and error.retry_after_s:
            wait_s = min(error.retry_after_s, MOST_LIMITED_S)
            self._limited_until_s = self._clock() + wait_s
            self._changed.set()
        if isinstance(error, Rejected):
            self._breaker.released()
        elif self._breaker.failed(self._clock()):
            self._changed.set()
            log.error("provider rests", extra={"provider": self.name, "rest_s": self.rest_s})

    def released(self) -> None:
        """We stopped it before it showed anything."""
        self._breaker.released()


@dataclass(frozen=True, slots=True)
class Attempt:
    provider: Provider
    model: str
    """Empty takes the provider's configured model."""

    most_tokens: int = 0
    """Less than the model's window, after it said that a request was too long; 0 is the window."""

    @property
    def window(self) -> int:
        """What the model reads and writes at most, in tokens, as far as is known."""
        return self.most_tokens or self.provider.engine.context_tokens

    @property
    def preference(self) -> Preference:
        return Preference(self.provider.name, self.model or self.provider.engine.model)


class Providers:
    def __init__(
        self,
        engines: Mapping[str, Engine],
        absent: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            engines: By name, in order of preference.
            absent: Why those that exist but do not take part do not.
            clock: Seconds on any clock that only goes forward.
        """
        self.changed = asyncio.Event()
        """Set when a provider begins or ends a rest; whoever waits for it clears it."""

        self.all = [Provider(name, engine, clock, self.changed) for name, engine in engines.items()]
        self.absent = dict(absent or {})

    @property
    def available(self) -> list[Provider]:
        return [provider for provider in self.all if provider.available]

    def plan(self, preferences: Sequence[Preference]) -> list[Attempt]:
        """Whom to try for a request, in order.

        Raises:
            Rejected: a preference names a provider that does not exist.
            Unavailable: those it names do not take part here.
        """
        attempts = [attempt for wanted in preferences for attempt in self._attempts(wanted)]
        if attempts or not preferences:
            return attempts or self._chain()
        reasons = "; ".join(f"{p.provider}: {self.absent[p.provider]}" for p in preferences)
        raise Unavailable(f"no provider that was asked for takes part ({reasons})", tier="llm")

    def next_of(self, attempts: Iterator[Attempt]) -> Attempt | None:
        """The next attempt whose provider may be asked now."""
        return next((attempt for attempt in attempts if attempt.provider.allows()), None)

    def nobody(self) -> Unavailable:
        """The error when nobody may be asked."""
        return Unavailable(
            "no provider is available now", tier="llm", retry_after_s=self.retry_after_s
        )

    @property
    def retry_after_s(self) -> float:
        """When to try again after nobody could answer."""
        rests = [provider.rest_s for provider in self.all if provider.rest_s > 0]
        return min(rests, default=RETRY_S)

    @property
    def next_change_s(self) -> float | None:
        """Seconds until the next rest ends by itself; None if nobody rests."""
        rests = [provider.rest_s for provider in self.all]
        return min((rest_s for rest_s in rests if rest_s > 0), default=None)

    def _chain(self) -> list[Attempt]:
        return [Attempt(provider, "") for provider in self.all]

    def _attempts(self, wanted: Preference) -> list[Attempt]:
        if not wanted.provider:
            return self._by_model(wanted.model)
        for provider in self.all:
            if provider.name == wanted.provider:
                return [Attempt(provider, wanted.model)]
        if wanted.provider in self.absent:
            return []
        known = ", ".join([*(provider.name for provider in self.all), *self.absent])
        raise Rejected(f"no provider {wanted.provider!r}; there are: {known}", param="models")

    def _by_model(self, model: str) -> list[Attempt]:
        """For a model without a provider: those configured for it, or our own chain."""
        mine = [attempt for attempt in self._chain() if attempt.preference.model == model]
        if mine or model.startswith(REALTIME_PREFIX) or not model:
            return mine or self._chain()
        raise Rejected(f"no provider is configured for model {model!r}", param="models")
