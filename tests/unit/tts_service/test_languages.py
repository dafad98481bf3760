import pytest

from tts_service.languages import covers, nearest

TAGS = ["cmn", "de", "en-029", "en-gb", "en-us", "nb", "pt-br"]


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("en", "en-us"),
        ("en_GB", "en-gb"),
        ("en-AU", "en-us"),
        ("pt", "pt-br"),
        ("zh-CN", "cmn"),
        ("no", "nb"),
        ("tlh", None),
    ],
)
def test_the_nearest_language_is_found(wanted, tag):
    assert nearest(wanted, TAGS) == tag


def test_a_language_covers_its_accents_but_not_the_other_way_round():
    assert covers("en", "en-gb")
    assert covers("EN_us", "en-us")
    assert covers("zh", "cmn")
    assert not covers("en-gb", "en-us")
    assert not covers("e", "en-us")
