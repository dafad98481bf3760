"""What a run is judged by; the mesh and its client are real in the bench itself."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from aiohttp import web

from bench import resume
from bench.resume import Run, all_ready, line, owner, restores, summary


@pytest.fixture
def gateways(aiohttp_server):
    """Some that have so many sessions."""

    async def start(*sessions):
        urls = []
        for n in sessions:
            urls.append(await one(n))
        return SimpleNamespace(gateways=urls)

    async def one(n):
        ready = iter([503, 200, 200])

        async def metrics(request):
            return web.Response(text=f"# HELP\ngateway_sessions {n:.1f}\n")

        async def readyz(request):
            return web.Response(status=next(ready))

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        app.router.add_get("/readyz", readyz)
        return str((await aiohttp_server(app)).make_url("")).rstrip("/")

    return start


async def test_finds_who_has_the_session(gateways):
    assert await owner(await gateways(0, 1, 0)) == 1


@pytest.mark.parametrize("sessions", [(0, 0), (1, 1)])
async def test_does_not_guess(gateways, sessions):
    with pytest.raises(LookupError):
        await owner(await gateways(*sessions))


async def test_waits_until_all_are_ready(gateways):
    await all_ready(await gateways(0, 0))


async def test_does_not_wait_for_ever(unused_tcp_port, monkeypatch):
    monkeypatch.setattr(resume, "READY_S", 0.0)
    with pytest.raises(TimeoutError):
        await all_ready(SimpleNamespace(gateways=[f"http://127.0.0.1:{unused_tcp_port}"]))


def event(type_, **fields):
    return SimpleNamespace(type=type_, event_id=f"event_{type_}", **fields)


def test_keeps_what_comes():
    run = Run()
    run.take(event("session.created", session=SimpleNamespace(id="sess_1")))
    run.take(event("session.created", session=SimpleNamespace(id="sess_2")))
    run.take(event("response.output_audio.delta", delta="AAAA"))
    run.take(event("response.output_audio_transcript.delta", delta="He"))
    run.take(event("response.output_audio_transcript.done", transcript="Hello"))
    run.take(event("response.done", response=SimpleNamespace(status="completed")))
    assert run.session_id == "sess_1"  # what it resumes, whatever a reconnection is given
    assert run.last_event_id == "event_response.done"
    kept = run.kept
    assert (bytes(kept.pcm), kept.deltas, kept.transcripts) == (bytes(3), ["He"], ["Hello"])
    assert kept.statuses == ["completed"]
    assert run.faults == []
    run.take(event("error", error=SimpleNamespace(code="session_not_found", message="")))
    assert run.faults == ["error: session_not_found"]


def killed(gap_ms, *faults):
    run = Run(killed_s=1.0, faults=list(faults))
    run.kept.times_s = [0.9, 0.9 + gap_ms / 1000]
    return run


def test_a_gap_is_told_where_somebody_was_killed():
    assert "no gap: whole" in line(Run())
    assert "gap 300 ms: whole" in line(killed(300))
    assert "gap 300 ms: the text differs; late" in line(killed(300, "the text differs", "late"))


def test_sums_up():
    runs = [killed(200), killed(400), killed(900, "late"), Run()]
    assert summary(runs, [30.0, 50.0]).splitlines() == [
        "3 of 4 answers whole",
        "gap: 3, p50 400 ms, p99 900 ms",
        "restored by the server: 2, p50 50 ms, p99 50 ms",
    ]


def test_reads_restores_from_the_logs(tmp_path):
    lines = [
        json.dumps({"event": "session opened"}),
        json.dumps({"event": "session resumed", "took_ms": 12.5}),
    ]
    (tmp_path / "gateway-1.log").write_text("\n".join(lines))
    (tmp_path / "gateway-2.log").write_text(lines[1])
    (tmp_path / "stt.log").write_text(lines[1])
    assert restores(tmp_path) == [12.5, 12.5]
