"""The command `voicemesh`: what each subcommand takes, and whom it calls."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import config
from mesh.keys import KeyFileError
from mesh.keys import load as load_keys
from voicemesh import (
    balance,
    catalogue,
    dotenv,
    keys,
    models,
    programs,
    settings,
    talk,
    up,
    up_options,
)
from voicemesh.banner import DATA_DIR
from voicemesh.trouble import ServerMissing, TalkFailed, Trouble

if TYPE_CHECKING:  # generic to the type checker only
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script.

    Returns:
        The exit status: 0 done, 1 trouble, 2 wrong usage or settings, 130 Ctrl-C;
        `talk` has more.
    """
    given = _parser().parse_args(arguments)
    try:
        env = {**dotenv.read(Path(".env")), **config.environment()}
        given.run(given, env)
    except config.ConfigError as error:
        return _complain("\n".join(error.mistakes), 2)
    except KeyFileError as error:
        return _complain(str(error), 1)
    except Trouble as error:
        return _complain(str(error), error.status)
    except KeyboardInterrupt:
        return 130
    return 0


def _complain(message: str, status: int) -> int:
    for line in message.splitlines():
        print(f"voicemesh: {line}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voicemesh",
        description="Voice agents on your own machines, for any OpenAI Realtime client.",
        epilog="Settings are environment variables, or lines NAME=value of a file .env here.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands)
    _add_balance(commands)
    _add_talk(commands)
    _add_keys(commands)
    _add_models(commands)
    _add_psql(commands)
    _add_settings(commands)
    return parser


def _add_up(commands: _Commands) -> None:
    command = commands.add_parser(
        "up",
        help="run the whole mesh on this machine, until Ctrl-C",
        description="Run PostgreSQL and Redis (unless DATABASE_URL or REDIS_URL is set) and the "
        "five tiers on this machine, until Ctrl-C. What dies is started again.",
        epilog="PORT sets the gateway's port; STT_PORT, TTS_PORT, LLM_PORT, PERSISTENCE_PORT and "
        "<TIER>_METRICS_PORT the others; POSTGRES_PORT and REDIS_PORT are free ones by default.",
    )
    _add_data_dir(command)
    up_options.add(command)
    command.add_argument("--verbose", action="store_true", help="show all that the tiers log")
    command.set_defaults(run=_up)


def _add_balance(commands: _Commands) -> None:
    command = commands.add_parser(
        "balance",
        help="tell HAProxy which gateways run",
        description="Run beside HAProxy with deploy/haproxy/haproxy.cfg: gateways that are listed "
        "in Redis get clients within seconds, without a reload, and those that leave get none.",
        epilog="REDIS_URL says where the list is; HAPROXY_ADMIN is HAProxy's admin socket, a path "
        "or host:port (default: /run/haproxy/admin.sock).",
    )
    command.set_defaults(run=_balance)


def _add_talk(commands: _Commands) -> None:
    command = commands.add_parser(
        "talk",
        help="speak a recording to the mesh and hear its answer",
        description="Play a recording to a Realtime server as a caller would, and print what was "
        "heard and answered, with the time of each stage after the end of speech.",
        epilog=talk.EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE.wav", help="any rate, channels, width")
    command.add_argument("--url", help="the server; the default is the one that `up` runs")
    command.add_argument("--key", help="the default is .local/dev-key or OPENAI_API_KEY")
    command.add_argument("--out", type=Path, metavar="ANSWER.wav", help="write the answer there")
    command.add_argument("--voice", help="who answers")
    command.add_argument("--model", default="gpt-realtime", help="default: %(default)s")
    command.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long the server may be silent; default: %(default)s",
    )
    _add_data_dir(command)
    command.set_defaults(run=_talk)


def _add_keys(commands: _Commands) -> None:
    command = commands.add_parser(
        "keys",
        help="API keys: add, list, revoke",
        description="Who may connect. The file keeps hashes, never keys.",
    )
    actions = command.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key and print it, this one time")
    add.add_argument("--tenant", required=True, help="whose sessions it opens")
    add.add_argument("--name", default="", help="what to remember it by")
    add.set_defaults(run=_keys_add)
    listed = actions.add_parser("list", help="id, tenant and name of each key")
    listed.set_defaults(run=_keys_list)
    revoke = actions.add_parser("revoke", help="let a key in no longer")
    revoke.add_argument("key", metavar="ID|NAME", help="as `list` shows it")
    revoke.set_defaults(run=_keys_revoke)
    for action in (add, listed, revoke):
        action.add_argument(
            "--file",
            type=Path,
            help=f"default: GATEWAY_KEYS_FILE, or {DATA_DIR / 'keys.json'}",
        )


def _add_models(commands: _Commands) -> None:
    command = commands.add_parser(
        "models",
        help="weights of better engines: pull",
        description="Weights of better engines. The next start finds them by itself.",
    )
    actions = command.add_subparsers(required=True, metavar="ACTION")
    pull = actions.add_parser(
        "pull",
        help="fetch weights that are not there yet",
        description="Fetch weights, check them against the published checksums, and write them "
        "to a manifest. What was cut goes on where it stopped. HF_ENDPOINT names a mirror.",
    )
    pull.add_argument(
        "kind", nargs="?", default="all", choices=(*catalogue.KINDS, "all"), help="default: all"
    )
    pull.add_argument("--dir", type=Path, help="default: MODELS_DIR, or `models` where all data is")
    _add_data_dir(pull)
    pull.add_argument("--whisper", metavar="SIZE", help="default: STT_WHISPER_MODEL, or base.en")
    pull.add_argument(
        "--voice", metavar="NAME", help="of Piper; default: TTS_PIPER_VOICE, or en_US-lessac-medium"
    )
    pull.set_defaults(run=_models_pull)


def _add_psql(commands: _Commands) -> None:
    command = commands.add_parser(
        "psql",
        help="look into the database of the running mesh",
        description="Run psql on the database of the `voicemesh up` that runs now.",
    )
    _add_data_dir(command)
    command.add_argument("arguments", nargs="*", help="for psql, after --")
    command.set_defaults(run=_psql)


def _add_settings(commands: _Commands) -> None:
    command = commands.add_parser(
        "settings",
        help="list every setting, its default and its meaning",
        description="Print every setting of every tier as a Markdown page.",
    )
    command.set_defaults(run=_settings)


def _add_data_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data-dir", type=Path, default=DATA_DIR, help="where all data is; default: %(default)s"
    )


