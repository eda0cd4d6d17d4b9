"""Conditions about the person in plain words, and what is known of them that decides it."""

from collections.abc import Callable
from typing import Any, Final

from engine.core import clocktime
from engine.core.conditions.of_people import consent_of, is_sampled
from engine.core.conditions.wording import filter_words, number_words, span_words, value_words
from engine.core.features.latest import KEPT, distance_km, latest_found
from engine.core.model.conditions import (
    ClusterCondition,
    Comparison,
    ConsentCondition,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    NearCondition,
    SampleCondition,
    ScoreCondition,
)
from engine.core.model.instants import Instant
from engine.core.model.people import Profile

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CONSENT_WORDS: Final = {
    "granted": "consent to", "refused": "no consent to", "unknown": "never asked about",
}  # fmt: skip


def _describe_consent(condition: ConsentCondition) -> str:
    return f"{_CONSENT_WORDS[condition.state]} {condition.topic} by {condition.channel}"


def _describe_sample(condition: SampleCondition) -> str:
    return f'in the {condition.percent:g} % sample "{condition.salt}"'


def _describe_local_time(condition: LocalTimeCondition) -> str:
    where = "local time" if condition.zone == "profile" else f"time in {condition.zone}"
    hours = ""
    if (condition.from_minute, condition.to_minute) != (0, 1440):
        hours = f" is from {_clock(condition.from_minute)} to {_clock(condition.to_minute)}"
    days = ", ".join(_DAYS[day] for day in sorted(condition.days))
    return f"{where}{hours}{f' on {days}' if len(condition.days) < 7 else ''}"


def _describe_latest(condition: LatestCondition) -> str:
    fields = " and ".join(filter_words(one) for one in condition.fields)
    return f"last {condition.root}{_age(condition.within)}: {fields}"


def _describe_near(condition: NearCondition) -> str:
    place = f"{condition.latitude:g}, {condition.longitude:g}"
    return f"last location{_age(condition.within)}: within {condition.km:g} km of {place}"


def _describe_score(condition: ScoreCondition) -> str:
    tests = [f"value {_tests(condition.value)}"] if condition.value else []
    tests += [f"percentile {_tests(condition.percentile)}"] if condition.percentile else []
    return f"score {condition.model}: {' and '.join(tests)}"


def _describe_cluster(condition: ClusterCondition) -> str:
    text = f"cluster {condition.model} is {_operands(condition.label)}"
    return text + (f", confidence {_tests(condition.confidence)}" if condition.confidence else "")


def _find_consent(condition: ConsentCondition, state: Any, profile: Profile, now: Instant) -> str:
    contact = profile.addresses.get(condition.channel)
    found = consent_of(profile, condition.channel, condition.topic)
    if contact is not None and contact.withdrawn & {condition.topic, "*"}:
        return "refused: withdrawn by a link"
    return found


def _find_sample(condition: SampleCondition, state: Any, profile: Profile, now: Instant) -> str:
    return "inside" if is_sampled(profile, condition) else "outside"


def _find_local_time(
    condition: LocalTimeCondition, state: Any, profile: Profile, now: Instant
) -> str:
    zone = profile.zone if condition.zone == "profile" else condition.zone
    local = clocktime.local_time(now, zone)
    return f"{_DAYS[local.weekday()]} {local:%H:%M} in {zone}"


def _find_latest(condition: LatestCondition, state: Any, profile: Profile, now: Instant) -> str:
    known = latest_found(state, now=now)
    if known is None:
        return "unknown"
    at, values = known
    said = dict(zip(KEPT[condition.root], values, strict=True))
    words = [f"{name} {_known(said.get(name))}" for one in condition.fields for name in one.path]
    return f"{', '.join(words)}; {clocktime.iso(at)}"


def _find_near(condition: NearCondition, state: Any, profile: Profile, now: Instant) -> str:
    known = latest_found(state, now=now)
    if known is None:
        return "unknown"
    at, values = known
    said = dict(zip(KEPT["location"], values, strict=True))
    distance = distance_km(
        condition.latitude, condition.longitude, said["latitude"], said["longitude"]
    )
    return f"{'unknown' if distance is None else f'{distance:,.1f} km away'}; {clocktime.iso(at)}"


def _find_score(condition: ScoreCondition, state: Any, profile: Profile, now: Instant) -> str:
    score = profile.scores.get(condition.model)
    if score is None:
        return "not scored"
    return f"{score.value:g}, percentile {score.percentile:g}, run {score.run}"


def _find_cluster(condition: ClusterCondition, state: Any, profile: Profile, now: Instant) -> str:
    score = profile.scores.get(condition.model)
    return "in none" if score is None else f"{score.label}, confidence {score.value:g}"


def _known(value: Any) -> str:
    return "unknown" if value is None else value_words(value)


def _age(within: int | None) -> str:
    return "" if within is None else f" of the last {span_words(within)}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _tests(comparisons: tuple[Comparison, ...]) -> str:
    return " and ".join(number_words(one, value_words) for one in comparisons)


def _operands(comparisons: tuple[Comparison, ...]) -> str:
    words: list[str] = []
    for one in comparisons:
        values = one.operand if isinstance(one.operand, tuple | list) else (one.operand,)
        words.append(" or ".join(value_words(value) for value in values))
    return " and ".join(words)


DESCRIBE: Final[dict[type[Any], Callable[[Any], str]]] = {
    ConsentCondition: _describe_consent,
    SampleCondition: _describe_sample,
    ListCondition: lambda condition: f'on the list "{condition.list}"',
    LocalTimeCondition: _describe_local_time,
    LatestCondition: _describe_latest,
    NearCondition: _describe_near,
    ScoreCondition: _describe_score,
    ClusterCondition: _describe_cluster,
}
"""Each kind in words."""

FOUND: Final[dict[type[Any], Callable[[Any, Any, Profile, Instant], str]]] = {
    ConsentCondition: _find_consent,
    SampleCondition: _find_sample,
    LocalTimeCondition: _find_local_time,
    LatestCondition: _find_latest,
    NearCondition: _find_near,
    ScoreCondition: _find_score,
    ClusterCondition: _find_cluster,
}
"""What decided it, from (condition, state of its feature, profile, now)."""
