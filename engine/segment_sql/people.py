"""Conditions on the person as SQL: what they are, as it stood at each instant."""

from typing import Final

from engine.core.errors import CampaignError
from engine.core.features.latest import EARTH_RADIUS_KM, KEPT
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
from engine.segment_sql.comparisons import (
    Clock,
    both,
    number_of,
    number_passes,
    passes_all,
    text_passes,
)
from engine.segment_sql.events import behaviour_part
from engine.segment_sql.paths import any_at, follow
from engine.segment_sql.plan import EVERY_EVENT, Plan

_NOW: Final = Clock("who.now", "who.zone")
_RADIANS: Final = "(pi() / 180)"


def trait_sql(plan: Plan, condition: TraitCondition) -> str:
    """Whether a trait passes; the trait as the last change by the instant left it."""
    path = condition.filter.path
    return any_at(
        _trait(plan, path[0]),
        path[1:],
        plan.bind,
        lambda value: passes_all(value, condition.filter.comparisons, _NOW, plan.bind),
    )


def consent_sql(plan: Plan, condition: ConsentCondition) -> str:
    """Whether the consent to a topic stands so; a withdrawal by link stands above the rest."""
    plan.needs.has_consent = True
    channel, topic = plan.bind(condition.channel), plan.bind(condition.topic)
    said = plan.leaf(
        "consent",
        "SELECT asked.now, c.profile_id, arg_max(c.granted, c.place) AS granted FROM consents c "
        f"JOIN asked ON c.happened <= asked.now WHERE c.channel = {channel} AND c.topic = {topic} "
        "GROUP BY ALL",
    )
    taken_back = plan.leaf(
        "withdrawal",
        "SELECT DISTINCT asked.now, w.profile_id FROM withdrawn w JOIN asked "
        f"ON w.happened <= asked.now WHERE w.channel = {channel} AND w.topic IN ({topic}, '*')",
    )
    is_open = f"{taken_back}.now IS NULL"
    return {
        "granted": f"({is_open} AND coalesce({said}.granted, FALSE))",
        "refused": f"NOT ({is_open} AND coalesce({said}.granted, TRUE))",
        "unknown": f"({is_open} AND {said}.granted IS NULL)",
    }[condition.state]


def sample_sql(plan: Plan, condition: SampleCondition) -> str:
    """Whether the profile's hash lies in the sample."""
    salt, percent = plan.bind(condition.salt), plan.bind.number(condition.percent)
    leaf = plan.leaf(
        "sample",
        f"SELECT profile_id FROM profiles WHERE is_sampled(profile_id, {salt}, {percent})",
        on="{leaf}.profile_id = who.profile_id",
    )
    return f"({leaf}.profile_id IS NOT NULL)"


def list_sql(plan: Plan, condition: ListCondition) -> str:
    """Whether the external id, or the trait that the list is of, is among its values.

    Raises:
        CampaignError: If there is no such list.
    """
    members = plan.lists.get(condition.list)
    if members is None:
        raise CampaignError(f'there is no list "{condition.list}"')
    values = f"SELECT unnest({plan.bind(sorted(members.values))}::VARCHAR[]) AS value"
    listed = plan.part("listed", f"SELECT value FROM ({values})")
    if not members.trait:
        return f"(who.external_id <> '' AND who.external_id IN (FROM {listed}))"
    value = follow(_trait(plan, members.trait[0]), members.trait[1:], plan.bind)
    return f"coalesce(listed_text({value}) IN (FROM {listed}), FALSE)"


def local_time_sql(plan: Plan, condition: LocalTimeCondition) -> str:
    """Whether clocks show a time inside the hours; asked once a zone, not once a person."""
    if condition.zone == "profile":
        leaf = plan.leaf(
            "clock",
            "SELECT asked.now, z.zone, minute_of_week(asked.now, z.zone) AS shown "
            "FROM asked, (SELECT DISTINCT zone FROM profiles) z",
            on="{leaf}.now = who.now AND {leaf}.zone = who.zone",
        )
    else:
        leaf = plan.leaf(
            "clock",
            f"SELECT now, minute_of_week(now, {plan.bind(condition.zone)}) AS shown FROM asked",
            on="{leaf}.now = who.now",
        )
    bind = plan.bind.instant
    minute, day = f"{leaf}.shown % 1440", f"{leaf}.shown // 1440"
    start, end = bind(condition.from_minute), bind(condition.to_minute)
    is_today = _is_among(plan, day, condition.days)
    if condition.from_minute < condition.to_minute:
        return f"({minute} >= {start} AND {minute} < {end} AND {is_today})"
    began_yesterday = _is_among(plan, f"({day} + 6) % 7", condition.days)
    return (
        f"CASE WHEN {minute} >= {start} THEN {is_today} "
        f"ELSE {minute} < {end} AND {began_yesterday} END"
    )


