"""Groq: the chat-completions API through its own SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from llm_orchestrator import chat
from llm_orchestrator.config import Config
from llm_orchestrator.engine import News, Request
from mesh.errors import NotInstalled


class GroqEngine:
    """Takes part with a key."""

    available = True

    def __init__(self, config: Config) -> None:
        if not config.groq_api_key:
            raise NotInstalled("set GROQ_API_KEY")
        # Here and not above: the import takes a second, and without a key it is not used.
        import groq
        import httpx

        self._failures = (groq.GroqError, httpx.HTTPError, ValueError)
        self.model = config.groq_model
        self._client = groq.AsyncGroq(
            api_key=config.groq_api_key,
            base_url=config.groq_base_url,
            max_retries=0,  # the next provider is a better retry
            timeout=config.overall_timeout_s,
        )
        self._completions = self._client.chat.completions  # imports more, so not in a turn

    async def generate(self, request: Request) -> AsyncGenerator[News, None]:
        reader = chat.Reader("groq", request)
        async with aclosing(self._chunks(request)) as chunks:
            async for chunk in chunks:
                for news in reader.read(chunk):
                    yield news
        yield reader.end()

    async def models(self) -> tuple[str, ...]:
        try:
            page = await self._client.models.list()
        except self._failures as error:
            raise chat.failure("groq", error) from error
        return chat.models(self.model, [getattr(model, "id", None) for model in page.data or ()])

    async def refresh(self) -> None:
        """Nothing to look for: the first answer will tell."""

    async def close(self) -> None:
        await self._client.close()

    async def _chunks(self, request: Request) -> AsyncGenerator[Any, None]:
        body = chat.body(request) | {"model": request.model or self.model}
        if request.max_output_tokens:
            body["max_completion_tokens"] = request.max_output_tokens
        try:
            stream = await self._completions.create(**body)
            try:
                async for chunk in stream:
                    yield chunk
            finally:
                await stream.close()
        except self._failures as error:
            raise chat.failure("groq", error) from error
