"""What holds connections and does nothing else: the measure for those that do more.

    python -m bench.bare_server

Prints its port. It ends when standard input does.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

GREETING = '{"type":"session.created","session":"' + "x" * 1800 + '"}'  # as long as ours


async def realtime(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=False, writer_limit=16384)
    await ws.prepare(request)
    await ws.send_str(GREETING)
    async for _ in ws:
        await ws.send_str('{"type":"input_audio_buffer.cleared"}')
    return ws


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/v1/realtime", realtime)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
