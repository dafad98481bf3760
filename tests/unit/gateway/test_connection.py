from __future__ import annotations

import asyncio
import base64

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
    async with asyncio.timeout(30):
        while backends.open_streams:
            await asyncio.sleep(0)


async def test_push_to_talk(client, backends):
    await client.send(
        "session.update",
        session={"type": "realtime", "audio": {"input": {"turn_detection": None}}},
    )
    await client.until("session.updated")
    await client.append(SPEECH)
    await client.send("input_audio_buffer.commit")
    await client.send("response.create")
    done = await client.until("response.done")
    assert done["response"]["status"] == "completed"
    assert "input_audio_buffer.speech_started" not in client.types()
    assert backends.asked[0].context[-1].text == "hello"


async def test_the_words_of_the_user_are_told_if_asked_for(client):
    transcription = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    await client.send("session.update", session={"type": "realtime", **transcription})
    await client.speak(SPEECH + SILENCE)
    told = await client.until("conversation.item.input_audio_transcription.completed")
    assert told["transcript"] == "hello"


async def test_a_function_call_goes_round(client, backends):
    backends.call = ("get_weather", '{"city":"Paris"}')
    await client.send("response.create", response={"output_modalities": ["text"]})
    call = (await client.until("response.done"))["response"]["output"][0]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city":"Paris"}')
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "21"}
    await client.send("conversation.item.create", item=output)
    await client.send("response.create", response={"output_modalities": ["text"]})
    done = await client.until("response.done")
    assert done["response"]["output"][0]["content"][0]["text"] == "Hi there."


async def test_the_client_cancels(client, backends):
    backends.gate = asyncio.Event()
    await client.send("response.create")
    await client.until("response.output_audio.delta")
    await client.send("response.cancel")
    done = await client.until("response.done")
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    sent_before = len(client.audio())
    await client.send("input_audio_buffer.clear")
    await client.until("input_audio_buffer.cleared")
    assert len(client.audio()) == sent_before
    async with asyncio.timeout(30):
        while backends.open_streams:
            await asyncio.sleep(0)


async def test_a_recording_in_an_item_is_recognised(client, backends):
    audio = base64.b64encode(SPEECH).decode()
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
    await client.send("conversation.item.create", item=item)
    await client.send("response.create")
    assert (await client.until("response.done"))["response"]["status"] == "completed"
    assert backends.asked[0].context[0].text == "hello"


async def test_what_cannot_be_read_is_answered_and_the_session_goes_on(client):
    await client.send_raw("not json")
    assert (await client.next())["error"]["code"] == "invalid_json"
    await client.send_bytes(bytes(64))
    assert (await client.next())["error"]["message"].startswith("Expected a text WebSocket")
    await client.send("nope", event_id="e1")
    assert (await client.next())["error"]["event_id"] == "e1"
    await client.send("session.update", session={"type": "realtime"})
    assert (await client.next())["type"] == "session.updated"


async def test_events_sent_before_the_session_was_announced_are_answered(connect):
    client = await connect()
    await client.send("input_audio_buffer.clear")
    assert (await client.next())["type"] == "session.created"
    assert (await client.next())["type"] == "input_audio_buffer.cleared"
    await client.close()


async def test_a_session_leaves_its_story_in_order(client, recorder):
    await client.speak(SPEECH + SILENCE)
    await client.until("response.done")
    await client.close()
    async with asyncio.timeout(30):
        while recorder.records[-1].WhichOneof("body") != "session_closed":
            await asyncio.sleep(0)
    kinds = [record.WhichOneof("body") for record in recorder.records]
    assert kinds[:2] == ["conversation_started", "session_opened"]
    assert kinds[2:-1] == ["item", "item", "item", "response_done"]
    texts = [record.item.text for record in recorder.records[2:5]]
    assert texts == ["", "hello", "Hi there."]
    assert recorder.records[-1].session_closed.reason == "client_left"
    assert {record.session.tenant_id for record in recorder.records} == {"acme"}


async def test_lost_recognition_is_told_and_the_session_stays(client, backends):
    backends.deaf = Unavailable("nobody answers", tier="stt")
    await client.append(SPEECH)
    error = await client.until("error")
    assert error["error"]["type"] == "server_error"
    assert error["error"]["code"] == "service_unavailable"
    backends.deaf = None
    await client.speak(SPEECH + SILENCE)
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_bug_ends_its_session_with_an_error_and_no_other(client, connect, backends, caplog):
    class Bug(Exception):
        pass

    other = await connect()
    backends.fail = Bug()
    await client.send("response.create")
    error = (await client.until("error"))["error"]
    assert (error["type"], error["code"]) == ("server_error", None)
    assert "session ID in your message: sess_" in error["message"]
    assert await client.closed() == (1011, "server_error")
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == ["session failed"]
    backends.fail = None
    await other.send("response.create")
    assert (await other.until("response.done"))["response"]["status"] == "completed"


DOCS = {
    "type": "mcp", "server_label": "docs", "server_url": "https://mcp.example",
    "authorization": "s3cret-token", "headers": {"x-team": "s3cret-header"},
}  # fmt: skip


async def _with_docs(client, **more):
    session = {"type": "realtime", "output_modalities": ["text"], "tools": [{**DOCS, **more}]}
    await client.send("session.update", session=session)


async def test_a_tool_of_a_server_goes_round(client, backends, recorder, caplog):
    caplog.set_level("DEBUG")
    backends.call = ("search", '{"q":"vad"}')
    await _with_docs(client, require_approval="never")
    await client.send("response.create")
    done = (await client.until("response.done"))["response"]
    assert [(i["type"], i["output"]) for i in done["output"]] == [("mcp_call", "3 hits")]
    assert backends.asked[0].tools[0].name == "search"
    assert backends.servers[0].authorization == "s3cret-token"
    await client.send("response.create")
    done = (await client.until("response.done"))["response"]
    assert done["output"][0]["content"][0]["text"] == "Hi there."
    known = f"{client.got} {recorder.records} {[vars(r) for r in caplog.records]}"
    assert "3 hits" in known
    assert "s3cret" not in known


async def test_a_call_that_must_be_approved(client, backends):
    backends.call = ("search", '{"q":"vad"}')
    await _with_docs(client)
    await client.send("response.create")
    [asked] = (await client.until("response.done"))["response"]["output"]
    assert (asked["type"], backends.called) == ("mcp_approval_request", [])
    answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
    await client.send("conversation.item.create", item=answer)
    await client.until("response.mcp_call.completed")
    assert backends.called == [("search", '{"q":"vad"}')]


async def test_cancelling_stops_a_tool(client, backends):
    backends.call = ("search", "{}")
    await _with_docs(client, require_approval="never")
    await client.until("mcp_list_tools.completed")
    backends.tool_gate = asyncio.Event()
    await client.send("response.create")
    await client.until("response.mcp_call.in_progress")
    await client.send("response.cancel")
    done = await client.until("response.done")
    assert done["response"]["output"][0]["error"]["type"] == "tool_execution_error"
    async with asyncio.timeout(30):
        while backends.open_streams > 1:  # the microphone
            await asyncio.sleep(0)


async def test_leaving_stops_lists(client, backends):
    backends.tool_gate = asyncio.Event()
    await _with_docs(client)
    await client.until("mcp_list_tools.in_progress")
    await client.close()
    async with asyncio.timeout(30):
        while backends.open_streams:
            await asyncio.sleep(0)
