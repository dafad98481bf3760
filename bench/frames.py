"""What one 20 ms audio frame costs a gateway process, in and out, without the sockets.

    python -m bench.frames

In: JSON text → client event → session → effect. Out: signal → session → JSON text. Besides: what it
takes to note where the session is, so that another process can go on with it.
Figures are microseconds a frame and, since machines differ, the ratio to decoding the
same JSON and base64 with nothing of ours around it.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import cast

from gateway.ids import Ids
from gateway.outbox import Parcel
from gateway.realtime import signals as sig
from gateway.realtime.client_events import AppendAudio
from gateway.realtime.codec import decode, encode
from gateway.realtime.effects import Effect, Send, StartReply
from gateway.realtime.g711 import Decoder, Encoder
from gateway.realtime.identity import Identity
from gateway.realtime.session import Session
from gateway.sessions.journal import Journal
from gateway.sessions.keeper import Keeper
from gateway.sessions.kept import Kept
from gateway.sessions.store import Meta, Store

FRAME = bytes(range(256)) * 3 + bytes(192)  # 960 bytes: 20 ms of PCM16 at 24 kHz
TELEPHONE_FRAME = bytes(range(160))  # 20 ms of µ-law
ROUNDS = 20_000


def main() -> None:
    numbers = itertools.count()
    session = Session(
        Identity("sess_1", "bench", 0), new_id=lambda prefix: f"{prefix}_{next(numbers)}"
    )
    text = json.dumps(
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(FRAME).decode()}
    )
    [start] = [
        e
        for e in session.receive(decode('{"type":"response.create"}'))
        if isinstance(e, StartReply)
    ]
    session.receive(sig.ReplyText(start.response_id, "Hello."))
    audio = sig.ReplyAudio(start.response_id, FRAME)

    def bare() -> None:
        base64.b64decode(json.loads(text)["audio"])

    def hear() -> None:
        session.receive(decode(text))

    def speak() -> None:
        for effect in session.receive(audio):
            if isinstance(effect, Send):
                encode(effect.event, "event_0123456789")

    base_us = _measure(bare)
    print(f"{'json.loads + b64decode':24} {base_us:7.2f} µs   1.00×")
    heard, spoken = session.receive(decode(text)), session.receive(audio)
    kept = _kept(session, heard, audio, spoken)
    for name, work in (("frame in", hear), ("frame out", speak), *kept, *_telephone()):
        us = _measure(work)
        print(f"{name:24} {us:7.2f} µs   {us / base_us:.2f}×")


def _kept(
    session: Session, heard: list[Effect], audio: sig.ReplyAudio, spoken: list[Effect]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What it costs besides to note where the session is."""
    keeper = Keeper(cast(Store, None), ttl_s=30.0)  # which never runs
    meta = Meta("acme", "hash", "bench", 0, session.conversation.id)
    kept = Kept(session, Ids(), Journal(session), meta, epoch=1, writer=keeper)
    append = AppendAudio(FRAME)
    [delta] = [effect.event for effect in spoken if isinstance(effect, Send)]

    def keep_heard() -> None:
        kept.note(append, heard)

    def keep_spoken() -> None:
        after = kept.note(audio, spoken)
        journal = kept.journal
        event_id, played = journal.stamp(delta), journal.played_with(delta)
        parcel = Parcel(delta, event_id, after, journal.seq, "", played)
        assert kept.doubts == keeper.doubts  # what is asked before it is sent
        kept.was_sent(parcel.seq, delta, parcel.played)

    yield "kept in, besides", keep_heard
    yield "kept out, besides", keep_spoken


def _telephone() -> Iterator[tuple[str, Callable[[], None]]]:
    """What a caller whose audio is µ-law costs besides."""
    heard, spoken = Decoder("audio/pcmu"), Encoder("audio/pcmu")

    def hear() -> None:
        heard.feed(TELEPHONE_FRAME)

    def speak() -> None:
        spoken.feed(FRAME)

    yield "µ-law in, besides", hear
    yield "µ-law out, besides", speak


def _measure(work: Callable[[], None]) -> float:
    """Microseconds a call: the best of five rounds, since the machine is not ours alone."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(ROUNDS // 5):
            work()
        best = min(best, (time.perf_counter() - began) / (ROUNDS // 5))
    return best * 1e6


if __name__ == "__main__":
    main()
