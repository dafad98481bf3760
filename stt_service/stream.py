"""One StreamingRecognize call behind its config: messages in, messages out.

Why it writes to the context instead of yielding: it reads, follows utterances and writes
at once, in a TaskGroup, and a generator must not yield inside one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from mesh.audio import SAMPLE_BYTES, n_samples
from mesh.errors import MeshError, Overloaded, Rejected, detail_of, first_of
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import hearing, metrics, wire
from stt_service.listener import Listener, Wishes
from stt_service.pending import Pending
from stt_service.timeline import Timeline
from stt_service.worker import Worker

if TYPE_CHECKING:  # generic to the type checker only
    Context = grpc.aio.ServicerContext[Any, pb.StreamingRecognizeResponse]
    Requests = AsyncIterator[pb.StreamingRecognizeRequest]

MAX_CHUNK_BYTES = 64 << 10
MOST_EVENTS = 1000  # that wait to be sent: whoever reads so little is hung up on
CREDIT_S = 10  # audio that a client may send ahead of what we have taken in
ACK_S = 0.5  # audio between two acknowledgements; the contract says a second at most

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a stream begins with."""

    worker_id: str
    model: str
    wishes: Wishes
    rate_hz: int
    first_sample: int


class Stream:
    def __init__(
        self, worker: Worker, opening: Opening, requests: Requests, context: Context
    ) -> None:
        self._worker, self._opening = worker, opening
        self._requests, self._context = requests, context
        self._to_send: deque[pb.StreamingRecognizeResponse] = deque()
        self._ack_due = False
        self._wake = asyncio.Event()
        self._finished = False
        self._acknowledged = opening.first_sample
        self._listener: Listener

    async def run(self) -> None:
        """Serve until the client says finish.

        Raises:
            MeshError: the client broke the protocol, or the worker drops the stream.
        """
