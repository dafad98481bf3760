"""This process in the list of gateways: balancers read there whom to send clients to."""

from __future__ import annotations

import os
import time
from contextlib import AbstractAsyncContextManager

from mesh import registration

KIND = "gateways"


def listed(
    redis_url: str, gateway_id: str, host: str, port: int
) -> AbstractAsyncContextManager[None]:
    """Keep this process listed inside.

    Args:
        gateway_id: Unique among the processes that run.
        host: What this process listens on, for clients.
        port: The same; not 0.
    """
    fields = {
        "address": registration.address(host, port, redis_url),
        "pid": str(os.getpid()),
        "started_at": f"{time.time():.3f}",
    }
    return registration.listed(redis_url, KIND, gateway_id, lambda: fields)
