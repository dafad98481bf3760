"""Which MCP servers clients may name: the operator's allow-list.

Without it anybody with a key could make this machine send requests into its own network. So
an address is matched in parts, never as a text: `https://good.example` does not let in
`https://good.example.evil.com`, `https://good.example@evil.com` or
`https://good.example/../other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh.errors import Forbidden, Rejected

MAX_URL_CHARACTERS = 2048

_PORTS = {"https": 443, "http": 80}
_ASCII = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?:[a-z0-9_-]+\.)*[a-z0-9_-]+\.?|\[[0-9a-f:.]+\]")
_HIDDEN = re.compile(r"%(?:2e|2f|3b|5c|25|0[0-9a-f]|1[0-9a-f]|c0|c1|u)", re.IGNORECASE)
"""Escapes of `.`, `/`, `;`, `\\`, `%` and control characters, and those that old servers take for
them though they are no UTF-8: servers differ in when they undo them."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in parts, checked."""

    scheme: str
    host: str  # lower case; IPv6 in brackets; "*.example.com" in the allow-list only
    port: int
    path: str  # begins with "/"

    @property
    def origin(self) -> tuple[str, str, int]:
        return (self.scheme, self.host, self.port)


class AllowedServer(str):
    """An entry of the allow-list: `https://mcp.example.com/docs` lets in that address and what
    is below it. `*.` before the host lets in its subdomains. A port other than the usual one
    has to be named; plain http only with an entry that says http.

    Raises:
        ValueError: it is no such URL.
    """

    __slots__ = ("address",)

    address: Address

    def __new__(cls, text: str) -> AllowedServer:
        made = super().__new__(cls, text)
        made.address = _read(text, wildcard=True)
        return made


class Policy:
    def __init__(self, allowed: Iterable[AllowedServer] = ()) -> None:
        self._allowed = [entry.address for entry in allowed]

    def check(self, label: str, url: str) -> Address:
        """The parts of a server's address, if clients may name it.

        Args:
            label: What the client calls the server.

        Raises:
            Rejected: the URL is none, or one that hides where it leads.
            Forbidden: the operator does not allow it.
        """
        try:
            address = _read(url)
        except ValueError as error:
            raise Rejected(
                f"The URL of the server {label!r} cannot be used: {error}", param="server.url"
            ) from error
        if not any(_lets_in(entry, address) for entry in self._allowed):
            raise Forbidden(
                f"The server {label!r} is not allowed here: the operator's LLM_MCP_ALLOWED does"
                " not permit its URL",
                param="server.url",
            )
        return address


def _lets_in(entry: Address, address: Address) -> bool:
    if (entry.scheme, entry.port) != (address.scheme, address.port):
        return False
    if entry.host.startswith("*."):
        if not address.host.endswith(entry.host[1:]):
            return False
    elif entry.host != address.host:
        return False
    base = entry.path.rstrip("/")
    return address.path == base or address.path.startswith(f"{base}/")


def _read(url: str, *, wildcard: bool = False) -> Address:
    """
    Args:
        wildcard: The host may begin with `*.`.

    Raises:
        ValueError: it cannot be used; the message says why and does not quote it.
    """
    if len(url) > MAX_URL_CHARACTERS or not _ASCII.fullmatch(url) or "\\" in url:
        raise ValueError("it is too long or has characters that a URL cannot have")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.netloc:
        raise ValueError("it does not begin with https://")
    if "@" in parts.netloc or "#" in url:
        raise ValueError("it has a user name or a fragment")
    host, port = _host_and_port(parts.netloc.lower(), parts.scheme, wildcard=wildcard)
    path = parts.path or "/"
    # Servers of Java cut `;x` off a segment before they look at it: `..;` leads up there.
    segments = {segment.partition(";")[0] for segment in path.split("/")}
    if _HIDDEN.search(path) or {".", ".."} & segments:
        raise ValueError("its path has dots or escapes that can lead elsewhere")
    return Address(parts.scheme, host, port, path)


def _host_and_port(netloc: str, scheme: str, *, wildcard: bool) -> tuple[str, int]:
    host, colon, port = netloc.rpartition(":")
    if not colon or netloc.endswith("]"):
        host, colon, port = netloc, "", ""
    plain = host.removeprefix("*.") if wildcard else host
    if not _HOST.fullmatch(plain):
        raise ValueError("its host is none")
    if not colon:
        return host, _PORTS[scheme]
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("its port is none")
    return host, int(port)
