"""OpenAI, and any server that speaks its chat-completions API."""

from __future__ import annotations

from typing import Any

from llm_orchestrator.chat import ChatCompletions
from llm_orchestrator.config import Config
from llm_orchestrator.engine import Request
from mesh.errors import NotInstalled, Unavailable

DEFAULT_MODEL = "gpt-4.1-mini"  # answers within a second and needs no time to reason


class OpenAiEngine(ChatCompletions):
    """Takes part with a key, or with the address of a compatible server."""

    def __init__(self, config: Config) -> None:
        base_url = config.openai_base_url or config.openai_sdk_base_url
        if not config.openai_api_key and not base_url:
            raise NotInstalled("set OPENAI_API_KEY, or LLM_OPENAI_BASE_URL for a compatible server")
        # Here and not above: the import takes a second, and without a key it is not used.
        import httpx2
        import openai

        self._compatible = bool(base_url)
        client = openai.AsyncOpenAI(
            api_key=config.openai_api_key or "none",
            base_url=base_url or "https://api.openai.com/v1",
            max_retries=0,  # the next provider is a better retry
            timeout=config.overall_timeout_s,
        )
        failures = (openai.OpenAIError, httpx2.HTTPError, ValueError)
        model = config.openai_model or ("" if base_url else DEFAULT_MODEL)
        super().__init__(
            "openai",
            client,
            failures,
            model,
            context_tokens=config.openai_context_tokens,
            sees=config.openai_sees,
        )

    async def particulars(self, request: Request) -> dict[str, Any]:
        made: dict[str, Any] = {
            "model": request.model or self.model or await self._first_model(),
            "stream_options": {"include_usage": True},
        }
        if request.max_output_tokens:
            # OpenAI's newer models refuse the old name; many compatible servers know no other.
            name = "max_tokens" if self._compatible else "max_completion_tokens"
            made[name] = request.max_output_tokens
        return made

    async def _first_model(self) -> str:
        """The model of a compatible server whose owner named none."""
        models = await self.models()
        if not models:
            raise Unavailable("openai: the server at the base URL has no model")
        self.model = models[0]
        return self.model
