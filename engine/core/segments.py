"""Segments: who is in, and until when that is certain.

`compile_segments` turns the conditions of a program into features (what to remember of a profile)
and closures (the verdict from what is remembered). `Segments.observe` folds an event into a
profile's features, `Segments.evaluate` answers `(matches, until)`; neither reads a clock, copies a
feature or looks at history. Read next: `conditions`, `features`, `docs/segments.md`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, NamedTuple

from engine.core.conditions import limits
from engine.core.conditions.comparisons import Answer
from engine.core.conditions.compiler import Compiled, Compiler
from engine.core.conditions.explanation import explain_condition, too_much
from engine.core.conditions.filters import EventTest, compile_where, matches_event
from engine.core.conditions.followed import read_when_asked
from engine.core.conditions.narrowed import Narrowed, narrow
from engine.core.conditions.news import News
from engine.core.errors import CampaignError
from engine.core.features.kinds import KINDS, Features, Fold, content
from engine.core.features.last_seen import LastSeen
from engine.core.features.sessions import NOT_BEHAVIOUR
from engine.core.model.campaigns import Campaign, MemberList, Profiling, Program
from engine.core.model.conditions import Condition, EventMatch
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event, Profile
from engine.core.model.steps import Branch, WaitFor

__all__ = ["Segments", "compile_segments", "for_program", "in_order", "matches_event"]

NOBODY: Final[frozenset[str]] = frozenset()
_NO_EXTRA: Final[Mapping[str, Condition]] = {}
_NO_LISTS: Final[Mapping[str, MemberList]] = {}
_USUAL: Final = Profiling()


def compile_segments(
    definitions: Mapping[str, Condition],
    *,
    extra: Mapping[str, Condition] = _NO_EXTRA,
    matches: Iterable[EventMatch] = (),
    session_gap: int,
    lists: Mapping[str, MemberList] = _NO_LISTS,
    when_read: frozenset[str] = frozenset(),
    profiling: Profiling = _USUAL,
) -> "Segments":
    """Compile every condition and wait of a program into one set of features.

    Args:
        definitions: Segments by name; they may refer to each other.
        extra: Other conditions that `Segments.answer` is asked for, by a name for errors.
        matches: Events whose last occurrence `Segments.last_seen` is asked for.
        session_gap: Microseconds without an event after which a session is over.
        lists: What stands in each list of the workspace.
        when_read: Segments that are asked only when someone reads them: nothing touches them.
        profiling: Who has no score, whatever models say of them.
    Raises:
        CampaignError: Naming the segment or condition, and what it may not say.
    """
    compiler = Compiler(definitions, session_gap=session_gap, lists=lists, profiling=profiling)
    segments: dict[str, Compiled] = {}
    for name in definitions:
        with _named(f'segment "{name}"'):
            segments[name] = compiler.compile_segment(name)
    asked: list[tuple[Condition, Compiled]] = []
    for name, condition in extra.items():
        with _named(name):
            asked.append((condition, compiler.compile(condition)))
    waits = []
    for match in matches:
        with _named(f'wait for "{match.event}"'):
            compile_where(match.where)
        waits.append((match, compiler.register.add(LastSeen(match))))
    return Segments(compiler, segments, asked, waits, when_read=when_read)


def for_program(program: Program) -> "Segments":
    """The segments of a program with every other condition that its campaigns can ask for."""
    extra: dict[str, Condition] = {}
    matches: list[EventMatch] = []
    for campaign in (*program.campaigns.values(), *program.pinned.values()):
        _collect(campaign, extra, matches)
    for (name, phase), experiment in program.experiments.items():
        # Of earlier phases nobody asks: their segments may be gone.
        if experiment.bandit is not None and phase == program.phases.get(name, 1):
            for context in experiment.bandit.contexts or ():
                if context.condition is not None:
                    extra[f'experiment "{name}", context "{context.name}"'] = context.condition
    return compile_segments(
        program.segments,
        extra=extra,
        matches=matches,
        session_gap=program.session_gap,
        lists=program.lists,
        when_read=read_when_asked(program),
        profiling=program.profiling,
    )


class Segments:
    """A program's conditions, compiled. Made by `compile_segments`; holds nothing of a profile."""

    def __init__(
        self,
        compiler: Compiler,
        segments: Mapping[str, Compiled],
        asked: Sequence[tuple[Condition, Compiled]],
        waits: Iterable[tuple[EventMatch, str]],
        *,
        when_read: frozenset[str] = frozenset(),
    ) -> None:
        self._compiler = compiler
        self._definitions = dict(compiler.register.definitions)
        self.feature_keys: frozenset[str] = frozenset(self._definitions).union(
            key + limits.MARK for key in self._definitions
        )
        """Content hashes of all features, each also with the mark of what it could not keep."""
        self.n_features = len(self._definitions)
        self.asks = {name: compiled.ask for name, compiled in segments.items()}
        """What `evaluate` calls, for the loop that asks many."""
        self.names: tuple[str, ...] = tuple(sorted(segments))
        self.features_of = {name: compiled.features for name, compiled in segments.items()}
        """The content hashes of the features that each segment's answer depends on."""
        self.when_read = when_read
        """Segments without memberships: whoever reads one asks everybody (`followed`)."""
        # By identity first, because that costs nothing; the tuples keep the objects alive.
        self._asked = {id(condition): (condition, one.ask) for condition, one in asked}
        self._asked_by_content = {content(condition): one.ask for condition, one in asked}
        self._waits = {id(match): (match, key) for match, key in waits}
        self._folds = _folds_by_name(self._definitions)
        kept = {name: one for name, one in segments.items() if name not in when_read}
        touched = _touched_by_name(self._definitions, kept)
        self._listening = {
            name: _Listening(name, tuple(fold for _, fold in folds), *touched.get(name, _NONE))
            for name, folds in self._folds.items()
        }
        self._touched_by_trait = _touched_by(kept, lambda one: one.traits)
        self._touched_by_fact = _touched_by(kept, lambda one: one.facts)
        everything = [*segments.values(), *(compiled for _, compiled in asked)]
        self.news = News(frozenset().union(*(one.facts for one in everything)))
        """What the conditions read of a profile that no event brings."""
        self.reads_news = bool(self.news)

    def observe(
        self, features: Features, event: Event, *, only: frozenset[str] | None = None
    ) -> frozenset[str]:
        """Fold one event into a profile's features, in place; late events slot in.

        Args:
            only: Keys to limit this to, when history is read again for features that are new.
        Returns:
            The names of segments whose verdict it may change, as `touched_by` gives them.
        """
        listening = self._listening.get(event.name) or self._listening[""]
        if only is None:
            for fold in listening.folds:
                fold(features, event)
        else:
            for key, fold in self._folds[listening.name]:
                if key in only:
                    fold(features, event)
        return _touched(listening, event) if listening.filtered else listening.touched

    def narrowed(self, only: frozenset[str]) -> Narrowed:
        """The folds of these features alone; what `observe` does, for a whole history."""
        return narrow(self._definitions, self._folds, only=only)

    def merge(self, a: Features, b: Features) -> Features:
        """The features of a profile that two turned out to be; neither is changed.

        Keys this program does not know are dropped.
        """
        merged: Features = {}
        for key, definition in self._definitions.items():
            if key in a or key in b:
                # An empty side joins too, so that the result never shares a list with a or b.
                kind = KINDS[type(definition)]
                one, other = a.get(key), b.get(key)
                merged[key] = kind.join(
                    definition, kind.empty if one is None else one,
                    kind.empty if other is None else other,
                )  # fmt: skip
                until = max(limits.approximate_until(a, key), limits.approximate_until(b, key))
                if until > -NEVER:
                    limits.note(merged, key, until)
        return merged

    def touched_by(self, event: Event) -> frozenset[str]:
        """Segments whose verdict this event may change, those that refer to them included."""
        return _touched(self._listening.get(event.name) or self._listening[""], event)

    def touched_by_traits(self, names: Collection[str]) -> frozenset[str]:
        """Segments whose verdict a change of these traits may change."""
        found = NOBODY
        for name in names:
            found |= self._touched_by_trait.get(name, NOBODY)
        return found

    def touched_by_facts(self, facts: Iterable[str]) -> frozenset[str]:
        """Segments whose verdict a change of these facts (`Compiled.facts`) may change."""
        found = NOBODY
        for fact in facts:
            found |= self._touched_by_fact.get(fact, NOBODY)
        return found

    def evaluate(self, name: str, features: Features, profile: Profile, *, now: Instant) -> Answer:
        """Whether the profile is in the segment now, and until when if nothing happens.

        `now` is never before the `accepted_at` of an event already observed.
        """
        return self.asks[name](features, profile, now)

    def answer(
        self, condition: Condition, features: Features, profile: Profile, *, now: Instant
    ) -> Answer:
        """The same for a condition that was compiled as `extra`.

        Raises:
            LookupError: If the program never held this condition, so its features are unknown.
        """
        known = self._asked.get(id(condition))
        if known is not None and known[0] is condition:
            return known[1](features, profile, now)
        ask = self._asked_by_content.get(content(condition))
        if ask is None:
            raise LookupError(f"not compiled with this program: {condition!r}")
        return ask(features, profile, now)

    def explain(
        self, name: str, features: Features, profile: Profile, *, now: Instant
    ) -> list[dict[str, Any]]:
        """Why: a row for each condition, in reading order.

        Each row has `condition` (words), `matches`, `until` (ISO 8601, or None if only an event
        can change it), `found` (what is remembered, in words), `approximate` (what was too much to
        remember, in words, or "") and `depth` (how far it is nested).
        """
        return explain_condition(
            self._compiler, self._compiler.segments[name], features, profile, now=now
        )

    def approximate(self, name: str, features: Features, *, now: Instant) -> list[str]:
        """What a limit kept from being remembered, in words, if the segment's verdict needs it."""
        return too_much(self._compiler, self.features_of[name], features, now=now)

    def last_seen(self, match: EventMatch, features: Features) -> tuple[int, Instant] | None:
        """(seq, accepted_at) of the last matching event in processing order, if there was one.

        Raises:
            LookupError: If the match is not one of the program's waits.
        """
        known = self._waits.get(id(match))
        if known is not None and known[0] is match:
            key = known[1]
        else:
            key = self._compiler.register.key_of(LastSeen(match))
        state = features.get(key)
        return None if state is None else (state[0], state[1])


