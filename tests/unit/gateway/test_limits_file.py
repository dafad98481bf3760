from __future__ import annotations

import logging
import os

import pytest

from gateway.allowance import LocalAllowance, SameForAll
from gateway.limits_file import LimitsFileError, TenantLimits

USUAL = SameForAll(100, 100_000)
ACME = "[tenant.acme]\nrequests_per_minute = 1000\n"


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "limits.toml"
    file.write_text(ACME)
    return file


def edit(file, text):
    """Write it as an editor does: it may take less than the clock of files can tell."""
    changed_ns = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(changed_ns + 1_000_000, changed_ns + 1_000_000))


def test_without_a_file_all_are_the_same():
    assert TenantLimits(None, USUAL).of("acme") == (100, 100_000)


def test_a_tenant_has_its_own_and_the_usual_for_what_it_does_not_say(file):
    edit(file, ACME + '[tenant."Zen & Co"]\ntokens_per_minute = 0 # no limit\n[tenant.plain]\n')
    limits = TenantLimits(file, USUAL)
    assert limits.of("acme") == (1000, 100_000)
    assert limits.of("Zen & Co") == (100, 0)
    assert limits.of("plain") == limits.of("somebody") == (100, 100_000)


def test_an_empty_file_says_nothing(file):
    edit(file, "")
    assert TenantLimits(file, USUAL).of("acme") == (100, 100_000)


def test_both_may_be_unlimited(file):
    edit(file, "[tenant.acme]\nrequests_per_minute = 0\ntokens_per_minute = 0\n")
    assert TenantLimits(file, USUAL).of("acme") == (0, 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tenant.acme\n", "line 1"),
        (ACME + ACME, "line 3"),
        (ACME + "requests_per_minute = 5\n", "line 3"),
        (ACME + "request_per_minute = 5", "'acme'.*request_per_minute"),
        ("[tenant.acme]\nrequests_per_minute = -1", "'acme'.*>= 0.*requests_per_minute"),
        ("[tenant.acme]\ntokens_per_minute = 1.5", "'acme'.*int.*float.*tokens_per_minute"),
        ("[tenant.acme]\ntokens_per_minute = true", "'acme'.*bool.*tokens_per_minute"),
        ('[tenant.acme]\ntokens_per_minute = "9"', "'acme'.*str.*tokens_per_minute"),
        ("[tenant.acme]\ntokens_per_minute = 10_000_000_000_000", "'acme'.*<= 1000000000000"),
        ("[tenants.acme]\ntokens_per_minute = 1", "'tenants' is not known"),
        ("tokens_per_minute = 1", "'tokens_per_minute' is not known"),
        ("tenant = 5", "'tenant' is no table"),
        ("[tenant]\nacme = 5", "'acme'.*object"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(file, text, says):
    edit(file, text)
    with pytest.raises(LimitsFileError, match=says) as error:
        TenantLimits(file, USUAL)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_is_an_error(file):
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LimitsFileError, match="decode"):
        TenantLimits(file, USUAL)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(LimitsFileError, match="No such file"):
        TenantLimits(tmp_path / "limits.toml", USUAL)


def test_a_change_holds_at_once(file, caplog):
    caplog.set_level(logging.INFO, "gateway")
    limits = TenantLimits(file, USUAL)
    assert limits.of("acme") == (1000, 100_000)
    edit(file, "[tenant.acme]\nrequests_per_minute = 5\n")
    assert limits.of("acme") == (5, 100_000)
    edit(file, "")
    assert limits.of("acme") == (100, 100_000)
    assert [r.message for r in caplog.records] == ["limits file read again"] * 2


def test_a_file_that_took_its_place_counts_whatever_its_age(file, tmp_path):
    limits = TenantLimits(file, USUAL)
    other, found = tmp_path / "other", file.stat()
    other.write_text(ACME.replace("1000", "2000"))
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(file)
    assert limits.of("acme") == (2000, 100_000)


def test_a_broken_edit_keeps_the_last_good_one_and_is_told_once(file, caplog):
    limits = TenantLimits(file, USUAL)
    edit(file, "[tenant.acme]\nrequests_per_minute = -7\n")
    assert {limits.of("acme") for _ in range(10)} == {(1000, 100_000)}
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "'acme'" in record.reason
    edit(file, "[tenant.acme]\nrequests_per_minute = 7\n")
    assert limits.of("acme") == (7, 100_000)


def test_a_file_that_goes_and_comes_back(file, caplog):
    limits = TenantLimits(file, USUAL)
    file.unlink()
    assert {limits.of("acme") for _ in range(10)} == {(1000, 100_000)}
    assert len(caplog.records) == 1
    edit(file, "[tenant.acme]\nrequests_per_minute = 8\n")
    assert limits.of("acme") == (8, 100_000)


def test_a_broken_file_is_read_once_not_at_every_request(file, monkeypatch):
    limits, n_read = TenantLimits(file, USUAL), 0
    read = type(file).read_text

    def counted(path, *args, **kwargs):
        nonlocal n_read
        n_read += 1
        return read(path, *args, **kwargs)

    monkeypatch.setattr(type(file), "read_text", counted)
    edit(file, "broken")
    for _ in range(100):
        limits.of("acme")
    assert n_read == 1


async def test_an_allowance_goes_by_the_file_as_it_is_now(file):
    edit(file, "[tenant.acme]\nrequests_per_minute = 2\n")
    allowance = LocalAllowance(TenantLimits(file, USUAL), lambda: 0.0)
    assert [await allowance.take_request("acme") for _ in range(3)] == [None, None, 60.0]
    edit(file, "[tenant.acme]\nrequests_per_minute = 4\n")
    assert [await allowance.take_request("acme") for _ in range(3)] == [None, None, 60.0]
