"""A keys file for tests."""

from __future__ import annotations

import json

from mesh import keys

KEY = "sk-test-0123456789abcdef"
OTHER_KEY = "sk-test-fedcba9876543210"
"""Of another tenant."""
PEPPER = "00ff"
KEY_HASH = keys.hash_key(PEPPER, KEY)


def keys_json(tenants: dict[str, str]) -> str:
    """
    Args:
        tenants: Key → whose it is.
    """
    known = [{"hash": keys.hash_key(PEPPER, key), "tenant": who} for key, who in tenants.items()]
    return json.dumps({"pepper": PEPPER, "keys": known})
