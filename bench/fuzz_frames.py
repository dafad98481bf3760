"""Frames that no well-meaning client sends: valid events, mutated, and plain rubbish.

Seeded: the same seed gives the same frames, so that what breaks something can be sent again.
"""

from __future__ import annotations

import base64
import copy
import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Any

Event = dict[str, Any]
Frame = str | bytes
"""A text frame, or a binary one."""

WILD = ("", "item_nobody", "root", "x" * 600, "\x00", "𝕚𝕥𝕖𝕞", "../..", "resp_1", " ")
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 4096, 2**31, 2**63, 2**70, -0.5, 1e308, "", "x", "null",
    "auto", "none", "inf", "\ud83d\ude00", "\u202e", [], {}, [[]], {"type": None},
)  # fmt: skip
VOICES = ("alloy", "marin", "nobody", "")


class Frames:
    """An endless supply. `ids` are those of the server's, met so far."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(seed)
        self.ids: list[str] = []

    def learn(self, found: str) -> None:
        """The server named this; a few hundred are remembered."""
        if len(self.ids) < 300:
            self.ids.append(found)
        else:
            self.ids[self._random.randrange(300)] = found

    def next(self) -> Frame:
        rng = self._random
        roll = rng.random()
        if roll < 0.02:
            return rng.randbytes(rng.choice((0, 1, 7, 960, 5000)))
        if roll < 0.06:
            return self._rubbish()
        event = rng.choice(_KINDS)(self)
        if rng.random() < 0.2:
            event["event_id"] = rng.choice(("evt_1", "e" * 700, None, 7, ""))
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
            self._mutate(event)
        text = json.dumps(event, ensure_ascii=rng.random() < 0.5)
        if rng.random() < 0.03:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(("", "}", '"', "\\", ",", "\x00")) + text[at + 1 :]
        return text.encode("utf-8", "replace").decode()

    def _rubbish(self) -> str:
        rng = self._random
        deep = rng.choice((10, 200, 100_000))
        return rng.choice(
            (
                "", " ", "null", "[]", "1e999", '"type"', "{", "[" * deep, '{"a":' * deep,
                '{"type":"' + rng.choice(WILD).replace("\x00", "") + '"}', '{"type":null}',
                '{"type":["session.update"]}', '{"type":"session.update","type":"response.cancel"}',
                "".join(rng.choices(string.printable, k=200)), "NaN", '{"type":"\\ud800"}',
            )
        )  # fmt: skip

    def _mutate(self, event: Event) -> None:
        """One change somewhere in the event."""
        rng = self._random
        places = [place for place in _places(event) if place[1] != "type" or rng.random() < 0.2]
        if not places:
            return
        holder, key = rng.choice(places)
        match rng.randrange(7):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[f"{key}_"] = holder.pop(key)
            case 2:
                holder[key] = "x" * rng.choice((100, 5000, 200_000 if rng.random() < 0.02 else 900))
            case 3:
                holder[key] = _nested(rng.choice((2, 5, 60, 150)))
            case 4 if isinstance(holder, dict):
                holder[rng.choice(("bogus", "type", "id", "$schema", "𝕩"))] = self._scalar()
            case _:
                holder[key] = self._scalar()

    def _scalar(self) -> Any:
        return copy.deepcopy(self._random.choice(SCALARS))

    # Valid events, or nearly.

    def _id(self) -> str:
        rng = self._random
        return rng.choice(self.ids) if self.ids and rng.random() < 0.7 else rng.choice(WILD)

    def _update(self) -> Event:
        rng = self._random
        vad: tuple[Any, ...] = (
            None,
            {"type": "server_vad"},
            {
                "type": "server_vad", "threshold": rng.random(),
                "silence_duration_ms": rng.randrange(3000),
                "idle_timeout_ms": rng.choice((None, 5000, 30_000)),
                "create_response": rng.random() < 0.5,
            },
            {"type": "semantic_vad", "eagerness": rng.choice(("low", "high", "auto", "medium"))},
        )  # fmt: skip
        formats: tuple[Event, ...] = (
            {"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}, {"type": "audio/pcma"},
        )  # fmt: skip
        function = {"type": "function", "name": "f"}
        ratio = {"type": "retention_ratio", "retention_ratio": 0.5}
        whole: Event = {
            "output_modalities": rng.choice((["text"], ["audio"])),
            "instructions": rng.choice(("", "Be brief.", "x" * 3000)),
            "tools": rng.choice(([], [self._tool()], [self._tool() for _ in range(40)])),
            "tool_choice": rng.choice(("auto", "none", "required", function)),
            "max_output_tokens": rng.choice(("inf", 1, 50, 4096)),
            "tracing": rng.choice((None, "auto")),
            "truncation": rng.choice(("auto", "disabled", ratio)),
            "prompt": None,
            "include": rng.choice((None, ["item.input_audio_transcription.logprobs"])),
            "audio": {
                "input": {
                    "format": rng.choice(formats),
                    "turn_detection": rng.choice(vad),
                    "transcription": rng.choice((None, {"model": "whisper-1", "language": "en"})),
                    "noise_reduction": rng.choice((None, {"type": "near_field"})),
                },
                "output": {"format": rng.choice(formats), "voice": rng.choice(VOICES),
                           "speed": rng.choice((0.25, 1.0, 1.5))},
            },
        }  # fmt: skip
        session = {key: whole[key] for key in rng.sample(sorted(whole), rng.randrange(1, 6))}
        return {"type": "session.update", "session": {"type": "realtime", **session}}

    def _tool(self) -> Event:
        return {
            "type": "function",
            "name": "f",
            "description": "d",
            "parameters": {"type": "object"},
        }

    def _append(self) -> Event:
        rng = self._random
        n_bytes = rng.choice((1, 2, 3, 159, 160, 959, 960, 961, 4800))
        sound = rng.choice((bytes(n_bytes), bytes(n_bytes), rng.randbytes(n_bytes)))
        audio = base64.b64encode(sound).decode()
        if rng.random() < 0.1:
            audio = rng.choice(
                (audio.rstrip("=") + "!", audio[:-1], "@@@", "", "-_-_", audio + "\n")
            )
        return {"type": "input_audio_buffer.append", "audio": audio}

    def _item(self) -> Event:
        rng = self._random
        text = rng.choice(("hello", "", "what is two plus two", "x" * 4000, "\x00", "😀" * 50))
        audio = base64.b64encode(bytes(rng.choice((0, 4800, 9601)))).decode()
        parts = rng.choice(
            (
                [{"type": "input_text", "text": text}],
                [{"type": "output_text", "text": text}],
                [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}],
                [{"type": "input_audio", "audio": audio, "transcript": text}],
                [{"type": "input_text", "text": "a"}] * 30,
                [],
            )
        )
        call = rng.choice(("call_1", "call_2", "c" * 40))
        role = rng.choice(("user", "assistant", "system"))
        items: tuple[Event, ...] = (
            {"type": "message", "role": role, "content": parts},
            {"type": "function_call", "name": "f", "call_id": call, "arguments": "{}"},
            {"type": "function_call_output", "call_id": call, "output": text},
            {"type": "mcp_approval_response", "approval_request_id": self._id(), "approve": True},
        )  # fmt: skip
        item = rng.choices(items, (6, 1, 1, 1))[0]
        if rng.random() < 0.2:
            item["id"] = self._id()
        return item

    def _create_item(self) -> Event:
        event: Event = {"type": "conversation.item.create", "item": self._item()}
        if self._random.random() < 0.4:
            event["previous_item_id"] = self._id()
        return event

    def _about_item(self) -> Event:
        verb = self._random.choice(("retrieve", "delete"))
        return {"type": f"conversation.item.{verb}", "item_id": self._id()}

    def _truncate(self) -> Event:
        end_ms = self._random.choice((0, 1, 500, 10**9))
        event = {"type": "conversation.item.truncate", "item_id": self._id(), "content_index": 0}
        return {**event, "audio_end_ms": end_ms}

    def _respond(self) -> Event:
        rng = self._random
        response: Event = {
            "conversation": rng.choice(("auto", "none")),
            "output_modalities": rng.choice((["text"], ["audio"])),
            "instructions": "Say hi.",
            "metadata": {"k": "v"},
            "max_output_tokens": rng.choice((1, "inf")),
            "input": [self._item(), {"type": "item_reference", "id": self._id()}],
        }
        chosen = rng.sample(sorted(response), rng.randrange(0, 4))
        return {"type": "response.create", "response": {key: response[key] for key in chosen}}

    def _cancel(self) -> Event:
        event: Event = {"type": "response.cancel"}
        return event | ({"response_id": self._id()} if self._random.random() < 0.5 else {})

    def _plain(self) -> Event:
        return {"type": self._random.choice(_PLAIN)}


_PLAIN = (
    "input_audio_buffer.commit", "input_audio_buffer.clear", "output_audio_buffer.clear",
    "session.close", "transcription_session.update", "session.created", "", "x" * 1000,
)  # fmt: skip
_KINDS: tuple[Callable[[Frames], Event], ...] = (
    Frames._update, Frames._append, Frames._append, Frames._append, Frames._create_item,
    Frames._create_item, Frames._about_item, Frames._about_item, Frames._truncate,
    Frames._respond, Frames._cancel, Frames._cancel, Frames._plain,
)  # fmt: skip


def _places(event: Event) -> Iterator[tuple[Any, Any]]:
    """Every holder and key in an event, but for what lies very deep."""
    pending: list[tuple[Any, int]] = [(event, 0)]
    while pending:
        holder, depth = pending.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list) and depth < 12:
                pending.append((holder[key], depth + 1))


def _nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value
