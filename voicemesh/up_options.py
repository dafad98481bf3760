"""What the command `voicemesh up` takes besides settings: how many processes of what."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from voicemesh import haproxy

WORKERS = ("stt", "tts", "llm")
"""The tiers of which there may be several processes that the gateways choose among."""
MOST_WORKERS = 32  # of one tier; each has its own models in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many processes of each kind."""

    gateways: int = 1
    haproxy: bool = False
    """Whether clients connect to an HAProxy, which chooses among the gateways."""
    stt: int = 1
    tts: int = 1
    llm: int = 1

    @property
    def all(self) -> int:
        return self.gateways + self.stt + self.tts + self.llm

    def of(self, tier: str) -> int:
        """
        Args:
            tier: One of WORKERS.
        """
        return {"stt": self.stt, "tts": self.tts, "llm": self.llm}[tier]


ONE_OF_EACH = Counts()


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--gateways",
        type=int,
        choices=range(1, haproxy.SLOTS + 1),
        default=1,
        metavar="N",
        help="processes of the gateway, each on a port of its own; default: 1",
    )
    command.add_argument(
        "--haproxy",
        action="store_true",
        help="run HAProxy on PORT and GATEWAY_TLS_PORT, before the gateways; "
        "HAPROXY_STATS_PORT has its statistics",
    )
    for tier in WORKERS:
        command.add_argument(
            f"--{tier}",
            type=int,
            choices=range(1, MOST_WORKERS + 1),
            default=1,
            metavar="N",
            help=f"workers of the {tier} tier, each on ports of its own; default: 1",
        )


def counts(given: argparse.Namespace) -> Counts:
    """What the command line says."""
    return Counts(
        gateways=given.gateways,
        haproxy=given.haproxy,
        stt=given.stt,
        tts=given.tts,
        llm=given.llm,
    )
