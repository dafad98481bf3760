from llm_orchestrator.catalogue import KEEP_S, Catalogue
from llm_orchestrator.providers import Preference, Providers
from mesh.breaker import FAILURES
from mesh.errors import MeshError, Rejected, Unavailable
from tests.fakes.llm import FakeEngine, Model


class Listing(FakeEngine):
    """Lists `listed`, or fails with it."""

    def __init__(self, name, listed):
        super().__init__(Model(), name)
        self.listed, self.times = listed, 0

    async def models(self):
        self.times += 1
        if isinstance(self.listed, MeshError):
            raise self.listed
        return self.listed


async def test_models_come_in_the_order_of_the_chain():
    engines = {"one": Listing("b", ("b", "a")), "two": Listing("c", ("c",))}
    assert await Catalogue(Providers(engines)).models() == [
        (Preference("one", "b"), True),
        (Preference("one", "a"), True),
        (Preference("two", "c"), True),
    ]


async def test_a_provider_that_does_not_answer_has_its_configured_model_and_is_not_available():
    down = Unavailable("down")
    engines = {"one": Listing("b", down), "two": Listing("", down)}
    assert await Catalogue(Providers(engines)).models() == [(Preference("one", "b"), False)]


async def test_a_server_that_cannot_list_its_models_is_available_all_the_same():
    engines = {"one": Listing("b", Rejected("no such path (404)"))}
    assert await Catalogue(Providers(engines)).models() == [(Preference("one", "b"), True)]


async def test_a_provider_that_rests_is_not_available():
    providers = Providers({"one": Listing("b", ("b",))})
    for _ in range(FAILURES):
        providers.all[0].failed(Unavailable("down"))
    assert await Catalogue(providers).models() == [(Preference("one", "b"), False)]


async def test_a_list_is_asked_for_once_in_a_while():
    now_s = 0.0
    engine = Listing("b", ("b",))
    catalogue = Catalogue(Providers({"one": engine}), lambda: now_s)
    await catalogue.models()
    await catalogue.models()
    assert engine.times == 1
    now_s = KEEP_S
    await catalogue.models()
    assert engine.times == 2


async def test_another_configured_model_is_noticed_at_once():
    engine = Listing("b", ("b",))
    catalogue = Catalogue(Providers({"one": engine}))
    await catalogue.models()
    engine.model, engine.listed = "c", ("c",)
    assert await catalogue.models() == [(Preference("one", "c"), True)]
