"""Dotted paths into plain data: where `properties.cart_id` leads, or that it leads nowhere."""

from collections.abc import Sequence
from typing import Any, Final

MISSING: Final = object()
"""What a path that leads nowhere finds; unlike None, which is a value."""


def follow(data: Any, path: Sequence[str]) -> Any:
    """The value at a path of keys (and list positions), or MISSING.

    >>> follow({"cart": {"items": [{"sku": "a"}]}}, ["cart", "items", "0", "sku"])
    'a'
    """
    for key in path:
        if isinstance(data, dict):
            data = data.get(key, MISSING)
        elif isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            return MISSING
    return data
