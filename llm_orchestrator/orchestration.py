"""One answer from whoever can give it: where a provider fails, the next one takes over.

Before the first token the next one simply answers. In the middle of an answer it goes on from
the text already written (see `continuation`), in the same stream; what becomes of calls then is
told in `progress`. Where no other one can, the one that wrote is asked once more: most streams
that break are the network's fault.

The times fit together so that a caller never waits longer than `failover_s` for a word or the
error that says why none comes: a provider that is silent is given up after `first_token_s` or
`between_tokens_s`, and all that are asked after it share the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from llm_orchestrator import metrics, tokens
from llm_orchestrator.attempt import Limits, OutOfTime, Run
from llm_orchestrator.engine import Done, Finish, News, Request, TruncationMode, Usage
from llm_orchestrator.progress import Progress, Stage
from llm_orchestrator.providers import Attempt, Preference, Provider, Providers
from llm_orchestrator.truncation import TOO_LONG, fitted
from mesh.errors import MeshError, Rejected, Unavailable

SECOND_S = 1.0
"""What a second provider gets at least, however long the first one may take."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """A provider has begun to answer, or goes on with an answer."""

    model: Preference


@dataclass(frozen=True, slots=True)
class Switched:
    """A provider failed; another one is asked."""

    provider: str
    to: str
    error: MeshError


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer broke and nobody could go on with it. Nothing follows."""

    provider: str
    error: MeshError
    usage: Usage


