"""What a response cost: text as its provider counts, audio by its length.

Source: realtime contract §6.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .effects import Line
from .signals import Tokens

AUDIO_TOKEN_MS = 50  # one output audio token, as OpenAI counts them
HEARD_TOKEN_MS = 100  # one input audio token
CHARS_A_TOKEN = 4  # of English, as OpenAI's rule of thumb has it


def usage(tokens: Tokens, *, heard_tokens: int, audio_ms: int) -> dict[str, Any]:
    """The `usage` of a response.

    Args:
        heard_tokens: Audio that was its input.
        audio_ms: How much it said.
    """
    audio, heard = math.ceil(audio_ms / AUDIO_TOKEN_MS), heard_tokens
    cached = {"text_tokens": tokens.cached, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": tokens.input + heard + tokens.output + audio,
        "input_tokens": tokens.input + heard,
        "output_tokens": tokens.output + audio,
        "input_token_details": {
            "text_tokens": tokens.input,
            "audio_tokens": heard,
            "image_tokens": 0,
            "cached_tokens": tokens.cached,
            "cached_tokens_details": cached,
        },
        "output_token_details": {"text_tokens": tokens.output, "audio_tokens": audio},
    }


def counted(tokens: Tokens, lines: Sequence[Line], said: str) -> Tokens:
    """What a response cost; estimated, if it was cut off before its provider could count.

    Args:
        lines: What the model was asked.
        said: All its text.
    """
    if not said or tokens != Tokens():
        return tokens
    asked = sum(len(line.text) for line in lines)
    return Tokens(math.ceil(asked / CHARS_A_TOKEN), 0, math.ceil(len(said) / CHARS_A_TOKEN))


def heard_tokens(heard_ms: list[int]) -> int:
    """Tokens of the user's recordings, each of so many milliseconds."""
    return sum(math.ceil(ms / HEARD_TOKEN_MS) for ms in heard_ms)
