"""Providers on loopback: OpenAI's API under /v1, Groq's under /openai/v1, Ollama's under /api.

async with ProviderServer(model) as server:
    OpenAiEngine(Config(openai_base_url=f"{server.url}/v1"))
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

from aiohttp import web

from llm_orchestrator.engine import Finish, ToolCall
from llm_orchestrator.engines.ollama import MUST_CALL
from tests.fakes.llm import ENDLESS_EVERY_S, MORE, STATUSES, Fault, Model

MODELS = ("alpha", "beta", "whisper-large")

_CHAT_FINISHES = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.CONTENT_FILTER: "content_filter",
}


class ProviderServer:
    def __init__(self, model: Model, models: tuple[str, ...] = MODELS) -> None:
        self.model, self.models = model, models
        self.bodies: list[dict[str, Any]] = []
        """What was posted, in order."""

        self.refuse: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda body: None
        """What is wrong with a body, as `error` of a 400 or its own `status`; None if nothing."""

        self.capabilities = ("completion",)
        """Of every Ollama model; none if the server cannot tell."""

        self.shown = 0

        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> ProviderServer:
        app = web.Application()
        for base in ("/v1", "/openai/v1"):
            app.router.add_post(f"{base}/chat/completions", self._chat_completions)
            app.router.add_get(f"{base}/models", self._list)
        app.router.add_post("/api/chat", self._ollama_chat)
        app.router.add_get("/api/tags", self._ollama_tags)
        app.router.add_post("/api/show", self._ollama_show)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        )

    async def _ollama_tags(self, request: web.Request) -> web.Response:
        return web.json_response({"models": [{"model": name} for name in self.models]})

    async def _ollama_show(self, request: web.Request) -> web.Response:
        self.shown += 1
        if not self.capabilities:
            return web.json_response({"error": "old"}, status=404)
        return web.json_response({"capabilities": self.capabilities, "model_info": {}})

    async def _chat_completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        calls = self.model.calls_for(
            offered=bool(body.get("tools")) and body.get("tool_choice") != "none",
            forced=body.get("tool_choice") not in (None, "auto", "none"),
        )
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        groq = request.path.startswith("/openai/")
        chunks = self._chunks(calls, limit, groq=groq)
        return await self._stream(request, body, chunks, frame=_event)

    async def _ollama_chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        calls = self.model.calls_for(
            offered=bool(body.get("tools")),
            forced=body["messages"][-1].get("content") == MUST_CALL,
        )
        parts = self._parts(calls, body.get("options", {}).get("num_predict", 0))
        return await self._stream(request, body, parts, frame=_line)

    async def _stream(
        self,
        request: web.Request,
        body: dict[str, Any],
        messages: AsyncIterator[dict[str, Any] | bytes],
        *,
        frame: Any,
    ) -> web.StreamResponse:
        """Send the messages, each in its frame; bytes go as they are, b"" resets."""
        self.bodies.append(body)
        self.model.asked += 1
        if wrong := self.refuse(body):
            return web.json_response({"error": wrong}, status=wrong.get("status", 400))
        fault = self.model.reply.fault
        if fault in STATUSES:
            headers = {"Retry-After": "7"} if fault is Fault.LIMITED else {}
            error = {"error": {"message": f"about {json.dumps(body)}", "type": "some_error"}}
            return web.json_response(error, status=STATUSES[fault], headers=headers)
        if fault is Fault.PAGE:
            page = "<html><body>Please log in.\n\ndata: nothing</body></html>"
            return web.Response(text=page, content_type="text/html")
        if fault is Fault.PLAIN:
            return web.json_response({"error": {"message": "the model is loading"}})
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            async for message in messages:
                if message == b"":
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                await response.write(message if isinstance(message, bytes) else frame(message))
        except (asyncio.CancelledError, ConnectionResetError):
            self.model.hung_up.set()
            raise
        return response

    async def _text(self, pieces: list[str]) -> AsyncIterator[str | bytes | None]:
        """The pieces, then None; what a fault does instead comes as bytes or ends it."""
        reply = self.model.reply
        for i in range(len(pieces) + 1):
            if reply.fault and i == min(reply.pieces_first, len(pieces)):
                async for instead in self._instead(reply.fault):
                    yield instead
                if reply.fault is not Fault.STALL:
                    return
            yield pieces[i] if i < len(pieces) else None

    async def _instead(self, fault: Fault) -> AsyncIterator[str | bytes]:
        match fault:
            case Fault.STALL:
                await self.model.stall()
            case Fault.CUT:
                yield b""
            case Fault.GARBAGE:
                yield b'data: {"choices": 7\n\n{]\n'
            case Fault.ENDLESS:
                while True:
                    yield MORE
                    await asyncio.sleep(ENDLESS_EVERY_S)
            case _:
                return

    def _limited(self, calls: tuple[ToolCall, ...], limit: int) -> tuple[list[str], Finish]:
        pieces = [] if calls else self.model.reply.pieces
        cut = 0 < limit < len(pieces)
        return (pieces[:limit], Finish.LENGTH) if cut else (pieces, self.model.reply.finish)

    async def _chunks(
        self, calls: tuple[ToolCall, ...], limit: int, *, groq: bool
    ) -> AsyncIterator[dict[str, Any] | bytes]:
        pieces, finish = self._limited(calls, limit)
        yield _chunk({"role": "assistant", "content": ""})
        async for piece in self._text(pieces):
            if isinstance(piece, bytes):
                yield piece
            elif piece is not None:
                yield _chunk({"content": piece})
            else:
                break
        else:
            return
        for delta in _call_deltas(calls):
            yield _chunk({"tool_calls": [delta]})
        reason = "tool_calls" if calls else _CHAT_FINISHES[finish]
        usage = self._usage()
        yield _chunk({}, reason) | ({"x_groq": {"id": "req_1", "usage": usage}} if groq else {})
        if not groq:
            yield _chunk(None) | {"usage": usage}
        yield b"data: [DONE]\n\n"

    def _usage(self) -> dict[str, Any]:
        usage = self.model.reply.usage
        return {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        }

    async def _parts(
        self, calls: tuple[ToolCall, ...], limit: int
    ) -> AsyncIterator[dict[str, Any] | bytes]:
        pieces, finish = self._limited(calls, limit)
        async for piece in self._text(pieces):
            if isinstance(piece, bytes):
                yield piece
            elif piece is not None:
                yield _part({"content": piece})
            else:
                break
        else:
            return
        for call in calls:
            made = {"name": call.name, "arguments": json.loads(call.arguments_json)}
            yield _part({"content": "", "tool_calls": [{"function": made}]})
        usage = self.model.reply.usage
        yield _part({"content": ""}) | {
            "done": True,
            "done_reason": "length" if finish is Finish.LENGTH else "stop",
            "prompt_eval_count": usage.input_tokens,
            "eval_count": usage.output_tokens,
        }


def _event(message: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(message)}\n\n".encode()


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _chunk(delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "alpha",
        "choices": choices,
    }


def _part(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": "alpha",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", **message},
        "done": False,
    }


def _call_deltas(calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    """Name and id first, the arguments in two parts; the calls interleaved as OpenAI may."""
    heads = [
        {"index": i, "id": c.call_id, "type": "function",
         "function": {"name": c.name, "arguments": ""}}
        for i, c in enumerate(calls)
    ]  # fmt: skip
    halves = [
        {"index": i, "function": {"arguments": part}}
        for half in (slice(0, 8), slice(8, None))
        for i, c in enumerate(calls)
        if (part := c.arguments_json[half])
    ]
    return heads + halves
