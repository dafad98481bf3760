"""The TTS tier over real gRPC, and a client that talks to it as the gateway does."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from mesh.chain import Chain
from ovos.common.v1 import common_pb2
from ovos.tts.v1 import tts_pb2 as pb
from ovos.tts.v1 import tts_pb2_grpc
from tests.fakes.tts import RATE_HZ
from tts_service.app import running
from tts_service.config import Config

TENANT = (("x-tenant-id", "acme"), ("x-session-id", "sess_1"))
PCM24 = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ, channels=1
)
PLENTY = common_pb2.FlowCredit(allowed_until_sample=10**9)
TIMEOUT_S = 30

PROTO = str(Path(tts_pb2_grpc.__file__).parents[3])
TALKS_FOREVER = """
import sys, grpc
from ovos.tts.v1 import tts_pb2 as pb, tts_pb2_grpc
audio_format = {"encoding": 1, "sample_rate_hz": 24000}
text = {"text": "This is a long sentence. And one more.", "sequence": 1}
requests = [
    pb.StreamingSynthesizeRequest(config={"audio_format": audio_format}),
    pb.StreamingSynthesizeRequest(text=text),
]
def endless():
    yield from requests
    while True:
        yield pb.StreamingSynthesizeRequest(flush={})
        __import__("time").sleep(1)
stub = tts_pb2_grpc.TtsServiceStub(grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}"))
for response in stub.StreamingSynthesize(endless(), metadata=[("x-tenant-id", "acme")]):
    pass
"""


@asynccontextmanager
async def serving(config: Config | None = None, **engines):
    config = config or Config(port=0)
    async with (
        running(config, Chain(engines)) as server,
        grpc.aio.insecure_channel(f"{server.host}:{server.port}") as channel,
    ):
        tier = Tier(channel)
        try:
            yield tier
        finally:
            for client in tier.clients:
                client.call.cancel()  # or the server waits for them to end


class Tier:
    def __init__(self, channel) -> None:
        self.stub = tts_pb2_grpc.TtsServiceStub(channel)
        self.clients: list[Client] = []

    def client(self, metadata=TENANT) -> "Client":
        self.clients.append(Client(self.stub.StreamingSynthesize(metadata=metadata)))
        return self.clients[-1]


class Client:
    """One StreamingSynthesize call, as the gateway makes it."""

    def __init__(self, call) -> None:
        self.call = call
        self._sequence = 0
        self.got: list = []

    async def open(self, **config) -> pb.SynthesisReady:
        config = {"audio_format": PCM24, "credit": PLENTY} | config
        await self.send(config=pb.StreamingSynthesisConfig(**config))
        return await self.until("ready")

    async def send(self, **payload) -> None:
        await self.call.write(pb.StreamingSynthesizeRequest(**payload))

    async def say(self, text: str) -> None:
        self._sequence += 1
        await self.send(text=pb.TextChunk(text=text, sequence=self._sequence))

    async def finish(self) -> None:
        await self.send(finish=pb.FinishSynthesis())

    async def cancel(self, cancel_id: str = "c1") -> pb.SynthesisCancelled:
        await self.send(cancel=pb.CancelSynthesis(cancel_id=cancel_id))
        return await self.until("cancelled")

    async def until(self, kind: str):
        """The next message of a kind; what came before it is in `got`."""
        async with asyncio.timeout(TIMEOUT_S):
            while (response := await self.call.read()) is not grpc.aio.EOF:
                self.got.append(response)
                if response.WhichOneof("payload") == kind:
                    return getattr(response, kind)
        raise AssertionError(f"the stream ended before {kind}")

    async def status(self) -> grpc.StatusCode:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.call.code()

    def all(self, kind: str) -> list:
        return [getattr(r, kind) for r in self.got if r.WhichOneof("payload") == kind]

    @property
    def pcm(self) -> bytes:
        return b"".join(audio.chunk.data for audio in self.all("audio"))
