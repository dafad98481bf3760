"""What the model knows of an answer that was interrupted: the words that were heard."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Any

import pytest

from mesh.audio import resample
from tests.e2e import judges
from tests.e2e.speech import recording, speak
from tests.fakes.llm import Model, Reply
from tests.fakes.provider_server import ProviderServer
from tests.stack import running

STORY = (
    "The old lighthouse keeper remembered seventeen different winters when enormous"
    " waves destroyed everything along the northern harbour before anybody could"
    " understand what was happening outside."
)
HEARD_MS = 4000  # of the answer, before somebody speaks over it
LEAD_MS = 400
CLEAR_MS = 160  # a judge that aligns words is a few frames off


@pytest.fixture
async def provider():
    async with ProviderServer(Model(Reply(STORY))) as server:
        yield server


@pytest.fixture
async def stack(provider, tmp_path):
    """A mesh whose model is ours, so that we see what it is asked."""
    settings = {
        "LLM_PROVIDERS": "openai",
        "OPENAI_API_KEY": "sk-test",
        "LLM_OPENAI_BASE_URL": f"{provider.url}/v1",
    }
    tmp_path.chmod(0o711)
    # In a thread: the provider must answer while the mesh starts.
    with contextlib.ExitStack() as open_:
        yield await asyncio.to_thread(open_.enter_context, running(tmp_path, **settings))
        await asyncio.to_thread(open_.pop_all().close)


async def until(connection: Any, type_: str) -> Any:
    async for event in connection:
        if event.type == type_:
            return event
    raise AssertionError(f"the connection ended before {type_}")


async def hear(connection: Any, least_ms: int) -> tuple[str, bytes]:
    """The item that is being spoken, and its audio so far."""
    audio = b""
    while len(audio) < least_ms * 48:
        event = await until(connection, "response.output_audio.delta")
        audio += base64.b64decode(event.delta)
    return event.item_id, audio


async def known(connection: Any, provider: ProviderServer) -> str:
    """The interrupted answer as the model is told it."""
    await connection.response.create(
        response={"output_modalities": ["text"], "conversation": "none"}
    )
    await until(connection, "response.done")
    said = [m for m in provider.bodies[-1]["messages"] if m["role"] == "assistant"]
    return said[0]["content"] if said else ""


async def test_only_words_that_were_heard_are_in_the_next_request(stack, provider):
    async with (
        stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        listens = {"turn_detection": {"type": "server_vad", "create_response": False}}
        session = {"type": "realtime", "audio": {"input": listens}}
        await connection.session.update(session=session)
        content = [{"type": "input_text", "text": "tell me a story"}]
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        await connection.response.create()
        item_id, audio = await hear(connection, HEARD_MS)
        await speak(connection, recording("good_morning"))
        done = await until(connection, "response.done")
        assert done.response.status == "cancelled"

        words = await placed(audio)
        # Without a word from the client: what was sent, less what is on its way to the ears.
        heard = judges.words_of(await known(connection, provider))
        assert heard == judges.words_of(STORY)[: len(heard)]
        assert words[len(heard) - 1].end_ms < HEARD_MS - LEAD_MS + CLEAR_MS + 200
        assert words[len(heard)].end_ms > HEARD_MS - LEAD_MS - CLEAR_MS

        long = [n for n, word in enumerate(words) if word.end_ms - word.start_ms > 2 * CLEAR_MS]
        assert len(long) >= 3
        for n in reversed(long):
            middle_ms = (words[n].start_ms + words[n].end_ms) // 2
            await connection.conversation.item.truncate(
                item_id=item_id, content_index=0, audio_end_ms=middle_ms
            )
            heard = judges.words_of(await known(connection, provider))
            assert heard == [word.text for word in words[:n]]


async def placed(audio: bytes) -> list[judges.Placed]:
    """Where the words of the story are in the beginning of its audio."""
    pcm = resample(audio, judges.RATE_HZ, judges.EAR_HZ)
    story = judges.words_of(STORY)
    for n in range(len(story), 0, -1):
        if words := await asyncio.to_thread(judges.alignment, pcm, " ".join(story[:n])):
            return words
    raise AssertionError("the audio is not the story")
