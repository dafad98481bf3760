from __future__ import annotations

import time

import pytest

from gateway import admission
from gateway.admission import PLAIN, Resumption, Wanted
from gateway.auth import Unready, Who
from gateway.backends import Profile
from gateway.client_secrets import Preset
from gateway.config import Config
from gateway.lobby import RESUMES_AT_ONCE, Lobby
from gateway.models import Models
from gateway.opening import Opener
from gateway.realtime import snapshot
from gateway.realtime.client_events import ClearAudio
from gateway.realtime.dialects import Beta, Ga
from gateway.realtime.refusals import Refused
from gateway.sessions.journal import CUT, Opened
from gateway.sessions.keeper import Keeper
from gateway.sessions.store import Write
from tests.fakes.store import MemoryStore, World

ACME, OTHER = Who("acme", "hash"), Who("other", "hash")
PROFILE = Profile("kind", voice="echo", instructions="Be kind.")
MODELS = Models((PROFILE,), ("gpt-realtime",))
WANTED = Wanted("realtime", "gpt-realtime", admission.profile(MODELS, "gpt-realtime"))
NAME = "sess_0123456789abcdef"


class Place:
    """A lobby with a store of its own, in a world that others share."""

    def __init__(self, world: World, name: str, **settings: object) -> None:
        config = Config(**settings)
        self.store = MemoryStore(world, name)
        self.keeper = Keeper(self.store, ttl_s=30.0)
        self.lobby = Lobby(config, self.keeper, Opener(config, {}), MODELS)


@pytest.fixture
async def world():
    return World()


@pytest.fixture
async def one(world):
    return Place(world, "gw_1")


@pytest.fixture
async def two(world):
    return Place(world, "gw_2")


async def resumed(place, session_id, last_event_id="", who=ACME):
    return await place.lobby.resume(who, Resumption(session_id, last_event_id))


async def keep(place, guest):
    """Write what was told to the session."""
    write = guest.kept.write()
    [outcome] = await place.store.write([write])
    guest.kept.written(write, outcome, guest.kept.journal.seq)


async def opened(place, wanted=WANTED, **options):
    guest = await place.lobby.open(ACME, wanted, options.get("name"))
    effects = guest.kept.session.open()
    guest.kept.note(Opened(), effects)
    for effect in effects:
        if hasattr(effect, "event"):
            guest.kept.journal.stamp(effect.event)
    await keep(place, guest)
    return guest


async def test_a_new_session_is_kept_before_anybody_hears_of_it(one, world):
    guest = await one.lobby.open(ACME, WANTED, None)
    kept = world.sessions[guest.kept.session_id]
    assert (kept.owner, kept.epoch, kept.entries) == ("gw_1", 1, [])
    assert kept.meta == guest.kept.meta
    assert (kept.meta.tenant, kept.meta.key_hash, kept.meta.model) == (
        "acme",
        "hash",
        "gpt-realtime",
    )
    assert kept.meta.conversation_id == guest.kept.session.conversation.id
    assert abs(kept.meta.expires_at_s - time.time() - 3600) < 10
    assert guest.restored is None


async def test_it_is_called_what_a_balancer_wants(one, world):
    guest = await one.lobby.open(ACME, WANTED, NAME)
    assert guest.kept.session_id == guest.kept.session.identity.session_id == NAME
    again = await one.lobby.open(OTHER, WANTED, NAME)
    assert again.kept.session_id != NAME
    assert world.sessions[NAME].meta.tenant == "acme"


async def test_without_a_store_there_is_no_session(one):
    one.store.is_away = True
    with pytest.raises(Unready):
        await one.lobby.open(ACME, WANTED, None)
    with pytest.raises(Unready):
        await resumed(one, NAME)


async def test_a_secret_says_how_it_begins(one):
    preset = Preset(
        "acme", 1, "hash", "gpt-realtime", session={"type": "realtime", "instructions": "Hum."}
    )
    guest = await one.lobby.open(Who("acme", "hash", preset), WANTED, None)
    assert guest.kept.session.wire()["instructions"] == "Hum."


async def test_what_another_process_kept_goes_on_here(one, two):
    first = await opened(one)
    guest = await resumed(two, first.kept.session_id)
    assert guest.kept.epoch == 2
    assert guest.kept.meta == first.kept.meta
    assert guest.kept.session.wire() == first.kept.session.wire()
    assert guest.wanted == WANTED
    assert guest.restored.unsent == []


