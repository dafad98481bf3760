"""What one stream says, over real gRPC and real voice activity detection."""

import asyncio
import itertools

import grpc
import pytest

from mesh.audio import n_samples
from mesh.chain import Chain
from mesh.errors import Overloaded
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from stt_service.endpointing import Settings
from stt_service.engine import How
from stt_service.listener import Wishes
from stt_service.stream import Opening, Stream
from stt_service.vad import Silero
from stt_service.worker import Worker
from tests.calls import failure_of
from tests.e2e.speech import recording
from tests.fakes.stt import FakeEngine
from tests.unit.stt_service.tier import MANUAL, PCM24, RATE_HZ, serving

INVALID = grpc.StatusCode.INVALID_ARGUMENT
TENTH = bytes(2 * RATE_HZ // 10)
SECOND = 10 * TENTH
SPEECH = recording("what_is_the_weather_in_paris")
SPOKEN = SPEECH[: len(SPEECH) - 7 * len(TENTH)]  # ends in mid-speech, or right behind it
VAD = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_SERVER_VAD)


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
async def tier(engine):
    async with serving(fake=engine) as tier:
        yield tier


async def test_speech_is_found_and_transcribed(tier):
    client = await tier.client_at()
    await client.hear(SPEECH)
    final = await client.final()
    assert client.kinds == ["ready", "speech_started", "speech_stopped", "final"]
    [started], [stopped] = client.all("speech_started"), client.all("speech_stopped")
    assert started.utterance_id == stopped.utterance_id == final.utterance_id != ""
    assert (final.start_sample, final.end_sample) == (started.start_sample, stopped.end_sample)
    heard_s = (final.end_sample - final.start_sample) / RATE_HZ
    assert final.text == f"{round(heard_s * 10)} tenths"
    assert final.stable_chars == len(final.text)
    assert final.usage.input_audio_samples == final.end_sample - final.start_sample
    assert 0.15 < started.start_sample / RATE_HZ < 0.35  # it is spoken at 0.5 s, less 0.3
    assert 2.1 < stopped.end_sample / RATE_HZ < 2.5  # until 2.0 s, and 0.2 of silence


async def test_positions_count_from_the_first_sample_of_the_session(tier):
    plain, resumed = await tier.client_at(), await tier.client_at(first_sample=1_000_000)
    for client in (plain, resumed):
        await client.hear(SPEECH)
    one, other = await plain.final(), await resumed.final()
    assert other.start_sample - one.start_sample == 1_000_000
    assert other.end_sample - one.end_sample == 1_000_000
    assert (await resumed.finish()).usage.input_audio_samples == n_samples(SPEECH)


async def test_utterances_follow_each_other(tier):
    client = await tier.client_at()
    await client.hear(SPEECH * 3)
    await client.finish()
    assert (client.kinds[0], client.kinds[-1]) == ("ready", "finished")
    finals = [t for t in client.all("transcript") if t.is_final]
    ids = [t.utterance_id for t in finals]
    assert len(set(ids)) == 3
    for kind in ("speech_started", "speech_stopped"):
        assert [news.utterance_id for news in client.all(kind)] == ids
    for one, other in itertools.pairwise(finals):
        assert one.end_sample <= other.start_sample


async def test_an_utterance_is_heard_while_the_last_one_waits_for_its_text(tier, engine):
    engine.may_finish.clear()
    client = await tier.client_at()
    await client.hear(SPEECH * 2)
    ids = []
    while len(ids) < 2:
        ids.append((await client.until("speech_stopped")).utterance_id)
    engine.may_finish.set()
    assert [(await client.final()).utterance_id for _ in ids] == ids


