from zoneinfo import ZoneInfo

from llm_orchestrator.engines.offline import places
from llm_orchestrator.engines.offline.places import Place


def test_every_zone_exists():
    assert len(places.every()) > 250
    for place in places.every():
        ZoneInfo(place.zone)


def test_the_longest_name_wins():
    words = ["in", "new", "york", "city", "today"]
    assert places.find(words) == (Place("New York City", "America/New_York"), 1, 4)


def test_countries_with_several_zones_answer_for_their_capital():
    place, *_ = places.find(["in", "the", "united", "states"])
    assert place == Place("Washington", "America/New_York")


def test_small_words_of_a_name_stay_small():
    assert places.at(["rio", "de", "janeiro"], 0)[0].name == "Rio de Janeiro"


def test_elsewhere_is_nowhere():
    assert places.find(["in", "narnia"]) is None
