"""How a program is started so that it never outlives us, and never runs as root.

Both are done by `setpriv`, which every Linux has with util-linux: it arranges what is
asked for and becomes the program, so the process id stays. Why not Python's
`preexec_fn`: it runs between fork and exec, where a lock that another thread held
(gRPC has threads) is never released. Without `setpriv`, as on macOS, a program can
outlive a killed parent; `end_leftover` then ends it at the next start.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

UNPRIVILEGED = "nobody"
LEFTOVER_S = 10.0  # a leftover server writes out its data on SIGTERM; longer, and it hangs


class CannotDrop(Exception):
    """A program that must not run as root cannot be made to. The message says what to do."""


def dying_with_us(command: Sequence[str], how: signal.Signals) -> list[str]:
    """`command`, to be sent the signal `how` when the thread that starts it ends."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        return list(command)
    return [setpriv, "--pdeathsig", how.name.removeprefix("SIG"), "--", *command]


def unprivileged(command: Sequence[str], how: signal.Signals, needs: Sequence[Path]) -> list[str]:
    """`command`, run as nobody if we are root; otherwise as `dying_with_us`.

    Args:
        needs: Files it must be able to reach. Where only root can enter a folder on the
            way (a clone under /root), it keeps the one capability that lets it in and
            no other, rather than us opening somebody's folders to everybody.

    Raises:
        CannotDrop: we are root and the machine cannot do this.
    """
    if os.geteuid() != 0:
        return dying_with_us(command, how)
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        raise CannotDrop("PostgreSQL refuses to run as root: use another user, or set DATABASE_URL")
    user = pwd.getpwnam(UNPRIVILEGED)
    drop = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    drop += ["--no-new-privs", "--pdeathsig", how.name.removeprefix("SIG")]
    kept = "" if all(_lets_in(path, user.pw_uid) for path in needs) else _way_in(setpriv)
    if kept:
        # Without the secure bit, access() ignores capabilities, and PostgreSQL asks access().
        drop += [f"--{kind}=-all,+{kept}" for kind in ("inh-caps", "ambient-caps")]
        drop += ["--securebits=+no_setuid_fixup"]
    return [setpriv, *drop, "--", *command]


def runner() -> tuple[int, int]:
    """User and group id that `unprivileged` programs run as: their files must be theirs."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    user = pwd.getpwnam(UNPRIVILEGED)
    return user.pw_uid, user.pw_gid


def end_leftover(pid_file: Path, marker: str, how: signal.Signals) -> None:
    """End the program of an earlier run that is still there, and wait for its end.

    Args:
        pid_file: Its first line is the process id.
        marker: Something in its command line that only this program has; a process
            without it merely got the same id.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    for sent in (how, signal.SIGKILL):
        if marker not in command_line(pid):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sent)
        deadline = time.monotonic() + LEFTOVER_S
        while marker in command_line(pid) and time.monotonic() < deadline:
            time.sleep(0.05)


def command_line(pid: int) -> str:
    """What the process was started with; empty if there is none."""
    proc = Path("/proc")
    try:
        if (proc / "self").exists():
            return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
    ps = ["ps", "-p", str(pid), "-o", "command="]
    return subprocess.run(ps, check=False, capture_output=True, text=True).stdout


def _lets_in(path: Path, uid: int) -> bool:
    folders = [folder.stat() for folder in path.resolve().parents]
    return all(found.st_uid == uid or found.st_mode & stat.S_IXOTH for found in folders)


def _way_in(setpriv: str) -> str:
    """The weakest capability we have that lets a program into folders of others."""
    for capability in ("dac_read_search", "dac_override"):  # containers have the second only
        trial = [setpriv, f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
        trial += ["--securebits=+no_setuid_fixup", "--", "true"]
        if subprocess.run(trial, check=False, capture_output=True).returncode == 0:
            return capability
    raise CannotDrop(
        "PostgreSQL refuses to run as root, and other users cannot enter this folder: use "
        "another user, move the clone to where everybody can read it, or set DATABASE_URL"
    )
