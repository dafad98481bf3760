from __future__ import annotations

import pytest
from aiohttp import FormData

from gateway.allowance import LocalAllowance, SameForAll
from gateway.rest.answers import Later
from gateway.rest.metering import take_request
from tests.unit.gateway.keys import KEY

BEARER = {"Authorization": f"Bearer {KEY}"}
SPEECH = {"model": "tts-1", "input": "Hello.", "voice": "alloy"}


async def test_requests_are_counted_and_refused_beyond_the_limit():
    allowance = LocalAllowance(SameForAll(1, 0), lambda: 0.0)
    await take_request(allowance, "acme")
    with pytest.raises(Later) as raised:
        await take_request(allowance, "acme")
    assert raised.value.wait_s == 60
    assert raised.value.refusal.code == "rate_limit_exceeded"
    await take_request(allowance, "other")


def no_recording() -> FormData:
    """It costs a request all the same: somebody has to look at it."""
    form = FormData({"model": "whisper-1"})
    form.add_field("file", b"no audio", filename="a.wav")
    return form


WORK = {
    "/v1/audio/speech": lambda: {"json": SPEECH},
    "/v1/audio/transcriptions": lambda: {"data": no_recording()},
    "/v1/realtime/client_secrets": dict,
    "/v1/realtime/sessions": dict,
    "/v1/realtime/transcription_sessions": dict,
}
NO_WORK = ["/v1/models", "/healthz", "/readyz", "/metrics"]


@pytest.mark.parametrize("path", WORK)
async def test_every_call_that_does_work_is_a_request(gateway, path):
    http = await gateway(requests_per_minute=1)
    first = await http.post(path, headers=BEARER, **WORK[path]())
    assert first.status != 429
    refused = await http.post(path, headers=BEARER, **WORK[path]())
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    error = (await refused.json())["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    for free in NO_WORK:
        assert (await http.get(free, headers=BEARER)).status == 200


async def test_what_does_no_work_is_none(gateway):
    http = await gateway(requests_per_minute=1)
    for _ in range(3):
        for path in NO_WORK:
            await http.get(path, headers=BEARER)
    answer = await http.post("/v1/audio/speech", json=SPEECH, headers=BEARER)
    assert answer.status == 200


async def test_who_is_nobody_costs_a_tenant_nothing(gateway):
    http = await gateway(requests_per_minute=1)
    for path in WORK:
        assert (await http.post(path, **WORK[path]())).status == 401
    answer = await http.post("/v1/audio/speech", json=SPEECH, headers=BEARER)
    assert answer.status == 200
