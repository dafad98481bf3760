from __future__ import annotations

import json

import pytest

from gateway.rest import failures
from mesh.errors import Broken, MeshError, Missing, Overloaded, Rejected, TooSlow, Unavailable


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("10.0.0.7: no"), 503, "service_unavailable"),
        (Overloaded("10.0.0.7: no", retry_after_s=7.0), 503, "service_unavailable"),
        (Broken("10.0.0.7: no"), 500, "server_error"),
        (TooSlow("10.0.0.7: no"), 500, "server_error"),
        (Rejected("no such voice", param="voice"), 400, "invalid_value"),
        (Missing("no such model"), 400, "invalid_value"),
    ],
)
def test_each_failure_has_its_status(error: MeshError, status: int, code: str) -> None:
    answer = failures.answer(error, "Transcription")
    said = json.loads(answer.text or "")["error"]
    assert (answer.status, said["code"]) == (status, code)
    assert "10.0.0.7" not in said["message"]
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_tier_says_when_to_come_back() -> None:
    answer = failures.answer(Overloaded("full", retry_after_s=7.0), "Transcription")
    assert answer.headers["Retry-After"] == "7"


def test_what_was_wrong_with_a_request_is_told() -> None:
    refusal = failures.refusal_of(Rejected("no such voice", param="voice"), "Speech synthesis")
    assert (refusal.message, refusal.param) == ("no such voice", "voice")
