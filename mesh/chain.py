"""An ordered list of engines: the first that loads serves, the next take over when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from mesh.breaker import Breaker
from mesh.errors import NotInstalled, Unavailable

E = TypeVar("E")

ENGINE_ABSENT, ENGINE_SERVES = "engine absent", "engine serves"
"""The events that tell which engines a tier has; `voicemesh up` reads them."""

log = logging.getLogger(__name__)


class Chain(Generic[E]):
    """Engines by name, best first, each with a breaker."""

    def __init__(self, engines: Mapping[str, E], absent: Mapping[str, str] | None = None) -> None:
        self._engines = dict(engines)
        self._breakers = {name: Breaker() for name in engines}
        self.absent = dict(absent or {})
        """Why the engines that were asked for and are not here are not: name → reason."""

    @classmethod
    def load(
        cls,
        names: Sequence[str],
        engines: Mapping[str, str],
        make: Callable[[Any], E],
        tier: str,
    ) -> Chain[E]:
        """Load what can be loaded.

        Args:
            names: What the settings ask for, best first.
            engines: All there are: name → "module:Class".
            make: Makes an engine from its class. May raise NotInstalled.

        Raises:
            ValueError: a name is not in `engines`; the message lists those that are.
            Unavailable: nothing could be loaded.
        """
        loaded, absent = load_engines(names, engines, make, tier)
        announce(list(loaded), absent)
        if not loaded:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
            raise Unavailable(f"no engine could be loaded ({reasons})", tier=tier)
        return cls(loaded, absent)

    @property
    def names(self) -> list[str]:
        return list(self._engines)

    @property
    def engines(self) -> Mapping[str, E]:
        """All that are loaded, best first."""
        return self._engines

    @property
    def serving(self) -> tuple[str, E]:
        """The first engine that does not rest; if there is none, the first of all."""
        return self.ranked()[0]

    def ranked(self) -> list[tuple[str, E]]:
        """All engines in order, those that rest last. Asking changes nothing."""
        now_s = time.monotonic()
        rests = {name: breaker.rest_s(now_s) > 0 for name, breaker in self._breakers.items()}
        return sorted(self._engines.items(), key=lambda entry: rests[entry[0]])

    def allows(self, name: str) -> bool:
        """Whether to give the engine a piece of work now. After a rest one caller is told
        yes, as a trial; the others are until it has gone well.

        After a yes, say `worked`, `failed` or `released`.
        """
        return self._breakers[name].allows(time.monotonic())

    def candidates(self, skip: Collection[str] = ()) -> Iterator[tuple[str, E]]:
        """Engines to try for one piece of work, in order; those that rest are the last resort.

        An engine is asked for (`allows`) when the iterator comes to it, so take no more of
        them than are tried.

        Args:
            skip: Names to leave out; looked at when the iterator comes to them.
        """
        resting = []
        for name, engine in self._engines.items():
            if name in skip:
                continue
            if self.allows(name):
                yield name, engine
            else:
                resting.append((name, engine))
        yield from ((name, engine) for name, engine in resting if name not in skip)

    def failed(self, name: str, reason: str) -> None:
        """An engine failed on a piece of work. After five in a row it rests for 30 s."""
        log.warning("engine failed", extra={"engine": name, "reason": reason})
        if self._breakers[name].failed(time.monotonic()):
            log.error("engine rests", extra={"engine": name, "serving": self.serving[0]})

    def worked(self, name: str) -> None:
        if self._breakers[name].succeeded():
            log.info("engine recovered", extra={"engine": name})

    def released(self, name: str) -> None:
        """The work ended without telling anything about the engine."""
        self._breakers[name].released()


def load_engines(
    names: Sequence[str], engines: Mapping[str, str], make: Callable[[Any], E], tier: str
) -> tuple[dict[str, E], dict[str, str]]:
    """The engines that can be loaded, in the order of `names`, and why the others cannot.

    Args:
        engines: All there are: name → "module:Class".
        make: Makes an engine from its class. May raise NotInstalled.

    Raises:
        ValueError: a name is not in `engines`; the message lists those that are.
    """
    for name in names:
        if name not in engines:
            known = ", ".join(sorted(engines))
            raise ValueError(f"no {tier} engine {name!r}; there are: {known}")
    loaded: dict[str, E] = {}
    absent: dict[str, str] = {}
    for name in dict.fromkeys(names):
        try:
            loaded[name] = make(resolve_name(engines[name]))
        except (NotInstalled, ImportError) as error:
            absent[name] = str(error)
    return loaded, absent


def announce(there: Sequence[str], absent: Mapping[str, str]) -> None:
    """Say at start which engines there are.

    Args:
        there: Those that can serve, best first.
        absent: Why those that were asked for and cannot serve cannot.
    """
    for name, reason in absent.items():
        log.info(ENGINE_ABSENT, extra={"engine": name, "reason": reason})
    if there:
        log.info(ENGINE_SERVES, extra={"engine": there[0], "chain": list(there)})
