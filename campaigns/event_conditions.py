"""Conditions about events as written -> the core's: each kind is one function in `COMPILERS`."""

from collections.abc import Callable
from typing import Any, Final, Literal

from msgspec import structs

from campaigns.aggregates import compile_measures
from campaigns.comparisons import Asking, counts_asked, spans_asked
from campaigns.declarations import Declarations
from campaigns.event_forms import (
    MEASURES,
    EventForm,
    SequenceForm,
    SequenceStepForm,
    SessionFacts,
    SessionForm,
)
from campaigns.forms import Form
from campaigns.matches import compile_match
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.window_forms import WindowForm
from engine.core.conditions import moments
from engine.core.model.conditions import (
    All,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    FollowedBy,
    MomentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    Window,
)


def _event(declarations: Declarations, form: EventForm, file: str) -> Condition:
    match = compile_match(declarations, form.event, form.where, file)
    window = compile_window(declarations, form, file)
    others = compile_measures(declarations, form, match, window, file)
    others += _moments(declarations, form, match, window, file)
    if others and form.not_followed_by is not None:
        declarations.report(
            file,
            form.not_followed_by.line,
            "not_followed_by",
            "not_followed_by goes with a count alone. Put it into a condition of its own, under "
            "`all` beside this one.",
        )
    if others and form.count is None:
        return others[0] if len(others) == 1 else All(tuple(others))
    counted = _counted(declarations, form, match, window, file)
    return All((counted, *others)) if others else counted


def _counted(
    declarations: Declarations, form: EventForm, match: EventMatch, window: Window, file: str
) -> Condition:
    count: tuple[Comparison, ...] = (Comparison("gte", 1),)
    if form.count is not None:
        count = declarations.tried(counts_asked, form.count, file, form.line, "count") or count
    followed = None
    if form.not_followed_by is not None:
        after = form.not_followed_by
        followed = FollowedBy(
            compile_match(declarations, after.event, after.where, file), after.for_
        )
        if form.within is not None and after.for_ >= form.within:
            declarations.report(
                file,
                after.line,
                "for",
                "nothing can match: the event has left `within` before `for` has passed. "
                "Make `for` shorter than `within`.",
            )
    if form.limit is not None and all(getattr(form, measure) is None for measure in MEASURES):
        declarations.report(
            file,
            form.line,
            "limit",
            "a count remembers no more than it compares with: `limit` bounds nothing here. "
            "Take it out.",
        )
    return EventCondition(match, count, window, followed)


def _moments(
    declarations: Declarations, form: EventForm, match: EventMatch, window: Window, file: str
) -> list[Condition]:
    found: list[Condition] = []
    if form.first_time is not None:
        found.append(_moment(declarations, "first", form.first_time, form, match, window, file))
    if form.last_time is not None:
        found.append(_moment(declarations, "last", form.last_time, form, match, window, file))
    return found


def _moment(
    declarations: Declarations,
    which: Literal["first", "last"],
    asking: Asking,
    form: EventForm,
    match: EventMatch,
    window: Window,
    file: str,
) -> Condition:
    key = Text(f"{which}_time", line=asking[0].line or form.line)
    for asked in asking:
        if asked.operator not in moments.OPERATORS:
            declarations.report(
                file,
                asked.line or form.line,
                asked.operator,
                f"{key}: {asked.operator} cannot compare when something happened."
                f"{advice(asked.operator, moments.OPERATORS)}",
            )
            return MomentCondition(match, which, (), window)
    if window.within is not None:
        declarations.report(
            file,
            key.line,
            key,
            f"{key} looks at all of history and takes no `within`. "
            f"Write {key}: {{within_last: …}}, or bound it by since or until.",
        )
    return MomentCondition(match, which, declarations.asked(key, asking, "datetime", file), window)


def _sequence(declarations: Declarations, form: SequenceForm, file: str) -> Condition:
    window = compile_window(declarations, form, file)
    first = form.sequence[0]
    if first.gap is not None or first.without is not None:
        declarations.report(
            file,
            first.line,
            str(first.event),
            "nothing comes before the first step of a sequence, so `gap` and `without` say nothing "
            "there. Move them to the step that ends the span they speak of.",
        )
    if form.within is None and form.since is None and form.limit is None:
        declarations.report(
            file,
            form.line,
            "sequence",
            "a sequence needs a window: within: 7d, or since an instant. For all time say how many "
            "events of each step to remember: ever: true with limit: 1000.",
        )
    steps = tuple(_step(declarations, step, file) for step in form.sequence)
    if form.limit is None:
        return SequenceCondition(steps, window)
    return SequenceCondition(steps, window, form.limit)


def _step(declarations: Declarations, form: SequenceStepForm, file: str) -> SequenceStep:
    match = compile_match(declarations, form.event, form.where, file)
    if form.without is None:
        return SequenceStep(match, form.gap)
    without = compile_match(declarations, form.without.event, form.without.where, file)
    return SequenceStep(match, form.gap, without)


def _session(declarations: Declarations, form: SessionForm, file: str) -> Condition:
    facts: SessionFacts = form.session
    duration: tuple[Comparison, ...] = ()
    events: tuple[Comparison, ...] = ()
    if facts.duration is not None:
        duration = declarations.tried(spans_asked, facts.duration, file, facts.line, "duration")
    if facts.events is not None:
        events = declarations.tried(counts_asked, facts.events, file, facts.line, "events")
    found = SessionCondition(duration, events, compile_window(declarations, facts, file))
    if facts.limit is not None:
        found = structs.replace(found, limit=facts.limit)
    if facts.count is not None:
        count = declarations.tried(counts_asked, facts.count, file, facts.line, "count")
        found = structs.replace(found, count=count or found.count)
    return found


def compile_window(declarations: Declarations, form: WindowForm, file: str) -> Window:
    """Which times count; bounds that let none through are reported."""
    bounds = []
    for text in (form.since, form.until):
        try:
            bounds.append(None if text is None else declarations.instant(text))
        except ValueError as error:
            assert text is not None
            declarations.report(file, text.line, str(text), f"{error}")
            bounds.append(None)
    since, until = bounds
    if since is not None and until is not None and since >= until:
        line = form.since.line if form.since is not None else form.line
        declarations.report(
            file, line, "since", "nothing can match: `since` is not before `until`."
        )
    return Window(form.within, since, until)


COMPILERS: Final[dict[type[Form], Callable[[Declarations, Any, str], Condition]]] = {
    EventForm: _event,
    SequenceForm: _sequence,
    SessionForm: _session,
}
"""Every kind of condition about events on one screen."""
