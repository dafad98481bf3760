"""What a response cost: text as its provider counts, audio by its length.

Source: realtime contract §6.2.
"""

from __future__ import annotations

import math
from typing import Any

from .signals import Tokens

AUDIO_TOKEN_MS = 50  # one output audio token, as OpenAI counts them
HEARD_TOKEN_MS = 100  # one input audio token


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


def heard_tokens(heard_ms: list[int]) -> int:
    """Tokens of the user's recordings, each of so many milliseconds."""
    return sum(math.ceil(ms / HEARD_TOKEN_MS) for ms in heard_ms)
