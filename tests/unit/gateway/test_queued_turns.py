"""The gateway's side of the queue, on a real Redis."""

from __future__ import annotations

import pytest

from gateway.queued_turns import MeshTurns, id_of, words_of
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from mesh import log as logs
from mesh.errors import Rejected, Unavailable, detail_of
from mesh.redis import connect
from mesh.turns import MOST_BYTES, PIECE_BYTES, QUEUED, STREAM, Turns, audio_key
from ovos.stt.v1 import stt_pb2 as pb

HOW = Listening(None, language="de")
SECOND = bytes(48_000)
DONE = pb.TurnResult(transcript=pb.Transcript(text="words", end_sample=24_000, is_final=True))


@pytest.fixture
async def redis(streams_url):
    redis = connect(streams_url, timeout_s=5)
    with logs.bound(tenant_id="acme", session_id="sess_1"):
        yield redis
    await redis.aclose()


async def test_an_utterance_is_queued_as_it_was_spoken(redis):
    turns = Turns(redis)
    queue = MeshTurns(turns, "ovos:gw:g1:in", 120).with_model("base.en")
    pcm = bytes(PIECE_BYTES + 100)
    with logs.bound(tenant_id="acme", session_id="sess_1"):
        assert await queue.put("u1", pcm, HOW) is None
    turn_id = id_of("acme", "sess_1", "u1")
    assert (await turns.look("acme", turn_id)).stage == QUEUED
    assert b"".join(await redis.lrange(audio_key(f"acme/{turn_id}"), 0, -1)) == pcm
    packed = await redis.hgetall(f"{{ovos:stt:turns}}:turn:acme/{turn_id}")
    assert (packed[b"session"], packed[b"utterance"]) == (b"sess_1", b"u1")
    assert packed[b"inbox"] == b"ovos:gw:g1:in"
    config = pb.SubmissionConfig.FromString(packed[b"config"])
    assert (config.recognition.model, config.recognition.language_code) == ("base.en", "de")
    assert config.endpointing.mode == pb.ENDPOINTING_MODE_MANUAL
    assert config.audio_format.sample_rate_hz == 24_000


async def test_an_utterance_has_one_place_in_the_queue(redis):
    with logs.bound(tenant_id="acme", session_id="sess_1"):
        for inbox in ("in 1", "in 2"):
            await MeshTurns(Turns(redis), inbox, 120).put("u1", SECOND, HOW)
    assert await redis.xlen(STREAM) == 1


async def test_what_is_known_already_is_told_at_once(redis):
    queue = MeshTurns(Turns(redis), "in", 120)
    with logs.bound(tenant_id="acme", session_id="sess_1"):
        await queue.put("u1", SECOND, HOW)
        key = f"{{ovos:stt:turns}}:turn:acme/{id_of('acme', 'sess_1', 'u1')}"
        fields = {"stage": "over", "result": DONE.SerializeToString()}
        await redis.hset(key, mapping=fields)
        assert await queue.put("u1", SECOND, HOW) == sig.Transcribed("u1", "words", 1000)


@pytest.mark.parametrize(("patience_s", "n_bytes"), [(0, 100), (120, MOST_BYTES + 2)])
async def test_what_may_not_wait_is_not_queued(redis, patience_s, n_bytes):
    with pytest.raises(Unavailable):
        await MeshTurns(Turns(redis), "in", patience_s).put("u1", bytes(n_bytes), HOW)
    assert await redis.xlen(STREAM) == 0


def test_other_names_are_other_turns():
    names = [("a", "s", "u"), ("b", "s", "u"), ("a", "t", "u"), ("a", "s", "v"), ("a", "su", "")]
    assert len({id_of(*each) for each in names}) == len(names)


def test_what_became_of_a_turn_is_told_as_of_any_utterance():
    failed = pb.TurnResult(error=detail_of(Rejected("no such language")))
    assert words_of("u1", DONE.SerializeToString()) == sig.Transcribed("u1", "words", 1000)
    said = words_of("u1", failed.SerializeToString())
    assert said == sig.NotTranscribed("u1", "no such language")
    assert isinstance(words_of("u1", b""), sig.NotTranscribed)
