import asyncio
import json
import logging
import threading

import pytest

from llm_orchestrator import metrics
from llm_orchestrator.engine import Request, Tool, ToolCall, ToolChoice, ToolMode
from llm_orchestrator.tool_calls import MOST_CALLS, Limits, Toolbox
from llm_orchestrator.tools import tool_of


async def hello(name: str) -> str:
    return f"Hello {name}."


def toolbox(*functions, **limits):
    tools = [tool_of(function.__name__, function) for function in functions]
    return Toolbox(tools, Limits(**limits))


def call(tool, call_id="c1", /, **arguments):
    return ToolCall(call_id, tool, json.dumps(arguments))


async def result(box, *calls, limit_s=None):
    async with asyncio.timeout(30):
        found = await box.run(calls, limit_s)
    return found if len(calls) > 1 else found[calls[0].call_id]


def counted(tool, outcome):
    return metrics.TOOL_CALLS.labels(tool, outcome)._value.get()


async def test_both_kinds_of_functions_return():
    def add(a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    box = toolbox(hello, add)
    found = await result(box, call("hello", name="Ada"), call("add", "c2", a=1, b=2))
    assert found == {"c1": "Hello Ada.", "c2": '{"sum": 3}'}


async def test_a_function_that_gives_something_to_wait_for_is_waited_for():
    def later():
        return hello("Bob")

    assert await result(toolbox(later), call("later")) == "Hello Bob."


async def test_calls_run_side_by_side():
    together, blocking = asyncio.Barrier(2), threading.Barrier(2)

    async def meet() -> str:
        await together.wait()
        return "met"

    def block() -> str:
        blocking.wait(30)
        return "met"

    calls = [call(name, f"{name}{i}") for name in ("meet", "block") for i in range(2)]
    assert set((await result(toolbox(meet, block), *calls)).values()) == {"met"}


async def test_a_limit_ends_one_call_and_not_the_others():
    async def hang():
        await asyncio.Event().wait()

    before = counted("hang", "timeout")
    box = toolbox(hang, hello, timeout_s=0.05)
    found = await result(box, call("hang", "c1"), call("hello", "c2", name="Ada"))
    assert found == {"c1": "Error: The tool did not return within 0.05 s.", "c2": "Hello Ada."}
    assert counted("hang", "timeout") == before + 1


async def test_the_time_that_is_left_is_a_limit_too():
    end = threading.Event()

    def hang():
        end.wait(30)

    said = await result(toolbox(hang), call("hang"), limit_s=0.05)
    end.set()
    assert said == "Error: The tool did not return within 0.05 s."


@pytest.mark.parametrize("error", [ValueError("no such city"), TimeoutError("no such city")])
async def test_what_goes_wrong_is_the_result_and_is_logged_without_words(caplog, error):
    def fail():
        raise error

    with caplog.at_level(logging.DEBUG):
        said = await result(toolbox(fail), call("fail"))
    assert said == f"Error: The tool failed: {type(error).__name__}: no such city"
    [line] = [record for record in caplog.records if record.message == "tool called"]
    assert (line.tool, line.call_id, line.outcome) == ("fail", "c1", "failed")
    assert "city" not in str([vars(record) for record in caplog.records])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{}", "missing a required argument: 'name'"),
        ('{"name": "a", "age": 3}', "unexpected keyword argument 'age'"),
        ("[]", "no JSON object"),
        ('{"name": "Ada', "do not fit"),
        ("[" * 100_000, "do not fit"),
    ],
)
async def test_arguments_that_do_not_fit_are_told(arguments, said):
    before = counted("hello", "refused")
    assert said in await result(toolbox(hello), ToolCall("c1", "hello", arguments))
    assert counted("hello", "refused") == before + 1


async def test_a_result_that_is_no_json_is_a_failure():
    def odd():
        return object()

    assert "TypeError" in await result(toolbox(odd), call("odd"))


async def test_long_results_are_cut():
    def long():
        return "x" * 1000

    said = await result(toolbox(long, max_output_bytes=64), call("long"))
    assert said.startswith("x" * 64 + "\n(The rest of 1000")


async def test_a_model_that_calls_too_many_is_told_so():
    calls = [call("hello", f"c{i}", name="Ada") for i in range(MOST_CALLS + 1)]
    said = list((await result(toolbox(hello), *calls)).values())
    assert set(said[:-1]) == {"Hello Ada."}
    assert said[-1].startswith("Error: At most")


async def test_a_call_that_is_cancelled_is_counted_so():
    begun = asyncio.Event()

    async def wait():
        begun.set()
        await asyncio.Event().wait()

    before = counted("wait", "cancelled")
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(toolbox(wait).run([call("wait")], None), name="run")
        await begun.wait()
        running.cancel()
    assert counted("wait", "cancelled") == before + 1


def test_a_clients_tool_of_the_same_name_wins():
    def other():
        pass

    box = toolbox(hello, other)
    request = Request(messages=(), tools=(Tool("hello", "the client's", "{}"),))
    hidden = box.hidden_from(request)
    assert hidden == {"other"}
    assert [tool.name for tool in box.offered(request, hidden)] == ["other"]


@pytest.mark.parametrize(
    "choice",
    [ToolChoice(ToolMode.NONE), ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.FUNCTION, "x")],
)
def test_a_choice_of_the_client_is_between_its_own(choice):
    box = toolbox(hello)
    request = Request(messages=(), tool_choice=choice)
    assert box.offered(request, box.hidden_from(request)) == ()
