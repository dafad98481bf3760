"""Requests over HTTP count for a tenant's limits as responses do.

All of them that make a tier work or that keep something; lists and probes do not.
"""

from __future__ import annotations

import math

from gateway.allowance import Allowance
from gateway.rest.answers import Later


async def take_request(allowance: Allowance, tenant: str) -> None:
    """
    Raises:
        Later: the tenant has asked too much in the last minute.
    """
    wait_s = await allowance.take_request(tenant)
    if wait_s is not None:
        message = f"Rate limit reached. Please try again in {math.ceil(wait_s)}s."
        raise Later(message, wait_s)
