"""What a session of the core is, as far as another process must know it."""

from __future__ import annotations

from typing import Any

from gateway.realtime.conversation import Entry
from gateway.realtime.response import Response
from gateway.realtime.session import Session


def state_of(session: Session) -> dict[str, Any]:
    """Plain values to compare; audio that is kept to be retrieved is not part of it."""
    turns, replies = session._turns, session._replies
    entries = session._conversation.entries()
    place = {id(entry): n for n, entry in enumerate(entries)}
    awaited = {
        name: (_which(a.entry, place), a.told)
        for name, a in turns._awaited._awaited.items()
        if a.entry.awaited
    }
    return {
        "identity": session.identity,
        "settings": session._settings,
        "conversation": session.conversation.id,
        "items": [_entry(entry) for entry in entries],
        "microphone": _microphone(turns),
        "losses": turns._losses,
        "silent_since_ms": turns._silent_since_ms,
        "awaited": awaited,
        "degraded": replies._degraded,
        "unheard_ms": replies._unheard_ms,
        "live": {rid: _response(r, place) for rid, r in replies._live.items()},
        "servers": _servers(session, place),
    }


def _which(entry: Entry, place: dict[int, int]) -> int | str:
    """Where an item is in the conversation, or, if it is not part of it, its id."""
    return place.get(id(entry), entry.item.id)


def _entry(entry: Entry) -> dict[str, Any]:
    fields = {name: getattr(entry, name) for name in Entry.__slots__}
    del fields["recording"]
    if not fields["item"].id or getattr(fields["item"], "status", "") != "in_progress":
        del fields["pieces"]  # only a reply that goes on needs them
    return fields


def _microphone(turns: Any) -> dict[str, Any]:
    microphone = turns._microphone
    kept = {
        "saved": microphone.saved(),
        "utterance": microphone.utterance,
        "kept_from_ms": turns.kept_from_ms,
        "is_overdue": microphone.is_overdue,
    }
    if microphone.utterance:
        kept |= {"item": microphone._item_id, "is_carried": microphone.is_carried}
    return kept


def _response(response: Response, place: dict[int, int]) -> dict[str, Any]:
    outputs = {id(output): n for n, output in enumerate(response.outputs)}
    of_outputs = {
        name: {key: outputs[id(output)] for key, output in getattr(response, name).items()}
        for name in ("calls", "running")
    }
    plain = (
        "settings", "instructions", "metadata", "is_own", "offer", "started", "thought", "ended",
        "room", "text", "is_mute", "is_notice", "lines", "input_audio_tokens",
    )  # fmt: skip
    return {
        **of_outputs,
        **{name: getattr(response, name) for name in plain},
        "is_aside": response.conversation is None,
        "context": [_which(entry, place) for entry in response.context],
        "waits_for": [_which(entry, place) for entry in response.waits_for],
        "message": response.message and outputs[id(response.message)],
        "outputs": [(_entry(o.entry), o.index, o.closed) for o in response.outputs],
    }


def _servers(session: Session, place: dict[int, int]) -> dict[str, Any]:
    servers = session._servers
    saved = servers.saved()
    return {
        "known": saved.known,
        "of_session": saved.of_session,
        "asked": saved.asked,
        "answered": set(saved.answered),
        "room": saved.room,
        "calls": {item_id: _which(e, place) for item_id, e in servers._calls.items()},
    }
