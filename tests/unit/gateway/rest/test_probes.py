from __future__ import annotations

from gateway.shared import GATEWAY


async def test_the_process_is_healthy_while_it_runs(http):
    assert (await http.get("/healthz")).status == 200


async def test_ready_means_that_a_whole_turn_can_be_served(http):
    gateway = http.server.app[GATEWAY]
    parts = {"stt": True, "tts": True, "llm": False, "redis": True}
    gateway.ready = lambda: parts
    answer = await http.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "draining": False, **parts}
    parts["llm"] = True
    assert (await http.get("/readyz")).status == 200


async def test_a_process_that_drains_says_so_with_the_status_balancers_know(http):
    http.server.app[GATEWAY].is_draining = True
    answer = await http.get("/readyz")
    assert answer.status == 404
    assert (await answer.json())["draining"] is True


async def test_metrics_are_served(http):
    answer = await http.get("/metrics")
    assert "gateway_sessions" in await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain")
