"""A session as a client finds it: the settings of the gateway, of its model, of its secret."""

from __future__ import annotations

from typing import Any

from gateway.backends import Profile
from gateway.config import Config
from gateway.ids import new_id
from gateway.realtime.prompts import Stock
from gateway.realtime.session import Identity, Session
from gateway.realtime.settings import Audio, AudioOutput, Settings


class Opener:
    def __init__(self, config: Config, prompts: Stock) -> None:
        self._config, self._prompts = config, prompts

    def session(
        self, identity: Identity, profile: Profile, asked: dict[str, Any] | None = None
    ) -> Session:
        """
        Args:
            profile: Of the session's model.
            asked: A checked session object to start with.

        Raises:
            Refused: it asks for what there is not.
        """
        config, words = self._config, profile.instructions
        default = Settings(
            instructions=config.instructions if words is None else words,
            audio=Audio(output=AudioOutput(voice=profile.voice or config.voice)),
        )
        return Session(
            identity,
            new_id=new_id,
            settings=default,
            preset=asked,
            prompts=self._prompts,
            lead_ms=config.lead_ms,
            kept_ms=round(config.kept_audio_s * 1000),
        )
