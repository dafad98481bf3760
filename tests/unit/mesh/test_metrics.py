import asyncio
import logging
import urllib.error
import urllib.request

import pytest
from prometheus_client import Counter

from mesh import metrics

SEEN = Counter("mesh_test_seen", "Counted by these tests.")
OBJECTIVES_S = (0.1, 0.3, 0.5, 0.8)


@pytest.fixture
def port(caplog):
    """The metrics port, open during the test."""
    with caplog.at_level(logging.INFO, logger="mesh.metrics"):
        close = metrics.serve("127.0.0.1", 0)
    yield caplog.records[-1].port
    close()


def fetch(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return answer.read().decode()


def test_the_page_has_the_metrics_of_the_process(port):
    SEEN.inc(3)
    assert "mesh_test_seen_total 3.0" in fetch(port)


def test_the_page_can_be_had_without_the_port():
    body, content_type = metrics.page()
    assert b"# TYPE mesh_test_seen_total counter" in body
    assert content_type.startswith("text/plain")


def test_a_taken_port_is_an_error_that_names_it(port):
    with pytest.raises(OSError, match=f"metrics port 127.0.0.1:{port}"):
        metrics.serve("127.0.0.1", port)


def test_a_closed_port_is_free_again(caplog):
    caplog.set_level(logging.INFO)
    metrics.serve("127.0.0.1", 0)()
    port = caplog.records[-1].port
    with pytest.raises(urllib.error.URLError):
        fetch(port)
    metrics.serve("127.0.0.1", port)()


async def test_the_port_is_open_inside_and_free_behind(caplog):
    caplog.set_level(logging.INFO)
    async with metrics.serving("127.0.0.1", 0):
        port = caplog.records[-1].port
        assert "mesh_test_seen_total" in await asyncio.to_thread(fetch, port)
    metrics.serve("127.0.0.1", port)()


def test_the_buckets_hold_the_limits_that_objectives_name():
    assert set(OBJECTIVES_S) <= set(metrics.LATENCY_BUCKETS_S)
    assert list(metrics.LATENCY_BUCKETS_S) == sorted(metrics.LATENCY_BUCKETS_S)
