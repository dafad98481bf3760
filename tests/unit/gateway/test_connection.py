from __future__ import annotations

import asyncio

from mesh.errors import Unavailable

SPEECH = b"\x01\x00" * 12_000  # half a second
SILENCE = bytes(24_000)


async def test_speech_in_speech_out(client, backends):
    await client.speak(SPEECH + SILENCE)
    done = await client.until("response.done")
    assert done["response"]["status"] == "completed"
    assert len(client.audio()) == 2 * 24_000 // 4 * 2
    assert backends.asked[0].context[-1].text == "hello"


async def test_speaking_over_the_answer_stops_it(client, backends):
    backends.answer = ("word ",) * 40
    await client.speak(SPEECH + SILENCE)
    await client.until("response.output_audio.delta")
    await client.speak(SPEECH)
    done = await client.until("response.done")
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    await client.speak(SILENCE)
    assert (await client.until("response.output_audio.delta"))["response_id"] != done["response"][
        "id"
    ]


async def test_a_failed_reply_is_reported_and_the_session_goes_on(client, backends):
    backends.fail = Unavailable("nobody answers", tier="llm")
    await client.send("response.create")
    failed = (await client.until("response.done"))["response"]
    assert failed["status"] == "failed"
    assert failed["status_details"]["error"]["code"] == "llm_unavailable"
    backends.fail = None
    await client.send("response.create")
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_leaving_ends_everything(client, backends):
    backends.answer = ("word ",) * 1000
    await client.speak(SPEECH + SILENCE)
    await client.until("response.output_audio.delta")
    await client.close()
    async with asyncio.timeout(5):
        while backends.open_streams:
            await asyncio.sleep(0)
