from types import SimpleNamespace as Made

import pytest

from llm_orchestrator.provider_errors import failure, is_refusal
from mesh.errors import Overloaded, Rejected, Unavailable


class Answered(Exception):
    """As the SDKs raise it."""

    def __init__(self, status_code, message="quotes the conversation", **headers):
        super().__init__(message)
        self.status_code = status_code
        self.response = Made(headers=headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, Overloaded), (401, Unavailable), (403, Unavailable), (400, Rejected), (404, Rejected),
     (422, Rejected), (500, Unavailable), (503, Unavailable), (-1, Unavailable)],
)  # fmt: skip
def test_statuses_become_our_errors_without_their_words(status, kind):
    error = failure("openai", Answered(status))
    assert type(error) is kind
    assert "quotes" not in str(error)


def test_a_wait_that_is_no_number_is_left_out():
    assert failure("openai", Answered(429, **{"retry-after": "2.5"})).retry_after_s == 2.5
    assert failure("openai", Answered(429, **{"retry-after": "soon"})).retry_after_s is None


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "insufficient_quota"},
        {"body": {"code": "insufficient_quota"}},
        {"body": {"error": {"type": "insufficient_quota", "code": None}}},
    ],
)
def test_a_quota_that_is_used_up_is_told_from_a_rate_limit(fields):
    error = Answered(429)
    vars(error).update(fields)
    assert failure("openai", error).code == "insufficient_quota"
    assert failure("openai", Answered(429)).code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    "error",
    [
        Answered(400, "context_length_exceeded"),
        Answered(400, "This model's maximum context length is 8192 tokens. However, you"),
        Answered(400, "the request exceeds the available context size"),
        Answered(413, "prompt is too long: 9000 tokens"),
    ],
)
def test_a_conversation_that_is_too_long_is_told_by_its_own_code(error):
    found = failure("openai", error)
    assert isinstance(found, Rejected)
    assert (found.code, found.param) == ("context_length_exceeded", "truncation")
    assert found.detail == "The conversation is too long for the model, says openai"
    assert not is_refusal(error)


def test_only_what_is_not_understood_is_a_refusal():
    assert [s for s in (400, 401, 404, 413, 422, 429, 500) if is_refusal(Answered(s))] == [400, 422]
    assert not is_refusal(ValueError())
    assert failure("openai", Answered(400)).code == ""
