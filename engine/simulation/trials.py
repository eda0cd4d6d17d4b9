"""`tests/*.yaml` of a workspace: given a person and events, exactly these messages.

Each test plays the real engine on a virtual clock against a database of its own, from the first
instant it names to the last. A test that fails shows what happened instead, as a timeline.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from campaigns.reading import Text, plain
from campaigns.recommender_forms import RecommenderFile
from campaigns.trial_forms import ExpectedSendAt, TestFile
from campaigns.workspace import Workspace
from engine.core.clocktime import iso
from engine.core.errors import InvalidEvent
from engine.core.model.campaigns import Experiment, Holdout, Program, Variant
from engine.core.model.effects import (
    Discard,
    Effect,
    Emit,
    Entered,
    Exited,
    Expose,
    Ghost,
    Hold,
    PickAsk,
    SendMessage,
)
from engine.core.model.instants import Instant
from engine.intake.calls import Read, from_values
from engine.intake.declared import Declared, Field
from engine.intake.prepare import Fact, Terms, prepare_items
from engine.release.playbook import Playbook
from engine.simulation.foretold import answers, foretell, without_exploring
from engine.simulation.replay import Replay, applied, simulated_links, simulated_vault, throwaway
from engine.store import identities
from engine.store.connection import Connection
from engine.store.database import Database
from engine.ticking.tick import Picks

HOLDOUT: Final = "holdout"
HELD_OUT: Final = "in"
_TEXTS: Final = frozenset({"string", "email", "phone", "timezone", "date", "datetime"})


@dataclass(frozen=True)
class Outcome:
    """How one test went. It passed if nothing is missing, nothing too much and nothing wrong."""

    name: str
    file: str
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    problem: str = ""
    timeline: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not (self.missing or self.unexpected or self.problem)


@dataclass
class _Happened:
    """What one person went through, in the order played."""

    moments: list[tuple[Instant, str]] = field(default_factory=list)
    sends: list[tuple[Instant, str, str, str]] = field(default_factory=list)

    def observe(self, effects: Sequence[Effect]) -> None:
        for it in effects:
            said = _in_words(it)
            if said is not None:
                self.moments.append((it.at, said))


def run_trials(workspace: Workspace) -> Iterator[Outcome]:
    """Run every test of a checked workspace, in order of name."""
    with throwaway() as (database, _, folder):
        database.close()
        for number, name in enumerate(sorted(workspace.tests)):
            # A copied file is 20 times faster than the migrations that made it.
            path = folder / f"{number}.db"
            shutil.copy(folder / "simulation.db", path)
            copy = Database(f"sqlite:///{path}", is_throwaway=True)
            try:
                yield _run_one(workspace, workspace.tests[name], copy, folder)
            finally:
                copy.close()


def _run_one(workspace: Workspace, test: TestFile, database: Database, folder: Path) -> Outcome:
    name, file = str(test.test), test.file
    start = min([it.at for it in test.given.events] + [_begins_at(it) for it in test.expect])
    end = max([it.at for it in test.given.events] + [_instant_of(it) for it in test.expect])
    vault, happened = simulated_vault(), _Happened()
    playbook = applied(database, workspace, vault=vault, at=start, alter=_altered(test))
    replay = Replay(
        database,
        playbook,
        vault=vault,
        links=simulated_links(),
        directory=folder,
        is_silent=True,
        observe=happened.observe,
        picks=_picked(test, workspace),
    )
    try:
        facts = _facts(test, start=start, end=end, declared=replay.declared)
    except InvalidEvent as error:
        return Outcome(name, file, problem=f"an event of the test is refused: {error}")
    happened.moments += [(it.at, f"event      {it.name}") for it in facts[1:]]
    if answers(test.given):
        replay.add(facts[:1])
        replay.run(start=start, end=start + 1)
        with database.write() as connection:
            _foretell(connection, test, playbook.program, at=start)
        del facts[:1]
    replay.add(facts)
    replay.run(start=start, end=end + 1)
    replay.close()
    with database.read() as connection:
        rows = connection.execute(
            "SELECT at, account, template, campaign, status, reason FROM message "
            "WHERE channel <> 'webhook' ORDER BY at, id"
        )
    got = [tuple(row[:4]) for row in rows if row[4] == "sent"]
    refused = [(row[0], f"refused    {row[1]}/{row[2]}: {row[5]}") for row in rows if _is_late(row)]
    missing, unexpected = _compare(test, got)
    timeline = sorted([*happened.moments, *refused], key=lambda moment: moment[0])
    return Outcome(
        name,
        file,
        tuple(missing),
        tuple(unexpected),
        timeline=tuple(f"{iso(at)}  {said}" for at, said in timeline),
    )


def _instant_of(expected: Any) -> Instant:
    """The last instant that an expectation speaks of."""
    if isinstance(expected, ExpectedSendAt):
        return int(expected.at + max(expected.within - 1, 0))
    return int(expected.nothing_until)


def _begins_at(expected: Any) -> Instant:
    return int(expected.at) if isinstance(expected, ExpectedSendAt) else _instant_of(expected)


def _is_late(row: Sequence[Any]) -> bool:
    """Allowed in the tick and then refused when it was to be made or delivered."""
    status, template = row[4], row[2]
    return bool(status == "failed" or (status == "dropped" and template))


def _compare(test: TestFile, got: list[tuple[Any, ...]]) -> tuple[list[str], list[str]]:
    left = list(got)
    missing = []
    for expected in test.expect:
        if not isinstance(expected, ExpectedSendAt):
            continue
        send = expected.send
        found = next(
            (
                it
                for it in left
                if it[1:3] == (str(send.channel), str(send.template))
                and expected.at <= it[0] <= _instant_of(expected)
                and (send.campaign is None or it[3] == str(send.campaign))
            ),
            None,
        )
        if found is None:
            until = f" to {iso(_instant_of(expected))}" if expected.within else ""
            missing.append(f"{iso(expected.at)}{until}  {send.channel}/{send.template}")
        else:
            left.remove(found)
    return missing, [f"{iso(at)}  {channel}/{name} ({by})" for at, channel, name, by in left]


# --- what is given ------------------------------------------------------------------------------


def _facts(test: TestFile, *, start: Instant, end: Instant, declared: Declared) -> list[Fact]:
    given = test.given.profile
    traits = typed(given.traits, declared.traits)
    if given.consent:
        traits["consent"] = {
            str(channel): {str(topic): bool(granted) for topic, granted in topics.items()}
            for channel, topics in given.consent.items()
        }
    user = str(given.id)
    items: list[Read] = [
        from_values({"type": "identify", "userId": user, "timestamp": iso(start), "traits": traits})
    ]
    for it in test.given.events:
        fields = declared.events.get(str(it.event), {})
        call: dict[str, Any] = {
            "type": "track",
            "userId": user,
            "event": str(it.event),
            "timestamp": iso(it.at),
            "properties": typed(it.properties, fields),
        }
        if it.context:
            call["context"] = plain(dict(it.context))
        items.append(from_values(call))
    terms = Terms(
        declared=declared, entropy=random.Random(0).randbytes, source="test", accepted_at="event"
    )
    prepared = prepare_items(items, terms=terms, received_at=end)
    for answer in prepared.answers:
        if answer.status == "rejected":
            raise InvalidEvent(answer.message, field=answer.field)
    return [fact for _, fact in prepared.facts]


def _foretell(connection: Connection, test: TestFile, program: Program, *, at: Instant) -> None:
    """Let models say of the person what the test gives, from the beginning on."""
    user = str(test.given.profile.id)
    who = identities.find(connection, "user", [user])[user]
    foretell(connection, test.given, profile_id=who, profiling=program.profiling, now=at)


def typed(values: Any, fields: Any) -> dict[str, Any]:
    """Values as data: what is declared a text stays one, `zip: 10115` too."""
    typed: dict[str, Any] = {}
    for name, value in values.items():
        known: Field | None = fields.get(str(name))
        is_text = known is not None and known.type in _TEXTS and isinstance(value, Text)
        typed[str(name)] = str(value) if is_text else plain(value)
    return typed


def _picked(test: TestFile, workspace: Workspace) -> Picks:
    """The answers of recommenders that the test gives: rows, or ids of a feed's products."""
    answers = given_picks(test, workspace)

    def pick(connection: Connection, playbook: Playbook, ask: PickAsk) -> list[dict[str, Any]]:
        return answers.get(ask.model, [])[: ask.n + ask.n_spare]

    return pick


