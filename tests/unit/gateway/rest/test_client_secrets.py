from __future__ import annotations

import time

import pytest

from gateway import app
from tests.client import RealtimeClient
from tests.unit.gateway.keys import KEY

BEARER = {"Authorization": f"Bearer {KEY}"}
GA, BETA = "/v1/realtime/client_secrets", "/v1/realtime/sessions"
TRANSCRIPTION = "/v1/realtime/transcription_sessions"


@pytest.fixture
def post(http):
    """Ask for a secret; the answer's status and body."""

    async def post(path, body=None, headers=BEARER):
        answer = await http.post(path, json=body, headers=headers)
        return answer.status, await answer.json()

    return post


@pytest.fixture
def opened(http):
    """The session that a secret opens."""

    async def opened(value, query=""):
        headers = {"Authorization": f"Bearer {value}"}
        ws = await http.ws_connect(f"/v1/realtime?{query}", headers=headers)
        created = await RealtimeClient(ws).next()
        await ws.close()
        return created["session"]

    return opened


async def test_a_secret_can_be_had_without_saying_anything(http, opened):
    answer = await http.post(GA, headers=BEARER)
    made = await answer.json()
    assert made.keys() == {"value", "expires_at", "session"}
    assert made["value"].startswith("ek_")
    assert made["expires_at"] == pytest.approx(time.time() + 600, abs=3)
    assert made["session"]["object"] == "realtime.session"
    assert made["session"]["model"] == "gpt-realtime"
    assert made["session"]["expires_at"] == 0
    session = await opened(made["value"])
    assert session.keys() == made["session"].keys()
    assert session["model"] == "gpt-realtime"
    assert session["id"] != made["session"]["id"]


async def test_it_opens_the_session_it_was_made_for(post, opened):
    asked = {
        "type": "realtime",
        "model": "gpt-realtime-mini",
        "instructions": "Hum.",
        "output_modalities": ["text"],
        "audio": {"input": {"turn_detection": None}, "output": {"voice": "marin"}},
        "tools": [{"type": "function", "name": "hum", "parameters": {"type": "object"}}],
    }
    status, made = await post(GA, {"session": asked})
    assert status == 200
    for session in (made["session"], await opened(made["value"], "model=gpt-realtime")):
        assert session["model"] == "gpt-realtime-mini"
        assert session["instructions"] == "Hum."
        assert session["output_modalities"] == ["text"]
        assert session["audio"]["input"]["turn_detection"] is None
        assert session["audio"]["output"]["voice"] == "marin"
        assert session["tools"][0]["name"] == "hum"


async def test_who_has_a_secret_chooses_the_model_that_its_maker_left_open(post, opened):
    _, made = await post(GA, {"session": {"type": "realtime"}})
    session = await opened(made["value"], "model=gpt-realtime-mini")
    assert session["model"] == "gpt-realtime-mini"


async def test_it_can_open_a_transcription_session(post, opened):
    heard = {"transcription": {"model": "whisper-1", "language": "pt"}}
    asked = {"type": "transcription", "audio": {"input": heard}}
    status, made = await post(GA, {"session": asked})
    assert status == 200
    for query in ("", "intent=transcription"):
        session = await opened(made["value"], query)
        assert session["type"] == made["session"]["type"] == "transcription"
        assert session["object"] == "realtime.transcription_session"
        assert session["audio"]["input"]["transcription"]["language"] == "pt"


@pytest.mark.parametrize("seconds", [10, 7200])
async def test_its_life_can_be_chosen(post, seconds):
    _, made = await post(GA, {"expires_after": {"anchor": "created_at", "seconds": seconds}})
    assert made["expires_at"] == pytest.approx(time.time() + seconds, abs=3)


async def test_null_is_as_nothing(post):
    status, made = await post(GA, {"expires_after": None, "session": None})
    assert status == 200
    assert made["expires_at"] == pytest.approx(time.time() + 600, abs=3)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ([], "invalid_type", None),
        ({"nope": 1}, "unknown_parameter", "nope"),
        ({"expires_after": 5}, "invalid_type", "expires_after"),
        (
            {"expires_after": {"seconds": 60, "anchor": "now"}},
            "invalid_value",
            "expires_after.anchor",
        ),
        (
            {"expires_after": {"seconds": 9}},
            "integer_below_min_value",
            "expires_after.seconds",
        ),
        (
            {"expires_after": {"seconds": 7201}},
            "integer_above_max_value",
            "expires_after.seconds",
        ),
        ({"expires_after": {"seconds": 60.5}}, "invalid_type", "expires_after.seconds"),
        ({"session": {}}, "missing_required_parameter", "session.type"),
        ({"session": {"type": "translation"}}, "invalid_value", "session.type"),
        (
            {"session": {"type": "realtime", "output_modalities": ["audio", "text"]}},
            "invalid_value",
            "session.output_modalities",
        ),
        (
            {"session": {"type": "realtime", "audio": {"input": {"format": "pcm16"}}}},
            "invalid_type",
            "session.audio.input.format",
        ),
        ({"session": {"type": "realtime", "model": "gpt-nope"}}, "invalid_model", "session.model"),
        (
            {"session": {"type": "transcription", "instructions": ""}},
            "unknown_parameter",
            "session.instructions",
        ),
    ],
)
async def test_what_is_wrong_is_said_with_its_place(post, secrets, body, code, param):
    status, answer = await post(GA, body)
    assert status == 400
    assert (answer["error"]["code"], answer["error"]["param"]) == (code, param)
    assert answer["error"]["type"] == "invalid_request_error"
    assert secrets.kept == {}


