import json

import pytest

from llm_orchestrator import mcp_wire
from llm_orchestrator.mcp_policy import AllowedServer, Policy
from llm_orchestrator.mcp_results import McpTool
from llm_orchestrator.mcp_servers import Kind, McpFailure
from mesh.errors import Forbidden, Rejected, Unavailable
from ovos.llm.v1 import llm_pb2 as pb

URL = "https://mcp.example/docs"
POLICY = Policy([AllowedServer(URL)])


def server(policy=POLICY, **fields):
    return mcp_wire.server_of(pb.McpServer(**({"label": "docs", "url": URL} | fields)), policy)


def test_a_server_with_all_it_can_have():
    made = server(authorization="sk-1", headers={"X-Team": "a b"})
    assert (made.label, made.url) == ("docs", URL)
    assert made.address.origin == ("https", "mcp.example", 443)
    assert made.headers == {"x-team": "a b", "authorization": "Bearer sk-1"}


def test_the_token_wins_over_a_header_of_its_name():
    assert server(headers={"Authorization": "Basic x"}).headers == {"authorization": "Basic x"}
    made = server(authorization="sk-1", headers={"Authorization": "Basic x"})
    assert made.headers == {"authorization": "Bearer sk-1"}


def test_what_a_server_holds_is_never_shown():
    made = server(url=f"{URL}?key=sk-2", authorization="sk-1", headers={"X-Key": "sk-3"})
    assert repr(made) == "McpServer(label='docs')"


def test_a_server_that_the_operator_does_not_allow():
    with pytest.raises(Forbidden):
        server(policy=Policy())


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"X-A": "1\r\nX-B: 2"}},
        {"headers": {"X-A": "1\n"}},
        {"headers": {"X-A\r\nX-B": "1"}},
        {"headers": {"X-A": "\x00"}},
        {"headers": {"X A": "1"}},
        {"headers": {"": "1"}},
        {"headers": {"Host": "evil.com"}},
        {"headers": {"Connection": "close"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"Content-Length": "0"}},
        {"headers": {"Proxy-Authorization": "x"}},
        {"headers": {"Mcp-Session-Id": "x"}},
        {"headers": {"X-A": "x" * 9000}},
        {"headers": {f"X-{n}": "1" for n in range(40)}},
        {"authorization": "sk-1\r\nX-B: 2"},
        {"authorization": "gehéim"},
    ],
)
def test_headers_that_cannot_be_set_are_refused_without_being_quoted(fields):
    with pytest.raises(Rejected) as caught:
        server(**fields)
    assert caught.value.param == "server.headers"
    assert "sk-1" not in caught.value.detail
    assert "evil" not in caught.value.detail


def test_arguments_are_an_object():
    assert mcp_wire.arguments_of('{"a": 1}') == {"a": 1}
    assert mcp_wire.arguments_of("") == {}
    for wrong in ("{", "[]", "1", "null", "[" * 100_000):
        with pytest.raises(Rejected) as caught:
            mcp_wire.arguments_of(wrong)
        assert caught.value.param == "arguments_json"


def test_tools_go_out_as_they_are():
    [tool] = mcp_wire.tools([McpTool("search", "finds", "{}", '{"readOnlyHint": true}')]).tools
    assert (tool.name, tool.description, tool.input_schema_json) == ("search", "finds", "{}")
    assert json.loads(tool.annotations_json) == {"readOnlyHint": True}


def test_failures_have_their_kind():
    response = mcp_wire.failed_call(McpFailure(Kind.HTTP, "no", code=503))
    assert (response.error.kind, response.error.code) == (pb.MCP_ERROR_KIND_HTTP, 503)
    response = mcp_wire.failed_call(McpFailure(Kind.EXECUTION, "no", output="the whole story"))
    assert (response.output, response.error.message) == ("the whole story", "no")
    assert isinstance(mcp_wire.failed_list(McpFailure(Kind.PROTOCOL, "no")), Unavailable)
