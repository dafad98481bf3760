from pathlib import Path

from tts_service.short_path import MAX_PATH_BYTES, short_path


def test_a_short_path_stays():
    assert short_path("/short") == "/short"


def test_a_long_path_gets_one_short_link(tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    link = short_path(str(deep))
    assert len(link.encode()) <= MAX_PATH_BYTES
    assert Path(link).resolve() == deep.resolve()
    assert short_path(str(deep)) == link
