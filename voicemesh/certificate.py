"""The certificate of the development stack, for clients that insist on `wss`.

A certificate authority of this data folder signs it. Clients are told to trust that one
(`NODE_EXTRA_CA_CERTS`, `ssl.create_default_context(cafile=…)`); nothing on this machine is
changed. The authority stays for ten years, so that this is told once; the certificate is made
afresh when it nears its end or the machine gets another name.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voicemesh import private
from voicemesh.plan import TlsFiles

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

_AUTHORITY_LASTS = timedelta(days=3650)
_LASTS = timedelta(days=397)  # the most that browsers accept
_RENEWED_BEFORE = timedelta(days=30)
_CLOCKS_DIFFER = timedelta(hours=1)  # of two machines, or of one before it asked for the time
_DNS_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate and its private key."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure(files: TlsFiles, host_names: tuple[str, ...], now: datetime) -> None:
    """Make what is missing, near its end or for other names.

    Args:
        host_names: Names or addresses of this machine besides `LOCAL_NAMES`; what can be in
            no certificate is left out.
        now: With its time zone.
    """
    names = _names(host_names)
    authority = _kept(files.ca, files.ca_key, now)
    if authority is None:
        authority = _make_authority(now)
        _write(files.ca, files.ca_key, authority)
    server = _kept(files.cert, files.key, now)
    if server is None or not _is_by(authority, server) or _names_of(server) != names:
        _write(files.cert, files.key, _make_server(authority, names, now))


def _kept(cert_file: Path, key_file: Path, now: datetime) -> _Pair | None:
    """What is in the files, if it is a pair that lasts."""
    try:
        cert = x509.load_pem_x509_certificate(cert_file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError):  # the last is a key with a password
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != cert.public_key():
        return None
    lasts = cert.not_valid_before_utc <= now < cert.not_valid_after_utc - _RENEWED_BEFORE
    return _Pair(cert, key) if lasts else None


def _is_by(authority: _Pair, server: _Pair) -> bool:
    try:
        server.cert.verify_directly_issued_by(authority.cert)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _write(cert_file: Path, key_file: Path, pair: _Pair) -> None:
    key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private.write(key_file, key.decode())
    private.write(cert_file, pair.cert.public_bytes(Encoding.PEM).decode(), mode=0o644)


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two folders' authorities are told apart by it, in a browser's list.
    number = x509.random_serial_number()
    name = _named(f"OVOS Voice Mesh development {number:x}"[:64])
    builder = (
        _builder(name, name, key.public_key(), now, _AUTHORITY_LASTS)
        .serial_number(number)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
    )
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _make_server(authority: _Pair, names: list[x509.GeneralName], now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(_named("localhost"), authority.cert.subject, key.public_key(), now, _LASTS)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    lasts: timedelta,
) -> x509.CertificateBuilder:
    """What both kinds have."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _names(host_names: tuple[str, ...]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys((*LOCAL_NAMES, *host_names)):
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            if _DNS_NAME.fullmatch(name):
                names.append(x509.DNSName(name))
        else:
            if not address.is_unspecified:  # 0.0.0.0 is nobody's address
                names.append(x509.IPAddress(address))
    return names


def _names_of(server: _Pair) -> list[x509.GeneralName]:
    found = server.cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return list(found.value)
