"""A session as a client finds it: the settings of the gateway, of its model, of its secret."""

from __future__ import annotations

from typing import Any

from gateway.backends import Profile
from gateway.config import Config
from gateway.ids import new_id
from gateway.realtime.conversation import NewId
from gateway.realtime.identity import Identity
from gateway.realtime.prompts import Stock
from gateway.realtime.session import Session
from gateway.realtime.settings import Audio, AudioOutput, Settings
from gateway.realtime.snapshot import Saved


class Opener:
    def __init__(self, config: Config, prompts: Stock) -> None:
        self._config, self._prompts = config, prompts
        self._defaults: dict[Profile, Settings] = {}  # shared: there are few, and they never change

    def session(
        self,
        identity: Identity,
        profile: Profile,
        asked: dict[str, Any] | None = None,
        ids: NewId = new_id,
    ) -> Session:
        """
        Args:
            profile: Of the session's model.
            asked: A checked session object to start with.
            ids: Makes the ids of what is in it.

        Raises:
            Refused: it asks for what there is not.
        """
        if profile not in self._defaults:
            self._defaults[profile] = self._default(profile)
        return self._made(identity, self._defaults[profile], ids, asked)

    def restored(self, saved: Saved, ids: NewId) -> Session:
        """A session to be restored from that snapshot."""
        return self._made(saved.identity, saved.default, ids)

    def _default(self, profile: Profile) -> Settings:
        config, words = self._config, profile.instructions
        return Settings(
            instructions=config.instructions if words is None else words,
            audio=Audio(output=AudioOutput(voice=profile.voice or config.voice)),
        )

    def _made(
        self,
        identity: Identity,
        default: Settings,
        ids: NewId,
        asked: dict[str, Any] | None = None,
    ) -> Session:
        return Session(
            identity,
            new_id=ids,
            settings=default,
            preset=asked,
            prompts=self._prompts,
            lead_ms=self._config.lead_ms,
            kept_ms=round(self._config.kept_audio_s * 1000),
        )
