"""Ports that nobody uses."""

from __future__ import annotations

import contextlib
import socket


def free_ports(n: int) -> list[int]:
    """Different ones: all are held before any is let go."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
