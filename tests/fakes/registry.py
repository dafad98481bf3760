"""A list of workers that a test writes itself."""

from __future__ import annotations

from redis.exceptions import ConnectionError

from mesh.registry import Registry


class FakeRegistry(Registry):
    def __init__(self, **addresses: str) -> None:
        self.listed = {id_: {"address": address} for id_, address in addresses.items()}
        self.is_away = False

    async def list(self) -> dict[str, dict[str, str]]:
        if self.is_away:
            raise ConnectionError("away")
        return dict(self.listed)