Event = Started | Switched | News | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits in seconds."""

    first_token_s: float = 3.0
    between_tokens_s: float = 2.5
    failover_s: float = 4.8
    overall_s: float = 30.0

    def patience_s(self, first_s: float) -> float:
        """How long a caller waits for the next word, over all providers that are asked."""
        return max(self.failover_s, max(first_s, self.between_tokens_s) + SECOND_S)


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

    def answer(self, ask: Ask) -> AsyncGenerator[Event, None]:
        """The answer as it comes: Switched*, Started, news, again Switched and Started where
        another provider goes on, and last Done or Failed. Usage is that of all of them.

        Raises:
            Rejected: no provider accepts this request.
            OutOfTime: the caller's time was over before the first token.
            Unavailable: no provider began to answer.
        """
        return _Answer(ask, self._providers, self._timeouts, self._clock).events()


class _Answer:
    """One answer, whoever writes it."""

    def __init__(
        self, ask: Ask, providers: Providers, timeouts: Timeouts, clock: Callable[[], float]
    ) -> None:
        self._ask, self._providers, self._clock = ask, providers, clock
        self._progress = Progress(ask.request)
        self._first_s = ask.first_token_s or timeouts.first_token_s
        self._between_s = timeouts.between_tokens_s
        self._patience_s = timeouts.patience_s(self._first_s)
        self._waits_since_s = clock()
        overall_s = timeouts.overall_s
        budget_s = overall_s if ask.budget_s is None else min(ask.budget_s, overall_s)
        self._until_s = self._waits_since_s + budget_s
        self._usage = Usage()
        self._errors: list[MeshError] = []
        self._ended = False
        self._writer: Attempt | None = None
        """Whose words were told last."""

        self._asked_again = False
        self._speechless: Preference | None = None
        """Who answered without a word."""

    async def events(self) -> AsyncGenerator[Event, None]:
        attempts = iter(self._providers.plan(self._ask.preferences))
        attempt = self._providers.next_of(attempts)
        last = attempt
        while attempt is not None:
            async with aclosing(self._tried(attempt)) as events:
                async for event in events:
                    yield event
            if self._ended:
                return
            last = attempt
            attempt = self._shorter(last)
            if attempt is None and (attempt := self._following(attempts) or self._again()):
                yield self._switched(last.provider, attempt.provider)
        for event in self._end_of_chain(last):
            yield event

    def _end_of_chain(self, last: Attempt | None) -> Iterator[Event]:
        if last is not None and self._progress.stage is not Stage.UNTOLD:
            yield Failed(last.provider.name, _all_of(self._errors), self._usage)
        elif self._speechless is not None:
            yield Started(self._speechless)
            yield Done(Finish.STOP, self._usage)
        elif not self._errors:
            raise self._providers.nobody()
        else:
            raise self._with_hint(_all_of(self._errors))

    async def _tried(self, attempt: Attempt) -> AsyncGenerator[Event, None]:
        """What comes of an attempt. Unless the answer has ended, `_errors` says last why not.

        Raises:
            OutOfTime: before anything was told.
        """
        run = Run(attempt, self._progress.next(), self._limits(), self._clock)
        begun = False
        try:
            async with aclosing(run.news()) as stream:
                async for news in stream:
                    if isinstance(news, Done) and (no_answer := self._no_answer(attempt, news)):
                        raise no_answer
                    if not begun:
                        begun = True
                        yield Started(attempt.preference)
                    for event in self._told(news):
                        self._writer = attempt
                        yield event
        except MeshError as error:
            self._errors.append(error)
        finally:
            if run.begun:
                self._waits_since_s = run.waits_since_s
            self._usage += run.usage
        for event in self._broken_off(attempt):
            yield event

    def _told(self, news: News) -> Iterator[Event]:
        if isinstance(news, Done):
            self._ended = True
            yield replace(news, usage=self._usage + news.usage)
        else:
            yield from self._progress.told(news)

    def _no_answer(self, attempt: Attempt, done: Done) -> MeshError | None:
        """Why an answer that ended well is none. It says nothing bad of the provider."""
        name = attempt.provider.name
        if self._progress.owes:
            return Rejected(f"{name} did not make a call again that had broken off")
        if done.finish is Finish.STOP and self._progress.expects_answer:
            self._speechless = attempt.preference
            return Unavailable(f"{name} answered without a word")
        return None

    def _broken_off(self, attempt: Attempt) -> Iterator[Event]:
        """The end of the answer, if the attempt was the last one that makes sense."""
        if self._ended:
            return
        error, stage = self._errors[-1], self._progress.stage
        if stage is Stage.ENDED:
            self._ended = True
            yield Done(Finish.STOP, self._usage)
        elif stage is Stage.UNTOLD and isinstance(error, OutOfTime):
            raise error
        elif stage is Stage.STUCK or isinstance(error, OutOfTime):
            self._ended = True
            yield Failed(attempt.provider.name, error, self._usage)

    def _limits(self) -> Limits:
        return Limits(
            first_token_s=self._first_s,
            between_tokens_s=self._between_s,
            patience_until_s=self._waits_since_s + self._patience_s,
            until_s=self._until_s,
        )

    def _following(self, attempts: Iterator[Attempt]) -> Attempt | None:
        """Whom to ask next; nobody once the caller has waited long enough."""
        if self._is_late:
            return None
        within = self._progress.stage is not Stage.UNTOLD
        fitting = (a for a in attempts if a.provider.engine.goes_on or not within)
        return self._providers.next_of(fitting)

    def _again(self) -> Attempt | None:
        """Who wrote, once, if the caller has not waited long enough."""
        writer = self._writer
        if self._asked_again or writer is None or self._is_late or not writer.provider.allows():
            return None
        self._asked_again = True
        return writer

    @property
    def _is_late(self) -> bool:
        return self._clock() >= self._waits_since_s + self._patience_s

    def _shorter(self, attempt: Attempt) -> Attempt | None:
        shorter = _shorter(attempt, self._ask.request, self._errors[-1])
        if shorter is None or not attempt.provider.allows():
            return None
        self._errors.pop()
        return shorter

    def _switched(self, provider: Provider, to: Provider) -> Switched:
        moment = "start" if self._progress.stage is Stage.UNTOLD else "middle"
        metrics.HANDOVERS.labels(provider.name, to.name, moment).inc()
        about = {"provider": provider.name, "to": to.name, "moment": moment}
        log.info("provider switched", extra=about)
        return Switched(provider.name, to.name, self._errors[-1])

    def _with_hint(self, error: MeshError) -> MeshError:
        if isinstance(error, Unavailable) and error.retry_after_s is None:
            error.retry_after_s = self._providers.retry_after_s
        return error


def _all_of(errors: Sequence[MeshError]) -> MeshError:
    """What the failures of several providers come to."""
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


def _shorter(attempt: Attempt, request: Request, error: MeshError) -> Attempt | None:
    """The same attempt with half as much, where the model reads less than we were told.

    A window that is set too large would else end a conversation for good once it is full.
    """
    if error.code != TOO_LONG or request.truncation.mode is TruncationMode.DISABLED:
        return None
    sent = fitted(request, attempt.window)
    half = tokens.of_request(sent) // 2
    if fitted(request, half).messages == sent.messages:
        return None
    log.warning("model reads less than its setting says", extra={"window": attempt.window})
    return replace(attempt, most_tokens=half)
