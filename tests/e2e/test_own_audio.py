"""Many speak at once, each with a voice and words of its own: what a session hears is its own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pocketsphinx import Decoder

from mesh.audio import resample
from tests.e2e import judges
from tests.e2e.test_turns import audio, of, until
from tests.stack import Stack, running

TURNS = 10
SAID = {
    "alloy": "the yellow dog sleeps",
    "ash": "seven boats come home",
    "ballad": "my mother bakes bread",
    "cedar": "rain falls on the river",
    "coral": "a good doctor listens",
    "echo": "the market opens early",
    "marin": "children play football",
    "sage": "winter nights are cold",
    "shimmer": "he reads an old newspaper",
    "verse": "green apples taste better",
}
"""By voice. The offline responder says it again: "You said: …"."""
LEAST_WORDS = 2  # of those that were said: the judge may miss the last one
PAUSE = bytes(judges.EAR_HZ * 2 * 3 // 10)  # so that the judge hears a beginning and an end


@pytest.fixture(scope="module")
def mesh() -> Iterator[Stack]:
    settings = {
        "GATEWAY_REQUESTS_PER_MINUTE": "0",
        "GATEWAY_TOKENS_PER_MINUTE": "0",
        "GATEWAY_LEAD_MS": "10000",  # nobody listens: answers come as fast as they are made
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), **settings) as stack:
            yield stack


class Judge:
    """Who of them says this? Knows what each says, and nothing else."""

    def __init__(self) -> None:
        texts = " | ".join(SAID.values())
        self._decoder = Decoder(samprate=judges.EAR_HZ, lm=None, loglevel="FATAL")
        grammar = f"#JSGF V1.0; grammar said; public <said> = you said ( {texts} );"
        self._decoder.add_jsgf_string("said", grammar)
        self._decoder.activate_search("said")

    def speakers(self, pcm: bytes) -> list[str]:
        """The voices whose text begins as what is heard; one, if it is heard well."""
        heard = PAUSE + resample(pcm, judges.RATE_HZ, judges.EAR_HZ) + PAUSE
        self._decoder.start_utt()
        self._decoder.process_raw(heard, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        words = found.hypstr.removeprefix("you said ") if found else ""
        if len(words.split()) < LEAST_WORDS:
            return []
        return [voice for voice, text in SAID.items() if text.startswith(words)]


async def talk(mesh: Stack, voice: str, begin: asyncio.Barrier) -> list[bytes]:
    """The audio of its answers."""
    heard = []
    session: Any = {"type": "realtime", "audio": {"output": {"voice": voice}}}
    part: Any = {"type": "input_text", "text": SAID[voice]}
    item: Any = {"type": "message", "role": "user", "content": [part]}
    async with (
        mesh.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        await connection.session.update(session=session)
        await begin.wait()
        for _ in range(TURNS):
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            events = await until(connection, "response.done")
            assert events[-1].response.status == "completed"
            [told] = of(events, "response.output_audio_transcript.done")
            assert SAID[voice] in told.transcript.lower()
            heard.append(audio(events))
    return heard


async def test_every_answer_is_heard_by_who_asked(mesh):
    begin = asyncio.Barrier(len(SAID))
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        talking = {voice: tasks.create_task(talk(mesh, voice, begin)) for voice in SAID}
    answers = [(voice, pcm) for voice, task in talking.items() for pcm in task.result()]
    assert len(answers) == len(SAID) * TURNS == 100
    judge = Judge()
    judged = [(voice, judge.speakers(pcm)) for voice, pcm in answers]
    assert [(voice, found) for voice, found in judged if found != [voice]] == []
