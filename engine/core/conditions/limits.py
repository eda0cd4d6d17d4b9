"""What a feature could not remember, noted beside its state: then its verdict is approximate.

The note stands under the feature's key with a mark, as the instant from which what was forgotten
can no longer matter (NEVER: it always may). No note is ever made within the documented limits.
"""

from typing import Any, Final

from engine.core.model.instants import NEVER, Instant

MARK: Final = "~"
WAITING_MAX: Final = 1_024
"""How many events of one feature may wait for their time to come; the furthest are dropped."""


def note(features: dict[str, Any], key: str, until: Instant) -> None:
    """Say that the verdict of a feature may be approximate until an instant."""
    mark = key + MARK
    features[mark] = max(until, features.get(mark, until))


def approximate_until(features: dict[str, Any], key: str) -> Instant:
    """Until when a feature's verdict may be approximate; before all time if it is exact."""
    until: Instant = features.get(key + MARK, -NEVER)
    return until


def n_noted(features: dict[str, Any]) -> int:
    """How many features have such a note, however old."""
    return "".join(features).count(MARK)  # keys are base64 and hold no such mark themselves


def leaves(at: Instant, within: int | None) -> Instant:
    """When an event of that time leaves its window."""
    return NEVER if within is None else at + within
