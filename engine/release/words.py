"""A plan in words, and as plain data for machines: under each change whom it touches.

After the changes: what operators have done (it stays), and the id to apply by.
"""

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from campaigns.plan import render_plan
from engine.core.clocktime import iso
from engine.release.experiment_orders import drift_words
from engine.release.passages import Passage
from engine.release.planning import Entering, Plan


def rendered(plan: Plan) -> str:
    """The plan as text; its difference ends in `Plan: 1 to add, 2 to change, 0 to remove.`"""
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for campaign in dict.fromkeys(it.people.campaign for it in plan.inside):
        own = [it for it in plan.inside if it.people.campaign == campaign]
        notes["campaign", campaign] += _people(own)
    for entering in plan.entering:
        notes["campaign", entering.campaign].append(_entering(entering))
    for experiment, n_people in plan.exposed.items():
        for construct in ("experiment", "cap"):  # of one name there is only one of the two
            notes[construct, experiment].append(
                f"{_count(n_people)} saw the phase that ends; they keep their variant"
            )
    for segment in plan.built:
        notes["segment", segment].append(
            f"its features are built from the history of {_count(plan.n_profiles, 'profile')}"
        )
    return "\n".join((render_plan(plan.changes, notes), *drift(plan)))


def drift(plan: Plan) -> list[str]:
    """What operators have done beside the files, and what has become of models."""
    campaigns = [
        f'! campaign "{name}" is {it.held} {it.by_whom} since {iso(it.since)[:19]}Z'
        + (f": {it.why}" if it.why else "")
        + " (it stays)"
        for name, it in plan.held.items()
    ]
    experiments = [drift_words(name, it) for name, it in plan.experiments_held.items()]
    return [*campaigns, *experiments, *plan.models]


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as one JSON object. `inside` counts people by campaign, `steps` where they are."""
    inside: dict[str, int] = defaultdict(int)
    for it in plan.inside:
        inside[it.people.campaign] += it.people.n_people
    return {
        "plan": plan.id,
        "live": plan.live,
        "changes": [asdict(each) for each in plan.changes],
        "inside": dict(inside),
        "steps": [_passage_data(it) for it in plan.inside],
        "entering": [asdict(it) for it in plan.entering],
        "exposed": dict(plan.exposed),
        "built": list(plan.built),
        "held": {
            name: {"held": it.held, "since": iso(it.since), "why": it.why, "by": it.by}
            for name, it in plan.held.items()
        },
        "experiments_held": {
            name: {
                "held": it.held,
                "winner": it.winner,
                "since": iso(it.since),
                "why": it.why,
            }
            for name, it in plan.experiments_held.items()
        },
        "models": list(plan.models),
        "refused": [asdict(problem) for problem in plan.refused],
    }


def _people(own: list[Passage]) -> list[str]:
    """Everyone inside one campaign, then each step that says something of its own."""
    by_fate = {
        fate: sum(it.people.n_people for it in own if it.fate == fate)
        for fate in ("move", "finish", "stranded")
    }
    words = {
        "move": "move to this version",
        "finish": "finish on the version they are on",
        "stranded": "would be stranded",
    }
    total = sum(by_fate.values())
    lines = [
        f"{_count(total)} inside: "
        + ", ".join(f"{n:,} {words[fate]}" for fate, n in by_fate.items() if n)
    ]
    lines += [_step(it) for it in own if it.fate != "finish" or it.step_is != "same"]
    return lines


def _step(it: Passage) -> str:
    people = it.people
    line = f"  {people.step}: {people.n_people:,} on version {people.version}"
    if it.step_is != "same":
        line += f", {it.step_is}"
    if it.to is not None:
        line += f" -> {it.to}"
    if it.due is not None and it.due.n_people:
        least = "at least " if it.due.is_least else ""
        line += f", {least}{it.due.n_people:,} due at once"
    return line + (", leads nowhere" if it.fate == "stranded" else "")


def _entering(it: Entering) -> str:
    if it.n_people is None:
        return (
            f'whoever is inside "{it.segment}" enters now; too long a history to count here: '
            f"antiphon segment preview {it.segment}"
        )
    return f'{_count(it.n_people)} inside "{it.segment}" would enter now'


def _count(n: int, what: str = "person") -> str:
    many = "people" if what == "person" else f"{what}s"
    return f"{n:,} {what if n == 1 else many}"


def _passage_data(it: Passage) -> dict[str, Any]:
    return {
        **it.people._asdict(),
        "fate": it.fate,
        "step_is": it.step_is,
        "to": it.to,
        "n_due": it.due.n_people if it.due else 0,
    }
