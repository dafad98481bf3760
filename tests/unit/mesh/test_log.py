import asyncio
import io
import json
import logging
import sys

import pytest
from grpc.aio import InternalError

from mesh import log as logs

log = logging.getLogger("gateway.connection")


@pytest.fixture
def lines(own_logging, monkeypatch):
    """What is logged from now on, as JSON objects."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.setup("gateway", "info")
    return lambda: [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_a_line_is_an_event_with_fields(lines):
    log.info("reply finished", extra={"response_id": "resp_1", "first_audio_ms": 412})
    [line] = lines()
    assert line.pop("time").startswith("20")
    assert line == {
        "service": "gateway",
        "level": "INFO",
        "logger": "gateway.connection",
        "event": "reply finished",
        "response_id": "resp_1",
        "first_audio_ms": 412,
    }


def test_a_line_carries_the_ids_of_whom_the_work_is_for(lines):
    with logs.bound(session_id="sess_1", correlation_id="corr_1", tenant_id="acme"):
        log.info("inside")
        with logs.bound(session_id="sess_2"):
            log.info("deeper")
        log.info("inside again")
    log.info("outside")
    assert [line.get("session_id") for line in lines()] == ["sess_1", "sess_2", "sess_1", None]


async def test_tasks_started_inside_inherit_the_ids(lines):
    async def work():
        log.info("at work")

    async with asyncio.TaskGroup() as tasks:
        with logs.bound(session_id="sess_1", tenant_id="acme"):
            tasks.create_task(work(), name="work")
    [line] = lines()
    assert (line["session_id"], line["tenant_id"]) == ("sess_1", "acme")
    assert "correlation_id" not in line, "an id nobody set is no field"


async def test_a_generator_that_another_task_closes_does_not_fail(lines):
    async def numbers():
        with logs.bound(session_id="sess_1"):
            yield 1

    generator = numbers()
    async with asyncio.TaskGroup() as tasks:
        await tasks.create_task(anext(generator), name="opens")
    await generator.aclose()
    log.info("after")
    assert "session_id" not in lines()[0]


@pytest.mark.parametrize("field", ["text", "transcript", "audio", "authorization", "api_key"])
def test_private_fields_are_dropped(lines, field):
    log.info("heard", extra={field: "my number is 42", "n_chars": 15})
    [line] = lines()
    assert field not in line
    assert line["n_chars"] == 15


def test_private_fields_are_dropped_at_any_depth(lines):
    item = {"id": "item_1", "content": [{"type": "text", "text": "my number is 42"}]}
    log.info("item made", extra={"item": item, "pair": ({"audio": "AAAA"}, 1)})
    [line] = lines()
    assert line["item"] == {"id": "item_1", "content": [{"type": "text"}]}
    assert line["pair"] == [{}, 1]
    assert item["content"][0]["text"] == "my number is 42", "the item itself is not touched"


def test_a_failure_is_one_line_with_its_traceback(lines):
    try:
        raise KeyError("gone")
    except KeyError:
        log.exception("handler failed", extra={"about": {"rpc": "Generate"}})
    [line] = lines()
    assert line["level"] == "ERROR"
    assert "KeyError: 'gone'" in line["exc_info"]
    assert "test_log.py" in line["exc_info"]


def test_arguments_of_a_message_are_filled_in(lines):
    logging.getLogger("library").warning("%s of %d", "one", 2)
    logging.getLogger("library").warning("%(n)d left", {"n": 3})
    assert [line["event"] for line in lines()] == ["one of 2", "3 left"]


def test_the_level_is_the_least_that_is_logged(lines):
    log.debug("too fine")
    logging.getLogger("httpx").info("GET https://…")
    logging.getLogger("httpx").warning("slow")
    assert [line["event"] for line in lines()] == ["slow"]


def test_who_leaves_just_when_a_call_has_ended_is_no_error(lines):
    grpcio = logging.getLogger("grpc._cython.cygrpc")
    for operation in ("SendStatusFromServerOperation", "SendMessageOperation"):
        error = InternalError(f'Failed "execute_batch": (<{operation} object at 0x7f>,)')
        grpcio.error("ExecuteBatchError raised in core", exc_info=error)
    [line] = lines()
    assert "SendMessageOperation" in line["exc_info"]