async def test_interim_transcripts_come_if_they_are_asked_for(tier):
    client = await tier.client_at(interim_results=True)
    await client.hear(SPOKEN[: 15 * len(TENTH)])
    guess = await client.until("transcript")
    assert (guess.is_final, guess.stable_chars, guess.revision) == (False, 0, 1)
    await client.hear(SPEECH[15 * len(TENTH) :])
    final = await client.final()
    guesses = [t for t in client.all("transcript") if not t.is_final]
    assert [t.revision for t in (*guesses, final)] == list(range(1, len(guesses) + 2))
    assert {t.utterance_id for t in guesses} == {final.utterance_id}


async def test_no_interim_transcripts_come_unless_they_are_asked_for(tier):
    client = await tier.client_at(interim_results=True)
    await client.update(interim_results=False)
    await client.hear(SPOKEN[: 15 * len(TENTH)])
    await client.until("ack", lambda ack: ack.received_until_sample > RATE_HZ)
    await client.hear(SPEECH[15 * len(TENTH) :])
    await client.final()
    assert len(client.all("transcript")) == 1


async def test_only_the_client_commits_in_manual_mode(tier):
    client = await tier.client_at(endpointing=MANUAL)
    await client.hear(SPEECH)
    await client.commit("item_1")
    final = await client.final()
    assert (final.utterance_id, final.text) == ("item_1", "28 tenths")
    assert (final.start_sample, final.end_sample) == (0, n_samples(SPEECH))
    await client.hear(SPEECH)
    await client.finish()
    assert client.kinds == ["ready", "final", "finished"]  # the second was never committed


