"""What commands print as JSON: the structs of `reading` as plain data, times in ISO 8601."""

from typing import Any

import msgspec

from engine.core.clocktime import iso
from engine.core.model.instants import NEVER


def plain(value: Any) -> Any:
    """Builtins for JSON: every `at` and `…_at` becomes ISO 8601, and null where it is never.

    Traits and properties that people sent are left as they are, whatever they are called.
    """
    return _with_times(msgspec.to_builtins(value))


def _with_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_times(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _time(each) if _is_time(key, each) else each if key in _THEIRS else _with_times(each)
        for key, each in value.items()
    }


_THEIRS = ("traits", "trigger", "consent", "context", "variants", "would_allow")


def _is_time(key: str, value: Any) -> bool:
    return isinstance(value, int) and (key == "at" or key.endswith("_at"))


def _time(at: int) -> str | None:
    return None if at >= NEVER else iso(at)
