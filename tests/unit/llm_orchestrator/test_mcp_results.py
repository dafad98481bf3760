import json

import pytest
from mcp import types

from llm_orchestrator import mcp_results


def result(*content, **more):
    return types.CallToolResult(content=list(content), **more)


def text(said):
    return types.TextContent(type="text", text=said)


def test_the_text_parts_are_the_output():
    assert mcp_results.text_of(result(text("a"), text("b"), structured_content={"n": 1})) == "a\nb"


def test_structured_content_stands_in_for_text_that_is_not_there():
    assert json.loads(mcp_results.text_of(result(structured_content={"n": 1}))) == {"n": 1}
    assert mcp_results.text_of(result()) == ""


def test_what_is_no_text_is_named():
    image = types.ImageContent(type="image", data="AAAA", mime_type="image/png")
    link = types.ResourceLink(type="resource_link", name="doc", uri="file:///a.txt")
    inside = types.TextResourceContents(uri="file:///b.txt", text="inside")
    blob = types.BlobResourceContents(uri="file:///c.bin", blob="AAAA")
    resources = [types.EmbeddedResource(type="resource", resource=r) for r in (inside, blob)]
    assert mcp_results.text_of(result(image, link, *resources)).split("\n") == [
        "(image: image/png)", "(file:///a.txt)", "inside", "(file:///c.bin)"
    ]  # fmt: skip


def test_a_long_output_is_cut_between_characters_and_says_so():
    said = "語" * mcp_results.MAX_OUTPUT_BYTES
    output = mcp_results.text_of(result(text(said)))
    head, _, note = output.rpartition("\n")
    assert head == "語" * (mcp_results.MAX_OUTPUT_BYTES // 3)
    assert note == f"(The rest of {3 * mcp_results.MAX_OUTPUT_BYTES} bytes was cut off.)"


def tool(**more):
    return types.Tool(**({"name": "search", "input_schema": {"type": "object"}} | more))


def test_a_tool_has_texts_only():
    found = mcp_results.tool_of(tool(annotations=types.ToolAnnotations(read_only_hint=True)))
    assert found == mcp_results.McpTool(
        "search", "", '{"type": "object"}', '{"readOnlyHint": true}'
    )
    assert mcp_results.tool_of(tool()).annotations_json == ""


def test_a_long_description_is_cut():
    found = mcp_results.tool_of(tool(description="x" * 100_000))
    assert len(found.description) == mcp_results.MAX_DESCRIPTION_CHARACTERS


@pytest.mark.parametrize(
    "more",
    [{"input_schema": {"type": "object", "x": "y" * 20_000}}, {"name": ""}, {"name": "n" * 200}],
)
def test_a_tool_that_no_model_can_be_offered_is_left_out(more):
    assert mcp_results.tool_of(tool(**more)) is None


def test_what_we_sent_in_secret_is_not_repeated():
    headers = {"authorization": "Bearer sk-12345678", "x-key": "k-12345678", "x-version": "1"}
    said = "1: Bearer sk-12345678, k-12345678"
    assert mcp_results.without_secrets(said, headers) == "1: Bearer [secret], [secret]"


def test_messages_are_short():
    assert mcp_results.shortened("fine") == "fine"
    assert len(mcp_results.shortened("x" * 1000)) == mcp_results.MAX_SHOWN_CHARACTERS
