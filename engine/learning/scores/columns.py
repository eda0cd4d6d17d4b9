"""Which columns belong together: a text's levels, the hours of a day, a number and its flag."""

from collections.abc import Mapping, Sequence
from typing import Final

LEVEL: Final = "="
"""Between a text's name and its level in the name of a one-hot column: `device=mobile`."""
OTHER: Final = "other"
"""The level of texts that training did not see, or saw too seldom."""
FLAGS: Final[Mapping[str, str]] = {
    "never_bought": "recency_days",
    "never_acted": "interaction_recency_days",
    "never_messaged": "open_rate",
}
"""What a flag says cannot be told; the two are moved together, or a reason would be half a one."""
HOURS: Final = "hour:"
RFM: Final = ("recency_days", "frequency", "monetary")
"""Features of the baseline."""


def groups(names: Sequence[str]) -> dict[str, list[int]]:
    """Columns by the feature they tell of, in order of appearance.

    >>> groups(["recency_days", "device=mobile", "device=other", "never_bought"])
    {'recency_days': [0, 3], 'device': [1, 2]}
    """
    found: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        found.setdefault(feature_of(name), []).append(at)
    return found


def feature_of(name: str) -> str:
    """The feature that a column tells of."""
    if name.startswith(HOURS):
        return "hours"
    feature = name.split(LEVEL, 1)[0].removesuffix(" missing").removesuffix(":missing")
    return FLAGS.get(feature, feature)


def baseline_of(names: Sequence[str]) -> list[int]:
    """Columns that the baseline reads: recency, frequency, monetary; all where there are none."""
    some = [at for at, name in enumerate(names) if feature_of(name) in RFM]
    return some or list(range(len(names)))
