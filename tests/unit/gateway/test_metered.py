from __future__ import annotations

import time

from gateway import metered
from gateway.allowance import LocalAllowance, SameForAll, Share
from gateway.realtime import client_events as ce
from gateway.realtime.codec import decode
from gateway.realtime.refusals import Refusal


async def test_responses_count_and_nothing_else():
    share = Share(LocalAllowance(SameForAll(1, 1000), time.monotonic), "acme")
    clear = decode('{"type": "input_audio_buffer.clear"}')
    ask = decode('{"type": "response.create", "event_id": "mine"}')
    assert isinstance(ask, ce.CreateResponse)
    assert await metered.checked(share, clear) is clear
    assert await metered.checked(share, ask) is ask
    refused = await metered.checked(share, ask)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.event_id) == ("rate_limit_exceeded", "mine")
    assert await metered.checked(share, clear) is clear
