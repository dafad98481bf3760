import pytest

from llm_orchestrator.mcp_policy import AllowedServer, Policy
from mesh.errors import Forbidden, Rejected


def policy(*entries):
    return Policy(AllowedServer(entry) for entry in entries)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("https://good.example", "https://good.example"),
        ("https://good.example", "https://good.example/mcp?key=1"),
        ("https://good.example/", "https://GOOD.example:443/a/b"),
        ("https://good.example/mcp", "https://good.example/mcp"),
        ("https://good.example/mcp/", "https://good.example/mcp/docs"),
        ("https://good.example:8443", "https://good.example:8443/mcp"),
        ("https://*.good.example", "https://docs.good.example/mcp"),
        ("https://*.good.example", "https://a.b.good.example/"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/sse"),
        ("http://[::1]:9000", "http://[::1]:9000/sse"),
    ],
)
def test_what_the_operator_allows_is_let_in(entry, url):
    assert policy("https://other.example", entry).check("docs", url).scheme == entry.split(":")[0]


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example.evil.com/mcp",
        "https://evilgood.example/mcp",
        "https://docs.good.example/mcp",
        "http://good.example/mcp",
        "https://good.example:8443/mcp",
        "https://good.example/mcps",
        "https://good.example/",
        "https://good.example/MCP",
        "https://good.example//mcp",
        "https://good.example./mcp",
        "https://127.0.0.1/mcp",
    ],
)
def test_what_only_looks_like_it_is_forbidden(url):
    with pytest.raises(Forbidden, match=r"'docs' is not allowed here.*LLM_MCP_ALLOWED") as caught:
        policy("https://good.example/mcp").check("docs", url)
    assert caught.value.param == "server.url"
    assert url not in caught.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example@evil.com/mcp",
        "https://user:pass@good.example/mcp",
        "https://good.example/mcp/../admin",
        "https://good.example/mcp/./x",
        "https://good.example/mcp/%2e%2e/admin",
        "https://good.example/mcp%2F..%2Fadmin",
        "https://good.example/mcp/%252e%252e/admin",
        "https://good.example/mcp/..;/admin",
        "https://good.example/mcp/.;x=1/admin",
        "https://good.example/mcp/..%3b/admin",
        "https://good.example/mcp/%c0%ae%C0%AE/admin",
        "https://good.example/mcp/%u002e%u002e/admin",
        "https://good.example\\@evil.com/mcp",
        "https://good.example/mcp\r\nX: 1",
        "https://good.example/mcp#x",
        "https://good.example#@evil.com/mcp",
        "https://good.example:port/mcp",
        "https://good.example:0/mcp",
        "https://good.example:99999/mcp",
        "https://*.good.example/mcp",
        "https://gооd.example/mcp",  # Cyrillic
        "https:///mcp",
        "https:good.example/mcp",
        "ftp://good.example/mcp",
        "file:///etc/passwd",
        "good.example/mcp",
        "",
        "https://good.example/mcp?" + "x" * 3000,
    ],
)
def test_an_address_that_hides_where_it_leads_is_refused(url):
    with pytest.raises(Rejected, match="The URL of the server 'docs' cannot be used") as caught:
        policy("https://good.example/mcp", "https://*.good.example").check("docs", url)
    assert not isinstance(caught.value, Forbidden)
    assert caught.value.param == "server.url"


def test_a_wildcard_is_not_the_domain_itself():
    with pytest.raises(Forbidden):
        policy("https://*.good.example").check("docs", "https://good.example/")
    with pytest.raises(Forbidden):
        policy("https://*.good.example").check("docs", "https://evilgood.example/")


def test_nothing_is_allowed_unless_the_operator_says_so():
    with pytest.raises(Forbidden):
        Policy().check("docs", "https://good.example/")


@pytest.mark.parametrize(
    "entry", ["good.example", "https://", "*", "https://*", "https://a.*.b", "https://u@a.b"]
)
def test_an_entry_that_is_no_address_is_a_mistake(entry):
    with pytest.raises(ValueError, match="it"):
        AllowedServer(entry)
