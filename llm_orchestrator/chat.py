"""The chat-completions format: its engine, and streamed chunks out of it.

OpenAI, Groq and every compatible server speak it; their SDKs' objects have the same
attributes. The SDKs do not check what they parse, so nothing here trusts a type.
"""

from __future__ import annotations

import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from llm_orchestrator import chat_body, continuation
from llm_orchestrator.call_ids import CallIds
from llm_orchestrator.engine import (
    Done,
    Finish,
    News,
    Request,
    Role,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from llm_orchestrator.provider_errors import failure, is_refusal
from mesh.errors import Unavailable

_FINISHES = {"length": Finish.LENGTH, "content_filter": Finish.CONTENT_FILTER}
_NOT_CHAT = re.compile(
    r"whisper|tts|embed|dall-e|image|moderation|realtime|transcribe|audio|guard|sora|davinci"
    r"|babbage|search|rerank"
)


log = logging.getLogger(__name__)


class ChatCompletions(ABC):
    """A provider behind an SDK of OpenAI's making: all of an engine but what is particular
    to one provider, which a subclass says in `particulars`."""

    available = goes_on = True

    def __init__(
        self,
        name: str,
        client: Any,
        failures: tuple[type[Exception], ...],
        model: str,
        *,
        context_tokens: int,
        sees: bool,
    ) -> None:
        """
        Args:
            name: Of the provider, in errors.
            client: The SDK's client.
            failures: What the SDK raises.
            model: The one to ask for, unless a request names another.
            context_tokens: What the model reads and writes at most.
            sees: Whether it is to be given pictures.
        """
        self.model, self.context_tokens, self._sees = model, context_tokens, sees
        self._name, self._client, self._failures = name, client, failures
        self._completions = client.chat.completions  # imports more, so not in a turn

    @abstractmethod
    async def particulars(self, request: Request) -> dict[str, Any]:
        """The model, and the parts of the request that this provider has its own way with."""

    def generate(self, request: Request) -> AsyncGenerator[News, None]:
        return continuation.news(request, self._news)

    async def _news(self, request: Request) -> AsyncGenerator[News, None]:
        reader = Reader(self._name, request)
        async with aclosing(self._chunks(request)) as chunks:
            async for chunk in chunks:
                for news in reader.read(chunk):
                    yield news
        yield reader.end()

    async def models(self) -> tuple[str, ...]:
        try:
            page = await self._client.models.list()
        except self._failures as error:
            raise failure(self._name, error) from error
        return models(self.model, [getattr(model, "id", None) for model in page.data or ()])

    async def refresh(self) -> None:  # noqa: B027 - there is nothing to do
        """Nothing to look for: the first answer will tell."""

    async def close(self) -> None:
        await self._client.close()

    async def _chunks(self, request: Request) -> AsyncGenerator[Any, None]:
        try:
            stream = await self._asked(request)
            try:
                async for chunk in stream:
                    yield chunk
            finally:
                await stream.close()
        except self._failures as error:
            raise failure(self._name, error) from error

    async def _asked(self, request: Request) -> Any:
        """The stream of chunks. What not every model of the provider takes is left out where
        it is refused: the answer is worth more than a picture or an effort."""
        particulars = await self.particulars(request)
        model = str(particulars["model"])
        whole = chat_body.body(request, model, sees=self._sees) | particulars
        try:
            return await self._completions.create(**whole)
        except self._failures as error:
            # Some models take a system message only at the beginning.
            plain = chat_body.body(
                chat_body.plain(request, model), model, sees=False, asks_as=Role.USER
            )
            plain |= particulars
            if plain == whole or not is_refusal(error):
                raise
            log.info("provider asked again without extras", extra={"provider": self._name})
            return await self._completions.create(**plain)


@dataclass(slots=True)
class _Call:
    given_id: str
    call_id: str
    name: str = ""
    arguments: str = ""
    told: bool = False
    """Whether its first delta is out."""


class Reader:
    """Chunks of one response in, news out."""

    def __init__(self, provider: str, request: Request) -> None:
        self._provider = provider
        self._ids = CallIds(call.call_id for m in request.messages for call in m.tool_calls)
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._finish: Finish | None = None
        self._usage = Usage()

    def read(self, chunk: Any) -> Iterator[News]:
        """
        Raises:
            Unavailable: the chunk is none, or reports an error.
        """
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list):
            raise Unavailable(f"{self._provider} sent a chunk without choices")
        groq = getattr(chunk, "x_groq", None)
        if getattr(groq, "error", None):
            raise Unavailable(f"{self._provider} stopped early")
        self._count(getattr(chunk, "usage", None) or getattr(groq, "usage", None))
        for choice in choices[:1]:
            yield from self._delta(getattr(choice, "delta", None))
            reason = getattr(choice, "finish_reason", None)
            if reason and self._finish is None:
                self._finish = _FINISHES.get(reason, Finish.STOP)
                yield from self._whole_calls()

    def end(self) -> Done:
        """
        Raises:
            Unavailable: the response had no end.
        """
        if self._finish is None:
            raise Unavailable(f"{self._provider} broke off its answer")
        return Done(self._finish, self._usage)

    def _count(self, usage: Any) -> None:
        if usage is None:
            return
        details = getattr(usage, "prompt_tokens_details", None)
        self._usage = Usage(
            _tokens(usage, "prompt_tokens"),
            _tokens(details, "cached_tokens"),
            _tokens(usage, "completion_tokens"),
        )

    def _delta(self, delta: Any) -> Iterator[News]:
        # A refusal is what the model says instead of an answer; it is to be heard as well.
        for name in ("content", "refusal"):
            text = getattr(delta, name, None)
            if isinstance(text, str) and text:
                yield TextDelta(text)
        for part in getattr(delta, "tool_calls", None) or ():
            call = self._call(getattr(part, "index", None), getattr(part, "id", None) or "")
            function = getattr(part, "function", None)
            call.name = call.name or getattr(function, "name", None) or ""
            more = getattr(function, "arguments", None) or ""
            call.arguments += more
            if call.told and more:
                yield ToolCallDelta(call.call_id, "", more)
            elif call.name and not call.told:
                call.told = True
                yield ToolCallDelta(call.call_id, call.name, call.arguments)

    def _call(self, index: Any, given_id: str) -> _Call:
        """The call that a delta belongs to. Some servers give every call index 0."""
        call = self._by_index.get(index)
        if call is None or (given_id and call.given_id and given_id != call.given_id):
            call = _Call(given_id, self._ids.fit(given_id))
            self._by_index[index] = call
            self._calls.append(call)
        return call

    def _whole_calls(self) -> Iterator[ToolCall]:
        for call in self._calls:
            arguments = call.arguments.strip() or "{}"
            if call.told and (self._finish is not Finish.LENGTH or _is_json(arguments)):
                yield ToolCall(call.call_id, call.name, arguments)


def _tokens(counts: Any, name: str) -> int:
    found = getattr(counts, name, None)
    return found if isinstance(found, int) and found > 0 else 0


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def models(configured: str, listed: Iterable[object]) -> tuple[str, ...]:
    """Names of the models to talk with: the configured one, then the others that are listed.

    Args:
        listed: What the provider has, of any kind; what is no name is left out.
    """
    others = sorted(n for n in listed if isinstance(n, str) and not _NOT_CHAT.search(n.lower()))
    return tuple(dict.fromkeys([configured, *others] if configured else others))
