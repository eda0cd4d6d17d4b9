"""Every simulated promise of `experiments/`, as the table that the docs quote.

Run: ANTIPHON_TEST_SCALE=10 python -m tests.experiments.simulations [WORDS OF AN AREA]

A module with promises of its own ends in a tuple SIMULATIONS and is added to MODULES.
"""

import importlib
import sys

from tests.experiments.simulation import Measured, Simulation

MODULES = (
    "tests.experiments.evidence_runs",
    "tests.experiments.estimation_runs",
    "tests.experiments.bandit_runs",
    "tests.experiments.programme_runs",
    "tests.experiments.contextual_runs",
    "tests.experiments.context_runs",
)

SEED = 20_260_301


def simulations() -> tuple[Simulation, ...]:
    """All of them, module by module."""
    return tuple(
        simulation
        for module in MODULES
        for simulation in importlib.import_module(module).SIMULATIONS
    )


def table(measured: list[Measured]) -> str:
    """As Markdown. Shortcuts are what others do: they are there to be seen failing."""
    rows = ["| area | what | promised | runs | measured |", "|---|---|---|---:|---:|"]
    for each in measured:
        what = each.simulation.what
        if each.simulation.is_shortcut:
            what, promise = f"*shortcut: {what}*", "breaks"
        else:
            promise = each.promise
        rows.append(
            f"| {each.simulation.area} | {what} | {promise} | {each.runs:,} | {each.share:.2%} |"
        )
    return "\n".join(rows)


def main() -> int:
    wanted = [word.lower() for word in sys.argv[1:]]
    chosen = [
        each
        for each in simulations()
        if not wanted or any(word in each.area.lower() for word in wanted)
    ]
    measured = [each.measured(seed=SEED) for each in chosen]
    print(table(measured))
    broken = [each for each in measured if not each.holds]
    for each in broken:
        print(f"BROKEN: {each.simulation.what}: {each.share:.2%}, promised {each.promise}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
