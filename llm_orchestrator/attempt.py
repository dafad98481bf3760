"""One provider's attempt at an answer: its time limits, and what its breaker is told."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from llm_orchestrator import metrics, tokens
from llm_orchestrator.engine import Done, News, Request, TextDelta, ToolCallDelta, Usage
from llm_orchestrator.providers import Attempt
from llm_orchestrator.truncation import fitted
from mesh.errors import MeshError, TooSlow, Unavailable

log = logging.getLogger(__name__)


class OutOfTime(TooSlow):
    """The time for the whole answer is over. It says nothing about the provider."""


class OutOfPatience(TooSlow):
    """Others before it had used up the time that a caller waits for a word. It says nothing
    about the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one attempt."""

    first_token_s: float
    between_tokens_s: float
    patience_until_s: float
    """When the caller has waited long enough for the first token."""

    until_s: float
    """When the answer has to be there."""


class Run:
    """Iterate `news` once; close it to give the attempt up."""

    def __init__(
        self, attempt: Attempt, request: Request, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._provider, self._limits, self._clock = attempt.provider, limits, clock
        self._request = replace(request, model=attempt.model)
        self._window = attempt.window
        self._asked_s = clock()
        self._error: MeshError | None = None
        self._written: list[str] = []
        self.begun = False
        """Whether the first token has come."""

        self.waits_since_s = self._asked_s
        """When it was asked for more than it has sent."""

        self.usage = Usage()
        """What it reported; estimated if it broke off."""

    async def news(self) -> AsyncGenerator[News, None]:
        """
        Raises:
            MeshError: the provider failed, whatever it raised.
        """
        try:
            async with aclosing(self._asked()) as stream:
                while True:
                    news = await self._next(stream)
                    self._note(news)
                    yield news
                    if isinstance(news, Done):
                        return
                    self.waits_since_s = self._clock()
        except MeshError as error:
            self._error = error
            self._estimate()
            raise
        finally:
            self._judge()

    async def _asked(self) -> AsyncGenerator[News, None]:
        request = fitted(self._request, self._window)
        async with aclosing(self._provider.engine.generate(request)) as stream:
            async for news in stream:
                yield news

    def _note(self, news: News) -> None:
        if not self.begun:
            first_s = self._clock() - self._asked_s
            metrics.FIRST_TOKEN.labels(self._provider.name).observe(first_s)
        self.begun = True
        match news:
            case TextDelta(text):
                self._written.append(text)
            case ToolCallDelta(_, name, arguments):
                self._written.append(name + arguments)
            case Done(_, usage):
                self.usage = usage
            case _:
                pass

    def _estimate(self) -> None:
        """It has read all and written a part, and does not say any more what that costs."""
        if self.begun:
            read = tokens.of_request(fitted(self._request, self._window))
            self.usage = Usage(read, 0, tokens.of_text("".join(self._written)))

    def _judge(self) -> None:
        """Tell the breaker how it went: good if tokens came, until we or the end stopped it."""
        if self._error is not None and not isinstance(self._error, OutOfTime | OutOfPatience):
            self._provider.failed(self._error)
        elif self.begun:
            self._provider.succeeded()
        else:
            self._provider.released()

    def _deadline(self) -> tuple[float, TooSlow]:
        """Until when to wait for the next news, and what it means if none come."""
        limits, name = self._limits, self._provider.name
        late = OutOfTime("the time for this answer is over", tier="llm")
        silent_s = limits.between_tokens_s if self.begun else limits.first_token_s
        silent = TooSlow(f"{name} sent nothing for {silent_s:g} s")
        ends = [(self.waits_since_s + silent_s, silent), (limits.until_s, late)]
        if not self.begun:
            hurried = OutOfPatience(f"{name} did not answer in the time that was left")
            ends.append((limits.patience_until_s, hurried))
        return min(ends, key=lambda end: end[0])

    async def _next(self, stream: AsyncGenerator[News, None]) -> News:
        """
        Raises:
            MeshError: the provider failed, whatever it raised.
        """
        name = self._provider.name
        until_s, late = self._deadline()
        try:
            async with asyncio.timeout(max(0.0, until_s - self._clock())):
                return await anext(stream)
        except MeshError:
            raise
        except TimeoutError as error:
            raise late from error
        except StopAsyncIteration as error:
            raise Unavailable(f"{name} broke off its answer") from error
        except Exception as error:
            # SDKs raise what they like, and the next provider can still answer. The message
            # may quote the conversation, so the log gets only the place.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.name}, line {frame.lineno} of {frame.filename}"
            log.error("provider raised", extra={"provider": name, "place": place})
            raise Unavailable(f"{name} failed: {type(error).__name__}") from error
