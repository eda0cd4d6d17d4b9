"""A score for somebody of whom next to nothing is known: that of people who came the same way.

Shares of a channel and country, pulled towards the channel's, and that towards everybody's, by as
many people as it takes to be believed. Always flagged as of low confidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

COLD_BELOW: Final = 2
"""Events under which a person is scored by origin."""
PEOPLE_BELIEVED: Final = 50
"""People of the wider group that a narrower group's own mean is weighed against."""


@dataclass(frozen=True)
class Prior:
    """Mean of the target: of everybody, by channel, by (channel, country)."""

    everybody: float
    by_channel: Mapping[str, float]
    by_origin: Mapping[tuple[str, str], float]

    @classmethod
    def fit(
        cls, labels: Sequence[float], channels: Sequence[str], countries: Sequence[str]
    ) -> "Prior":
        """Of people whose outcome is known; "" where a channel or country is not.

        Raises:
            ValueError: If there is nobody.

        >>> prior = Prior.fit([1.0, 0.0] * 50, ["email"] * 100, ["DE", "FR"] * 50)
        >>> round(prior.of("email", "DE"), 3), prior.of("push", "DE")
        (0.75, 0.5)
        """
        if not len(labels):
            raise ValueError("a prior needs somebody whose outcome is known")
        everybody = float(sum(labels)) / len(labels)
        by_channel = _shrunk(labels, channels, dict.fromkeys(channels, everybody))
        origins = list(zip(channels, countries, strict=True))
        by_origin = _shrunk(labels, origins, {it: by_channel[it[0]] for it in origins})
        return cls(everybody, by_channel, by_origin)

    def of(self, channel: str, country: str) -> float:
        """What to expect of somebody from there: the narrowest group that is known."""
        found = self.by_origin.get((channel, country))
        return self.by_channel.get(channel, self.everybody) if found is None else found

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "everybody": self.everybody,
            "by_channel": dict(self.by_channel),
            "by_origin": [[*origin, mean] for origin, mean in sorted(self.by_origin.items())],
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Prior":
        """What `plain` gave."""
        by_origin = {(channel, country): mean for channel, country, mean in plain["by_origin"]}
        return cls(plain["everybody"], plain["by_channel"], by_origin)


def is_cold(n_events: float) -> bool:
    """Whether a person has too few events to be scored by what they did; NaN counts as none."""
    return not n_events >= COLD_BELOW


def _shrunk(labels: Sequence[float], groups: Sequence[Any], towards: Mapping[Any, float]) -> Any:
    sums: dict[Any, float] = {}
    counts: dict[Any, int] = {}
    for label, group in zip(labels, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + float(label)
        counts[group] = counts.get(group, 0) + 1
    m = PEOPLE_BELIEVED
    return {it: (sums[it] + m * towards[it]) / (counts[it] + m) for it in counts}
