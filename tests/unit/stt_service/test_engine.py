import pytest

from stt_service.engine import knows
from tests.fakes.stt import FakeEngine


@pytest.mark.parametrize(
    ("languages", "wanted", "known"),
    [
        ((), "", True),
        ((), "fr", True),
        (("en-US",), "", True),
        (("en-US",), "en", True),
        (("en-US",), "EN-gb", True),
        (("en-US",), "fr", False),
        (("de", "fr-CA"), "fr-FR", True),
    ],
)
def test_a_language_is_known_whatever_its_region(languages, wanted, known):
    assert knows(FakeEngine(languages=languages), wanted) == known
