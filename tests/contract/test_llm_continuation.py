"""What every language model provider must do with an answer that an earlier call began."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from llm_orchestrator import tokens
from llm_orchestrator.continuation import GO_ON
from llm_orchestrator.engine import (
    Done,
    Finish,
    Message,
    News,
    Request,
    Role,
    ToolCallDelta,
    Usage,
)
from llm_orchestrator.engines import ENGINES
from tests.contract.llm_rig import (
    ANSWER,
    CALL,
    QUESTION,
    WEATHER,
    WITH_A_SERVER,
    Rig,
    heard,
    rigged,
    text_of,
)
from tests.fakes.llm import Reply

REMOTE = [*WITH_A_SERVER, "fake"]
NEW_MESSAGES = ["openai", "groq", "fake"]
"""Those that begin a message, and do not go on with the last one."""


@pytest.fixture(params=[*ENGINES, "fake"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async for rig in rigged(request.param):
        yield rig


@pytest.fixture(params=REMOTE)
async def told(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Only those that say what they are told to."""
    async for rig in rigged(request.param):
        yield rig


async def on(rig: Rig, written: str, **more: object) -> list[News]:
    """What comes behind what was written."""
    user = Message(role=Role.USER, text=QUESTION)
    request = Request(messages=(user,), already_written=written, **more)  # type: ignore[arg-type]
    return await heard(rig.engine, request)


@pytest.mark.parametrize("cut", [1, 5, 6, 8, 14, 22, len(ANSWER) - 1])
async def test_goes_on_right_behind_what_was_written(rig: Rig, cut: int) -> None:
    rig.model.reply = Reply(ANSWER[cut:])
    *news, done = await on(rig, ANSWER[:cut])
    assert ANSWER[:cut] + text_of(news) == ANSWER
    assert isinstance(done, Done)
    assert done.finish is Finish.STOP


@pytest.mark.parametrize("cut", [1, 5, 6, 8, 14, 22, len(ANSWER)])
async def test_repeats_nothing_when_the_model_begins_again(rig: Rig, cut: int) -> None:
    rig.model.reply = Reply(ANSWER)
    assert ANSWER[:cut] + text_of(await on(rig, ANSWER[:cut])) == ANSWER


@pytest.mark.parametrize("cut", [20, 26, 33, 40])
async def test_repeats_nothing_when_the_model_says_its_last_sentence_again(
    told: Rig, cut: int
) -> None:
    whole = f"That is easy. {ANSWER}"
    told.model.reply = Reply(ANSWER.upper())
    new = text_of(await on(told, whole[:cut]))
    assert (whole[:cut] + new).upper() == whole.upper()


async def test_a_model_that_begins_with_a_space_adds_none(told: Rig) -> None:
    told.model.reply = Reply(" eight is fifty six.")
    assert text_of(await on(told, "Seven times")) == " eight is fifty six."
    told.model.reply = Reply("eight is fifty six.")
    assert text_of(await on(told, "Seven times ")) == "eight is fifty six."


@pytest.mark.parametrize("name", NEW_MESSAGES)
async def test_the_space_that_a_new_message_lacks_is_put_in(name: str) -> None:
    async for rig in rigged(name):
        rig.model.reply = Reply("eight is fifty six.")
        assert text_of(await on(rig, "Seven times")) == " eight is fifty six."


async def test_nothing_new_is_an_answer(rig: Rig) -> None:
    rig.model.reply = Reply("")
    *news, done = await on(rig, ANSWER)
    assert text_of(news) == ""
    assert isinstance(done, Done)
    assert done.finish is Finish.STOP


async def test_what_was_written_counts_for_the_limit(rig: Rig) -> None:
    *news, done = await on(rig, "Seven times", max_output_tokens=3)
    assert text_of(news) in ("", " eight")  # estimated, but by the offline responder counted
    assert isinstance(done, Done)
    assert done.finish is Finish.LENGTH


async def test_a_limit_that_is_reached_asks_nobody(told: Rig) -> None:
    news = await on(told, ANSWER, max_output_tokens=tokens.of_text(ANSWER))
    assert news == [Done(Finish.LENGTH, Usage())]
    assert told.model.asked == 0


async def test_usage_is_what_this_call_cost(told: Rig) -> None:
    told.model.reply = Reply(ANSWER, usage=Usage(100, 0, 9))
    *_, done = await on(told, "Seven times")
    assert done == Done(Finish.STOP, Usage(100, 0, 9))


@pytest.mark.parametrize("name", WITH_A_SERVER)
async def test_the_model_is_shown_what_was_written(name: str) -> None:
    async for rig in rigged(name):
        await on(rig, "Seven times ", instructions="Be brief.")
        assert rig.server is not None
        [body] = rig.server.bodies
        shown = [(message["role"], message["content"]) for message in body["messages"]]
        assert shown[:3] == [
            ("system", "Be brief."), ("user", QUESTION), ("assistant", "Seven times ")
        ]  # fmt: skip
        assert shown[3:] == ([("system", GO_ON)] if name in NEW_MESSAGES else [])


@pytest.mark.parametrize("name", ["openai", "groq"])
async def test_a_model_that_takes_no_late_system_message_is_asked_as_the_person(name: str) -> None:
    def no_late_system(body: dict[str, object]) -> dict[str, object] | None:
        roles = [message["role"] for message in body["messages"]]  # type: ignore[attr-defined]
        return {"message": "system must come first"} if "system" in roles[1:] else None

    async for rig in rigged(name):
        assert rig.server is not None
        rig.server.refuse = no_late_system
        rig.model.reply = Reply(ANSWER)
        assert text_of(await on(rig, "Seven times")) == " eight is fifty six."
        asked = rig.server.bodies[-1]["messages"]
        assert (asked[-1]["role"], asked[-1]["content"]) == ("user", GO_ON)


async def test_a_call_behind_what_was_written_comes_after_the_text(told: Rig) -> None:
    told.model.reply = Reply(calls=(CALL,))
    news = await on(told, "One moment.", tools=(WEATHER,))
    assert text_of(news) == ""
    assert any(isinstance(piece, ToolCallDelta) for piece in news)
