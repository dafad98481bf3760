"""`voicemesh talk`: a caller whose speech comes from a file."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp

from mesh import audio
from voicemesh import wav
from voicemesh.conversation import STAGES, Conversation, Turn
from voicemesh.trouble import TalkFailed

RATE_HZ = 24_000
FRAME_MS = 20
SILENCE_AFTER_S = 4.0  # so long after the recording nobody begins to speak any more

NO_SERVER, REFUSED, NOT_A_RECORDING, NO_SPEECH, FAILED, TOO_SLOW, HUNG_UP = range(3, 10)
EXIT_STATUS = """exit status:
  0 answered, 2 wrong usage, 3 no server there, 4 refused (key or model), 5 not a WAV file,
  6 no speech found, 7 the response failed, 8 no answer in time, 9 the server hung up"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Whom to call, and how."""

    url: str
    """http(s)://HOST or ws(s)://HOST, with or without /v1/realtime."""
    key: str
    model: str = "gpt-realtime"
    voice: str | None = None
    timeout_s: float = 30.0
    """How long the server may send nothing after the recording has ended."""


def run(file: Path, call: Call, out: Path | None) -> None:
    """Play the recording to the server, print what comes of it.

    Raises:
        TalkFailed: nothing came of it.
    """
    try:
        pcm = wav.read(file, RATE_HZ)
    except (OSError, wav.NotWav) as error:
        raise TalkFailed(f"cannot read {file}: {error}", NOT_A_RECORDING) from error
    conversation = asyncio.run(_talk(pcm, call))
    for turn in conversation.turns:
        print(report(turn))
    spoken = b"".join(bytes(turn.pcm) for turn in conversation.turns)
    if out is not None:
        wav.write(out, spoken, RATE_HZ)
        print(f"{out}: {audio.duration_ms(spoken, RATE_HZ) / 1000:.1f} s of speech")
    last = conversation.turns[-1]
    if last.status != "completed":
        raise TalkFailed(f"the response {last.status}: {last.problem}", FAILED)


def report(turn: Turn) -> str:
    """A turn for a person."""
    stages = [
        f"  {name:<12} {turn.stages_ms[name]:6.0f} ms" for name in STAGES if name in turn.stages_ms
    ]
    lines = [f"heard     {turn.heard or '(nothing)'}", f"answered  {turn.answered or '(nothing)'}"]
    return "\n".join([*lines, "after the end of speech:", *stages])


def realtime_url(url: str, model: str) -> str:
    """The WebSocket's address for any form of the server's."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/").removesuffix("/realtime").removesuffix("/v1") + "/v1/realtime"
    query = "&".join(part for part in (parts.query, urlencode({"model": model})) if part)
    return urlunsplit((scheme, parts.netloc, path, query, ""))


async def _talk(pcm: bytes, call: Call) -> Conversation:
    url = realtime_url(call.url, call.model)
    headers = {"Authorization": f"Bearer {call.key}"}
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(url, max_msg_size=0, heartbeat=20) as ws,
        ):
            return await _Caller(ws, call).play(pcm)
    except aiohttp.WSServerHandshakeError as error:
        message = f"{url} answers with HTTP {error.status} {error.message}"
        raise TalkFailed(message, REFUSED if error.status < 500 else NO_SERVER) from error
    except (aiohttp.ClientError, OSError) as error:
        hint = "is `voicemesh up` running?"
        raise TalkFailed(f"cannot reach {url} ({error}): {hint}", NO_SERVER) from error


class _Caller:
    """One conversation."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, call: Call) -> None:
        self._ws, self._call = ws, call
        self._conversation = Conversation()
        self._recording_ends = 0.0

    async def play(self, pcm: bytes) -> Conversation:
        await self._await("session.created")
        await self._send("session.update", session=self._settings())
        await self._await("session.updated")
        self._recording_ends = time.monotonic() + audio.duration_ms(pcm, RATE_HZ) / 1000
        try:
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(self._speak(pcm), name="speak")
                await self._listen()
                speaking.cancel()
        except ExceptionGroup as group:  # the one that came first tells why
            raise group.exceptions[0] from None
        return self._conversation

    def _settings(self) -> dict[str, Any]:
        heard = {
            "turn_detection": {"type": "server_vad"},
            "transcription": {"model": "gpt-4o-mini-transcribe"},
        }
        spoken = {"voice": self._call.voice} if self._call.voice else {}
        return {"type": "realtime", "audio": {"input": heard, "output": spoken}}

    async def _speak(self, pcm: bytes) -> None:
        """Send the recording as a microphone would, then silence until cancelled."""
        frame = audio.n_bytes(FRAME_MS, RATE_HZ)
        began, at = time.monotonic(), 0
        while self._may_go_on():
            piece = pcm[at : at + frame].ljust(frame, b"\0")
            try:
                await self._send(
                    "input_audio_buffer.append", audio=base64.b64encode(piece).decode()
                )
            except ConnectionError:
                return  # whoever listens finds out why
            at += frame
            due = began + at / frame * FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _may_go_on(self) -> bool:
        silent_s = time.monotonic() - self._recording_ends
        if silent_s > SILENCE_AFTER_S and not self._conversation.heard_speech:
            raise TalkFailed("the server found no speech in the recording", NO_SPEECH)
        return True

    async def _listen(self) -> None:
        """Take events in until all is answered and the recording is at its end."""
        while not self._conversation.is_complete or self._left_s() > 0:
            patience_s = 0.0 if self._conversation.is_complete else self._call.timeout_s
            try:
                event = await self._next(self._left_s() + patience_s)
            except TalkFailed as error:
                if error.status == TOO_SLOW and self._conversation.is_complete:
                    return  # the recording was at its end, and nothing more came
                raise
            self._conversation.take(event, time.monotonic())
            if event["type"] == "error":
                print(f"the server says: {event['error'].get('message')}")

    def _left_s(self) -> float:
        """Seconds of the recording that are still to be sent."""
        return max(0.0, self._recording_ends - time.monotonic())

    async def _await(self, kind: str) -> None:
        """Wait for an event before which nothing else matters."""
        while (event := await self._next(self._call.timeout_s))["type"] != kind:
            if event["type"] == "error":
                raise TalkFailed(f"refused: {event['error'].get('message')}", REFUSED)

    async def _next(self, limit_s: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(limit_s):
                message = await self._ws.receive()
        except TimeoutError as error:
            waited = f"the server has sent nothing for {limit_s:.0f} s"
            raise TalkFailed(waited, TOO_SLOW) from error
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise TalkFailed(f"the server hung up: {self._ws.close_code} {message.extra}", HUNG_UP)
        event: dict[str, Any] = json.loads(message.data)
        return event

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._ws.send_json({"type": kind, **fields})
