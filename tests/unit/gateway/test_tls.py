from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway import tls
from tests import processes
from tests.client import RealtimeClient
from tests.unit.gateway.probing import until_it_keeps_sessions
from voicemesh import certificate, keys
from voicemesh.plan import TlsFiles


@pytest.fixture
def files(tmp_path):
    files = TlsFiles(tmp_path)
    certificate.ensure(files, (), datetime.now(UTC))
    return files


def test_a_setting_that_is_missing_is_named(files):
    with pytest.raises(tls.TlsError, match="GATEWAY_TLS_CERT_FILE is not set"):
        tls.context(None, files.key)
    with pytest.raises(tls.TlsError, match="GATEWAY_TLS_KEY_FILE is not set"):
        tls.context(files.cert, None)


def test_a_file_that_is_missing_is_named(files, tmp_path):
    with pytest.raises(tls.TlsError, match=r"GATEWAY_TLS_CERT_FILE=.*/nothing: No such file"):
        tls.context(tmp_path / "nothing", files.key)
    with pytest.raises(tls.TlsError, match=r"GATEWAY_TLS_KEY_FILE=.*: Is a directory"):
        tls.context(files.cert, tmp_path)


def test_files_that_are_no_pair_are_refused(files):
    with pytest.raises(tls.TlsError, match="KEY_VALUES_MISMATCH"):
        tls.context(files.cert, files.ca_key)
    with pytest.raises(tls.TlsError, match="not a certificate"):
        tls.context(files.key, files.key)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(files):
    key = load_pem_private_key(files.key.read_bytes(), None)
    locked = BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    with pytest.raises(tls.TlsError, match="without a password"):
        tls.context(files.cert, files.key)


@asynccontextmanager
async def gateway(files, tmp_path, **env):
    """The tier as a process, with both ports, and no others to call."""
    keys_file = tmp_path / "keys.json"
    env = {"GATEWAY_TLS_CERT_FILE": str(files.cert), "GATEWAY_TLS_KEY_FILE": str(files.key)} | env
    ports = {"PORT": "0", "GATEWAY_METRICS_PORT": "0", "GATEWAY_TLS_PORT": "0"}
    ports["GATEWAY_PROCESSES"] = "1"
    ports |= {"GATEWAY_PROCESSES": "1"}
    process = await processes.start("gateway", GATEWAY_KEYS_FILE=str(keys_file), **{**ports, **env})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_the_same_is_served_with_tls_and_without(files, tmp_path, redis_url):
    key = keys.add(tmp_path / "keys.json", "tenant")
    trusting = ssl.create_default_context(cafile=files.ca)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        gateway(files, tmp_path, REDIS_URL=redis_url) as process,
        aiohttp.ClientSession(headers=headers) as http,
    ):
        secured = await processes.until(process, "listening")
        plain = await processes.until(process, "listening")
        assert (secured["tls"], plain["tls"]) == (True, False)
        await until_it_keeps_sessions(http, f"http://127.0.0.1:{plain['port']}")
        for scheme, told in (("wss", secured), ("ws", plain)):
            url = f"{scheme}://127.0.0.1:{told['port']}/v1/realtime?model=gpt-realtime"
            async with http.ws_connect(url, ssl=trusting) as ws:
                assert (await RealtimeClient(ws).next())["type"] == "session.created"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(f"https://127.0.0.1:{secured['port']}/healthz")


async def test_a_certificate_that_cannot_be_used_ends_the_start_with_one_line(files, tmp_path):
    keys.add(tmp_path / "keys.json", "tenant")
    wrong = str(tmp_path / "nothing")
    async with gateway(files, tmp_path, GATEWAY_TLS_CERT_FILE=wrong) as process:
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode() == f"GATEWAY_TLS_CERT_FILE={wrong}: No such file or directory\n"


async def test_a_tls_port_in_use_is_named(files, tmp_path):
    keys.add(tmp_path / "keys.json", "tenant")
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with gateway(files, tmp_path, GATEWAY_TLS_PORT=str(port)) as process:
            _, said = await process.communicate()
    assert f"GATEWAY_TLS_PORT: cannot listen on 127.0.0.1:{port}" in said.decode()
