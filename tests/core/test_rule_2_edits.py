"""Rule 2 and P9 at size: whoever was exposed keeps their variant through fifty edits.

Every edit opens a phase with a new seed, other weights, sometimes other arms or more coverage; a
part of the people passes the experiment after each. Three processes with different hash seeds must
agree on everyone. Served units go through the same edits by the thousand, kinds of units, bandits,
forced units, layers and audiences among them: `ANTIPHON_TEST_SCALE=500` makes them a million.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.core.assigning import Asked, Ids, decide, exposure_key
from engine.core.model.campaigns import (
    Allocation,
    Bandit,
    EventTrigger,
    Experiment,
    Reentry,
    Variant,
)
from engine.core.model.conditions import EventMatch
from engine.core.model.effects import Expose
from engine.core.model.people import Exposed
from engine.core.model.steps import ExperimentStep
from engine.core.roster import roster_of
from engine.core.segments import for_program
from tests.core.build import Theatre, a_campaign, a_person, a_program, an_event, at, only
from tests.rig.sizes import scaled

N_EDITS = 50
UNITS = 2_000
SERVED_UNITS = scaled(2_000)
PIECE = 5_000
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


# --- served: every kind of edit, by the decision alone --------------------------------------------


def served_phases(unit: str, rng: random.Random) -> list[tuple[Experiment, tuple[Allocation, ...]]]:
    """An experiment after each edit: nothing but the unit stays as it was."""
    found = []
    for number in range(1, N_EDITS + 1):
        names = ["control", *rng.sample(["a", "b", "c", "d"], rng.randint(1, 4))]
        rules: dict[str, Any] = {
            "coverage": rng.choice((0.2, 0.6, 1.0)),
            "hash_version": rng.choice(("2", "s256")),
            "bandit": rng.choice((None, None, Bandit(explore=0.2))),
            "layer": rng.choice((None, ("layer:x", 0.0, rng.choice((0.3, 0.9))))),
            "audience": rng.choice(("", "", "", "nobody")),
        }
        learnt = tuple(
            Allocation(place, place, {name: rng.randint(500, 9_000) for name in names})
            for place in range(1, 4)
        )
        variants = tuple(Variant(name, rng.randint(1, 5)) for name in names)
        one = Experiment(
            "test", "", variants, f"seed {number} {rng.random()}", number, unit=unit, **rules
        )
        found.append((one, learnt))
    return found


def flips(units: int, *, unit: str) -> tuple[int, int, str]:
    """(changes of a variant among exposed units, exposed units, digest of every variant).

    After each edit a part of the units is exposed, and each that ever was is asked again.
    """
    rng = random.Random(f"{unit} 11")
    programs = []
    for one, learnt in served_phases(unit, rng):
        program = a_program(
            release=one.phase,
            experiments={("test", one.phase): one},
            phases={"test": one.phase},
            allocations={"test": learnt},
        )
        programs.append((program, roster_of(program), for_program(program)))
    n_flips, n_exposed, said = 0, 0, hashlib.sha256()
    for start in range(0, units, PIECE):
        people = [a_person(number) for number in range(start + 1, min(start + PIECE, units) + 1)]
        first: dict[int, str] = {}
        for edit, (program, roster, segments) in enumerate(programs):
            for person in people:
                number = int(person.profile.id)
                if number not in first and rng.random() > 0.1:
                    continue
                visitor = f"v{number}" if unit == "anonymous" else ""
                ids = Ids(anonymous=visitor)
                given = decide(Asked(program, roster, segments, person, edit, ids=ids), "test")
                if number in first:
                    n_flips += given.variant != first[number]
                elif given.is_exposing:
                    first[number] = given.variant
                    key = exposure_key("test", given.unit)
                    person.state.exposures[key] = Exposed(given.variant, edit + 1, edit)
        n_exposed += len(first)
        said.update(json.dumps(sorted(first.items())).encode())
    return n_flips, n_exposed, said.hexdigest()


def test_no_edit_of_any_kind_changes_what_a_served_unit_sees() -> None:
    for unit in ("profile", "anonymous"):
        n_flips, n_exposed, _ = flips(SERVED_UNITS, unit=unit)

        assert n_flips == 0
        assert n_exposed > 0.8 * SERVED_UNITS, "nearly everyone was let in by one of fifty edits"


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
    code = (
        "from tests.core.test_rule_2_edits import digest, flips; "
        f"print(digest(300), flips({scaled(500)}, unit='anonymous'))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=3600,
            check=True,
        ).stdout
        for seed in ("1", "77", "random")
    ]

    assert len(set(said)) == 1
    assert said[0].split()[1] == "(0,", "nor did anyone's variant change in any of them"
