from __future__ import annotations

from tests.unit.gateway.keys import KEY

BEARER = {"Authorization": f"Bearer {KEY}"}


async def test_models_are_listed_for_those_with_a_key(http):
    answer = await http.get("/v1/models", headers=BEARER)
    assert answer.status == 200
    listed = await answer.json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == "gpt-realtime"
    refused = await http.get("/v1/models")
    assert refused.status == 401
    assert (await refused.json())["error"] == {
        "message": "Missing bearer or basic authentication in header",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_a_model_can_be_asked_for_by_any_name_it_is_served_under(http):
    answer = await http.get("/v1/models/gpt-realtime-mini", headers=BEARER)
    assert await answer.json() == {
        "id": "gpt-realtime-mini",
        "object": "model",
        "created": 0,
        "owned_by": "ovos-voice-mesh",
    }
    assert (await http.get("/v1/models/gpt-realtime")).status == 401


async def test_an_unknown_model_is_not_found(http):
    answer = await http.get("/v1/models/org/gpt-nope", headers=BEARER)
    assert answer.status == 404
    assert (await answer.json())["error"] == {
        "message": "The model 'org/gpt-nope' does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
