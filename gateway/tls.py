"""TLS on the gateway's own socket, for clients that insist on `wss` where no proxy ends it."""

from __future__ import annotations

import ssl
from pathlib import Path


class TlsError(Exception):
    """The certificate cannot be used. The message names the variable at fault."""


def context(cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """
    Args:
        cert_file: PEM: the certificate, then those between it and its authority.
        key_file: PEM: its private key, without a password.

    Raises:
        TlsError: a file is not named or cannot be read, or they are no pair.
    """
    cert, key = _readable("TLS_CERT_FILE", cert_file), _readable("TLS_KEY_FILE", key_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])  # a WebSocket over HTTP/2 is not served
    try:
        # Without a password OpenSSL asks for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise TlsError(
            f"GATEWAY_TLS_CERT_FILE={cert}, GATEWAY_TLS_KEY_FILE={key}: not a certificate and "
            f"its key without a password ({error.reason or error})"
        ) from error
    return context


def _readable(setting: str, file: Path | None) -> Path:
    if file is None:
        raise TlsError(f"GATEWAY_{setting} is not set, and GATEWAY_TLS_PORT is")
    try:
        file.open("rb").close()
    except OSError as error:
        raise TlsError(f"GATEWAY_{setting}={file}: {error.strerror}") from error
    return file
