"""Client secrets in memory. The same contract suite runs on those in Redis."""

from __future__ import annotations

import time

from gateway.client_secrets import REMEMBERED_S, Expired, Preset
from mesh.errors import Unavailable


class FakeSecrets:
    """`is_away` makes every call fail, as when Redis is down."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Preset, float]] = {}
        self.is_away = False

    async def keep(self, secret: str, preset: Preset, ttl_s: float) -> None:
        self._answer()
        self.kept[secret] = preset, time.monotonic() + ttl_s

    async def find(self, secret: str) -> Preset | None:
        self._answer()
        if secret not in self.kept:
            return None
        preset, until_s = self.kept[secret]
        late_s = time.monotonic() - until_s
        if late_s > REMEMBERED_S:
            return None
        if late_s >= 0:
            raise Expired
        return preset

    def expire(self, secret: str) -> None:
        """Let its time be over."""
        self.kept[secret] = self.kept[secret][0], time.monotonic()

    async def close(self) -> None:
        pass

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("redis: ConnectionError", tier="gateway")
