"""`python -m gateway`: settings in, service out; in one process, or in one for each core."""

from __future__ import annotations

import sys

from gateway import instance
from gateway.config import Config
from mesh import config


async def serve(settings: Config) -> None:
    n_processes = settings.processes or instance.cores()
    if n_processes > 1:
        return await instance.serve(settings, n_processes)
    from gateway import process  # the one that keeps the others does without what it loads

    await process.serve(settings)


if __name__ == "__main__":
    instance.end_with_parent(sys.argv)
    config.main(Config, "gateway", serve)
