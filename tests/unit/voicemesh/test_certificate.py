import contextlib
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest

from gateway import tls
from voicemesh import certificate
from voicemesh.plan import TlsFiles

NOW = datetime.now(UTC)
YEARS_10 = timedelta(days=3650)


@pytest.fixture
def files(tmp_path):
    return TlsFiles(tmp_path / "tls")


def pems(files):
    return {path.name: path.read_bytes() for path in files.folder.iterdir()}


def seen_as(files, name):
    """Make a TLS connection to a server with the certificate, under a name."""
    trusting = ssl.create_default_context(cafile=files.ca)
    ours, theirs = socket.socketpair()
    serving = tls.context(files.cert, files.key)

    def serve():
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()  # the client did not trust us, which the test sees

    server = threading.Thread(target=serve)
    server.start()
    try:
        with trusting.wrap_socket(ours, server_hostname=name) as client:
            return client.version()
    finally:
        ours.close()
        server.join()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "box.example", "192.0.2.7"])
def test_who_trusts_the_authority_trusts_the_server_under_each_of_its_names(files, name):
    certificate.ensure(files, ("box.example", "192.0.2.7"), NOW)
    assert seen_as(files, name) == "TLSv1.3"


def test_the_server_is_trusted_under_no_other_name(files):
    certificate.ensure(files, ("box.example",), NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'elsewhere"):
        seen_as(files, "elsewhere.example")


def test_the_authority_of_another_folder_does_not_vouch_for_it(files, tmp_path):
    other = TlsFiles(tmp_path / "other")
    certificate.ensure(files, (), NOW)
    certificate.ensure(other, (), NOW)
    files.ca.write_bytes(other.ca.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        seen_as(files, "localhost")


def test_it_passes_the_strict_checks_of_later_pythons(files):
    certificate.ensure(files, (), NOW)
    strict = ssl.create_default_context(cafile=files.ca)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_in, server_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = strict.wrap_bio(incoming, outgoing, server_hostname="localhost")
    server = tls.context(files.cert, files.key).wrap_bio(server_in, server_out, server_side=True)
    for one in (client, server, client):
        with contextlib.suppress(ssl.SSLWantReadError):
            one.do_handshake()
        server_in.write(outgoing.read())
        incoming.write(server_out.read())
    assert client.version()


def test_private_keys_are_for_us_alone(files):
    certificate.ensure(files, (), NOW)
    for key in (files.key, files.ca_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_the_next_start_keeps_it(files):
    certificate.ensure(files, ("box",), NOW)
    before = pems(files)
    certificate.ensure(files, ("box",), NOW + timedelta(days=300))
    assert pems(files) == before


@pytest.mark.parametrize(
    ("names", "after"),
    [(("box",), timedelta(days=380)), (("other",), timedelta())],
    ids=["near its end", "another host name"],
)
def test_a_new_certificate_is_by_the_same_authority(files, names, after):
    certificate.ensure(files, ("box",), NOW)
    before = pems(files)
    certificate.ensure(files, names, NOW + after)
    changed = {name for name, pem in pems(files).items() if pem != before[name]}
    assert changed == {"server.pem", "server-key.pem"}


def test_an_authority_near_its_end_is_made_afresh_with_all_it_signed(files):
    certificate.ensure(files, (), NOW - YEARS_10)
    before = pems(files)
    certificate.ensure(files, (), NOW)
    assert not set(before.items()) & set(pems(files).items())
    assert seen_as(files, "localhost")


@pytest.mark.parametrize("lost", ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem"])
@pytest.mark.parametrize("how", ["gone", "garbage", "another's"])
def test_what_is_lost_or_spoilt_is_made_again(files, tmp_path, lost, how):
    certificate.ensure(files, (), NOW)
    other = TlsFiles(tmp_path / "other")
    certificate.ensure(other, (), NOW)
    match how:
        case "gone":
            (files.folder / lost).unlink()
        case "garbage":
            (files.folder / lost).write_text("-----BEGIN NOTHING-----")
        case _:
            (files.folder / lost).write_bytes((other.folder / lost).read_bytes())
    certificate.ensure(files, (), NOW)
    assert seen_as(files, "localhost")


def test_a_host_name_that_no_certificate_can_hold_is_left_out(files):
    certificate.ensure(files, ("büro", "a b", "", "x" * 64, "0.0.0.0", "localhost"), NOW)
    assert seen_as(files, "127.0.0.1")
