"""Conditions about what someone did: each kind is one function in `COMPILERS`.

Each registers the feature that decides it and gives a closure over that feature's state.
"""

from collections.abc import Callable
from typing import Any, Final

from engine.core.conditions.aggregates import check_limit, compile_aggregate
from engine.core.conditions.compiled import ZONE, Compiled
from engine.core.conditions.counts import constant, count_verdicts
from engine.core.conditions.moments import compile_moment_test
from engine.core.conditions.surroundings import Surroundings
from engine.core.errors import CampaignError
from engine.core.features import edges, occurrences, sequences, sessions
from engine.core.features.edges import LastValue
from engine.core.features.occurrences import Occurrences
from engine.core.features.sequences import Sequences
from engine.core.features.sessions import Sessions
from engine.core.features.unfollowed import Unfollowed
from engine.core.model.conditions import (
    AggregateCondition,
    EventCondition,
    MomentCondition,
    SequenceCondition,
    SessionCondition,
)

STEPS_MAX: Final = 8
"""The most steps of a sequence."""


def _compile_event(around: Surroundings, condition: EventCondition) -> Compiled:
    verdicts = count_verdicts(condition.count)
    window, followed = condition.window, condition.not_followed_by
    _check_window(window.within)
    if followed is not None and followed.within <= 0:
        raise CampaignError("not_followed_by: its span (for) is not longer than nothing")
    delay = followed.within if followed is not None else 0
    most = len(verdicts) - 1
    if most == 0 or (window.within is not None and delay >= window.within):
        return constant(verdicts[0])
    if followed is None:
        key = around.register.add(Occurrences(condition.match, window, most))
    else:
        key = around.register.add(
            Unfollowed(condition.match, window, most, followed.match, followed.within)
        )
    ask = occurrences.compile_answer(
        key, verdicts, within=window.within, delay=delay, part=-1 if followed is None else 0
    )
    return Compiled(ask, features=frozenset({key}))


def _compile_session(around: Surroundings, condition: SessionCondition) -> Compiled:
    _check_window(condition.window.within)
    check_limit(condition.limit)
    definition = Sessions(
        condition.duration,
        condition.events,
        condition.window,
        around.session_gap,
        condition.limit,
        condition.count,
    )
    verdicts = count_verdicts(condition.count)
    if len(verdicts) == 1:
        return constant(verdicts[0])
    key = around.register.add(definition)
    return Compiled(sessions.compile_answer(definition, key, verdicts), features=frozenset({key}))


def _compile_moment(around: Surroundings, condition: MomentCondition) -> Compiled:
    if condition.window.within is not None:
        raise CampaignError(f"{condition.which}_time: it has no `within`; compare with within_last")
    if not condition.comparisons:
        raise CampaignError(f"{condition.which}_time: nothing is compared")
    test = compile_moment_test(condition.comparisons)
    if condition.which == "first":
        key = around.register.add(Occurrences(condition.match, condition.window, 1))
        ask = edges.compile_first_answer(key, test, time_only=True)
    else:
        key = around.register.add(LastValue(condition.match, (), condition.window))
        ask = edges.compile_last_answer(key, test, within=None, time_only=True)
    is_dated = any(one.operator == "anniversary_within" for one in condition.comparisons)
    facts = frozenset({ZONE} if is_dated else ())
    return Compiled(ask, features=frozenset({key}), facts=facts)


def _compile_sequence(around: Surroundings, condition: SequenceCondition) -> Compiled:
    _check_window(condition.window.within)
    check_limit(condition.limit)
    if not 2 <= len(condition.steps) <= STEPS_MAX:
        raise CampaignError(f"sequence: it has 2 to {STEPS_MAX} steps, not {len(condition.steps)}")
    first = condition.steps[0]
    if first.gap is not None or first.without is not None:
        raise CampaignError("sequence: nothing comes before the first step; gap and without do")
    for step in condition.steps:
        if step.gap is not None and step.gap <= 0:
            raise CampaignError("sequence: a gap is longer than nothing")
    definition = Sequences(condition.steps, condition.window, condition.limit)
    key = around.register.add(definition)
    return Compiled(sequences.compile_answer(definition, key), features=frozenset({key}))


def _check_window(within: int | None) -> None:
    if within is not None and within <= 0:
        raise CampaignError("within: a window is longer than nothing")


COMPILERS: Final[dict[type[Any], Callable[[Surroundings, Any], Compiled]]] = {
    EventCondition: _compile_event,
    AggregateCondition: compile_aggregate,
    MomentCondition: _compile_moment,
    SequenceCondition: _compile_sequence,
    SessionCondition: _compile_session,
}
"""Every kind of condition about events on one screen."""
