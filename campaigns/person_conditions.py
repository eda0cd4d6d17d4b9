"""Conditions about the person as written -> the core's, one function a kind: `COMPILERS`."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, Literal

from campaigns.comparisons import Asking, counts_asked
from campaigns.condition_forms import TraitForm
from campaigns.declarations import Declarations
from campaigns.durations import WEEKDAYS
from campaigns.event_conditions import compile_window
from campaigns.event_forms import Where
from campaigns.forms import PII_OPERATORS, Form
from campaigns.lists import ITEM, USER_ID
from campaigns.person_forms import (
    ANY_CAMPAIGN,
    ClusterForm,
    ConsentForm,
    DeviceFacts,
    DeviceForm,
    ListForm,
    LocalTimeFacts,
    LocalTimeForm,
    LocationFacts,
    LocationForm,
    MessageForm,
    SampleForm,
    ScoreForm,
)
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.settings_forms import CHANNEL_KINDS
from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import (
    All,
    ClusterCondition,
    Comparison,
    Condition,
    ConsentCondition,
    EventCondition,
    EventMatch,
    Filter,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    NearCondition,
    SampleCondition,
    ScoreCondition,
    TraitCondition,
)

DAY_MINUTES: Final = 1440

READ_BY_MACHINES: Final = ("opened", "clicked")
"""Reports that scanners and privacy relays also cause: those say `is_machine` and do not count."""


def compile_lists(declarations: Declarations) -> dict[str, MemberList]:
    """What stands in each list of the workspace; values of a pii trait become markers."""
    found: dict[str, MemberList] = {}
    for name, one in declarations.workspace.lists.items():
        if one.column == ITEM:
            continue
        if one.column == USER_ID:
            found[name] = MemberList((), frozenset(one.values))
            continue
        _trait_type(declarations, one.column, one.file)
        trait = _root(one.column, {**declarations.pii, **declarations.traits})
        values: Iterable[object] = one.values
        if trait in declarations.pii:
            values = (declarations.marker(trait, value) for value in one.values)
        found[name] = MemberList(tuple(one.column.split(".")), frozenset(map(str, values)))
    return found


def _trait(declarations: Declarations, form: TraitForm, file: str) -> Condition:
    filters = tuple(_filters(declarations, form.trait, file))
    found = tuple(TraitCondition(one) for one in filters)
    return found[0] if len(found) == 1 else All(found)


def _filters(declarations: Declarations, where: Where, file: str) -> Iterator[Filter]:
    for path, asking in where.items():
        declared = _trait_type(declarations, path, file)
        name = _root(path, {**declarations.pii, **declarations.traits})
        if name in declarations.pii:
            yield Filter(tuple(path.split(".")), _pii(declarations, path, name, asking, file))
        else:
            comparisons = declarations.asked(path, asking, declared, file)
            yield Filter(tuple(path.split(".")), comparisons)


def _pii(
    declarations: Declarations, path: Text, name: str, asking: Asking, file: str
) -> tuple[Comparison, ...]:
    for asked in asking:
        if asked.operator not in PII_OPERATORS:
            declarations.report(
                file,
                asked.line or path.line,
                asked.operator,
                f'the trait "{name}" is pii: it allows only {", ".join(PII_OPERATORS)}, not '
                f"{asked.operator}. Keep what you need to compare in a trait of its own, such "
                f"as {name}_{'domain' if name == 'email' else 'prefix'}.",
            )
            return ()
    return tuple(
        _blinded(declarations, name, comparison)
        for comparison in declarations.asked(path, asking, declarations.pii[name], file)
    )


def _blinded(declarations: Declarations, name: str, comparison: Comparison) -> Comparison:
    operand = comparison.operand
    if comparison.operator == "exists":
        return comparison
    if isinstance(operand, tuple):
        markers = tuple(declarations.marker(name, one) for one in operand)
        return Comparison(comparison.operator, markers)
    return Comparison(comparison.operator, declarations.marker(name, operand))


def _trait_type(declarations: Declarations, path: Text, file: str) -> str | None:
    traits = declarations.traits
    if not traits:
        return None
    name = _root(path, traits)
    if name not in traits and name not in declarations.pii:
        hint = advice(name, traits)
        declarations.report(
            file,
            path.line,
            str(path),
            f'the trait "{name}" is not declared in antiphon.yaml.{hint}',
        )
        return None
    return traits[name].type if name == path and name in traits else None


def _root(path: str, traits: Collection[str]) -> str:
    """The declared trait that a path starts with: traits may themselves have dots."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in traits:
            return name
    return parts[0]


def _consent(declarations: Declarations, form: ConsentForm, file: str) -> Condition:
    facts, settings = form.consent, declarations.workspace.settings
    _known_channel(declarations, facts.channel, file)
    declarations.known("topic", facts.topic, {str(name) for name in settings.topics}, file)
    return ConsentCondition(str(facts.channel), str(facts.topic), facts.is_)


def _sample(declarations: Declarations, form: SampleForm, file: str) -> Condition:
    return SampleCondition(form.sample.percent, str(form.sample.salt))


def _list(declarations: Declarations, form: ListForm, file: str) -> Condition:
    lists = declarations.workspace.lists
    if form.list not in lists and form.list not in declarations.names.get("lists", ()):
        hint = advice(form.list, lists) or " Its first line is user_id or the name of a trait."
        declarations.report(
            file,
            form.list.line,
            str(form.list),
            f'there is no list "{form.list}": lists/{form.list}.csv is missing.{hint}',
        )
    elif form.list in lists and lists[form.list].column == ITEM:
        message = f'the list "{form.list}" holds items, and nobody. Name a list of people.'
        declarations.report(file, form.list.line, str(form.list), message)
    return ListCondition(str(form.list))


