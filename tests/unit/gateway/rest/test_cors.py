from __future__ import annotations

import pytest

from tests.unit.gateway.keys import KEY

PAGE = "https://app.example"
BEARER = {"Authorization": f"Bearer {KEY}"}
SECRETS = "/v1/realtime/client_secrets"
ASKED = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}
ORIGIN = "Access-Control-Allow-Origin"


async def test_a_page_of_any_origin_may_ask(http):
    answer = await http.options(SECRETS, headers={"Origin": PAGE, **ASKED})
    assert answer.status == 204
    assert answer.headers[ORIGIN] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"]
    assert allowed == "authorization,content-type,x-stainless-os"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    answer = await http.post(SECRETS, headers={"Origin": PAGE, **BEARER})
    assert answer.status == 200
    assert answer.headers[ORIGIN] == "*"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", [SECRETS, "/v1/nothing"])
async def test_a_page_can_read_what_is_refused(http, path):
    answer = await http.post(path, headers={"Origin": PAGE})
    assert answer.status in (401, 404)
    assert answer.headers[ORIGIN] == "*"


@pytest.mark.parametrize(("origin", "allowed"), [(PAGE, PAGE), ("https://evil.example", None)])
async def test_only_origins_that_are_named_may_ask(gateway, origin, allowed):
    http = await gateway(cors_origins=(PAGE, "https://other.example"))
    asked = await http.options(SECRETS, headers={"Origin": origin, **ASKED})
    assert asked.headers.get(ORIGIN) == allowed
    assert ("Access-Control-Allow-Methods" in asked.headers) == (allowed is not None)
    answer = await http.post(SECRETS, headers={"Origin": origin, **BEARER})
    assert answer.headers.get(ORIGIN) == allowed
    assert answer.headers["Vary"] == "Origin"


async def test_no_origin_may_ask_where_none_is_named(gateway):
    http = await gateway(cors_origins=())
    answer = await http.post(SECRETS, headers={"Origin": PAGE, **BEARER})
    assert ORIGIN not in answer.headers
    assert "Vary" not in answer.headers


async def test_what_is_for_operators_is_for_no_page(http):
    assert ORIGIN not in (await http.get("/metrics", headers={"Origin": PAGE})).headers
    assert (await http.options("/metrics", headers={"Origin": PAGE, **ASKED})).status == 405


async def test_options_without_a_question_is_a_method_like_others(http):
    assert (await http.options(SECRETS, headers={"Origin": PAGE})).status == 405