async def test_settings_of_its_model_go_on_where_the_model_is_set_otherwise(one, world):
    """The session has begun with the profile of the gateway that it began at."""
    first = await opened(one, Wanted("realtime", "kind", PROFILE))
    assert first.kept.session.wire()["instructions"] == "Be kind."
    other = Place(world, "gw_3", instructions="Be brief.", voice="alloy")
    guest = await resumed(other, first.kept.session_id)
    assert guest.kept.session.wire() == first.kept.session.wire()
    assert guest.wanted.profile == PROFILE


async def test_what_the_client_has_had_is_told_by_the_last_event(one, two):
    first = await opened(one)
    guest = await resumed(two, first.kept.session_id, "event_00000000_0")
    assert [n for n, _ in guest.restored.unsent] == [1]
    guest = await resumed(one, first.kept.session_id, "nonsense")
    assert guest.restored.unsent == []


async def test_a_beta_session_goes_on_in_beta(one, two):
    first = await opened(one, Wanted("realtime", "gpt-realtime", PLAIN, beta=True))
    assert isinstance(first.dialect, Beta)
    guest = await resumed(two, first.kept.session_id)
    assert isinstance(guest.dialect, Beta)
    assert guest.wanted.beta


async def test_a_transcription_session_goes_on_as_one(one, two):
    first = await opened(one, Wanted("transcription", "", PLAIN))
    guest = await resumed(two, first.kept.session_id)
    assert guest.wanted == Wanted("transcription", "", PLAIN)
    assert isinstance(guest.dialect, Ga)


@pytest.mark.parametrize("who", [OTHER, Who("", "hash")])
async def test_nobody_elses_session_is_found(one, two, who, world):
    first = await opened(one)
    for place in (one, two):
        with pytest.raises(Refused) as error:
            await resumed(place, first.kept.session_id, who=who)
        assert error.value.refusal == admission.NO_SESSION
    assert world.sessions[first.kept.session_id].epoch == 1


async def test_what_there_is_not_is_not_found(one):
    for name in (NAME, "", "sess_*", "{}"):
        with pytest.raises(Refused) as error:
            await resumed(one, name)
        assert error.value.refusal == admission.NO_SESSION


async def test_a_session_of_a_newer_version_is_left_for_another_process(
    one, two, monkeypatch, caplog
):
    first = await opened(one)
    monkeypatch.setattr(snapshot, "FORMAT", 0)
    with pytest.raises(Unready):
        await resumed(two, first.kept.session_id)
    assert [r.message for r in caplog.records] == ["session of a newer version"]
    monkeypatch.undo()
    guest = await resumed(one, first.kept.session_id)
    assert guest.kept.session.receive(ClearAudio())


async def test_a_session_that_was_not_kept_whole_is_none(one, two, caplog):
    guest = await opened(one)
    sid, first = guest.kept.session_id, guest.kept.journal.next
    await one.store.write([Write(sid, 1, first, (CUT,))])
    with pytest.raises(Refused) as refused:
        await resumed(two, sid)
    assert refused.value.refusal == admission.NO_SESSION
    assert "not kept whole" in caplog.text


async def test_who_comes_back_all_the_time_is_told_to_wait(one, two):
    guest = await opened(one)
    for _ in range(RESUMES_AT_ONCE):
        await resumed(two, guest.kept.session_id)
    await resumed(two, guest.kept.session_id)  # the first was not counted: nobody knew it
    with pytest.raises(Refused) as refused:
        await resumed(two, guest.kept.session_id)
    assert refused.value.refusal.code == "rate_limit_exceeded"


async def test_who_guesses_learns_nothing_and_takes_nothing(one, two):
    guest = await opened(one)
    for sid in (guest.kept.session_id, "sess_nowhere"):
        for _ in range(2 * RESUMES_AT_ONCE):
            with pytest.raises(Refused) as refused:
                await resumed(two, sid, who=OTHER)
            assert refused.value.refusal == admission.NO_SESSION
    await resumed(two, guest.kept.session_id)


async def test_what_was_lost_gives_its_ids_to_nothing_else(one, two):
    """What the first gateway made after its last write is not known to the second one."""
    guest = await opened(one)
    lost = [guest.kept.session._new_id("item") for _ in range(3)]
    again = await resumed(two, guest.kept.session_id)
    goes_on = again.kept.resumed()
    again.kept.note(goes_on, again.kept.session.receive(goes_on))
    await keep(two, again)
    made = again.kept.session._new_id("item")
    assert made not in lost
    third = await resumed(one, guest.kept.session_id)
    assert third.kept.session._new_id("item") == made, "it replays what the second one made"
