"""What aiohttp logs of requests that it cannot parse is not kept: it quotes them.

A key that is pasted with a line break or a control character ends up in such a quotation. The
sender is told what is wrong with a 400; who runs this could do nothing about it.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_QUOTING = (HttpProcessingError, web.RequestPayloadError)


def install() -> None:
    """For this process. Calling it again changes nothing."""
    logging.getLogger("aiohttp.server").addFilter(_is_ours_to_know)


def _is_ours_to_know(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, _QUOTING)
