"""The tiers as processes: where each listens, and how it is started."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from voicemesh.ports import LOOPBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One tier as a process."""

    name: str
    """Also the prefix of its variables, in upper case."""
    module: str
    host: str
    port: int
    metrics_port: int
    drain_s: float

    @property
    def command(self) -> list[str]:
        # -P: a folder `gateway` where somebody stands is not our gateway.
        return [sys.executable, "-P", "-m", self.module]

    @property
    def target(self) -> str:
        """Where to call it from this machine."""
        return f"{self.called}:{self.port}"

    @property
    def called(self) -> str:
        """Its host, for those on this machine."""
        return LOOPBACK if self.host in ("0.0.0.0", "::") else self.host

    @property
    def port_variable(self) -> str:
        return "PORT" if self.name == "gateway" else f"{self.name.upper()}_PORT"


def fleet(tier: Tier, n: int, spare: Iterator[int], *, behind: bool = False) -> Sequence[Tier]:
    """Several processes in the place of one, on ports of their own.

    Args:
        spare: Free ports; two are taken for each, if there are several or they are behind.
        behind: Whether they are behind HAProxy, which has the tier's port then; otherwise the
            first one has it.
    """
    if n == 1 and not behind:
        return [tier]
    made = [
        replace(tier, name=f"{tier.name}-{k + 1}", port=next(spare), metrics_port=next(spare))
        for k in range(n)
    ]
    if behind:  # it alone is for others than this machine
        made = [replace(one, host=LOOPBACK) for one in made]
    else:
        made[0] = replace(made[0], port=tier.port)
    made[0] = replace(made[0], metrics_port=tier.metrics_port)
    return made
