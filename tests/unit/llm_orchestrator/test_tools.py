import json
import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from llm_orchestrator import tools
from llm_orchestrator.engine import ToolCall
from llm_orchestrator.tool_calls import Toolbox
from mesh.errors import NotInstalled

PAGE = Path(__file__).parents[3] / "docs" / "tools.md"


def entry(name, value):
    return EntryPoint(name, value, tools.GROUP)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package of the page, installed as `pip` would."""
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    project = tomllib.loads(blocks["toml"])["project"]
    (tmp_path / "kitchen_tools.py").write_text(blocks["python"])
    info = tmp_path / "kitchen_tools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    [(group, entries)] = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("kitchen_tools", None)


@pytest.mark.usefixtures("package")
async def test_the_example_of_the_page_works_as_it_is_written():
    [tool] = tools.load(["to_millilitres"])
    assert tool.offer.description == "Convert a kitchen measure to millilitres."
    assert json.loads(tool.offer.parameters_json) == {
        "type": "object",
        "properties": {
            "amount": {"type": "number", "description": "How many of them."},
            "measure": {"enum": ["cup", "spoon"], "description": "Which measure."},
        },
        "additionalProperties": False,
        "required": ["amount", "measure"],
    }
    call = ToolCall("c1", "to_millilitres", '{"amount": 2, "measure": "cup"}')
    assert await Toolbox([tool]).run([call], 30.0) == {"c1": '{"ml": 480.0}'}


def test_nothing_is_enabled_by_being_there():
    assert tools.load([], [entry("a", "json:dumps")]) == []


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(NotInstalled, match=r"LLM_TOOLS: no tool 'c'.*a, b"):
        tools.load(["c"], [entry("b", "x:y"), entry("a", "x:y")])
    with pytest.raises(NotInstalled, match="there are: none"):
        tools.load(["c"], [])


def test_two_of_one_name_are_a_mistake_and_one_that_is_there_twice_is_not():
    with pytest.raises(NotInstalled, match="two packages"):
        tools.load(["a"], [entry("a", "x:y"), entry("a", "x:z")])
    twice = entry("a", "json:dumps")
    assert len(tools.load(["a", "a"], [twice, twice])) == 1


@pytest.mark.parametrize("value", ["no.such.module:x", "json:nothing", "json:__name__"])
def test_one_that_cannot_be_loaded_says_why(value):
    with pytest.raises(NotInstalled, match="LLM_TOOLS: 'a' cannot be used: "):
        tools.load(["a"], [entry("a", value)])


async def plain(x: int) -> int:
    """Say a number."""
    return x


class Ready:
    """For developers."""

    description = "For models."
    parameters = {"type": "object"}  # noqa: RUF012 - read only

    async def __call__(self, **anything):
        return anything


def test_hints_and_docstring_or_what_it_says_itself():
    tool = tools.tool_of("plain", plain)
    assert (tool.offer.description, tool.is_async) == ("Say a number.", True)
    for given in (Ready, Ready()):
        tool = tools.tool_of("ready", given)
        assert tool.offer.description == "For models."
        assert tool.offer.parameters_json == '{"type": "object"}'
        assert tool.is_async
    assert not tools.tool_of("sync", lambda: None).is_async


@pytest.mark.parametrize(("name", "given"), [("no spaces", plain), ("a", 7), ("x" * 65, plain)])
def test_what_is_no_tool_is_refused(name, given):
    with pytest.raises(TypeError):
        tools.tool_of(name, given)


def test_a_schema_that_is_none_is_refused():
    def odd():
        pass

    odd.parameters = "{}"
    with pytest.raises(TypeError, match="parameters"):
        tools.tool_of("odd", odd)
