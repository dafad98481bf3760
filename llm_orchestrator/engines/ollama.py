"""Ollama: models on a machine of one's own, through its own API.

It gives tool calls whole and without ids, and knows no tool choice: a call that must be
made is asked for in words, and only the tools allowed are offered.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from llm_orchestrator import chat, continuation, prompt
from llm_orchestrator.call_ids import CallIds
from llm_orchestrator.config import Config
from llm_orchestrator.engine import (
    Done,
    Finish,
    Message,
    News,
    Request,
    Role,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolMode,
    Usage,
)
from llm_orchestrator.provider_errors import failure
from mesh.errors import Unavailable

PROBE_S = 1.0
"""How long a server may take to say that it is there."""

MUST_CALL = "Answer with a call of one of your tools, not with text."

_PORT = 11434
_PORTS = {"http": 80, "https": 443}

log = logging.getLogger(__name__)


class OllamaEngine:
    """Takes part while a server answers and has a model."""

    goes_on = True

    def __init__(self, config: Config) -> None:
        self._host = config.ollama_host
        self._configured = config.ollama_model
        self._timeout_s = config.overall_timeout_s
        self.context_tokens = config.ollama_context_tokens
        self._installed: tuple[str, ...] = ()
        self._see: dict[str, bool] = {}
        self._client: Any = None
        self._failures: tuple[type[Exception], ...] = (OSError,)

    @property
    def available(self) -> bool:
        return bool(self._installed)

    @property
    def model(self) -> str:
        return self._configured or next(iter(self._installed), "")

    def generate(self, request: Request) -> AsyncGenerator[News, None]:
        # It goes on with an assistant's message that is the last one.
        return continuation.news(request, self._news, exact=True)

    async def _news(self, request: Request) -> AsyncGenerator[News, None]:
        ids = CallIds(call.call_id for m in request.messages for call in m.tool_calls)
        async with aclosing(self._parts(request)) as parts:
            async for part in parts:
                if part.message.content:
                    yield TextDelta(part.message.content)
                for made in part.message.tool_calls or ():
                    arguments = json.dumps(dict(made.function.arguments), ensure_ascii=False)
                    call = ToolCall(ids.fit(""), made.function.name, arguments)
                    yield ToolCallDelta(call.call_id, call.name, call.arguments_json)
                    yield call
                if part.done:
                    finish = Finish.LENGTH if part.done_reason == "length" else Finish.STOP
                    yield Done(finish, Usage(part.prompt_eval_count or 0, 0, part.eval_count or 0))
                    return
        raise Unavailable("ollama broke off its answer")

    async def models(self) -> tuple[str, ...]:
        return chat.models(self.model, self._installed)

    async def refresh(self) -> None:
        before = self.available
        self._installed = await self._look()
        if before != self.available:
            log.info("ollama joins" if self.available else "ollama leaves")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _look(self) -> tuple[str, ...]:
        """The models of the server; none if there is no server."""
        try:
            async with asyncio.timeout(PROBE_S):
                await self._knock()
            client = await self._connected()
        except (OSError, ImportError, ValueError) as error:
            log.debug("no ollama", extra={"reason": type(error).__name__})
            return ()
        try:
            async with asyncio.timeout(PROBE_S):
                listed = await client.list()
        except self._failures as error:  # a timeout is an OSError
            log.warning("ollama does not list models", extra={"reason": type(error).__name__})
            return ()
        return tuple(model.model for model in listed.models if model.model)

    async def _knock(self) -> None:
        """Connect and hang up: where there is no server, the SDK is not even imported."""
        url = urlsplit(self._host if "://" in self._host else f"http://{self._host}")
        port = _PORTS.get(url.scheme, _PORT) if "://" in self._host else _PORT
        _, writer = await asyncio.open_connection(url.hostname, url.port or port)
        writer.close()
        await writer.wait_closed()

    async def _connected(self) -> Any:
        """The SDK's client. Its import takes most of a second, so it is done on a thread."""
        if self._client is None:
            sdk, httpx = await asyncio.to_thread(_imported, "ollama", "httpx")
            self._failures = (
                sdk.ResponseError, sdk.RequestError, httpx.HTTPError, OSError, ValueError,
                # the SDK trusts the shape of what it parses
                AttributeError, TypeError,
            )  # fmt: skip
            self._client = sdk.AsyncClient(self._host, timeout=self._timeout_s)
        return self._client

    async def _parts(self, request: Request) -> AsyncGenerator[Any, None]:
        client = await self._connected()
        try:
            body = self._body(request, sees=await self._sees(client, request))
            async with aclosing(await client.chat(**body)) as stream:
                async for part in stream:
                    yield part
        except self._failures as error:
            raise failure("ollama", error) from error

    async def _sees(self, client: Any, request: Request) -> bool:
        """Whether the model takes pictures; asked once for each, when there are some."""
        model = request.model or self.model
        if not any(message.images for message in request.messages):
            return False
        if model not in self._see:
            try:
                shown = await client.show(model)
            except self._failures:
                return False  # an old server; if there is none, the chat will tell
            self._see[model] = "vision" in (shown.capabilities or ())
        return self._see[model]

    def _body(self, request: Request, *, sees: bool) -> dict[str, Any]:
        options: dict[str, Any] = {"num_ctx": self.context_tokens}
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.max_output_tokens:
            options["num_predict"] = request.max_output_tokens
        return {
            "model": request.model or self.model,
            "messages": _messages(request, sees=sees),
            "tools": _tools(request),
            "options": options,
            "stream": True,
        }


def _imported(*names: str) -> list[Any]:
    return [import_module(name) for name in names]


def _offered(request: Request) -> tuple[Tool, ...]:
    match request.tool_choice.mode:
        case ToolMode.NONE:
            return ()
        case ToolMode.FUNCTION:
            return tuple(tool for tool in request.tools if tool.name == request.tool_choice.name)
        case _:
            return request.tools


def _tools(request: Request) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": json.loads(tool.parameters_json),
            },
        }
        for tool in _offered(request)
    ]


def _messages(request: Request, *, sees: bool) -> list[dict[str, Any]]:
    messages = prompt.conversation(request, sees=sees)
    names = {call.call_id: call.name for message in messages for call in message.tool_calls}
    made = [_message(message, names) for message in messages]
    if request.tool_choice.mode in (ToolMode.REQUIRED, ToolMode.FUNCTION) and _offered(request):
        made.append({"role": "system", "content": MUST_CALL})
    return made


def _message(message: Message, names: dict[str, str]) -> dict[str, Any]:
    if message.role is Role.TOOL:
        return {"role": "tool", "tool_name": names[message.call_id], "content": message.text}
    made: dict[str, Any] = {"role": message.role.value, "content": message.text}
    if message.images:
        made["images"] = [image.url.partition(",")[2] for image in message.images]
    if message.tool_calls:
        made["tool_calls"] = [
            {"function": {"name": call.name, "arguments": prompt.arguments(call.arguments_json)}}
            for call in message.tool_calls
        ]
    return made
