"""Pages: their size, and the tokens that say where the page before ended.

A token is opaque to callers and good for one query only. It holds no secret and grants
nothing: every query is limited to the caller's tenant, whatever its token says.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime

from mesh.errors import Rejected

_MOST = 2**63 - 1  # PostgreSQL's bigint


def size(asked: int, *, most: int, default: int) -> int:
    """
    Raises:
        Rejected: more than `most`.
    """
    if asked > most:
        raise Rejected(f"1 to {most}; 0 means {default}", param="page_size")
    return asked or default


def after_item(query: str, ordinal: int, item_id: str) -> str:
    """The token of a page that ends with this item.

    Args:
        query: What is listed, and how: any other query refuses the token.
    """
    return _sealed(query, str(ordinal), item_id)


def item_position(query: str, token: str) -> tuple[int, str] | None:
    """Ordinal and id; None for the first page, which has no token.

    Raises:
        Rejected: it is not a token of this query.
    """
    if not token:
        return None
    ordinal, item_id = _opened(query, token)
    if not ordinal.isascii() or not ordinal.isdigit() or int(ordinal) > _MOST:
        raise _not_ours()
    return int(ordinal), item_id


def after_conversation(query: str, created_at: datetime, conversation_id: str) -> str:
    """The token of a page that ends with this conversation."""
    return _sealed(query, created_at.isoformat(), conversation_id)


def conversation_position(query: str, token: str) -> tuple[datetime, str] | None:
    """When it was created, and its id; None for the first page.

    Raises:
        Rejected: it is not a token of this query.
    """
    if not token:
        return None
    created_at, conversation_id = _opened(query, token)
    try:
        time = datetime.fromisoformat(created_at)
    except ValueError as error:
        raise _not_ours() from error
    if time.tzinfo is None:
        raise _not_ours()
    return time, conversation_id


def _sealed(query: str, where: str, id_: str) -> str:
    text = json.dumps([_mark(query), where, id_], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(query: str, token: str) -> tuple[str, str]:
    try:
        mark, where, id_ = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError) as error:
        raise _not_ours() from error
    texts = isinstance(where, str) and isinstance(id_, str)
    if mark != _mark(query) or not texts or "\0" in id_:
        raise _not_ours()
    return where, id_


def _mark(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:16]


def _not_ours() -> Rejected:
    return Rejected("not a token of this list", param="page_token")
