"""An ordered list of engines: the first that loads serves, the next take over when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from mesh.breaker import Breaker
from mesh.errors import NotInstalled, Unavailable

E = TypeVar("E")

log = logging.getLogger(__name__)


class Chain(Generic[E]):
    """Engines by name, best first, each with a breaker."""

    def __init__(
        self, engines: Mapping[str, E], absent: Mapping[str, str] | None = None, tier: str = ""
    ) -> None:
        self._engines = dict(engines)
        self._breakers = {name: Breaker() for name in engines}
        self._tier = tier
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
                log.info("engine absent", extra={"engine": name, "reason": str(error)})
        if not loaded:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
            raise Unavailable(f"no engine could be loaded ({reasons})", tier=tier)
        log.info("engine serves", extra={"engine": next(iter(loaded)), "chain": list(loaded)})
        return cls(loaded, absent, tier)

    @property
    def names(self) -> list[str]:
        return list(self._engines)

    @property
    def serving(self) -> tuple[str, E]:
        """The first engine whose breaker is closed; if there is none, the first of all."""
        return next(self.candidates())

    def candidates(self) -> Iterator[tuple[str, E]]:
        """Engines to try for one piece of work, in order; those that rest come last."""
        now_s = time.monotonic()
        resting = []
        for name, engine in self._engines.items():
            if self._breakers[name].rest_s(now_s) > 0:
                resting.append((name, engine))
            else:
                yield name, engine
        yield from resting

    def failed(self, name: str, reason: str) -> None:
        """An engine failed on a piece of work. After five in a row it rests for 30 s."""
        log.warning("engine failed", extra={"engine": name, "reason": reason})
        if self._breakers[name].failed(time.monotonic()):
            log.error("engine rests", extra={"engine": name, "serving": self.serving[0]})

    def worked(self, name: str) -> None:
        if self._breakers[name].succeeded():
            log.info("engine recovered", extra={"engine": name})