async def test_a_commit_in_mid_speech_replaces_its_end(tier):
    client = await tier.client_at()
    await client.hear(SPOKEN[: len(SPOKEN) // 2])
    await client.until("speech_started")
    await client.commit("item_1")
    final = await client.final()
    assert final.utterance_id == "item_1"
    assert final.end_sample == n_samples(SPOKEN[: len(SPOKEN) // 2])
    assert "speech_stopped" not in client.kinds


async def test_a_commit_without_an_id_keeps_the_one_of_the_speech(tier):
    client = await tier.client_at()
    await client.hear(SPOKEN)
    started = await client.until("speech_started")
    await client.commit()
    assert (await client.final()).utterance_id == started.utterance_id


async def test_a_commit_without_speech_takes_what_was_sent(tier):
    client = await tier.client_at()
    await client.hear(SECOND)
    await client.commit("quiet")
    final = await client.final()
    assert (final.text, final.start_sample, final.end_sample) == ("10 tenths", 0, RATE_HZ)


async def test_a_commit_of_nothing_is_an_empty_transcript(tier):
    client = await tier.client_at(endpointing=MANUAL)
    await client.commit("none")
    assert (await client.final()).text == ""


async def test_a_clear_drops_what_is_not_committed(tier, engine):
    client = await tier.client_at(endpointing=MANUAL)
    await client.hear(SECOND)
    await client.clear()
    await client.hear(TENTH)
    await client.commit("item_1")
    final = await client.final()
    assert (final.text, final.start_sample) == ("1 tenths", RATE_HZ)
    await client.finish()
    assert engine.closed == len(engine.asked) == 2


async def test_a_clear_in_mid_speech_drops_it_without_an_end(tier):
    client = await tier.client_at()
    await client.hear(SPOKEN)
    await client.until("speech_started")
    await client.clear()
    await client.hear(SECOND)
    await client.finish()
    assert client.kinds == ["ready", "speech_started", "finished"]


async def test_settings_change_in_flight(tier, engine):
    client = await tier.client_at(endpointing=MANUAL)
    await client.hear(SPEECH)
    await client.update(
        endpointing=VAD, recognition=pb.RecognitionConfig(language_code="en", prompt="Paris")
    )
    await client.hear(SPEECH)
    await client.final()
    assert client.kinds == ["ready", "speech_started", "speech_stopped", "final"]
    assert [how.prompt for how in engine.asked] == ["", "Paris"]


async def test_a_switch_to_manual_leaves_speech_for_the_client_to_commit(tier):
    client = await tier.client_at()
    await client.hear(SPOKEN)
    started = await client.until("speech_started")
    await client.update(endpointing=MANUAL)
    await client.hear(SECOND)
    await client.commit("item_1")
    final = await client.final()
    assert (final.utterance_id, final.start_sample) == ("item_1", started.start_sample)
    assert "speech_stopped" not in client.kinds


async def test_an_update_that_makes_no_sense_changes_nothing(tier):
    client = await tier.client_at(endpointing=MANUAL)
    await client.update(endpointing=pb.EndpointingConfig(threshold=7), interim_results=True)
    error = await client.until("error")
    assert (error.code, error.param) == (
        common_pb2.ERROR_CODE_INVALID_REQUEST, "endpointing.threshold"
    )  # fmt: skip
    await client.update(recognition=pb.RecognitionConfig(model="whisper-9"))
    assert (await client.until("error")).param == "recognition.model"
    await client.hear(TENTH)
    await client.commit("still")
    assert (await client.final()).text == "1 tenths"


async def test_repeated_audio_is_skipped(tier):
    client = await tier.client_at(endpointing=MANUAL)
    await client.hear(TENTH * 3)
    await client.chunk(TENTH * 2, RATE_HZ // 10)  # all of it is known
    await client.chunk(TENTH * 2, RATE_HZ * 2 // 10)  # half of it is
    await client.commit("item_1")
    final = await client.final()
    assert (final.text, final.end_sample) == ("4 tenths", RATE_HZ * 4 // 10)


@pytest.mark.parametrize(
    ("pcm", "first_sample", "param"),
    [
        (TENTH, 1, "audio.first_sample"),
        (bytes((64 << 10) + 2), 0, "audio.data"),
        (bytes(3), 0, "audio.data"),
    ],
)
async def test_audio_that_breaks_the_protocol_ends_the_stream(tier, pcm, first_sample, param):
    client = await tier.client_at()
    await client.chunk(pcm, first_sample)
    assert await failure_of(client.call) == (INVALID, param)


async def test_what_breaks_the_protocol_right_after_the_config_is_told_too(tier):
    for _ in range(10):  # the answer to the config may still be on its way
        client = tier.client()
        config = pb.StreamingRecognitionConfig(audio_format=PCM24)
        await client.call.write(pb.StreamingRecognizeRequest(config=config))
        await client.call.write(pb.StreamingRecognizeRequest(audio={"data": bytes(3)}))
        assert await failure_of(client.call) == (INVALID, "audio.data")


async def test_acknowledgements_come_every_second_and_give_credit(tier):
    client = await tier.client_at()
    await client.hear(SECOND * 5)
    await client.finish()
    acks = client.all("ack")
    read = [0, *(ack.received_until_sample for ack in acks)]
    assert read[-1] > 4 * RATE_HZ
    assert max(b - a for a, b in itertools.pairwise(read)) <= RATE_HZ
    for ack in acks:
        assert ack.credit.allowed_until_sample > ack.received_until_sample
        # Silence need not be replayed, but for the padding and what is being looked at.
        assert ack.received_until_sample - ack.replay_from_sample < RATE_HZ // 2


async def test_what_has_no_transcript_yet_is_to_be_replayed(tier, engine):
    engine.may_finish.clear()
    client = await tier.client_at()
    await client.hear(SPEECH + SECOND * 2)
    started = await client.until("speech_started")
    await client.until("speech_stopped")
    ack = await client.until("ack", lambda ack: ack.received_until_sample > 4 * RATE_HZ)
    assert ack.replay_from_sample == started.start_sample
    engine.may_finish.set()
    final = await client.final()
    ack = await client.until("ack")  # at once, not after the next half second
    assert ack.replay_from_sample >= final.end_sample


async def test_in_manual_mode_all_since_the_last_commit_is_to_be_replayed(tier):
    client = await tier.client_at(endpointing=MANUAL)
    await client.hear(SECOND * 2)
    assert (await client.until("ack")).replay_from_sample == 0
    await client.commit("item_1")
    await client.final()
    assert (await client.until("ack")).replay_from_sample == 2 * RATE_HZ


async def test_finish_ends_the_speech_being_heard(tier):
    client = await tier.client_at()
    await client.hear(SPOKEN)
    finished = await client.finish()
    assert client.kinds == ["ready", "speech_started", "speech_stopped", "final", "finished"]
    assert client.all("speech_stopped")[0].end_sample <= n_samples(SPOKEN)
    assert finished.usage.input_audio_samples == n_samples(SPOKEN)
    assert await client.call.code() == grpc.StatusCode.OK


async def test_finish_with_discard_drops_what_has_no_transcript(tier, engine):
    engine.may_finish.clear()
    client = await tier.client_at()
    await client.hear(SPEECH + SPOKEN)
    await client.until("speech_stopped")
    await client.finish(discard=True)
    engine.may_finish.set()
    assert "final" not in client.kinds
    assert await client.call.code() == grpc.StatusCode.OK


async def test_a_failing_engine_is_tried_twice_and_the_utterance_then_fails():
    async with serving(fake=FakeEngine(failures=3)) as tier:
        client = await tier.client_at(endpointing=MANUAL)
        for name in ("one", "two"):
            await client.hear(TENTH)
            await client.commit(name)
        failed = await client.until("utterance_failed")
        assert failed.utterance_id == "one"
        assert failed.error.code == common_pb2.ERROR_CODE_INTERNAL
        assert (await client.final()).utterance_id == "two"  # the third failure was retried
        await client.finish()


async def test_the_next_engine_hears_what_the_first_failed_on():
    engines = {"one": FakeEngine(failures=1), "other": FakeEngine(model="other")}
    async with serving(**engines) as tier:
        client = await tier.client_at(endpointing=MANUAL)
        await client.hear(SECOND)
        await client.commit("item_1")
        assert (await client.final()).text == "10 tenths"
        assert len(engines["other"].asked) == 1


async def test_a_language_that_nobody_knows_fails_the_utterance_not_the_stream():
    async with serving(fake=FakeEngine(languages=("en-US",))) as tier:
        client = await tier.client_at(
            endpointing=MANUAL, recognition=pb.RecognitionConfig(language_code="fr-FR")
        )
        await client.hear(SECOND)
        await client.commit("item_1")
        failed = await client.until("utterance_failed")
        assert failed.error.param == "recognition.language_code"
        await client.update(recognition=pb.RecognitionConfig(language_code="en-GB"))
        await client.hear(TENTH)
        await client.commit("item_2")
        assert (await client.final()).text == "1 tenths"


async def test_a_client_that_goes_away_leaves_nothing_behind(tier, engine):
    client = await tier.client_at(endpointing=MANUAL)
    await client.hear(SECOND)
    await client.until("ack")
    client.call.cancel()
    again = await tier.client_at(endpointing=MANUAL)
    await again.hear(TENTH)
    await again.commit("item_1")
    await again.final()
    await again.finish()
    assert engine.closed == len(engine.asked) == 2


class NeverRead:
    """The context of a call whose client reads nothing."""

    async def send_initial_metadata(self, metadata) -> None:
        pass

    async def write(self, response) -> None:
        await asyncio.Event().wait()


async def test_a_client_that_does_not_read_is_hung_up_on(engine):
    async def requests():
        wrong = pb.EndpointingConfig(threshold=7)
        while True:
            yield pb.StreamingRecognizeRequest(update=pb.RecognitionUpdate(endpointing=wrong))
            await asyncio.sleep(0)

    worker = Worker(Chain({"fake": engine}), Silero(), max_waiting=1)
    wishes = Wishes(settings=Settings(), how=How())
    opening = Opening(worker_id="w", model="fake", wishes=wishes, rate_hz=RATE_HZ, first_sample=0)
    with pytest.raises(Overloaded, match="does not read"):
        await Stream(worker, opening, requests(), NeverRead()).run(asyncio.Event(), 1.0)
    await worker.close()
