"""Ports that nobody uses."""

from __future__ import annotations

import contextlib
import random
import socket

_LOWEST, _HIGHEST = 10_000, 32_000
"""Below those that the system gives to clients: a server that is started again on its port must
not find somebody's connection there."""


def free_ports(n: int) -> list[int]:
    """Different ones: all are held before any is let go."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < n:
            port = random.randrange(_LOWEST, _HIGHEST)
            candidate = held.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    return ports
