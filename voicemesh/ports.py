"""TCP ports on this machine: which are free, and what to say of one that is not."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from voicemesh.trouble import PortsTaken

LOOPBACK = "127.0.0.1"

_NOT_GIVEN = range(20_000, 32_000)  # Linux gives 32768 and up, macOS 49152 and up


def free(host: str = LOOPBACK) -> int:
    """A port nobody listens on now; somebody could take it before the caller does."""
    return several(1, host)[0]


def several(n: int, host: str = LOOPBACK) -> list[int]:
    """Different free ones that stay free: none that the system gives to connections that are
    made before their owners have started, as many as those may be."""
    found: list[int] = []
    candidates = list(_NOT_GIVEN)
    random.shuffle(candidates)
    for port in candidates:
        if len(found) == n:
            break
        if not _why_not(host, port):
            found.append(port)
    return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """A place to listen on, and the variable that sets its port."""

    variable: str
    port: int
    host: str = LOOPBACK


def check(places: Sequence[Wanted]) -> None:
    """
    Raises:
        PortsTaken: some are in use, or wanted twice; all of them are named at once.
    """
    wrong: list[str] = []
    first: dict[int, str] = {}
    for place in places:
        if place.port in first:
            others = f"{place.variable} and {first[place.port]}"
            wrong.append(f"{others} are both {place.port}: set one of them to another")
        elif reason := _why_not(place.host, place.port):
            wrong.append(f"port {place.port} {reason}: free it, or set {place.variable} to another")
        first.setdefault(place.port, place.variable)
    if wrong:
        raise PortsTaken("\n".join(wrong))


def _why_not(host: str, port: int) -> str:
    """Why nobody could listen there; empty if somebody could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except PermissionError:
        return "needs root"
    except OSError as error:
        return "is in use" if error.errno == errno.EADDRINUSE else f"on {host}: {error}"
    return ""
