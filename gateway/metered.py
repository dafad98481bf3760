"""What counts against a tenant's limits in a session."""

from __future__ import annotations

from gateway.allowance import Share, too_many
from gateway.realtime import client_events as ce


async def checked(meter: Share, event: ce.ClientEvent) -> ce.ClientEvent:
    """An event of a client. A response that it asks for is counted, and refused beyond the
    tenant's limit."""
    if isinstance(event, ce.CreateResponse):
        wait_s = await meter.take_request()
        if wait_s is not None:
            return too_many(wait_s).of(event.event_id)
    return event