def _local_time(declarations: Declarations, form: LocalTimeForm, file: str) -> Condition:
    return compile_hours(form.local_time)


def compile_hours(facts: LocalTimeFacts) -> LocalTimeCondition:
    """Hours of local days: of a condition, or of a send window."""
    start = 0 if facts.from_ is None else facts.from_
    end = DAY_MINUTES if facts.to is None else facts.to
    days = tuple(sorted(WEEKDAYS.index(day) for day in set(facts.days))) or tuple(range(7))
    return LocalTimeCondition(start, end, days, str(facts.zone or "profile"))


def _device(declarations: Declarations, form: DeviceForm, file: str) -> Condition:
    return _latest(declarations, "device", form.device, file)


def _location(declarations: Declarations, form: LocationForm, file: str) -> Condition:
    facts = form.location
    parts: list[Condition] = []
    if facts.model_fields_set - {"within", "near"}:
        parts.append(_latest(declarations, "location", facts, file))
    if facts.near is not None:
        near = facts.near
        parts.append(NearCondition(near.latitude, near.longitude, near.km, facts.within))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _latest(
    declarations: Declarations,
    root: Literal["device", "location"],
    facts: DeviceFacts | LocationFacts,
    file: str,
) -> LatestCondition:
    filters = []
    for name in type(facts).model_fields:
        asking: Asking | None = getattr(facts, name)
        if name not in ("within", "near") and asking is not None:
            path = Text(name, line=facts.line)
            filters.append(Filter((name,), declarations.asked(path, asking, "string", file)))
    return LatestCondition(root, tuple(filters), facts.within)


def _score(declarations: Declarations, form: ScoreForm, file: str) -> Condition:
    facts = form.score
    return ScoreCondition(
        str(facts.model),
        _numbers(declarations, "value", facts.value, facts.line, file),
        _numbers(declarations, "percentile", facts.percentile, facts.line, file, most=100),
    )


def _cluster(declarations: Declarations, form: ClusterForm, file: str) -> Condition:
    facts = form.cluster
    names = declarations.asked(Text("is", line=facts.line), facts.is_, "string", file)
    for asked in facts.is_:
        if asked.operator not in ("is", "is_not", "in", "not_in"):
            declarations.report(
                file,
                asked.line or facts.line,
                asked.operator,
                f"a cluster has a name: {asked.operator} cannot be asked of it. Write is: loyal, "
                "or is: [loyal, new].",
            )
    confidence = _numbers(declarations, "confidence", facts.confidence, facts.line, file, most=1)
    return ClusterCondition(str(facts.model), names, confidence)


def _numbers(
    declarations: Declarations,
    key: str,
    asking: Asking | None,
    line: int,
    file: str,
    *,
    most: float | None = None,
) -> tuple[Comparison, ...]:
    """Tests of a number; a limit that no value reaches is reported."""
    if asking is None:
        return ()
    found = declarations.asked(Text(key, line=line), asking, "number", file)
    for asked, comparison in zip(asking, found, strict=False):
        operand = comparison.operand
        for value in operand if isinstance(operand, tuple) else (operand,):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if most is not None and is_number and not 0 <= value <= most:
                declarations.report(
                    file,
                    asked.line or line,
                    str(value),
                    f"{key}: {value} is outside 0 to {most:g}, where every {key} lies.",
                )
    return found


def _message(declarations: Declarations, form: MessageForm, file: str) -> Condition:
    facts = form.message
    campaign: Text = getattr(facts, facts.report)
    where = []
    if campaign != ANY_CAMPAIGN:
        declarations.known("campaign", campaign, declarations.names["campaigns"], file)
        where.append(_equals("campaign", campaign))
    if facts.channel is not None:
        _known_channel(declarations, facts.channel, file)
        where.append(_equals("channel", facts.channel))
    if facts.template is not None:
        templates = {name for _, name in declarations.workspace.templates}
        declarations.known("template", facts.template, templates, file)
        where.append(_equals("template", facts.template))
    if facts.report in READ_BY_MACHINES:
        where.append(Filter(("properties", "is_machine"), (Comparison("is_not", True),)))
    count: tuple[Comparison, ...] = (Comparison("gte", 1),)
    if facts.count is not None:
        count = declarations.tried(counts_asked, facts.count, file, facts.line, "count") or count
    match = EventMatch(f"Message {facts.report.capitalize()}", tuple(where))
    return EventCondition(match, count, compile_window(declarations, facts, file))


def _equals(name: str, value: Text) -> Filter:
    return Filter(("properties", name), (Comparison("is", str(value)),))


def _known_channel(declarations: Declarations, channel: Text, file: str) -> None:
    declared = declarations.workspace.channel_kinds
    declarations.known("kind of channel", channel, declared or set(CHANNEL_KINDS), file)


COMPILERS: Final[dict[type[Form], Callable[[Declarations, Any, str], Condition]]] = {
    TraitForm: _trait,
    ConsentForm: _consent,
    SampleForm: _sample,
    ListForm: _list,
    LocalTimeForm: _local_time,
    DeviceForm: _device,
    LocationForm: _location,
    ScoreForm: _score,
    ClusterForm: _cluster,
    MessageForm: _message,
}
"""Every kind of condition about the person on one screen."""
