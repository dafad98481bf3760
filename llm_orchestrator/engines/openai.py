"""OpenAI, and any server that speaks its chat-completions API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from llm_orchestrator import chat
from llm_orchestrator.config import Config
from llm_orchestrator.engine import News, Request
from mesh.errors import NotInstalled, Unavailable

DEFAULT_MODEL = "gpt-4.1-mini"  # answers within a second and needs no time to reason


class OpenAiEngine:
    """Takes part with a key, or with the address of a compatible server."""

    available = True

    def __init__(self, config: Config) -> None:
        base_url = config.openai_base_url or config.openai_sdk_base_url
        if not config.openai_api_key and not base_url:
            raise NotInstalled("set OPENAI_API_KEY, or LLM_OPENAI_BASE_URL for a compatible server")
        # Here and not above: the import takes a second, and without a key it is not used.
        import httpx2
        import openai

        self._failures = (openai.OpenAIError, httpx2.HTTPError, ValueError)
        self._compatible = bool(base_url)
        self.model = config.openai_model or ("" if base_url else DEFAULT_MODEL)
        self._client = openai.AsyncOpenAI(
            api_key=config.openai_api_key or "none",
            base_url=base_url or "https://api.openai.com/v1",
            max_retries=0,  # the next provider is a better retry
            timeout=config.overall_timeout_s,
        )
        self._completions = self._client.chat.completions  # imports more, so not in a turn

    async def generate(self, request: Request) -> AsyncGenerator[News, None]:
        reader = chat.Reader("openai", request)
        async with aclosing(self._chunks(request)) as chunks:
            async for chunk in chunks:
                for news in reader.read(chunk):
                    yield news
        yield reader.end()

    async def models(self) -> tuple[str, ...]:
        try:
            page = await self._client.models.list()
        except self._failures as error:
            raise chat.failure("openai", error) from error
        return chat.models(self.model, [getattr(model, "id", None) for model in page.data or ()])

    async def refresh(self) -> None:
        """Nothing to look for: the first answer will tell."""

    async def close(self) -> None:
        await self._client.close()

    async def _chunks(self, request: Request) -> AsyncGenerator[Any, None]:
        try:
            stream = await self._completions.create(**await self._body(request))
            try:
                async for chunk in stream:
                    yield chunk
            finally:
                await stream.close()
        except self._failures as error:
            raise chat.failure("openai", error) from error

    async def _body(self, request: Request) -> dict[str, Any]:
        body = chat.body(request) | {
            "model": request.model or self.model or await self._first_model(),
            "stream_options": {"include_usage": True},
        }
        if request.max_output_tokens:
            # OpenAI's newer models refuse the old name; many compatible servers know no other.
            name = "max_tokens" if self._compatible else "max_completion_tokens"
            body[name] = request.max_output_tokens
        return body

    async def _first_model(self) -> str:
        """The model of a compatible server whose owner named none."""
        models = await self.models()
        if not models:
            raise Unavailable("openai: the server at the base URL has no model")
        self.model = models[0]
        return self.model
