"""The STT tier over real gRPC, and a client that talks to it as the gateway does."""

import asyncio
from contextlib import asynccontextmanager

import grpc

from mesh.chain import Chain
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from ovos.stt.v1 import stt_pb2_grpc
from stt_service.app import running
from stt_service.config import Config

RATE_HZ = 24_000
TENANT = (("x-tenant-id", "acme"), ("x-session-id", "sess_1"))
PCM24 = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ, channels=1
)
MANUAL = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_MANUAL)
TIMEOUT_S = 30


@asynccontextmanager
async def serving(config: Config | None = None, **engines):
    config = config or Config(port=0, drain_s=5.0)
    async with (
        running(config, Chain(engines)) as server,
        grpc.aio.insecure_channel(f"{server.host}:{server.port}") as channel,
    ):
        tier = Tier(server, channel)
        try:
            yield tier
        finally:
            for client in tier.clients:
                client.call.cancel()  # or the server waits for them to end


class Tier:
    def __init__(self, server, channel) -> None:
        self.server = server
        self.stub = stt_pb2_grpc.SttServiceStub(channel)
        self.clients: list[Client] = []

    def client(self, metadata=TENANT) -> "Client":
        self.clients.append(Client(self.stub.StreamingRecognize(metadata=metadata)))
        return self.clients[-1]

    async def client_at(self, first_sample: int = 0, **config) -> "Client":
        """A client whose stream is open."""
        client = self.client()
        await client.open(resume_from_sample=first_sample, **config)
        return client


class Client:
    """One StreamingRecognize call, as the gateway makes it."""

    def __init__(self, call) -> None:
        self.call = call
        self.sample = 0
        self.got: list = []

    async def open(self, **config) -> pb.RecognitionReady:
        config = {"audio_format": PCM24} | config
        self.sample = config.get("resume_from_sample", 0)
        await self.send(config=pb.StreamingRecognitionConfig(**config))
        return await self.until("ready")

    async def send(self, **payload) -> None:
        await self.call.write(pb.StreamingRecognizeRequest(**payload))

    async def hear(self, pcm: bytes, frame_ms: int = 100) -> None:
        """Send audio, as fast as it goes."""
        n_bytes = frame_ms * RATE_HZ // 1000 * 2
        for at in range(0, len(pcm), n_bytes):
            await self.chunk(pcm[at : at + n_bytes], self.sample)

    async def chunk(self, pcm: bytes, first_sample: int) -> None:
        await self.send(audio=common_pb2.AudioChunk(data=pcm, first_sample=first_sample))
        self.sample = first_sample + len(pcm) // 2

    async def commit(self, utterance_id: str = "") -> None:
        await self.send(commit=pb.CommitUtterance(utterance_id=utterance_id))

    async def clear(self) -> None:
        await self.send(clear=pb.ClearAudio())

    async def update(self, **update) -> None:
        await self.send(update=pb.RecognitionUpdate(**update))

    async def finish(self, *, discard: bool = False) -> pb.RecognitionFinished:
        await self.send(finish=pb.FinishRecognition(discard=discard))
        return await self.until("finished")

    async def until(self, kind: str, where=lambda message: True):
        """The next message of a kind; it and what came before it are in `got`."""
        async with asyncio.timeout(TIMEOUT_S):
            while (response := await self.call.read()) is not grpc.aio.EOF:
                self.got.append(response)
                message = getattr(response, kind)
                if response.WhichOneof("payload") == kind and where(message):
                    return message
        raise AssertionError(f"the stream ended before {kind}")

    async def final(self) -> pb.Transcript:
        return await self.until("transcript", lambda transcript: transcript.is_final)

    def all(self, kind: str) -> list:
        return [getattr(r, kind) for r in self.got if r.WhichOneof("payload") == kind]

    @property
    def kinds(self) -> list[str]:
        """What has come, without acknowledgements and interim transcripts."""
        return [
            "final" if kind == "transcript" else kind
            for response in self.got
            if (kind := response.WhichOneof("payload")) != "ack"
            and (kind != "transcript" or response.transcript.is_final)
        ]