async def test_the_beta_form_is_flat_and_short_lived(post, opened):
    status, made = await post(
        BETA, {"model": "gpt-realtime-mini", "voice": "echo", "modalities": ["text", "audio"]}
    )
    assert status == 200
    assert made["object"] == "realtime.session"
    assert made["voice"] == "echo"
    assert made["input_audio_format"] == "pcm16"
    assert made["temperature"] == 0.8
    assert made["client_secret"]["expires_at"] == pytest.approx(time.time() + 60, abs=3)
    session = await opened(made["client_secret"]["value"], "model=gpt-realtime-mini")
    assert session["audio"]["output"]["voice"] == "echo"
    assert session["model"] == "gpt-realtime-mini"


async def test_the_beta_form_can_be_empty(http):
    for path in (BETA, TRANSCRIPTION):
        answer = await http.post(path, headers=BEARER)
        assert answer.status == 200
        assert (await answer.json())["client_secret"]["value"].startswith("ek_")


async def test_the_beta_form_for_transcription(post, opened):
    asked = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "pt"},
    }
    status, made = await post(TRANSCRIPTION, asked)
    assert status == 200
    assert made["object"] == "realtime.transcription_session"
    assert made["input_audio_format"] == "g711_ulaw"
    assert made["client_secret"]["expires_at"] == pytest.approx(time.time() + 600, abs=3)
    session = await opened(made["client_secret"]["value"], "intent=transcription")
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        (BETA, {"bogus": 1}, "unknown_parameter", "bogus"),
        (BETA, {"input_audio_format": "mp3"}, "invalid_value", "input_audio_format"),
        (BETA, {"temperature": 5}, "decimal_above_max_value", "temperature"),
        (BETA, {"model": "gpt-nope"}, "invalid_model", "model"),
        (TRANSCRIPTION, {"voice": "echo"}, "unknown_parameter", "voice"),
    ],
)
async def test_what_is_wrong_in_the_beta_form_has_its_flat_place(post, path, body, code, param):
    status, answer = await post(path, body)
    assert status == 400
    assert (answer["error"]["code"], answer["error"]["param"]) == (code, param)
    assert "session." not in answer["error"]["message"]


@pytest.mark.parametrize("path", [GA, BETA, TRANSCRIPTION])
async def test_only_who_has_an_api_key_gets_a_secret(post, path):
    _, made = await post(GA)
    status, answer = await post(path, {}, {"Authorization": f"Bearer {made['value']}"})
    assert status == 401
    assert answer["error"]["code"] == "insufficient_permissions"
    status, answer = await post(path, {}, {})
    assert status == 401
    status, answer = await post(path, {}, {"Authorization": "Bearer sk-no"})
    assert status == 401
    assert answer["error"]["code"] == "invalid_api_key"


async def test_an_expired_secret_is_said_to_have_expired(http, post, secrets):
    _, made = await post(GA)
    secrets.expire(made["value"])
    answer = await http.get("/v1/models", headers={"Authorization": f"Bearer {made['value']}"})
    assert answer.status == 401
    error = (await answer.json())["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "token_expired")


async def test_a_store_that_is_away_is_our_failure(http, secrets):
    secrets.is_away = True
    answer = await http.post(GA, headers=BEARER)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    error = (await answer.json())["error"]
    assert (error["type"], error["code"]) == ("server_error", "service_unavailable")


async def test_a_tenant_makes_only_so_many(gateway, monkeypatch):
    monkeypatch.setattr(app, "SECRETS_A_MINUTE", 2)
    http = await gateway()
    made = [(await http.post(GA, headers=BEARER)).status for _ in range(3)]
    assert made == [200, 200, 429]
    refused = await http.post(GA, headers=BEARER)
    assert (await refused.json())["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(refused.headers["Retry-After"]) <= 60


async def test_all_kinds_of_secrets_count_as_requests(gateway):
    http = await gateway(requests_per_minute=2)
    paths = [GA, "/v1/realtime/sessions", "/v1/realtime/transcription_sessions"]
    answers = [await http.post(path, headers=BEARER) for path in paths]
    assert [answer.status for answer in answers] == [200, 200, 429]


async def test_a_tenant_keeps_only_so_much(gateway, monkeypatch):
    monkeypatch.setattr(app, "SECRET_BYTES_A_MINUTE", 10_000)
    http = await gateway()
    long = {"session": {"type": "realtime", "instructions": "x" * 10_000}}
    made = [(await http.post(GA, headers=BEARER, json=long)).status for _ in range(2)]
    assert made == [200, 429]


async def test_no_secret_is_logged(post, opened, caplog):
    _, made = await post(GA)
    await opened(made["value"])
    assert made["value"] not in caplog.text