@lru_cache(maxsize=1024)
def in_order(names: frozenset[str]) -> tuple[str, ...]:
    """Segments in the one order in which they are asked; the same few sets come at every event."""
    return tuple(sorted(names))


@contextmanager
def _named(construct: str) -> Iterator[None]:
    """Puts the construct's name before the message of a CampaignError."""
    try:
        yield
    except CampaignError as error:
        raise CampaignError(f"{construct}: {error}") from error


def _folds_by_name(definitions: Mapping[str, Any]) -> dict[str, tuple[tuple[str, Fold], ...]]:
    """Per event name the folds to run; under "" those for any other name."""
    named: dict[str, list[tuple[str, Fold]]] = {name: [] for name in NOT_BEHAVIOUR}
    for definition in definitions.values():
        for match in KINDS[type(definition)].listens(definition) or ():
            named.setdefault(match.event, [])
    named[""] = []
    for key, definition in definitions.items():
        kind = KINDS[type(definition)]
        fold = kind.compile_fold(definition, key)
        for name in _names_of(definition, named):
            named[name].append((key, fold))
    return {name: tuple(folds) for name, folds in named.items()}


class _Listening(NamedTuple):
    """What an event of one name meets: the folds to run and what it touches (`_Touched`)."""

    name: str
    folds: tuple[Fold, ...]
    touched: frozenset[str]
    filtered: tuple[tuple[EventTest, frozenset[str]], ...]


