"""A queue of turns on a real Redis, for tests of those who drain it."""

import asyncio
from contextlib import asynccontextmanager

from mesh.redis import connect
from mesh.turns import Turn, Turns
from ovos.stt.v1 import stt_pb2 as pb
from stt_service.waiting import Waiting
from tests.unit.stt_service.tier import MANUAL, PCM24, RATE_HZ

TENTH = bytes(2 * RATE_HZ // 10)
CONFIG = pb.SubmissionConfig(audio_format=PCM24, endpointing=MANUAL)


class Queue:
    def __init__(self, redis) -> None:
        self.redis, self.turns = redis, Turns(redis)

    async def put(self, id_="t1", tenant="acme", audio=TENTH, config=CONFIG, **fields) -> None:
        turn = Turn(
            tenant=tenant,
            id=id_,
            config=config.SerializeToString(),
            **{"patience_s": 60.0, **fields},
        )
        await self.turns.add(tenant, id_, 0, audio)
        await self.turns.put(turn)

    async def worker(self, name="w1", idle_ms=60_000) -> Waiting:
        worker = Waiting(self.redis, name, idle_ms=idle_ms)
        await worker.join()
        return worker

    async def over(self, id_="t1", tenant="acme") -> pb.TurnResult:
        """Its result, once there is one."""
        async with asyncio.timeout(20):
            while not (result := (await self.turns.look(tenant, id_)).result):
                await asyncio.sleep(0.01)
        return pb.TurnResult.FromString(result)


@asynccontextmanager
async def queue_at(url):
    redis = connect(url, timeout_s=5)
    try:
        yield Queue(redis)
    finally:
        await redis.aclose()


def done(text="words") -> pb.TurnResult:
    return pb.TurnResult(transcript=pb.Transcript(text=text, is_final=True))
