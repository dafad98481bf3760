"""The balancer's configuration, judged by HAProxy itself."""

from __future__ import annotations

import pytest

from tests import haproxy as edges
from voicemesh import haproxy

FILES = {"haproxy.cfg": haproxy.config(), "haproxy-kubernetes.cfg": haproxy.kubernetes_config()}


@pytest.mark.parametrize("name", FILES)
def test_what_is_deployed_is_what_up_runs(name):
    assert (edges.DEPLOYED / name).read_text() == FILES[name], "run python -m voicemesh.haproxy"


@pytest.mark.parametrize("name", [*FILES, "without TLS"])
def test_haproxy_takes_it(tmp_path, name):
    file = edges.DEPLOYED / name
    if name not in FILES:
        file = tmp_path / "haproxy.cfg"
        file.write_text(haproxy.config(tls=False))
    checked = edges.Edge(tmp_path, file, {}).check()
    assert checked.returncode == 0, checked.stderr + checked.stdout
    assert "WARNING" not in checked.stderr


def test_without_tls_nobody_listens_for_it():
    assert "ssl crt" in haproxy.config()
    assert "ssl crt" not in haproxy.config(tls=False)


def test_every_place_has_an_id_that_stays():
    lines = [line.split() for line in haproxy.config(slots=3).splitlines() if " gw" in line]
    assert [(line[1], line[4]) for line in lines] == [("gw1", "1"), ("gw2", "2"), ("gw3", "3")]