def given_picks(test: TestFile, workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """By recommender, its answer in a test: what its feed knows of an item, and what is given."""
    answers: dict[str, list[dict[str, Any]]] = {}
    for name, items in test.given.picks.items():
        form = workspace.models.get(str(name))
        feed = form.items.catalog if isinstance(form, RecommenderFile) and form.items else None
        found = workspace.catalog.get(str(feed))
        known = {str(row["id"]): row for row in found.rows} if found is not None else {}
        rows = [plain(it) if isinstance(it, dict) else {"id": str(it)} for it in items]
        answers[str(name)] = [
            {"source": "test", **known.get(str(row["id"]), {}), **row, "id": str(row["id"])}
            for row in rows
        ]
    return answers


# --- what is forced -----------------------------------------------------------------------------


def _altered(test: TestFile) -> Callable[[Program], Program]:
    """What leaves nothing to chance that the test names."""
    force = _forced(test)
    return lambda program: without_exploring(force(program), test.given)


def _forced(test: TestFile) -> Callable[[Program], Program]:
    """What makes everyone get the variants that the test names; `check` knows that they exist."""
    force = {str(name): str(value) for name, value in test.force.items()}
    holdout = force.pop(HOLDOUT, None)

    def alter(program: Program) -> Program:
        experiments = {
            key: _only(it, force[it.name]) if it.name in force else it
            for key, it in program.experiments.items()
        }
        program = msgspec.structs.replace(program, experiments=experiments)
        return program if holdout is None else _with_holdout(program, is_in=holdout == HELD_OUT)

    return alter


def _only(experiment: Experiment, variant: str) -> Experiment:
    variants = tuple(
        Variant(it.name, int(it.name == variant), it.value) for it in experiment.variants
    )
    return msgspec.structs.replace(
        experiment,
        variants=variants,
        coverage=1.0,
        layer=None,
        unit="profile",
        namespace=None,
        forced={},
        requires=(),
        audience="",
        bandit=None,
        state="live",
    )


def _with_holdout(program: Program, *, is_in: bool) -> Program:
    """Everyone in the campaigns' own holdouts, or nobody in any."""

    def changed(holdout: Holdout | None) -> Holdout | None:
        if holdout is None or not is_in:
            return None
        return msgspec.structs.replace(holdout, share=1.0)

    campaigns = {
        name: msgspec.structs.replace(campaign, holdout=changed(campaign.holdout))
        for name, campaign in program.campaigns.items()
    }
    return msgspec.structs.replace(
        program, campaigns=campaigns, global_holdout=None, programme_holdouts={}
    )


# --- what happened ------------------------------------------------------------------------------


def _in_words(it: Effect) -> str | None:
    match it:
        case Ghost():
            return f"held out   {it.draft.sent_by}/{it.draft.template}: {it.held_by}"
        case SendMessage():
            return f"send       {it.draft.sent_by}/{it.draft.template} ({it.draft.campaign})"
        case Hold():
            return f"held       {it.draft.sent_by}/{it.draft.template}: {it.why}"
        case Discard():
            what = f"{it.draft.sent_by}/{it.draft.template}" if it.draft else it.step or "entry"
            return f"dropped    {what}: {it.why}"
        case Expose():
            return f"assigned   {it.experiment}: {it.variant}"
        case Entered():
            return f"entered    {it.campaign}"
        case Exited():
            return f"left       {it.campaign}: {it.why}"
        case Emit():
            about = it.properties.get("segment")
            return f"event      {it.event}" + (f" ({about})" if about else "")
        case _:
            return None
