import json
import os

import pytest

from mesh.keys import load
from voicemesh import cli, models, talk, up, wav
from voicemesh.up_options import Counts

FOREIGN = ("OPENAI_API_KEY", "PORT", "GATEWAY_KEYS_FILE", "MODELS_DIR", "HF_ENDPOINT")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder without `.env` and `.local`, and none of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_key_is_added_listed_and_revoked(elsewhere, capsys):
    assert cli.main(["keys", "add", "--tenant", "acme", "--name", "bot"]) == 0
    key = capsys.readouterr().out.strip()
    assert load(elsewhere / ".local" / "keys.json").find(key).tenant == "acme"
    assert cli.main(["keys", "list"]) == 0
    assert "acme" in capsys.readouterr().out
    assert cli.main(["keys", "revoke", "bot"]) == 0
    assert load(elsewhere / ".local" / "keys.json").keys == ()


def test_the_keys_file_is_where_the_gateway_looks(elsewhere, monkeypatch):
    monkeypatch.setenv("GATEWAY_KEYS_FILE", str(elsewhere / "mine.json"))
    assert cli.main(["keys", "add", "--tenant", "acme"]) == 0
    assert (elsewhere / "mine.json").exists()


def test_trouble_is_one_line_and_a_status(capsys):
    assert cli.main(["keys", "revoke", "nobody"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("voicemesh: ")
    assert "voicemesh keys add" in said


def test_wrong_settings_end_with_status_2(monkeypatch, capsys):
    monkeypatch.setenv("PORT", "high")
    assert cli.main(["up"]) == 2
    assert "PORT" in capsys.readouterr().err


def test_a_broken_env_file_is_named(elsewhere, capsys):
    (elsewhere / ".env").write_text("not a setting\n")
    assert cli.main(["keys", "list"]) == 2
    assert ".env, line 1" in capsys.readouterr().err


def test_the_environment_goes_before_the_env_file(elsewhere, monkeypatch):
    (elsewhere / ".env").write_text("GATEWAY_KEYS_FILE=file.json\n")
    cli.main(["keys", "add", "--tenant", "a"])
    monkeypatch.setenv("GATEWAY_KEYS_FILE", "variable.json")
    cli.main(["keys", "add", "--tenant", "a"])
    assert {path.name for path in elsewhere.glob("*.json")} == {"file.json", "variable.json"}


def test_wrong_usage_shows_how(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["talk"])
    assert ended.value.code == 2
    assert "FILE.wav" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["up", "balance", "talk", "keys add", "keys list", "keys revoke", "models pull", "psql"],
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert "usage: voicemesh" in capsys.readouterr().out


def test_talk_without_a_key_says_so(elsewhere, capsys):
    wav.write(elsewhere / "a.wav", b"\0\0" * 100, 24_000)
    assert cli.main(["talk", "a.wav"]) == talk.REFUSED
    assert "OPENAI_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "key"),
    [([], "sk-dev-1"), (["--url", "ws://elsewhere"], "sk-theirs"), (["--key", "sk-2"], "sk-2")],
)
def test_talk_shows_our_key_to_our_server_only(elsewhere, monkeypatch, arguments, key):
    (elsewhere / ".local").mkdir()
    (elsewhere / ".local" / "dev-key").write_text("sk-dev-1\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")
    calls = []
    monkeypatch.setattr(talk, "run", lambda file, call, out: calls.append(call))
    assert cli.main(["talk", "a.wav", *arguments]) == 0
    assert calls[0].key == key


@pytest.mark.parametrize(
    ("arguments", "settings", "folder"),
    [
        ([], {}, ".local/models"),
        (["--data-dir", "data"], {}, "data/models"),
        (["--data-dir", "data"], {"MODELS_DIR": "mine"}, "mine"),
        (["--dir", "here"], {"MODELS_DIR": "mine"}, "here"),
    ],
)
def test_weights_are_pulled_to_where_up_looks(monkeypatch, arguments, settings, folder):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    folders = []
    monkeypatch.setattr(models, "pull", lambda folder, *_, **__: folders.append(str(folder)))
    assert cli.main(["models", "pull", *arguments]) == 0
    assert folders == [folder]


def test_psql_needs_a_mesh_that_runs(capsys):
    assert cli.main(["psql"]) == 1
    assert "no `voicemesh up` runs" in capsys.readouterr().err


def test_psql_gets_the_database_and_the_arguments(elsewhere, monkeypatch):
    (elsewhere / ".local").mkdir()
    found = {"pid": os.getpid(), "http_url": "h"}
    file = elsewhere / ".local" / "running.json"
    url = "postgresql://me:p%40ss@db:99/voices?sslmode=require"
    file.write_text(json.dumps({**found, "database_url": url, "redis_url": "r"}))
    ran = []
    monkeypatch.setattr(os, "execve", lambda *given: ran.append(given))
    assert cli.main(["psql", "--", "-c", "select 1"]) == 0
    [(_, arguments, env)] = ran
    assert arguments[1:] == ["-c", "select 1"]  # `ps` shows these to everybody: no password
    assert {name: value for name, value in env.items() if name.startswith("PG")} == {
        "PGHOST": "db", "PGPORT": "99", "PGUSER": "me", "PGPASSWORD": "p@ss",
        "PGDATABASE": "voices", "PGSSLMODE": "require",
    }  # fmt: skip
    assert "PATH" in env


def test_up_takes_the_number_of_gateways_and_workers(monkeypatch):
    asked = []
    monkeypatch.setattr(up, "run", lambda *given, **_: asked.append(given[2]))
    assert cli.main(["up", "--gateways", "3", "--haproxy", "--stt", "2"]) == 0
    assert asked == [Counts(gateways=3, haproxy=True, stt=2)]
    with pytest.raises(SystemExit):
        cli.main(["up", "--gateways", "0"])


def test_haproxy_that_is_not_there_is_named_before_anything_starts(elsewhere, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(elsewhere))
    assert cli.main(["up", "--haproxy"]) == 1
    assert "apt-get install haproxy" in capsys.readouterr().err
    assert not (elsewhere / ".local").exists()
