"""Those who make a session's replies: they keep their own contract, whoever began a reply.

See `world.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from tests.babble import Tape
from tests.script import pcm

NOTICE = "nobody thinks"


@dataclass
class Said:
    """What there is of a reply, whoever said it."""

    text: str = ""
    sent_bytes: int = 0  # of PCM
    made_ms: int = 0  # of audio, sent or not
    pieces: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])


@dataclass
class Reply:
    """What a backend works on."""

    start: do.StartReply
    said: Said
    calls: dict[str, str | None] = field(default_factory=dict)  # arguments; None: all was said
    ended: sig.ReplyEnded | sig.ReplyFailed | None = None  # of the model
    is_mute: bool = False  # nobody speaks any more

    @property
    def has_ended(self) -> bool:
        return self.ended is not None

    def goes_on(self, begun: do.Begun) -> None:
        """Somebody else began it."""
        said, here = self.said, (begun.from_char, begun.from_ms)
        assert begun.text == said.text
        assert here in said.pieces
        said.pieces = said.pieces[: said.pieces.index(here) + 1]
        said.made_ms, self.ended = begun.from_ms, begun.ended


class Talker:
    """Thinks and speaks."""

    def __init__(self, tape: Tape, tell: Callable[[sig.Reply], object]) -> None:
        """
        Args:
            tell: Gives news to the session.
        """
        self._tape, self._tell = tape, tell
        self.running: dict[str, Reply] = {}
        self.said: dict[str, Said] = {}  # by response
        self.muted: set[str] = set()
        """Responses that nobody speaks any more."""

    def start(self, start: do.StartReply) -> None:
        begun, rid = start.begun, start.response_id
        reply = Reply(start, self.said.setdefault(rid, Said()))
        if begun:
            reply.goes_on(begun)
        self.running[rid] = reply

    def replies(self) -> None:
        if not self.running:
            return
        rid = self._tape.pick(list(self.running))
        reply = self.running[rid]
        ways: list[Callable[[Talker, str, Said], None]] = []
        if not reply.has_ended:
            ways = [Talker._writes, Talker._writes]
        if reply.start.voice and not reply.is_mute:
            ways += [Talker._speaks, Talker._speaks, Talker._makes, Talker._speaks_worse]
            ways += [Talker._falls_silent]
        if ways:
            self._tape.pick(ways)(self, rid, reply.said)

    def _writes(self, rid: str, said: Said) -> None:
        delta = self._tape.pick(["Well", " then."])
        said.text += delta
        self._tell(sig.ReplyText(rid, delta))

    def _speaks(self, rid: str, said: Said) -> None:
        sound = pcm(self._tape.pick([20, 500])) + bytes(2 * (self._tape.byte() % 3))
        said.sent_bytes += len(sound)
        self._tell(sig.ReplyAudio(rid, sound))

    def _makes(self, rid: str, said: Said) -> None:
        """All text up to now has become audio: a piece, or a word of one."""
        said.made_ms += self._tape.pick([20, 500])
        here = (len(said.text), said.made_ms)
        if said.pieces[-1] < here and self._tape.byte() % 2:
            said.pieces.append(here)
            self._tell(sig.ReplyTiming(rid, (here,), here))
        else:
            self._tell(sig.ReplyTiming(rid, (here,)))

    def _speaks_worse(self, rid: str, _: Said) -> None:
        self._tell(sig.ReplyDegraded(rid, "a", "b"))

    def _falls_silent(self, rid: str, _: Said) -> None:
        if self._tape.byte() % 4 == 0:
            self.running[rid].is_mute = True
            self.muted.add(rid)
            self._tell(sig.ReplyMuted(rid))

    def cannot_think(self) -> None:
        """The model has failed, and its words or ours are still to be spoken."""
        if not self.running:
            return
        rid = self._tape.pick(list(self.running))
        reply = self.running[rid]
        if not reply.start.voice or reply.has_ended or self._tape.byte() % 2:
            return
        notice = "" if reply.said.text or reply.calls else NOTICE
        reply.ended = sig.ReplyFailed(rid, "llm_unavailable", "?")
        reply.said.text += notice
        self._tell(sig.ReplyFailing(rid, reply.ended, notice))

    def thinks_no_more(self) -> None:
        """The model has ended, and its words are still to be spoken."""
        if not self.running:
            return
        rid = self._tape.pick(list(self.running))
        reply = self.running[rid]
        if (
            reply.start.voice
            and not reply.has_ended
            and all(a is None for a in reply.calls.values())
        ):
            reply.ended = sig.ReplyEnded(rid, sig.Tokens(10, 4, 2))
            self._tell(sig.ReplyThought(rid, reply.ended))

    def calls(self) -> None:
        if not self.running:
            return
        rid = self._tape.pick(list(self.running))
        reply = self.running[rid]
        if reply.has_ended:
            return
        name = self._tape.pick([tool.name for tool in reply.start.tools] or ["f"])
        call_id = f"{name}_{self._tape.pick([1, 2])}"
        arguments = reply.calls.get(call_id, "")
        if arguments is None:
            return  # backends say no more of it
        if self._tape.byte() % 2:
            reply.calls[call_id] = arguments + "{"
            self._tell(sig.ReplyCall(rid, call_id, name, "{"))
        else:
            reply.calls[call_id] = None
            self._tell(sig.ReplyCallDone(rid, call_id, name, arguments and arguments + "}"))

    def reply_ends(self) -> None:
        if self.running:
            rid = self._tape.pick(list(self.running))
            how = self._tape.pick([None, None, "max_output_tokens", "content_filter", "failed"])
            self.end(rid, how)

    def end(self, rid: str, how: str | None) -> None:
        reply = self.running.pop(rid)
        if how == "failed":
            self._tell(sig.ReplyFailed(rid, "llm_unavailable", "?"))
            return
        is_cut = any(arguments is not None for arguments in reply.calls.values())
        if is_cut and not isinstance(reply.ended, sig.ReplyFailed):
            how = "max_output_tokens"  # cut off in the middle of a call
        self._tell(reply.ended or sig.ReplyEnded(rid, sig.Tokens(10, 4, 2), how))