def _touched(listening: _Listening, event: Event) -> frozenset[str]:
    found = listening.touched
    for test, names in listening.filtered:
        if not names <= found and test(event):
            found |= names
    return found


def _names_of(definition: Any, named: Iterable[str]) -> set[str]:
    listens = KINDS[type(definition)].listens(definition)
    if listens is not None:
        return {match.event for match in listens}
    return set(named) - NOT_BEHAVIOUR


_Touched = tuple[frozenset[str], tuple[tuple[EventTest, frozenset[str]], ...]]
"""Segments touched by any event of a name, and those touched if a filter passes."""
_NONE: Final[_Touched] = (NOBODY, ())


def _touched_by_name(
    definitions: Mapping[str, Any], segments: Mapping[str, Compiled]
) -> dict[str, _Touched]:
    users = {
        key: frozenset(name for name, one in segments.items() if key in one.features)
        for key in definitions
    }
    always: dict[str, set[str]] = {"": set()}
    filtered: dict[str, list[tuple[EventTest, frozenset[str]]]] = {}
    for key, definition in definitions.items():
        for match in KINDS[type(definition)].listens(definition) or ():
            always.setdefault(match.event, set())
            test = compile_where(match.where)
            if test is None:
                always[match.event] |= users[key]
            elif users[key]:
                filtered.setdefault(match.event, []).append((test, users[key]))
    for key, definition in definitions.items():
        kind = KINDS[type(definition)]
        if kind.listens(definition) is None:
            for name in always.keys() - NOT_BEHAVIOUR:
                if kind.carries is None:
                    always[name] |= users[key]
                elif users[key]:
                    filtered.setdefault(name, []).append((kind.carries(definition), users[key]))
    return {
        name: (
            frozenset(names),
            tuple((test, more - names) for test, more in filtered.get(name, ()) if more - names),
        )
        for name, names in always.items()
    }


def _touched_by(
    segments: Mapping[str, Compiled], reads: Callable[[Compiled], frozenset[str]]
) -> dict[str, frozenset[str]]:
    return {
        read: frozenset(name for name, one in segments.items() if read in reads(one))
        for read in frozenset().union(*(reads(one) for one in segments.values()))
    }


def _collect(campaign: Campaign, extra: dict[str, Condition], matches: list[EventMatch]) -> None:
    """Every condition and wait that playing a campaign can ask about."""
    where = f'campaign "{campaign.name}" ({campaign.version})'
    if campaign.audience is not None:
        extra[f"{where}: audience"] = campaign.audience
    if campaign.exit_when is not None:
        matches.append(campaign.exit_when)
    for step in campaign.steps.values():
        if isinstance(step, WaitFor):
            matches.append(step.match)
        elif isinstance(step, Branch):
            for number, (condition, _) in enumerate(step.arms, start=1):
                extra[f'{where}: step "{step.id}", arm {number}'] = condition
