"""Tiny real processes, for tests of those who keep them."""

import asyncio
import subprocess
import sys
import textwrap

from voicemesh.keeper import Part


class Recorder:
    """A reporter that remembers, and lets a test wait."""

    def __init__(self):
        self.news = []
        self._event = asyncio.Event()

    def ready(self, part, after_s, *, again):
        self._add(("back" if again else "ready", part))

    def died(self, part, how, rest_s, last):
        self._add(("died", part, how, rest_s, list(last)))

    def said(self, part, line):
        self._add(("said", part, line))

    def _add(self, item):
        self.news.append(item)
        self._event.set()

    async def until(self, wanted, times=1):
        async with asyncio.timeout(20):
            while sum(wanted(item) for item in self.news) < times:
                self._event.clear()
                await self._event.wait()


def part(tmp_path, name, body, **changes):
    """A part that is ready once it has made a file of its name."""
    mark = tmp_path / f"{name}.ready"
    script = textwrap.dedent(body).replace("READY", f"open({str(mark)!r}, 'w').close()")

    async def ready():
        return mark.exists()

    values = {
        "name": name,
        "command": [sys.executable, "-c", script],
        "env": {},
        "ready": ready,
        **changes,
    }
    return Part(**values)


ENDS_ON_TERM = """
    import signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit()))
    print(NAME := "here", flush=True)
    READY
    time.sleep(60)
"""
DEAF = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    READY
    time.sleep(60)
"""


async def run(supervisor, *waves, then=None):
    async def begin():
        await supervisor.start(*waves)
        if then is not None:
            await then()
        supervisor.stop()

    async with asyncio.timeout(30):
        await supervisor.run(begin)


def pids(supervisor):
    found = {}
    for wave in supervisor._waves:
        for one in wave:
            if one._process is not None:
                found[one.part.name] = one._process.get_pid()
    return found


def is_alive(pid):
    """Whether it runs. One that has ended and waits for its parent to take note does not."""
    ps = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], check=False, capture_output=True)
    return ps.returncode == 0 and not ps.stdout.strip().startswith(b"Z")
