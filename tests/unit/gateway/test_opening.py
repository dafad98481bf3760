from __future__ import annotations

import pytest

from gateway.backends import Profile
from gateway.config import Config
from gateway.opening import Opener
from gateway.realtime.identity import Identity
from gateway.realtime.prompts import Stored
from gateway.realtime.refusals import Refused

PLAIN = Profile()
CONFIG = Config(instructions="Be kind.", voice="marin")


def opened(profile=PLAIN, asked=None, kind="realtime", prompts=None):
    identity = Identity("sess_1", "gpt-realtime", 1, kind)
    return Opener(CONFIG, prompts or {}).session(identity, profile, asked).wire()


def test_a_session_starts_with_the_servers_settings():
    wire = opened()
    assert wire["instructions"] == "Be kind."
    assert wire["audio"]["output"]["voice"] == "marin"


def test_its_model_has_settings_of_its_own():
    wire = opened(Profile(voice="echo", instructions=""))
    assert wire["instructions"] == ""
    assert wire["audio"]["output"]["voice"] == "echo"


def test_what_was_asked_for_goes_before_all():
    asked = {"type": "realtime", "instructions": "Hum.", "audio": {"output": {"voice": "ash"}}}
    wire = opened(Profile(voice="echo"), asked)
    assert wire["instructions"] == "Hum."
    assert wire["audio"]["output"]["voice"] == "ash"


def test_null_is_the_default():
    asked = {"type": "realtime", "instructions": None, "audio": {"output": {"voice": None}}}
    assert opened(Profile(voice="echo"), asked) == opened(Profile(voice="echo"))


def test_one_kind_of_session_does_not_start_as_the_other():
    asked = {"type": "transcription"}
    assert opened(asked=asked, kind="transcription")["type"] == "transcription"
    with pytest.raises(Refused):
        opened(asked=asked)


def test_a_stored_prompt_can_be_asked_for():
    asked = {"type": "realtime", "prompt": {"id": "p"}}
    assert opened(asked=asked, prompts={"p": (Stored("Hum."),)})["prompt"]["id"] == "p"
    with pytest.raises(Refused, match="Prompt with id 'p' not found"):
        opened(asked=asked)
