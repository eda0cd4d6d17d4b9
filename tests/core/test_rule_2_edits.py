"""Rule 2 and P9 at size: whoever was exposed keeps their variant through fifty edits.

Every edit opens a phase with a new seed, other weights, sometimes other arms or more coverage; a
part of the people passes the experiment after each. Three processes with different hash seeds must
agree on everyone. `ANTIPHON_PROOF_UNITS` plays more people than the two thousand of a plain run.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from engine.core.model import (
    EventMatch,
    EventTrigger,
    Experiment,
    ExperimentStep,
    Expose,
    Reentry,
    Variant,
)
from tests.core.build import Theatre, a_campaign, a_person, a_program, an_event, at, only

N_EDITS = 50
UNITS = int(os.environ.get("ANTIPHON_PROOF_UNITS", "2000"))
ROOT = Path(__file__).parents[2]
DAY_ONE = "2026-03-02T10:00Z"


def phases(rng: random.Random) -> list[Experiment]:
    """The experiment after each edit: coverage only grows, everything else may change."""
    found, coverage = [], 0.4
    for number in range(1, N_EDITS + 1):
        names = ["control", *rng.sample(["a", "b", "c", "d"], rng.randint(1, 4))]
        coverage = min(1.0, coverage + rng.choice((0.0, 0.0, 0.05)))
        variants = tuple(Variant(name, rng.randint(1, 5)) for name in names)
        found.append(
            Experiment(
                "test", "cart", variants, f"seed {number} {rng.random()}", number,
                coverage=coverage,
            )
        )  # fmt: skip
    return found


def theatre_of(experiment: Experiment) -> Theatre:
    """The workspace after an edit: its version differs too."""
    arms = {variant.name: None for variant in experiment.variants}
    campaign = a_campaign(
        "cart",
        ExperimentStep("fork", "test", arms),
        trigger=EventTrigger(EventMatch("Passed"), "properties.round"),
        reentry=Reentry("after_exit"),
        version=f"v{experiment.phase}",
    )
    return Theatre(
        a_program(
            campaign,
            release=experiment.phase,
            experiments={("test", experiment.phase): experiment},
            phases={"test": experiment.phase},
        )
    )


def lived(units: int) -> dict[int, list[tuple[int, str]]]:
    """(edit, variant) of everyone's every passage that the experiment covered."""
    rng = random.Random(7)
    theatres = [theatre_of(experiment) for experiment in phases(rng)]
    people = [a_person(number, is_new=False) for number in range(1, units + 1)]
    found: dict[int, list[tuple[int, str]]] = {number: [] for number in range(1, units + 1)}
    first: dict[int, int] = {}
    for edit, theatre in enumerate(theatres):
        now = at(DAY_ONE) + edit * 1_000_000
        for person in people:
            if rng.random() > 0.2:
                continue
            number = int(person.profile.id)
            event = an_event("Passed", now, seq=edit * units + number, round=f"r{edit}")
            effects = theatre.play(person, event)
            for exposure in only(effects, Expose):
                assert number not in first, "exposed a second time"
                first[number] = edit
                assert exposure.phase == edit + 1, "only the phase that stands is assigned from"
            known = person.state.exposures.get("test")
            if known is not None:
                found[number].append((edit, known.variant))
    return found


def digest(units: int) -> str:
    return hashlib.sha256(json.dumps(lived(units), sort_keys=True).encode()).hexdigest()


def test_no_edit_changes_the_variant_of_anyone_exposed() -> None:
    passages = lived(UNITS)

    flips = {
        number: variants
        for number, variants in passages.items()
        if len({variant for _, variant in variants}) > 1
    }
    assert flips == {}
    assert sum(len(variants) for variants in passages.values()) > UNITS, "people came back"
    assert len({variants[0][1] for variants in passages.values() if variants}) == 5


def test_three_processes_with_other_hash_seeds_agree_on_everyone() -> None:
    code = f"from tests.core.test_rule_2_edits import digest; print(digest({min(UNITS, 300)}))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("1", "77", "random")
    ]

    assert len(set(said)) == 1
    assert len(said[0].strip()) == 64
