"""What lies in deploy/ fits what the tiers do by default."""

import dataclasses
import re
from importlib import import_module

from tests.architecture.tree import ROOT, TIERS


def test_prometheus_looks_where_every_tier_serves_its_metrics():
    scraped = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    told = dict(re.findall(r'127\.0\.0\.1:(\d+)"\]\n\s+labels: { tier: (\w+) }', scraped))
    assert {int(port): tier for port, tier in told.items()} == {
        _metrics_port(tier): tier.split("_")[0] for tier in TIERS
    }


def _metrics_port(tier: str) -> int:
    fields = dataclasses.fields(import_module(f"{tier}.config").Config)
    [port] = [field.default for field in fields if field.name == "metrics_port"]
    return port
