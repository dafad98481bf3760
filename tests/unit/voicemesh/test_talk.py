"""Against a small server of the Realtime protocol."""

import asyncio
import base64
import contextlib
import json

import pytest
from aiohttp import WSCloseCode, web

from voicemesh import talk, wav
from voicemesh.trouble import TalkFailed

VOICE = b"\x00\x20" * 12_000  # half a second that is not silence
SILENT = b"\0\0" * 2_400


class Server:
    """Hears speech where samples are not zero; answers each with one word."""

    def __init__(self):
        self.events = []
        self.headers = {}
        self.answer = True
        self.status = "completed"
        self.refuse = ""

    async def serve(self, request):
        self.headers = dict(request.headers)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self._ws = ws
        if self.refuse:
            await self._say("error", error={"message": self.refuse})
            await ws.close(code=3000, message=b"invalid_request_error")
            return ws
        await self._say("session.created", session={})
        speaking = False
        async for message in ws:
            event = json.loads(message.data)
            self.events.append(event)
            if event["type"] == "session.update":
                await self._say("session.updated", session={})
            elif event["type"] == "input_audio_buffer.append":
                loud = any(base64.b64decode(event["audio"]))
                if loud != speaking and self.answer:
                    await self._turn(started=loud)
                speaking = loud
        return ws

    async def _turn(self, *, started):
        if started:
            await self._say("input_audio_buffer.speech_started", item_id="item_1")
            return
        await self._say("input_audio_buffer.speech_stopped", item_id="item_1")
        transcribed = "conversation.item.input_audio_transcription.completed"
        await self._say(transcribed, item_id="item_1", transcript="hello")
        ended = {"id": "resp_1", "status": self.status, "status_details": None}
        if self.status == "failed":
            ended["status_details"] = {"error": {"message": "no engine"}}
        await self._say("response.created", response={"id": "resp_1"})
        said = {"response_id": "resp_1"}
        await self._say("response.output_audio_transcript.delta", **said, delta="Good day")
        pcm = base64.b64encode(VOICE).decode()
        await self._say("response.output_audio.delta", **said, delta=pcm)
        await self._say("response.done", response=ended)

    async def _say(self, kind, **fields):
        await self._ws.send_json({"type": kind, **fields})


@pytest.fixture
async def server(aiohttp_server):
    server = Server()
    app = web.Application()
    app.router.add_get("/v1/realtime", server.serve)
    server.url = str((await aiohttp_server(app)).make_url("/"))
    return server


@pytest.fixture
def speech(tmp_path):
    file = tmp_path / "speech.wav"
    wav.write(file, SILENT + VOICE + SILENT, 24_000)
    return file


async def speak(file, out=None, **call):
    await asyncio.to_thread(talk.run, file, talk.Call(**{"key": "sk-1", **call}), out)


async def test_a_recording_is_heard_and_answered(server, speech, tmp_path, capsys):
    await speak(speech, tmp_path / "answer.wav", url=server.url, voice="alloy")
    printed = capsys.readouterr().out
    for part in ("hello", "Good day", "transcript", "first audio", "done", "0.5 s of speech"):
        assert part in printed
    assert wav.read(tmp_path / "answer.wav", 24_000) == VOICE
    assert server.headers["Authorization"] == "Bearer sk-1"


async def test_the_caller_sends_frames_of_20_ms_and_asks_for_server_vad(server, speech):
    await speak(speech, url=server.url, voice="alloy")
    update, *frames = server.events
    session = update["session"]
    assert session["type"] == "realtime"
    assert session["audio"]["input"]["turn_detection"] == {"type": "server_vad"}
    assert session["audio"]["output"] == {"voice": "alloy"}
    assert {len(base64.b64decode(frame["audio"])) for frame in frames} == {960}


async def test_a_failed_response_is_told_with_its_reason(server, speech):
    server.status = "failed"
    with pytest.raises(TalkFailed, match="no engine") as failed:
        await speak(speech, url=server.url)
    assert failed.value.status == talk.FAILED


async def test_a_refused_key_is_told_in_the_servers_words(server, speech):
    server.refuse = "Incorrect API key"
    with pytest.raises(TalkFailed, match="Incorrect API key") as refused:
        await speak(speech, url=server.url)
    assert refused.value.status == talk.REFUSED


async def test_no_server_is_told_with_a_hint(speech, unused_tcp_port):
    with pytest.raises(TalkFailed, match="voicemesh up") as failed:
        await speak(speech, url=f"http://127.0.0.1:{unused_tcp_port}")
    assert failed.value.status == talk.NO_SERVER


async def test_a_file_that_is_no_recording_is_told(tmp_path):
    (tmp_path / "a.wav").write_text("words")
    with pytest.raises(TalkFailed, match=r"a\.wav") as failed:
        await speak(tmp_path / "a.wav", url="http://127.0.0.1:1")
    assert failed.value.status == talk.NOT_A_RECORDING


async def test_a_recording_without_speech_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(talk, "SILENCE_AFTER_S", 0.2)
    wav.write(tmp_path / "a.wav", SILENT, 24_000)
    with pytest.raises(TalkFailed, match="no speech") as failed:
        await speak(tmp_path / "a.wav", url=server.url)
    assert failed.value.status == talk.NO_SPEECH


async def test_a_server_that_never_answers_is_told(server, speech):
    server.answer = False
    with pytest.raises(TalkFailed, match="sent nothing") as failed:
        await speak(speech, url=server.url, timeout_s=0.3)
    assert failed.value.status == talk.TOO_SLOW


@pytest.mark.parametrize(
    "url", ["ws://h:1", "http://h:1/", "h:1", "ws://h:1/v1/realtime", "http://h:1/v1"]
)
def test_every_form_of_the_servers_address_is_understood(url):
    assert talk.realtime_url(url, "gpt-realtime") == "ws://h:1/v1/realtime?model=gpt-realtime"


async def test_a_server_that_hangs_up_is_told(aiohttp_server, speech):
    async def hang_up(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        with contextlib.suppress(ConnectionError):
            await ws.send_json({"type": "session.created", "session": {}})
            await ws.receive()
            await ws.send_json({"type": "session.updated", "session": {}})
            await ws.close(code=WSCloseCode.GOING_AWAY)
        return ws

    app = web.Application()
    app.router.add_get("/v1/realtime", hang_up)
    url = str((await aiohttp_server(app)).make_url("/"))
    with pytest.raises(TalkFailed, match="1001") as failed:
        await speak(speech, url=url)
    assert failed.value.status == talk.HUNG_UP
