"""A multipart form with one file: read as it comes, kept once."""

from __future__ import annotations

import asyncio
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.realtime.refusals import Refused, refuse

MAX_FILE = 25 << 20
MAX_FIELD = 64 << 10
MAX_FIELDS = 200
MAX_S = 300.0
"""How long a form may take to arrive: 25 MiB at 700 kbit/s."""

# What aiohttp finds wrong with a form.
_WRONG = (
    ValueError,
    AssertionError,
    LookupError,
    RuntimeError,
    HttpProcessingError,
    web.RequestPayloadError,
)
_MAX_BODY = MAX_FILE + (2 << 20)  # with its fields and boundaries


@dataclass(frozen=True, slots=True)
class Form:
    fields: Mapping[str, Sequence[str]]
    """`name[]` is `name`; a name may come several times."""
    file: io.BytesIO | None
    """The part named "file"."""

    def one(self, name: str) -> str | None:
        """The last value of a field; None if there is none or it is empty."""
        values = self.fields.get(name)
        return values[-1] or None if values else None

    def all(self, name: str) -> list[str]:
        return [value for value in self.fields.get(name, ()) if value]


async def read(request: web.Request) -> Form:
    """
    Raises:
        Refused: it is no such form, or something in it is too large.
        web.HTTPUnsupportedMediaType: it is something else.
        web.HTTPRequestTimeout: it takes more than MAX_S.
    """
    if request.content_type != "multipart/form-data":
        message = "Unsupported content type. Send this request as multipart/form-data."
        raise web.HTTPUnsupportedMediaType(text=message)
    if (request.content_length or 0) > _MAX_BODY:
        raise _too_large("The body", _MAX_BODY)
    try:
        async with asyncio.timeout(MAX_S):
            return await _parts(await request.multipart())
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The form took too long to arrive.") from None
    except _WRONG as error:
        raise refuse(None, "We could not parse your multipart form data.") from error


async def _parts(parts: MultipartReader) -> Form:
    fields: dict[str, list[str]] = defaultdict(list)
    file, n_parts = None, 0
    while (part := await parts.next()) is not None:
        n_parts += 1
        if n_parts > MAX_FIELDS or not isinstance(part, BodyPartReader):
            raise refuse(None, "We could not parse your multipart form data.")
        name = (part.name or "").removesuffix("[]")
        if name == "file":
            file = await _content(part, "The file", MAX_FILE)
        else:
            content = await _content(part, f"Field '{name[:64]}'", MAX_FIELD)
            fields[name].append(content.getvalue().decode())
    return Form(fields, file)


async def _content(part: BodyPartReader, what: str, limit: int) -> io.BytesIO:
    content = io.BytesIO()
    while chunk := await part.read_chunk(64 << 10):
        content.write(part.decode(chunk))
        if content.tell() > limit:
            raise _too_large(what, limit)
    content.seek(0)
    return content


def _too_large(what: str, limit: int) -> Refused:
    return refuse("request_too_large", f"{what} is too large. Send at most {limit} bytes.")
