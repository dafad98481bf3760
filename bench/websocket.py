"""As much of RFC 6455 as a client needs that costs next to nothing."""

from __future__ import annotations

import base64
import secrets

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_NO_MASK = bytes(4)  # XOR with zeros: the payload as it is


def request(host: str, path: str, headers: dict[str, str]) -> bytes:
    """The opening handshake.

    Args:
        host: With its port.
        headers: Besides those of the handshake.
    """
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode()


def masked(opcode: int, payload: bytes) -> bytes:
    """One whole frame of a client."""
    n = len(payload)
    if n < 126:
        head = bytes((0x80 | opcode, 0x80 | n))
    else:
        head = bytes((0x80 | opcode, 0x80 | 126)) + n.to_bytes(2, "big")
    return head + _NO_MASK + payload


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames of a server, as opcode and payload, and the bytes that are left."""
    frames = []
    while len(data) >= 2:
        size, at = data[1] & 0x7F, 2
        if size >= 126:
            at += 2 if size == 126 else 8
            if len(data) < at:
                break
            size = int.from_bytes(data[2:at], "big")
        if len(data) < at + size:
            break
        frames.append((data[0] & 0x0F, data[at : at + size]))
        data = data[at + size :]
    return frames, data
