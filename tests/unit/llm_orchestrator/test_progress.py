import pytest

from llm_orchestrator.engine import (
    Done,
    Finish,
    Message,
    Repeated,
    Request,
    Role,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
    Usage,
)
from llm_orchestrator.progress import Progress, Stage

LOOK, LIST, LEAP = (Tool(name, "", "{}") for name in ("look", "list", "leap"))
USER = Message(role=Role.USER, text="hi")
PARIS, ROME = '{"q": "paris"}', '{"q": "rome"}'


@pytest.fixture
def progress():
    return Progress(Request(messages=(USER,), tools=(LOOK, LIST, LEAP)))


def tell(progress, *news):
    return [told for piece in news for told in progress.told(piece)]


def test_text_is_told_and_handed_on(progress):
    assert progress.stage is Stage.UNTOLD
    assert progress.expects_answer
    assert tell(progress, TextDelta("a"), Repeated(), TextDelta(" b")) == [
        TextDelta("a"),
        TextDelta(" b"),
    ]
    assert progress.stage is Stage.GOES_ON
    assert not progress.expects_answer
    assert progress.next().already_written == "a b"
    assert progress.next().tools == (LOOK, LIST, LEAP)


def test_the_end_is_not_news_of_it(progress):
    assert tell(progress, Done(Finish.STOP, Usage())) == []


def test_whole_calls_end_it(progress):
    news = [ToolCallDelta("c1", "look", PARIS), ToolCall("c1", "look", PARIS)]
    assert tell(progress, *news) == news
    assert progress.stage is Stage.ENDED


def test_calls_begun_are_asked_for_and_take_the_ids_that_were_told(progress):
    tell(
        progress,
        ToolCallDelta("c1", "look", ""),
        ToolCallDelta("c2", "list", ""),
        ToolCallDelta("c1", "", PARIS[:4]),
    )
    asked = progress.next()
    assert asked.tool_choice == ToolChoice(ToolMode.REQUIRED)
    assert asked.tools == (LOOK, LIST)
    assert progress.owes
    told = tell(
        progress,
        ToolCallDelta("c2", "look", ROME[:4]),  # its id is that of another call
        ToolCallDelta("x", "list", "{}"),
        ToolCallDelta("c2", "", ROME[4:]),
        ToolCall("c2", "look", ROME),
        ToolCall("x", "list", "{}"),
    )
    assert told == [
        ToolCallDelta("c1", "", ROME[4:]),
        ToolCall("c1", "look", ROME),
        ToolCallDelta("c2", "", "{}"),
        ToolCall("c2", "list", "{}"),
    ]
    assert not progress.owes
    assert progress.stage is Stage.ENDED


def test_arguments_that_differ_from_what_was_told_come_with_the_whole_call(progress):
    tell(progress, ToolCallDelta("c1", "look", '{"city'))
    assert progress.next().tool_choice == ToolChoice(ToolMode.FUNCTION, "look")
    told = tell(progress, ToolCallDelta("x", "look", PARIS), ToolCall("x", "look", PARIS))
    assert told == [ToolCall("c1", "look", PARIS)]


def test_a_call_more_than_were_begun_gets_an_id_of_its_own(progress):
    tell(progress, ToolCallDelta("c1", "look", ""))
    progress.next()
    told = tell(
        progress,
        ToolCallDelta("x", "look", PARIS),
        ToolCallDelta("c1", "look", ROME),
        ToolCall("x", "look", PARIS),
        ToolCall("c1", "look", ROME),
    )
    first, second = [piece for piece in told if isinstance(piece, ToolCall)]
    assert (first.call_id, first.arguments_json) == ("c1", PARIS)
    assert second.call_id != "c1"
    assert second.arguments_json == ROME


def test_what_a_second_provider_begins_and_does_not_finish_is_still_owed(progress):
    tell(progress, ToolCallDelta("c1", "look", PARIS[:4]))
    progress.next()
    tell(progress, ToolCallDelta("x", "look", PARIS[:9]))
    progress.next()
    told = tell(progress, ToolCallDelta("y", "look", PARIS), ToolCall("y", "look", PARIS))
    assert told == [ToolCallDelta("c1", "", PARIS[4:]), ToolCall("c1", "look", PARIS)]


def test_a_whole_call_and_one_that_was_begun_leave_no_way(progress):
    tell(progress, ToolCallDelta("c1", "look", PARIS), ToolCall("c1", "look", PARIS))
    tell(progress, ToolCallDelta("c2", "look", "{"))
    assert progress.stage is Stage.STUCK


def test_after_a_tools_result_nothing_may_be_the_answer():
    call = ToolCall("c1", "look", PARIS)
    messages = (
        USER,
        Message(role=Role.ASSISTANT, tool_calls=(call,)),
        Message(role=Role.TOOL, text="rain", call_id="c1"),
    )
    assert not Progress(Request(messages=messages)).expects_answer
