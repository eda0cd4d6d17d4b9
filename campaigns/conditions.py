"""Conditions and event matches as written -> the core's, checked against what is declared.

What is wrong is collected, never raised, so that one pass finds everything; the conditions built
from something wrong are never used.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Final, TypeAlias, assert_never

from campaigns.comparisons import Asking, compile_asked, counts_asked, spans_asked
from campaigns.condition_forms import (
    AllForm,
    AnyForm,
    ConditionForm,
    EventForm,
    NoneForm,
    NotForm,
    SegmentForm,
    SessionFacts,
    SessionForm,
    TraitForm,
    Where,
    WindowForm,
)
from campaigns.durations import parse_date, parse_instant
from campaigns.forms import PII_OPERATORS
from campaigns.problems import Problem, advice, sentence
from campaigns.reading import Text
from campaigns.schema import PropertyForm
from campaigns.step_forms import TrackStep, walk
from campaigns.workspace import Workspace
from engine.core.clocktime import resolve
from engine.core.model import (
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    Instant,
    Not,
    SegmentCondition,
    SessionCondition,
    TraitCondition,
    Window,
)

Blind: TypeAlias = Callable[[str, str, object], str]
"""(trait, declared type, value) -> the marker that stands for the value in the traits."""

OUR_EVENTS: Final = (
    "Segment Entered", "Segment Exited", "Message Sent", "Message Delivered", "Message Opened",
    "Message Clicked", "Message Bounced", "Message Complained", "Message Unsubscribed",
)  # fmt: skip
"""Events that the engine itself writes; no file needs to declare them."""

ALWAYS_PII: Final = {"email": "email", "phone": "phone", "push_token": "string"}
"""Traits that are addresses, with their types: pii even where antiphon.yaml does not say so."""


class Conditions:
    """Compiles the conditions of one workspace.

    `has_blinded` becomes true once a marker was made: then the result depends on the key.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        names: Mapping[str, Collection[str]],
        blind: Blind,
        problems: list[Problem],
    ) -> None:
        self.workspace = workspace
        self.names = names
        self.blind = blind
        self.problems = problems
        self.has_blinded = False
        self.traits = {str(name): form for name, form in workspace.settings.traits.items()}
        self.pii = pii_traits(workspace)
        self.events = frozenset(_known_events(workspace, names))

    def midnight(self, on: date) -> Instant:
        """The instant at which a date starts in the workspace's zone."""
        return resolve(on, 0, str(self.workspace.settings.zone))

    def report(self, file: str, line: int, found: str, message: str) -> None:
        self.problems.append(Problem(file, line, found, sentence(message)))

    def condition(self, form: ConditionForm, file: str) -> Condition:
        match form:
            case TraitForm():
                filters = tuple(self._traits(form.trait, file))
                conditions = tuple(TraitCondition(one) for one in filters)
                return conditions[0] if len(conditions) == 1 else All(conditions)
            case EventForm():
                return self._event(form, file)
            case SessionForm():
                return self._session(form.session, file)
            case SegmentForm():
                self.segment(form.segment, file)
                return SegmentCondition(str(form.segment))
            case AllForm():
                return All(tuple(self.condition(one, file) for one in form.all))
            case AnyForm():
                return AnyOf(tuple(self.condition(one, file) for one in form.any))
            case NoneForm():
                return Not(AnyOf(tuple(self.condition(one, file) for one in form.none)))
            case NotForm():
                return Not(self.condition(form.not_, file))
            case _:
                assert_never(form)

    def segment(self, name: Text, file: str) -> None:
        """Report a segment that no file declares."""
        self.known("segment", name, self.names["segments"], file)

    def known(self, noun: str, name: Text, names: Collection[str], file: str) -> bool:
        """Report a name that nothing declares, with the nearest one that something does."""
        if name in names:
            return True
        places = {"segment": "segments/", "metric": "metrics/"}
        hint = advice(name, names) or f" Declare it in {places.get(noun, 'antiphon.yaml')}."
        self.report(file, name.line, str(name), f'there is no {noun} "{name}".{hint}')
        return False

    def match(self, event: Text, where: Where, file: str) -> EventMatch:
        """Events of a name, with their filters checked against the event's file."""
        if self.events and event not in self.events:
            hint = advice(event, self.events)
            self.report(
                file,
                event.line,
                str(event),
                f'the event "{event}" is not declared in events/.{hint}',
            )
        filters = []
        for path, asking in where.items():
            declared, is_pii = self._property_type(event, path, file)
            if is_pii and any(asked.operator != "exists" for asked in asking):
                self.report(
                    file,
                    path.line,
                    str(path),
                    f'"{path}" is pii: only `exists` can be asked of it. Send what you need to '
                    "compare as a property of its own, such as email_domain.",
                )
                continue
            comparisons = self._asked(path, asking, declared, file)
            filters.append(Filter(tuple(path.split(".")), comparisons))
        return EventMatch(str(event), tuple(filters))

    def check_path(self, event: Text, path: Text, file: str, *, numeric: bool = False) -> None:
        """Report a path that this event does not have, or that holds no number."""
        declared, _ = self._property_type(event, path, file)
        if numeric and declared not in (None, "number", "integer"):
            self.report(
                file, path.line, str(path), f'"{path}" is a {declared}; a number is needed.'
            )

    # --- kinds --------------------------------------------------------------------------------

    def _event(self, form: EventForm, file: str) -> Condition:
        match = self.match(form.event, form.where, file)
        count: tuple[Comparison, ...] = (Comparison("gte", 1),)
        if form.count is not None:
            count = self._tried(counts_asked, form.count, file, form.line, "count") or count
        followed = None
        if form.not_followed_by is not None:
            after = form.not_followed_by
            followed = FollowedBy(self.match(after.event, after.where, file), after.for_)
            if form.within is not None and after.for_ >= form.within:
                self.report(
                    file,
                    after.line,
                    "for",
                    "nothing can match: the event has left `within` before `for` has passed. "
                    "Make `for` shorter than `within`.",
                )
        return EventCondition(match, count, self._window(form, file), followed)

    def _session(self, facts: SessionFacts, file: str) -> Condition:
        duration: tuple[Comparison, ...] = ()
        events: tuple[Comparison, ...] = ()
        if facts.duration is not None:
            duration = self._tried(spans_asked, facts.duration, file, facts.line, "duration")
        if facts.events is not None:
            events = self._tried(counts_asked, facts.events, file, facts.line, "events")
        return SessionCondition(duration, events, self._window(facts, file))

    def _traits(self, where: Where, file: str) -> Iterator[Filter]:
        for path, asking in where.items():
            declared = self._trait_type(path, file)
            name = _root(path, {**self.pii, **self.traits})
            if name in self.pii:
                yield Filter(tuple(path.split(".")), self._pii(path, name, asking, file))
            else:
                comparisons = self._asked(path, asking, declared, file)
                yield Filter(tuple(path.split(".")), comparisons)

    def _pii(self, path: Text, name: str, asking: Asking, file: str) -> tuple[Comparison, ...]:
        for asked in asking:
            if asked.operator not in PII_OPERATORS:
                self.report(
                    file,
                    asked.line or path.line,
                    asked.operator,
                    f'the trait "{name}" is pii: it allows only {", ".join(PII_OPERATORS)}, not '
                    f"{asked.operator}. Keep what you need to compare in a trait of its own, such "
                    f"as {name}_{'domain' if name == 'email' else 'prefix'}.",
                )
                return ()
        return tuple(
            self._blinded(name, comparison)
            for comparison in self._asked(path, asking, self.pii[name], file)
        )

    def _blinded(self, name: str, comparison: Comparison) -> Comparison:
        operand = comparison.operand
        if comparison.operator == "exists":
            return comparison
        if isinstance(operand, tuple):
            markers = tuple(self._marker(name, one) for one in operand)
            return Comparison(comparison.operator, markers)
        return Comparison(comparison.operator, self._marker(name, operand))

    def _marker(self, name: str, value: object) -> object:
        if value is None:
            return None
        self.has_blinded = True
        return self.blind(name, self.pii[name], value)

    # --- parts --------------------------------------------------------------------------------

    def _asked(
        self, path: Text, asking: Asking, declared: str | None, file: str
    ) -> tuple[Comparison, ...]:
        try:
            return compile_asked(asking, declared=declared, midnight=self.midnight)
        except ValueError as error:
            line = asking[0].line or path.line
            self.report(file, line, str(path), f"{path}: {error}")
            return ()

    def _tried(
        self,
        read: Callable[[Asking], tuple[Comparison, ...]],
        asking: Asking,
        file: str,
        line: int,
        key: str,
    ) -> tuple[Comparison, ...]:
        try:
            return read(asking)
        except ValueError as error:
            self.report(file, asking[0].line or line, key, f"{key}: {error}")
            return ()

    def _window(self, form: WindowForm, file: str) -> Window:
        bounds = []
        for text in (form.since, form.until):
            try:
                bounds.append(None if text is None else self._instant(text))
            except ValueError as error:
                assert text is not None
                self.report(file, text.line, str(text), f"{error}")
                bounds.append(None)
        since, until = bounds
        if since is not None and until is not None and since >= until:
            line = form.since.line if form.since is not None else form.line
            self.report(file, line, "since", "nothing can match: `since` is not before `until`.")
        return Window(form.within, since, until)

    def _instant(self, text: Text) -> Instant:
        on = parse_date(text)
        return self.midnight(on) if on else parse_instant(text)

    def _trait_type(self, path: Text, file: str) -> str | None:
        if not self.traits:
            return None
        name = _root(path, self.traits)
        if name not in self.traits and name not in self.pii:
            hint = advice(name, self.traits)
            self.report(
                file,
                path.line,
                str(path),
                f'the trait "{name}" is not declared in antiphon.yaml.{hint}',
            )
            return None
        return self.traits[name].type if name == path and name in self.traits else None

    def _property_type(self, event: Text, path: Text, file: str) -> tuple[str | None, bool]:
        """The declared type of a path of an event, and whether it is pii."""
        root, *rest = path.split(".")
        declared = self.workspace.events.get(str(event))
        if root not in ("properties", "context") or not rest:
            meant = f"properties.{path}"
            self.report(
                file,
                path.line,
                str(path),
                f'the path "{path}" starts at neither properties nor context. '
                f'Did you mean "{meant}"?',
            )
            return None, False
        if declared is None or root == "context":
            return None, False
        return self._inside(declared.properties, rest, path, event, file)

    def _inside(
        self,
        properties: Mapping[Text, PropertyForm],
        parts: Sequence[str],
        path: Text,
        event: Text,
        file: str,
    ) -> tuple[str | None, bool]:
        known = {str(name): form for name, form in properties.items()}
        name, *rest = parts
        if name not in known:
            hint = advice(name, known)
            self.report(
                file,
                path.line,
                str(path),
                f'the event "{event}" declares no property "{name}".{hint}',
            )
            return None, False
        form = known[name]
        if form.type == "list" and rest and (rest[0] == "*" or rest[0].isdecimal()):
            rest = rest[1:]
            if not rest:
                return None, form.pii
        if not rest:
            return form.type, form.pii
        if form.type not in ("list", "object"):
            self.report(
                file,
                path.line,
                str(path),
                f'the property "{name}" of "{event}" is a {form.type}; it has nothing inside.',
            )
            return None, form.pii
        if not form.properties:
            return None, form.pii
        return self._inside(form.properties, rest, path, event, file)


def pii_traits(workspace: Workspace) -> dict[str, str]:
    """Every trait that is pii, with its type."""
    declared = workspace.settings.traits.items()
    return {
        **ALWAYS_PII,
        **{str(name): form.type for name, form in declared if form.pii or name in ALWAYS_PII},
    }


def _root(path: str, traits: Collection[str]) -> str:
    """The declared trait that a path starts with: traits may themselves have dots."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in traits:
            return name
    return parts[0]


def _known_events(workspace: Workspace, names: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not names["events"]:
        return
    yield from names["events"]
    yield from OUR_EVENTS
    for campaign in workspace.campaigns.values():
        for _, step in walk(campaign.journey):
            if isinstance(step, TrackStep):
                yield str(step.track.event)
