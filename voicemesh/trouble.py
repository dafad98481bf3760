"""What a person at the command line can put right. The message says how.

* Trouble
    * PortsTaken: ports are in use, or wanted twice.
    * AlreadyRunning: another `voicemesh up` has the data folder.
    * BadLine: a line of `.env`.
    * ServerMissing: PostgreSQL or Redis is not on this machine.
    * ServerFailed: it is, and does not start.
    * PartFailed: a tier did not become ready.
    * NoSuchKey: no key, or more than one, goes by that name.
    * TalkFailed: a conversation that did not come about.
    * PullFailed: weights that did not arrive.
"""

from __future__ import annotations


class Trouble(Exception):
    """Printed without a traceback; the process ends with `status`."""

    status = 1


class PortsTaken(Trouble):
    """The message names each port and the setting that changes it."""


class AlreadyRunning(Trouble):
    pass


class BadLine(Trouble):
    """The message names the line, not what it holds."""

    status = 2


class ServerMissing(Trouble):
    pass


class ServerFailed(Trouble):
    """The message has the server's last words."""


class PartFailed(Trouble):
    """The message has the part's last words."""


class NoSuchKey(Trouble):
    pass


class TalkFailed(Trouble):
    """`status` says in which way; the help of `voicemesh talk` lists them."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class PullFailed(Trouble):
    pass
