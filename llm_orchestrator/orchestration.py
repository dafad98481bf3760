"""One answer from whoever can give it: the next provider takes over until the first token.

Why only until then: half an answer has been spoken by the time the second half fails. A
failure after the first token is reported as it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from llm_orchestrator import metrics, tokens
from llm_orchestrator.engine import Done, News, Repeated, Request, TruncationMode
from llm_orchestrator.providers import Attempt, Preference, Provider, Providers
from llm_orchestrator.truncation import TOO_LONG, fitted
from mesh.errors import MeshError, Rejected, TooSlow, Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """A provider has begun to answer."""

    model: Preference


@dataclass(frozen=True, slots=True)
class Switched:
    """A provider failed before its first token; another one is asked."""

    provider: str
    to: str
    error: MeshError


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider failed in the middle of its answer. Nothing follows."""

    provider: str
    error: MeshError


class OutOfTime(TooSlow):
    """The time for the whole answer is over. It says nothing about the provider."""


Event = Started | Switched | News | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits in seconds."""

    first_token_s: float = 3.0
    between_tokens_s: float = 5.0
    overall_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What to answer, and how."""

    request: Request
    preferences: tuple[Preference, ...] = ()
    first_token_s: float | None = None
    """Instead of the configured limit."""

    budget_s: float | None = None
    """What the caller waits in all; the configured limit if that is less."""


class Orchestrator:
    def __init__(
        self,
        providers: Providers,
        timeouts: Timeouts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers, self._timeouts, self._clock = providers, timeouts, clock

    async def answer(self, ask: Ask) -> AsyncGenerator[Event, None]:
        """The answer as it comes: Switched*, Started, news, and last Done or Failed.

        Raises:
            Rejected: no provider accepts this request.
            OutOfTime: the caller's time was over first.
            Unavailable: no provider began to answer.
        """
        overall_s = self._timeouts.overall_s
        budget_s = overall_s if ask.budget_s is None else min(ask.budget_s, overall_s)
        until_s = self._clock() + budget_s
        attempts = iter(self._providers.plan(ask.preferences))
        attempt = self._providers.next_of(attempts)
        errors: list[MeshError] = []
        while attempt is not None:
            run = _Run(attempt, ask, self._timeouts, until_s=until_s, clock=self._clock)
            async with aclosing(run.events()) as events:
                async for event in events:
                    yield event
            if run.refusal is None:
                return
            if isinstance(run.refusal, OutOfTime):
                raise run.refusal
            if (
                shorter := _shorter(attempt, ask.request, run.refusal)
            ) and attempt.provider.allows():
                attempt = shorter
                continue
            errors.append(run.refusal)
            following = self._providers.next_of(attempts)
            if following is not None:
                yield _switched(attempt.provider, following.provider, run.refusal)
            attempt = following
        raise self._nobody(errors)

    def _nobody(self, errors: Sequence[MeshError]) -> MeshError:
        if not errors:
            return self._providers.nobody()
        if all(isinstance(error, Rejected) for error in errors):
            # Of limits of the conversation, the one of the provider that was wanted most.
            return next((error for error in errors if error.code == TOO_LONG), errors[-1])
        details = "; ".join(error.detail for error in errors)
        waits = [error.retry_after_s for error in errors if error.retry_after_s is not None]
        return Unavailable(
            f"no provider answered ({details})",
            tier="llm",
            retry_after_s=min(waits, default=None),
            code=next((error.code for error in errors if error.code), ""),
        )


class _Run:
    """One provider's attempt at an answer."""

    def __init__(
        self,
        attempt: Attempt,
        ask: Ask,
        timeouts: Timeouts,
        *,
        until_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._attempt, self._provider = attempt, attempt.provider
        self._request = replace(ask.request, model=attempt.model)
        self._first_s = ask.first_token_s or timeouts.first_token_s
        self._between_s = timeouts.between_tokens_s
        self._until_s, self._clock = until_s, clock
        self._begun = False
        self._error: MeshError | None = None

    @property
    def refusal(self) -> MeshError | None:
        """Why it did not begin to answer, if it did not."""
        return None if self._begun else self._error

    async def events(self) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(self._asked()) as stream:
                news: News | Failed | None = await self._first(stream)
                if news is None:
                    return
                yield Started(self._attempt.preference)
                while True:
                    if not isinstance(news, Repeated):
                        yield news
                    if isinstance(news, Done | Failed):
                        return
                    news = await self._more(stream)
        finally:
            self._judge()

    async def _asked(self) -> AsyncGenerator[News, None]:
        request = fitted(self._request, self._attempt.window)
        async with aclosing(self._provider.engine.generate(request)) as stream:
            async for news in stream:
                yield news

    async def _first(self, stream: AsyncGenerator[News, None]) -> News | None:
        """The first token or whatever comes instead; None if the provider does not begin."""
        started_s = self._clock()
        try:
            news = await self._next(stream, self._first_s)
        except MeshError as error:
            self._error = error
            return None
        metrics.FIRST_TOKEN.labels(self._provider.name).observe(self._clock() - started_s)
        self._begun = True
        return news

    async def _more(self, stream: AsyncGenerator[News, None]) -> News | Failed:
        try:
            return await self._next(stream, self._between_s)
        except MeshError as error:
            self._error = error
            return Failed(self._provider.name, error)

    def _judge(self) -> None:
        """Tell the breaker how it went: good if tokens came, until we or the end stopped it."""
        if self._error is not None and not isinstance(self._error, OutOfTime):
            self._provider.failed(self._error)
        elif self._begun:
            self._provider.succeeded()
        else:
            self._provider.released()

    async def _next(self, stream: AsyncGenerator[News, None], limit_s: float) -> News:
        """
        Raises:
            MeshError: the provider failed, whatever it raised.
        """
        name = self._provider.name
        left_s = min(limit_s, self._until_s - self._clock())
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                return await anext(stream)
        except MeshError:
            raise
        except TimeoutError as error:
            if left_s < limit_s:
                raise OutOfTime("the time for this answer is over", tier="llm") from error
            raise TooSlow(f"{name} sent nothing for {limit_s:g} s") from error
        except StopAsyncIteration as error:
            raise Unavailable(f"{name} broke off its answer") from error
        except Exception as error:
            # SDKs raise what they like, and the next provider can still answer. The message
            # may quote the conversation, so the log gets only the place.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.name}, line {frame.lineno} of {frame.filename}"
            log.error("provider raised", extra={"provider": name, "place": place})
            raise Unavailable(f"{name} failed: {type(error).__name__}") from error


def _shorter(attempt: Attempt, request: Request, error: MeshError) -> Attempt | None:
    """The same attempt with half as much, where the model reads less than we were told.

    A window that is set too large would else end a conversation for good once it is full.
    """
    if error.code != TOO_LONG or request.truncation.mode is TruncationMode.DISABLED:
        return None
    sent = fitted(request, attempt.window)
    half = tokens.of_request(sent) // 2
    if len(fitted(request, half).messages) == len(sent.messages):
        return None
    log.warning("model reads less than its setting says", extra={"window": attempt.window})
    return replace(attempt, most_tokens=half)


def _switched(provider: Provider, to: Provider, error: MeshError) -> Switched:
    metrics.HANDOVERS.labels(provider.name, to.name).inc()
    log.info("provider switched", extra={"provider": provider.name, "to": to.name})
    return Switched(provider.name, to.name, error)
