import pytest

from mesh.chain import Chain
from mesh.errors import Missing, Rejected
from stt_service.engine import How
from stt_service.vad import Silero
from stt_service.worker import Ears, Worker
from tests.fakes.stt import FakeEngine


@pytest.fixture
async def worker():
    engines = {
        "best": FakeEngine(model="large", languages=("de", "en")),
        "rest": FakeEngine(model="small", languages=("en",)),
    }
    worker = Worker(Chain(engines), Silero(), max_waiting=4)
    yield worker
    await worker.close()


def test_the_first_engine_hears_unless_another_is_wanted(worker):
    assert worker.seat(How(), "", ()).name == "best"
    assert worker.seat(How(), "small", ()).name == "rest"
    assert worker.model_for(How(), "small") == "small"


def test_an_engine_that_failed_comes_last_but_comes(worker):
    assert worker.seat(How(), "", ["best"]).name == "rest"
    assert worker.seat(How(), "small", ["rest"]).name == "best"
    assert worker.seat(How(), "", ["best", "rest"]).name == "best"
    assert worker.seat(How(language="de"), "", ["best"]).name == "best"


def test_only_who_knows_the_language_hears(worker):
    assert worker.seat(How(language="de-AT"), "small", ()).name == "best"
    with pytest.raises(Rejected) as refused:
        worker.seat(How(language="fr"), "", ())
    assert refused.value.param == "recognition.language_code"
    assert worker.model_for(How(language="fr"), "") == "large"


def test_an_engine_that_fails_again_and_again_rests(worker):
    for _ in range(5):
        worker.chain.failed("best", "test")
    assert worker.seat(How(), "", ()).name == "rest"
    assert [engine.model for engine in worker.engines] == ["large", "small"]


def test_after_a_rest_one_utterance_tries_the_engine_and_the_others_go_on(worker):
    for _ in range(5):
        worker.chain.failed("best", "test")
    worker.chain._breakers["best"].revived()
    assert worker.model_for(How(), "") == "large", "asking takes no trial"
    assert worker.seat(How(), "", ()).name == "best"
    assert worker.seat(How(), "", ()).name == "rest"
    worker.chain.worked("best")
    assert worker.seat(How(), "", ()).name == "best"


def test_a_model_is_here_or_not(worker):
    worker.check_model("")
    worker.check_model("small")
    with pytest.raises(Missing):
        worker.check_model("huge")


async def test_work_runs_on_the_engines_threads(worker):
    seat = worker.seat(How(), "", ())
    assert await seat.run(max, 1, 2) == 2
    assert worker.queue_depth == 0
    assert 0 <= worker.utilisation("best") <= 1
    assert worker.utilisation("rest") == 0


def test_a_stream_has_one_ear_an_engine(worker):
    ears = Ears()
    best, rest = worker.seat(How(), "large", ()), worker.seat(How(), "small", ())
    assert ears.of(best) is ears.of(best)
    assert ears.of(best) is not ears.of(rest)
