"""Conditions and event matches as written -> the core's, checked against what is declared.

What is wrong is collected, never raised, so that one pass finds everything; the conditions built
from something wrong are never used. The kinds are in `event_conditions` and `person_conditions`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from campaigns import event_conditions, person_conditions
from campaigns.condition_forms import (
    AllForm,
    AnyForm,
    ConditionForm,
    NoneForm,
    NotForm,
    SegmentForm,
)
from campaigns.declarations import Blind, Declarations
from campaigns.event_forms import Where
from campaigns.forms import Form
from campaigns.matches import check_path, compile_match, property_type
from campaigns.problems import Problem
from campaigns.reading import Text
from campaigns.workspace import Workspace
from engine.core.model.conditions import (
    All,
    AnyOf,
    Condition,
    EventMatch,
    Not,
    SegmentCondition,
)


class Conditions(Declarations):
    """Compiles the conditions of one workspace, whatever their kind."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        names: Mapping[str, Collection[str]],
        blind: Blind,
        problems: list[Problem],
    ) -> None:
        super().__init__(workspace, names=names, blind=blind, problems=problems)
        self.roots: list[Condition] = []
        """Every condition compiled so far that stands in no other."""
        self.places: dict[int, tuple[Condition, str, int]] = {}
        """By the condition's `id`: itself, so that the id stays its own, and its file and line."""
        self._depth = 0

    def condition(self, form: ConditionForm, file: str) -> Condition:
        """The core's condition; what is wrong with it is reported."""
        self._depth += 1
        found = _COMPILERS[type(form)](self, form, file)
        self._depth -= 1
        self.places[id(found)] = (found, file, form.line)
        if self._depth == 0:
            self.roots.append(found)
        return found

    def match(self, event: Text, where: Where, file: str) -> EventMatch:
        """Events of a name, with their filters checked against the event's file."""
        return compile_match(self, event, where, file)

    def property_type(self, event: Text, path: Text, file: str) -> tuple[str | None, bool]:
        """The declared type of a path of an event, and whether it is pii."""
        return property_type(self, event, path, file)

    def check_path(self, event: Text, path: Text, file: str, *, numeric: bool = False) -> None:
        """Report a path that this event does not have, or that holds no number."""
        check_path(self, event, path, file, numeric=numeric)


def _segment(conditions: Conditions, form: SegmentForm, file: str) -> Condition:
    conditions.segment(form.segment, file)
    return SegmentCondition(str(form.segment))


def _all(conditions: Conditions, form: AllForm, file: str) -> Condition:
    return All(tuple(conditions.condition(one, file) for one in form.all))


def _any(conditions: Conditions, form: AnyForm, file: str) -> Condition:
    return AnyOf(tuple(conditions.condition(one, file) for one in form.any))


def _none(conditions: Conditions, form: NoneForm, file: str) -> Condition:
    return Not(AnyOf(tuple(conditions.condition(one, file) for one in form.none)))


def _not(conditions: Conditions, form: NotForm, file: str) -> Condition:
    return Not(conditions.condition(form.not_, file))


_COMPILERS: Final[dict[type[Form], Callable[[Conditions, Any, str], Condition]]] = {
    **person_conditions.COMPILERS,
    **event_conditions.COMPILERS,
    SegmentForm: _segment,
    AllForm: _all,
    AnyForm: _any,
    NoneForm: _none,
    NotForm: _not,
}
"""Every kind of condition, by its form."""
