"""Turns of people who stop to think, with the engine and the voice activity that we run.

All times are those of the audio, which is sent as fast as it goes."""

import pytest

from mesh.audio import n_samples, resample
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import pauses
from stt_service.config import Config
from stt_service.engine import RATE_HZ as AT_16K
from stt_service.engine import How
from stt_service.engines.pocketsphinx import PocketSphinx
from tests.e2e.speech import recording
from tests.unit.stt_service.tier import RATE_HZ, TIMEOUT_S, serving

SPEECH = recording("what_is_the_weather_in_paris")
SAID = "what is the weather in paris"
SECOND = bytes(2 * RATE_HZ)
SEMANTIC = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_SEMANTIC_VAD)
SERVER = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_SERVER_VAD)
TOLERANCE_S = 0.1  # of Silero, for where a pause begins


class Shared(PocketSphinx):
    """Not closed with the tier that it serves."""

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def engine():
    engine = Shared(Config(pocketsphinx_decoders=2))
    yield engine
    PocketSphinx.close(engine)


@pytest.fixture
async def tier(engine, monkeypatch):
    # Not what is tested here; on a machine with much to do an engine gets on slowly.
    monkeypatch.setattr(pauses, "PATIENCE_S", TIMEOUT_S / 2)
    async with serving(sphinx=engine) as tier:
        yield tier


@pytest.fixture(scope="module")
def ends_s(engine) -> dict[str, float]:
    """Where in SPEECH each word ends."""
    recognizer = engine.ear().recognizer(How(word_timestamps=True))
    recognizer.feed(resample(SPEECH, RATE_HZ, AT_16K))
    heard = recognizer.finish()
    recognizer.close()
    return {word.text: word.end_sample / AT_16K for word in heard.words}


def split(ends_s: dict[str, float], word: str) -> tuple[bytes, bytes]:
    """SPEECH up to the end of a word, and the rest of it."""
    at = round(ends_s[word] * RATE_HZ) * 2
    return SPEECH[:at], SPEECH[at:]


async def turns(tier, pcm: bytes, endpointing=SEMANTIC, frame_ms: int = 20, **config):
    """Finals, and where speech stopped in seconds."""
    client = await tier.client_at(endpointing=endpointing, **config)
    await client.hear(pcm, frame_ms)
    await client.finish()
    finals = [t for t in client.all("transcript") if t.is_final]
    assert len(finals) == len(client.all("transcript"))  # nobody asked for interim ones
    stops_s = [stopped.end_sample / RATE_HZ for stopped in client.all("speech_stopped")]
    return [t.text for t in finals], stops_s


@pytest.mark.parametrize("frame_ms", [20, 400])
async def test_a_whole_question_ends_soon(tier, ends_s, frame_ms):
    texts, stops_s = await turns(tier, SPEECH + 3 * SECOND, frame_ms=frame_ms)
    assert texts == [SAID]
    assert stops_s == [pytest.approx(ends_s["paris"] + 0.4, abs=TOLERANCE_S)]


async def test_half_a_question_waits_and_a_speaker_who_goes_on_is_heard_in_one(tier, ends_s):
    half, rest = split(ends_s, "the")
    texts, stops_s = await turns(tier, half + 2 * SECOND + rest + 3 * SECOND)
    assert texts == [SAID]
    assert stops_s == [pytest.approx(ends_s["paris"] + 2.4, abs=TOLERANCE_S)]
    texts, _ = await turns(tier, half + 2 * SECOND + rest + 3 * SECOND, SERVER)
    assert len(texts) == 2  # what the pause does without its meaning


@pytest.mark.parametrize(
    ("eagerness", "wait_s"),
    [(pb.EAGERNESS_HIGH, 2), (pb.EAGERNESS_UNSPECIFIED, 4)],
)
async def test_half_a_question_ends_when_the_speaker_never_goes_on(tier, ends_s, eagerness, wait_s):
    half, _ = split(ends_s, "the")
    endpointing = pb.EndpointingConfig(mode=SEMANTIC.mode, eagerness=eagerness)
    texts, stops_s = await turns(tier, half + (wait_s + 1) * SECOND, endpointing)
    assert texts == ["what is the"]
    assert stops_s == [pytest.approx(ends_s["the"] + wait_s, abs=TOLERANCE_S)]


async def test_from_server_to_semantic_detection_in_mid_speech(tier, ends_s):
    half, rest = split(ends_s, "the")
    client = await tier.client_at(endpointing=SERVER)
    await client.hear(half)
    await client.until("speech_started")
    await client.update(endpointing=SEMANTIC)
    await client.hear(2 * SECOND + rest + SECOND)
    assert (await client.final()).text == SAID
    assert client.kinds == ["ready", "speech_started", "speech_stopped", "final"]


async def test_a_turn_that_the_client_takes_over_is_not_said_to_stop(tier, ends_s):
    half, rest = split(ends_s, "the")
    client = await tier.client_at(endpointing=SEMANTIC)
    await client.hear(half + SECOND)
    started = await client.until("speech_started")
    await client.update(endpointing=pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_MANUAL))
    await client.hear(rest)
    await client.commit()
    final = await client.final()
    assert (final.text, final.start_sample) == (SAID, started.start_sample)
    assert final.end_sample == n_samples(SPEECH + SECOND)
    assert "speech_stopped" not in client.kinds
