"""What a new release does to the people inside its campaigns: who finishes, moves or is stranded.

Nobody is stranded silently: a step that a change deletes while people stand in it, or that a
`migrate:` does not lead on from, is refused with how many they are and how to mend it (rule 6).
Read next: `planning`, which shows it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from campaigns.migrate_forms import NONE
from campaigns.problems import Problem, advice
from campaigns.schema import CampaignFile
from engine.core.journeys.migration import content_of, is_unnamed, target_of
from engine.core.model.campaigns import Campaign, Move
from engine.core.model.instants import Instant
from engine.core.model.steps import StepId
from engine.release.impact import Due, Leading, Standing, due_at_once, people_inside
from engine.store.connection import Connection

Fate = Literal["finish", "move", "stranded"]
Graphs = Callable[[str, str], Campaign | None]
"""A campaign's graph by name and version; None where no release holds it."""


@dataclass(frozen=True)
class Passage:
    """People at one step of one older version, and what becomes of them.

    Attributes:
        step_is: What the change makes of the step itself.
        to: Where they are moved.
        due: How many of them act at once there.
    """

    people: Standing
    fate: Fate
    step_is: Literal["same", "changed", "removed"]
    to: StepId | None = None
    due: Due | None = None


def passages(
    connection: Connection,
    names: list[str],
    *,
    live: Mapping[str, Campaign],
    new: Mapping[str, Campaign],
    forms: Mapping[str, CampaignFile],
    moves: Mapping[str, Move],
    graphs: Graphs,
    may_strand: bool,
    now: Instant,
) -> list[Passage]:
    """Everyone inside these campaigns who is not on the new version already.

    Args:
        live: The campaigns played now, `new` those of the files; versions filled in.
        may_strand: Let people finish where a step is deleted without a word, as a rollback does.
    """
    found: list[Passage] = []
    leading: list[Leading] = []
    for it in people_inside(connection, names):
        after = new.get(it.campaign)
        if after is not None and after.version == it.version:
            continue
        before = live.get(it.campaign)
        if after is None:
            found.append(Passage(it, "finish", "same"))
            continue
        fate: Fate
        move = moves.get(it.campaign)
        if move is not None and move.origin in ("any", it.version):
            old = graphs(it.campaign, it.version)
            to = target_of(it.step, move=move, old=old, new=after)
            fate = "stranded" if to is None else "move"
            found.append(Passage(it, fate, _step_is(it.step, old, after), to))
            if to is not None:
                was = None if old is None else old.steps.get(it.step)
                leading.append(Leading(it, was, after.steps[to]))
            continue
        is_deleted = before is not None and it.step in before.steps and it.step not in after.steps
        migrate = forms[it.campaign].migrate
        may_finish = may_strand or is_unnamed(it.step) or (migrate and migrate.from_ == NONE)
        fate = "stranded" if is_deleted and not may_finish else "finish"
        old = before if before is not None and before.version == it.version else None
        found.append(Passage(it, fate, _step_is(it.step, old, after)))
    due = due_at_once(connection, leading, now=now)
    return [replace(it, due=due.get(it.people)) for it in found]


def refusals(found: list[Passage], forms: Mapping[str, CampaignFile]) -> Iterator[Problem]:
    """Why these passages cannot be: one problem a step that strands people."""
    for passage in found:
        if passage.fate != "stranded":
            continue
        it, form = passage.people, forms[passage.people.campaign]
        people = "1 person stands" if it.n_people == 1 else f"{it.n_people:,} people stand"
        gone = "is gone" if passage.step_is == "removed" else "is another kind of step now"
        steps = f"{{{it.step}: STEP}}"
        if form.migrate is None:
            mend = (
                f"Lead them on: migrate: {{from: any, steps: {steps}}}. Or let everyone finish "
                "on their version: migrate: {from: none}"
            )
        else:
            mend = f"Lead them on under migrate: steps: {steps}"
        yield Problem(
            form.file,
            form.name.line if form.migrate is None else form.migrate.line,
            it.step,
            f'{people} at the step "{it.step}" of version {it.version} of "{it.campaign}", which '
            f"{gone}. {mend}. Or end it for them first: antiphon campaign unenrol {it.campaign} "
            f"--step {it.step}",
        )


def unknown_origins(
    moves: Mapping[str, Move],
    forms: Mapping[str, CampaignFile],
    known: Mapping[str, set[str]],
) -> Iterator[Problem]:
    """A version to migrate from that the campaign never had in this database."""
    for name, move in moves.items():
        versions = known.get(name, set())
        if move.origin != "any" and versions and move.origin not in versions:
            migrate = forms[name].migrate
            line = migrate.line if migrate is not None else 0
            hint = advice(move.origin, versions)
            yield Problem(
                forms[name].file,
                line,
                move.origin,
                f'"{name}" never had the version {move.origin} here.{hint}',
            )


def _step_is(
    step: StepId, old: Campaign | None, new: Campaign
) -> Literal["same", "changed", "removed"]:
    now = new.steps.get(step)
    if now is None:
        return "removed"
    was = None if old is None else old.steps.get(step)
    if was is None:
        return "same"
    is_same = type(was) is type(now) and content_of(was) == content_of(now)
    return "same" if is_same else "changed"
