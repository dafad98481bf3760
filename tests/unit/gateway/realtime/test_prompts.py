from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime.prompts import Prompts, Stored
from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.settings import Prompt, Settings
from tests.script import Event, Script, only

STORED = {
    "greet": (Stored("Say hi.", "1"), Stored("Greet {{ name }} of {{city}}.", "2")),
    "empty": (),
}
BOTH = {"name": "Ann", "city": "Bern"}


@pytest.fixture
def prompts():
    return Prompts(STORED, "Be kind.")


def refusal(prompts: Prompts, prompt: Prompt) -> Refusal:
    with pytest.raises(Refused) as refused:
        prompts.check(prompt, "session.prompt")
    return refused.value.refusal


def test_the_newest_version_is_used_unless_another_is_named(prompts):
    newest = Settings(prompt=Prompt("greet", None, BOTH))
    assert prompts.instructions(newest) == "Greet Ann of Bern."
    assert prompts.instructions(Settings(prompt=Prompt("greet", "1"))) == "Say hi."


def test_what_the_client_says_itself_wins(prompts):
    prompt = Prompt("greet", "1")
    own = Settings(instructions="Be terse.", prompt=prompt)
    assert prompts.instructions(own) == "Be terse."
    assert prompts.instructions(Settings(instructions="Be kind.", prompt=prompt)) == "Say hi."
    assert prompts.instructions(Settings(instructions="Be kind.")) == "Be kind."
    assert prompts.instructions(Settings(instructions="")) == ""


def test_variables_are_filled_in_once(prompts):
    values = {"name": "{{city}}", "city": "Bern"}
    filled = prompts.instructions(Settings(prompt=Prompt("greet", None, values)))
    assert filled == "Greet {{city}} of Bern."


@pytest.mark.parametrize(
    ("prompt", "code", "param"),
    [
        (Prompt("nope"), "invalid_value", "session.prompt.id"),
        (Prompt("empty"), "invalid_value", "session.prompt.id"),
        (Prompt("greet", "3"), "invalid_value", "session.prompt.id"),
        (
            Prompt("greet", None, {"name": "Ann"}),
            "missing_required_parameter",
            "session.prompt.variables.city",
        ),
        (
            Prompt("greet", None, {**BOTH, "age": "5"}),
            "unknown_parameter",
            "session.prompt.variables.age",
        ),
        (
            Prompt("greet", "1", {"name": "Ann"}),
            "unknown_parameter",
            "session.prompt.variables.name",
        ),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(prompts, prompt, code, param):
    refused = refusal(prompts, prompt)
    assert (refused.code, refused.param) == (code, param)


def test_no_prompt_is_fine(prompts):
    prompts.check(None, "session.prompt")


def instructions(script: Script, **wanted: object) -> str:
    [start] = only(script.send("response.create", response=wanted), do.StartReply)
    script.send("response.cancel")
    return str(start.instructions)


def update(script: Script, **session: object) -> list[Event]:
    return script.says("session.update", session={"type": "realtime", **session})


def test_a_session_uses_its_prompt_and_echoes_it():
    script = Script(Settings(instructions="Be kind."), prompts=STORED)
    prompt = {"id": "greet", "variables": BOTH}
    [updated] = update(script, prompt=prompt)
    assert updated["session"]["prompt"] == {"id": "greet", "version": None, "variables": BOTH}
    assert updated["session"]["instructions"] == "Be kind."
    assert instructions(script) == "Greet Ann of Bern."
    assert instructions(script, instructions="Mine.") == "Mine."
    assert instructions(script, prompt={"id": "greet", "version": "1"}) == "Say hi."
    assert instructions(script, prompt=None) == "Be kind."


def test_a_wrong_prompt_of_a_response_starts_nothing():
    script = Script(prompts=STORED)
    error = script.error("response.create", response={"prompt": {"id": "greet"}})
    assert error["param"] == "response.prompt.variables.city"
    script.respond()


def test_a_wrong_prompt_of_an_update_changes_nothing():
    script = Script(prompts=STORED)
    session = {"type": "realtime", "instructions": "New.", "prompt": {"id": "nope"}}
    assert script.error("session.update", session=session)["param"] == "session.prompt.id"
    assert update(script)[0]["session"]["instructions"] == ""
