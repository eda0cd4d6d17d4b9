"""Conditions about the person rather than what they did: each kind is one function in `COMPILERS`.

What they read of a profile beside traits and features stands in `Compiled.facts`, so that a change
of it asks the segments it can change, and no others.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

from engine.core.conditions import local_hours
from engine.core.conditions.comparisons import NO, YES, Answer
from engine.core.conditions.compiled import EXTERNAL_ID, ZONE, Compiled
from engine.core.conditions.filters import compile_trait_filter, is_timed_filter
from engine.core.conditions.scored import compile_scored
from engine.core.conditions.surroundings import Surroundings
from engine.core.errors import CampaignError
from engine.core.features import latest
from engine.core.features.kinds import Features
from engine.core.model.conditions import (
    ClusterCondition,
    ConsentCondition,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    NearCondition,
    SampleCondition,
    ScoreCondition,
    TraitCondition,
)
from engine.core.model.instants import Instant
from engine.core.model.people import Profile
from engine.core.paths import MISSING, follow
from experiments.assignment import is_held_out

Consent = Literal["granted", "refused", "unknown"]


def consent_of(profile: Profile, channel: str, topic: str) -> Consent:
    """What is known of someone's consent. A withdrawal by link stands above all that was said."""
    contact = profile.addresses.get(channel)
    if contact is not None and (topic in contact.withdrawn or "*" in contact.withdrawn):
        return "refused"
    granted = profile.consent.get(channel, {}).get(topic)
    return "unknown" if granted is None else "granted" if granted else "refused"


def is_sampled(profile: Profile, condition: SampleCondition) -> bool:
    """Whether a profile is in the sample: for ever, and in every larger one of the same salt."""
    return is_held_out(
        str(profile.id), seed=f"sample:{condition.salt}", share=condition.percent / 100
    )


def listed_value(profile: Profile, trait: tuple[str, ...]) -> str | None:
    """The text that a list's values are compared with: the id, or the trait at a path."""
    if not trait:
        return profile.external_id or None
    value = follow(profile.traits, trait)
    if value is MISSING or isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else None


def _compile_trait(around: Surroundings, condition: TraitCondition) -> Compiled:
    answer = compile_trait_filter(condition.filter)
    return Compiled(
        lambda features, profile, now: answer(profile.traits, now, profile.zone),
        traits=frozenset({condition.filter.path[0]}),
        facts=frozenset({ZONE} if is_timed_filter(condition.filter) else ()),
    )


def _compile_consent(around: Surroundings, condition: ConsentCondition) -> Compiled:
    channel, topic, state = condition.channel, condition.topic, condition.state

    def ask(features: Features, profile: Profile, now: Instant) -> Answer:
        return YES if consent_of(profile, channel, topic) == state else NO

    return Compiled(ask, facts=frozenset({f"consent:{channel}"}))


def _compile_sample(around: Surroundings, condition: SampleCondition) -> Compiled:
    if not 0 <= condition.percent <= 100:
        raise CampaignError(f"sample: {condition.percent} is no percentage; write 0 to 100")
    if not condition.salt or "|" in condition.salt:
        raise CampaignError("sample: a salt is some word without |")
    return Compiled(lambda features, profile, now: YES if is_sampled(profile, condition) else NO)


def _compile_list(around: Surroundings, condition: ListCondition) -> Compiled:
    members = around.lists.get(condition.list)
    if members is None:
        raise CampaignError(
            f'there is no list "{condition.list}". Add lists/{condition.list}.csv with one column'
        )
    trait, values = members.trait, members.values

    def ask(features: Features, profile: Profile, now: Instant) -> Answer:
        return YES if listed_value(profile, trait) in values else NO

    if trait:
        return Compiled(ask, traits=frozenset({trait[0]}))
    return Compiled(ask, facts=frozenset({EXTERNAL_ID}))


def _compile_local_time(around: Surroundings, condition: LocalTimeCondition) -> Compiled:
    facts = frozenset({ZONE} if condition.zone == "profile" else ())
    return Compiled(local_hours.compile_local_time(condition), facts=facts)


def _compile_latest(around: Surroundings, condition: LatestCondition) -> Compiled:
    _check_window(condition.within)
    key = around.register.add(latest.feature_of(condition.root))
    return Compiled(latest.compile_latest(condition, key), features=frozenset({key}))


def _compile_near(around: Surroundings, condition: NearCondition) -> Compiled:
    _check_window(condition.within)
    if latest.distance_km(0, 0, condition.latitude, condition.longitude) is None:
        raise CampaignError("near: latitude is -90 to 90 degrees, longitude -180 to 180")
    key = around.register.add(latest.feature_of("location"))
    return Compiled(latest.compile_near(condition, key), features=frozenset({key}))


def _compile_scored(around: Surroundings, condition: ScoreCondition | ClusterCondition) -> Compiled:
    return compile_scored(condition, profiling=around.profiling)


def _check_window(within: int | None) -> None:
    if within is not None and within <= 0:
        raise CampaignError("within: a window is longer than nothing")


COMPILERS: Final[dict[type[Any], Callable[[Surroundings, Any], Compiled]]] = {
    TraitCondition: _compile_trait,
    ConsentCondition: _compile_consent,
    SampleCondition: _compile_sample,
    ListCondition: _compile_list,
    LocalTimeCondition: _compile_local_time,
    LatestCondition: _compile_latest,
    NearCondition: _compile_near,
    ScoreCondition: _compile_scored,
    ClusterCondition: _compile_scored,
}
"""Every kind of condition about the person on one screen."""
