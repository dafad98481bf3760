from __future__ import annotations

from pathlib import Path

from voicemesh import settings

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_tells_what_the_tiers_take():
    assert PAGE.read_text() == settings.markdown(), "run `voicemesh settings > docs/settings.md`"


def test_every_setting_has_its_variable_default_and_meaning():
    port = next(s for s in settings.of("gateway") if s.variable == "PORT")
    assert port == settings.Setting(
        "PORT", "8080", "Port for clients, HTTP and WebSocket. 0 takes a free one."
    )
    for package in settings.TIERS:
        assert all(setting.meaning for setting in settings.of(package))