def _up(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    up.run(given.data_dir, env, up_options.counts(given), verbose=given.verbose)


def _balance(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    balance.run(env)


def _settings(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    print(settings.markdown(), end="")


def _talk(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    running = up.running(given.data_dir)
    here = running.http_url if running else f"http://127.0.0.1:{env.get('PORT', '8080')}"
    key_file = given.data_dir / "dev-key"
    # Ours before OPENAI_API_KEY: that one is as often for the provider that `up` asks.
    ours = key_file.read_text().strip() if key_file.exists() and not given.url else ""
    key = given.key or ours or env.get("OPENAI_API_KEY", "")
    if not key:
        raise TalkFailed("no key: give --key, or set OPENAI_API_KEY", talk.REFUSED)
    call = talk.Call(
        url=given.url or here,
        key=key,
        model=given.model,
        voice=given.voice,
        timeout_s=given.timeout,
    )
    talk.run(given.file, call, given.out)


def _keys_add(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    file = _keys_file(given, env)
    print(keys.add(file, given.tenant, given.name))
    print(f"Its hash is in {file}; the key itself cannot be shown again.", file=sys.stderr)


def _keys_list(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    for key in load_keys(_keys_file(given, env)).keys:
        print(f"{keys.identity(key)}  {key.tenant:<16} {key.name}")


def _keys_revoke(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    revoked = keys.revoke(_keys_file(given, env), given.key)
    print(f"{keys.identity(revoked)} of {revoked.tenant} is let in no longer")


def _keys_file(given: argparse.Namespace, env: Mapping[str, str]) -> Path:
    return given.file or Path(env.get("GATEWAY_KEYS_FILE") or DATA_DIR / "keys.json")


def _models_pull(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    folder = given.dir or Path(env.get("MODELS_DIR") or given.data_dir / "models")
    kinds = catalogue.KINDS if given.kind == "all" else (given.kind,)
    source = catalogue.Catalogue(
        whisper=given.whisper or env.get("STT_WHISPER_MODEL") or "base.en",
        piper=given.voice or env.get("TTS_PIPER_VOICE") or "en_US-lessac-medium",
        hub=(env.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/"),
    )
    models.pull(folder, kinds, source, say=print)


def _psql(given: argparse.Namespace, env: Mapping[str, str]) -> None:
    running = up.running(given.data_dir)
    if running is None:
        raise ServerMissing(f"no `voicemesh up` runs on {given.data_dir}")
    psql = programs.psql()
    # Its variables, not its arguments: those everybody on this machine can see.
    os.execve(
        psql, [str(psql), *given.arguments], {**env, **programs.psql_env(running.database_url)}
    )


if __name__ == "__main__":
    sys.exit(main())