def latest_sql(plan: Plan, condition: LatestCondition) -> str:
    """Whether what the last event said of the device or place passes every filter."""
    leaf = _latest(plan, condition.root, condition.within)
    return both([
        passes_all(_said(plan, leaf, condition.root, one.path[0]), one.comparisons, _NOW, plan.bind)
        for one in condition.fields
    ])  # fmt: skip


def near_sql(plan: Plan, condition: NearCondition) -> str:
    """Whether the last known place lies within the distance (haversine)."""
    leaf = _latest(plan, "location", condition.within)
    north = number_of(_said(plan, leaf, "location", "latitude"))
    east = number_of(_said(plan, leaf, "location", "longitude"))
    here, across = plan.bind.number(condition.latitude), plan.bind.number(condition.longitude)
    half_north = f"sin(({north} * {_RADIANS} - {here} * {_RADIANS}) / 2)"
    half_east = f"sin(({east} - {across}) * {_RADIANS} / 2)"
    chord = (
        f"{half_north} * {half_north} + cos({here} * {_RADIANS}) * cos({north} * {_RADIANS}) "
        f"* {half_east} * {half_east}"
    )
    distance = f"2 * {plan.bind.number(EARTH_RADIUS_KM)} * asin(least(1e0, sqrt({chord})))"
    is_place = f"{north} BETWEEN -90 AND 90 AND {east} BETWEEN -180 AND 180"
    return f"coalesce({is_place} AND {distance} <= {plan.bind.number(condition.km)}, FALSE)"


def score_sql(plan: Plan, condition: ScoreCondition) -> str:
    """Whether the champion run's prediction passes; without one nothing does."""
    leaf = _scores(plan, condition.model)
    tests = [
        f"({leaf}.profile_id IS NOT NULL)",
        number_passes(f"coalesce({leaf}.value, 0)", condition.value, plan.bind),
        number_passes(f"coalesce({leaf}.percentile, 0)", condition.percentile, plan.bind),
    ]
    return both(tests)


def cluster_sql(plan: Plan, condition: ClusterCondition) -> str:
    """Whether the champion run put the profile into such a cluster, as surely as asked."""
    leaf = _scores(plan, condition.model)
    tests = [
        f"({leaf}.profile_id IS NOT NULL)",
        text_passes(f"coalesce({leaf}.label, '')", condition.label, _NOW, plan.bind),
        number_passes(f"coalesce({leaf}.value, 0)", condition.confidence, plan.bind),
    ]
    return both(tests)


def _trait(plan: Plan, name: str) -> str:
    """A trait's value as JSON, NULL where it is missing."""
    plan.needs.traits.add(name)
    leaf = plan.leaf(
        "trait",
        "SELECT asked.now, t.profile_id, arg_max(t.value, t.place) AS value FROM traits t "
        f"JOIN asked ON t.happened <= asked.now WHERE t.name = {plan.bind(name)} GROUP BY ALL",
    )
    return f"{leaf}.value"


def _latest(plan: Plan, root: str, within: int | None) -> str:
    """The leaf whose `said` is the JSON list of what the last event that carried one said.

    Of two at one instant the text that is greater counts, as in `engine.core.features.latest`.
    """
    plan.needs.event(EVERY_EVENT, ["context"])
    found = follow("context", [root], plan.bind)
    fields = [f"single({follow('found', [name], plan.bind)})" for name in KEPT[root]]
    listed = " || ',' || ".join(fields)
    carried = plan.part(
        "carried",
        f"SELECT profile_id, happened, max('[' || {listed} || ']') AS said "
        f"FROM (SELECT profile_id, happened, {found} AS found "
        f"FROM {behaviour_part(plan, ', context')}) "
        "WHERE json_type(found) = 'OBJECT' AND len(json_keys(found)) > 0 GROUP BY ALL",
    )
    left = "" if within is None else f" AND c.happened > asked.now - {plan.bind.instant(within)}"
    return plan.leaf(
        "latest",
        "SELECT asked.now, c.profile_id, arg_max(c.said, c.happened) AS said "
        f"FROM {carried} c JOIN asked ON c.happened <= asked.now{left} GROUP BY ALL",
    )


def _said(plan: Plan, leaf: str, root: str, name: str) -> str:
    """One field of what was said, NULL where nothing was."""
    if name not in KEPT[root]:
        raise CampaignError(f'{root}: "{name}" is not remembered')
    field = f"json_extract({leaf}.said, {plan.bind(f'/{KEPT[root].index(name)}')})"
    return f"(CASE WHEN json_type({field}) <> 'NULL' THEN {field} END)"


def _scores(plan: Plan, model: str) -> str:
    plan.needs.models.add(model)
    return plan.leaf(
        "scored",
        "SELECT asked.now, s.profile_id, s.value, s.percentile, s.label FROM scores s JOIN asked "
        f"ON asked.now >= s.since AND asked.now < s.until WHERE s.model = {plan.bind(model)}",
    )


def _is_among(plan: Plan, number: str, values: tuple[int, ...]) -> str:
    return f"{number} IN ({', '.join(map(plan.bind.instant, values))})"
