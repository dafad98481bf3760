"""A tier as it is, with an engine of fixed delay.

    python -m bench.fixed_tiers stt

Prints its port. It ends when standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import uvloop

import llm_orchestrator.app
import llm_orchestrator.config
import stt_service.app
import stt_service.config
import tts_service.app
import tts_service.config
from bench.fixed_engines import ANSWER, FixedEar, FixedVoice, FixedWriter, repeated
from llm_orchestrator.providers import Providers
from mesh import log
from mesh.chain import Chain
from mesh.serve import Server, run

STREAMS = 1000
THREADS = 64  # that sleep: with fewer, engines would wait for each other


def stt() -> AbstractAsyncContextManager[Server]:
    config = stt_service.config.Config(port=0, max_streams=STREAMS)
    return stt_service.app.running(config, chain=Chain({"fixed": FixedEar(THREADS)}))


def tts() -> AbstractAsyncContextManager[Server]:
    config = tts_service.config.Config(
        port=0, max_streams=STREAMS, threads=THREADS, max_waiting=STREAMS
    )
    return tts_service.app.running(config, chain=Chain({"fixed": FixedVoice()}))


@asynccontextmanager
async def llm(answer: Sequence[str] = ANSWER) -> AsyncIterator[Server]:
    config = llm_orchestrator.config.Config(port=0, max_streams=STREAMS)
    providers = Providers({"fixed": FixedWriter(answer)})
    async with llm_orchestrator.app.running(config, providers) as server:
        await server.ready()
        yield server


TIERS = {"stt": stt, "tts": tts, "llm": llm}


async def until_input_ends(server: Server) -> None:
    print(server.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tier", choices=TIERS)
    parser.add_argument("--repeats", type=int, default=1, help="how often the answer is said")
    given = parser.parse_args()
    log.setup(given.tier, "WARNING")
    tier = llm(repeated(ANSWER, given.repeats)) if given.tier == "llm" else TIERS[given.tier]()
    uvloop.run(run(tier, "127.0.0.1", 0, until=until_input_ends))


if __name__ == "__main__":
    main()
