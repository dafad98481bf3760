"""A language model that knows one answer: OpenAI's API, on loopback.

Asked to go on with what it wrote, it begins behind that: what it is shown last of its own is
the beginning of its answer, as `llm_orchestrator/continuation.py` sends it.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any, Self

from aiohttp import web

ANSWER = (
    "The old harbour lies below the town. Every morning the boats come back before the sun is up."
    " The men carry their baskets to the market and talk about the weather."
    " Behind the market there is a narrow street with seven small shops."
    " In the last one an old woman sells bread and yellow flowers."
    " Her grandson plays on the stairs with a white dog."
    " When the bells ring at noon the street is empty again."
)


class OneAnswer:
    """`async with OneAnswer(0.04) as llm`: a server at `llm.url`."""

    def __init__(self, pause_s: float = 0.0, text: str = ANSWER, *, first_s: float = 0.0) -> None:
        """
        Args:
            pause_s: Between one word and the next.
            first_s: Until the first one.
        """
        self._pause_s, self._text, self._first_s = pause_s, text, first_s
        self._runner: web.AppRunner
        self.url = ""
        self.continued = 0
        """How often it was asked to go on."""
        self.open: set[str] = set()
        """Questions that are being answered."""
        self.ended_s: dict[str, float] = {}
        """When the answer to a question ended, or was hung up on."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "alpha", "object": "model"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked = [_text_of(m) for m in body["messages"] if m["role"] == "user"]
        question = asked[-1] if asked else ""
        self.open.add(question)
        try:
            return await self._answer(request, self._text[self._written(body["messages"]) :])
        finally:
            self.open.discard(question)
            self.ended_s[question] = time.monotonic()

    async def _answer(self, request: web.Request, rest: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with suppress(ConnectionResetError):  # who asked has hung up
            await response.prepare(request)
            await asyncio.sleep(self._first_s)
            for piece in _words(rest):
                await response.write(_chunk({"content": piece}, None))
                await asyncio.sleep(self._pause_s)
            await response.write(_chunk({}, "stop"))
            await response.write(b"data: [DONE]\n\n")
        return response

    def _written(self, messages: list[dict[str, Any]]) -> int:
        """How many characters of the answer are there already."""
        last = [_text_of(m) for m in messages if m["role"] == "assistant"][-1:]
        for text in last:
            if text and self._text.startswith(text) and text != self._text:
                self.continued += 1
                return len(text)
        return 0


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content)


def _words(text: str) -> list[str]:
    """Word by word, each with the space before it."""
    parts = text.split(" ")
    return [part if n == 0 else f" {part}" for n, part in enumerate(parts) if part or n]


def _chunk(delta: dict[str, Any], finish: str | None) -> bytes:
    message = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "alpha",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return f"data: {json.dumps(message)}\n\n".encode()
