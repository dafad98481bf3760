"""Sessions that begin here, and sessions that go on here."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from gateway import admission, metrics
from gateway.admission import Resumption, Wanted
from gateway.allowance import too_many
from gateway.auth import Unready, Who
from gateway.config import Config
from gateway.connect_limit import ConnectLimit
from gateway.ids import Ids, new_id
from gateway.models import Models
from gateway.opening import Opener
from gateway.realtime.dialects import Beta, Dialect, Ga
from gateway.realtime.identity import Identity
from gateway.realtime.refusals import SERVER_ERROR, Refusal, Refused
from gateway.realtime.snapshot import UnknownFormat
from gateway.sessions.journal import Journal, NotWhole, position_of
from gateway.sessions.keeper import Keeper
from gateway.sessions.kept import Kept
from gateway.sessions.resume import Restored, restore, state_of
from gateway.sessions.store import Found, Meta, Taken
from mesh.errors import Unavailable

RESUMES_PER_S, RESUMES_AT_ONCE = 0.5, 10
"""Of one session, at this gateway."""
_MOST_PACES = 10_000

_AWAY = Refusal(
    "service_unavailable", "Sessions cannot be kept right now. Please try again.", type=SERVER_ERROR
)
_NEWER = Refusal(
    "service_unavailable",
    "A newer server began this session, and this one cannot read it. Please try again.",
    type=SERVER_ERROR,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guest:
    """A session with what serves it."""

    kept: Kept
    wanted: Wanted
    dialect: Dialect
    restored: Restored | None = None

    @property
    def left_s(self) -> float:
        """How long the session may still last."""
        return max(0.0, self.kept.meta.expires_at_s - time.time())


class Lobby:
    def __init__(self, config: Config, keeper: Keeper, opener: Opener, models: Models) -> None:
        self._paces: dict[tuple[str, str], ConnectLimit] = {}
        self._config, self.keeper, self._opener, self._models = config, keeper, opener, models

    async def open(self, who: Who, wanted: Wanted, session_id: str | None) -> Guest:
        """A new session.

        Args:
            session_id: What a balancer wants it to be called.

        Raises:
            Refused: its client secret asks for what there is not.
            Unready: it cannot be kept.
        """
        expires_at_s = int(time.time() + self._config.session_s)
        asked = who.preset.session if who.preset is not None else None
        while True:
            name = session_id or new_id("sess")
            identity = Identity(name, wanted.model, expires_at_s, wanted.kind)
            ids = Ids()
            session = self._opener.session(identity, wanted.profile, asked, ids)
            state = state_of(session, ids, 0)
            assert state is not None, "a session that was not opened is quiet"
            meta = Meta(
                who.tenant, who.key_hash, wanted.model, expires_at_s, session.conversation.id,
                wanted.beta,
            )  # fmt: skip
            try:
                await self.keeper.store.create(name, meta, state)
            except Unavailable as error:
                raise Unready(_AWAY) from error
            except Taken:
                session_id = None
                continue
            kept = Kept(session, ids, Journal(session), meta, epoch=1, writer=self.keeper)
            self.keeper.add(kept)
            return Guest(kept, wanted, self._dialect(meta, session.conversation.id))

    async def resume(self, who: Who, asked: Resumption) -> Guest:
        """A session that another connection had, here or elsewhere.

        Raises:
            Refused: there is none of that id for this tenant.
            Unready: it cannot be had now.
        """
        self._check_pace(who, asked.session_id)
        try:
            found = await self.keeper.store.claim(asked.session_id, who.tenant)
        except Unavailable as error:
            metrics.RESUMES.labels("unready").inc()
            raise Unready(_AWAY) from error
        if found is None:
            metrics.RESUMES.labels("not_found").inc()
            raise Refused(admission.NO_SESSION)
        meta = found.meta
        self._note_pace(who, asked.session_id)
        # A model that is not served here any more is served by the default chain.
        profile = self._models.find(meta.model) or admission.PLAIN
        dialect = self._dialect(meta, meta.conversation_id)
        restored = self._restored(found, dialect, asked)
        wanted = Wanted(restored.session.identity.kind, meta.model, profile, meta.beta)
        kept = Kept(
            restored.session, restored.ids, restored.journal, meta,
            epoch=found.epoch, writer=self.keeper, sent=restored.sent,
        )  # fmt: skip
        self.keeper.add(kept)
        metrics.RESUMES.labels("resumed").inc()
        return Guest(kept, wanted, dialect, restored)

    def _restored(self, found: Found, dialect: Dialect, asked: Resumption) -> Restored:
        try:
            last = position_of(asked.last_event_id)
            return restore(found, self._opener.restored, dialect, last)
        except UnknownFormat as error:
            log.error("session of a newer version", extra={"format": str(error)})
            raise Unready(_NEWER) from error
        except NotWhole as error:
            log.warning("session was not kept whole", extra={"session_id": asked.session_id})
            raise Refused(admission.NO_SESSION) from error
        except Exception as error:  # a mistake of ours: it ends this session and no other
            log.exception("session cannot be restored", extra={"session_id": asked.session_id})
            metrics.RESUMES.labels("broken").inc()
            raise Refused(admission.NO_SESSION) from error  # nobody claims it: it is swept

    def _check_pace(self, who: Who, session_id: str) -> None:
        """Making a session anew costs more than serving it: nobody has that done all the time.
        Who guesses ids is told the same as ever, and takes nothing from whose they are.

        Raises:
            Refused: it has just been done too often.
        """
        pace = self._paces.get((who.tenant, session_id))
        wait_s = pace.take() if pace is not None else None
        if wait_s is not None:
            metrics.RESUMES.labels("limited").inc()
            raise Refused(too_many(wait_s))

    def _note_pace(self, who: Who, session_id: str) -> None:
        if len(self._paces) >= _MOST_PACES:
            self._paces.clear()
        pace = ConnectLimit(RESUMES_PER_S, time.monotonic, RESUMES_AT_ONCE)
        self._paces.setdefault((who.tenant, session_id), pace)

    def _dialect(self, meta: Meta, conversation_id: str) -> Dialect:
        return Beta(conversation_id) if meta.beta else Ga(self._config.strict_ga)
