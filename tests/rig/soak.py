"""Thousands of seeds, one after the other; a table of what they met, and last the verdict.

    python -m tests.rig.soak --seeds 2000 --first-seed 1

Exits with 1 if any seed broke a promise. A seed that did belongs into `corpus.txt`, for ever.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic

from engine.core.model.effects import Displace, Moved
from tests.rig.invariants import CHECKS
from tests.rig.run import Verdict, run_seed

PROGRESS_SECONDS = 10.0
OTHER = "anything else"
"""An error that no part of the engine should let out: a broken promise that no check names."""


@dataclass
class Tally:
    """What the seeds so far have met.

    Attributes:
        crashes: By failpoint; an event that kills whoever plays it counts as "poison".
        violations: By invariant.
        broken: The seeds that broke a promise.
    """

    counts: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    broken: list[int] = field(default_factory=list)

    def take(self, verdict: Verdict) -> None:
        """Add one seed."""
        world = verdict.world
        self.crashes += world.n_crashes_at
        self.crashes["poison"] += world.recorder.n_kills
        met = {
            "seeds": 1,
            "lives of a process": world.n_lives,
            "acknowledged events": len(world.clients.acknowledged),
            "acknowledged triggers of the API": sum(bool(it) for _, it in world.triggers.values()),
            "releases with other files": world.n_published,
            "orders of operators": len(world.orders),
            "withdrawals": len(world.withdrawals),
            "messages and calls attempted": len({it.message for it in world.ledger.calls}),
            "attempts": len(world.ledger.calls),
            "ambiguous attempts": sum(it.reply == "ambiguous" for it in world.ledger.calls),
        }
        self.counts.update(met)
        for call in world.recorder.journal:
            for effect in call.effects:
                if isinstance(effect, Displace | Moved):
                    did = "displaced" if isinstance(effect, Displace) else "moved by a release"
                    self.counts[did] += 1
        for violation in verdict.violations:
            name = next((it for it in CHECKS if violation.startswith(f"{it}: ")), OTHER)
            self.violations[name] += 1
        if verdict.violations:
            self.broken.append(verdict.seed)

    def table(self) -> str:
        """Three parts: what was met, where processes died, what was found."""
        found = {name: self.violations[name] for name in (*CHECKS, OTHER)}
        parts = (
            ("met", dict(self.counts)),
            ("crashes at", dict(sorted(self.crashes.items()))),
            ("violations of", found),
        )
        lines = []
        for title, rows in parts:
            lines.append(f"{title}")
            lines += [f"  {name:<34}{n:>12,}" for name, n in rows.items()]
        return "\n".join(lines)


def main() -> int:
    """Run the seeds asked for; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first-seed", type=int, default=1)
    arguments = parser.parse_args()

    started = shown = monotonic()
    tally = Tally()
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        verdict = run_seed(seed)
        tally.take(verdict)
        if verdict.violations:
            print(verdict.words, flush=True)
        if monotonic() - shown > PROGRESS_SECONDS:
            shown = monotonic()
            done = seed - arguments.first_seed + 1
            print(f"{done:,} of {arguments.seeds:,} seeds, {len(tally.broken)} broken", flush=True)
    print(tally.table())
    print(
        f"{'BROKEN' if tally.broken else 'ok'}: {arguments.seeds:,} seeds from "
        f"{arguments.first_seed:,} in {monotonic() - started:.0f} s, "
        f"{tally.crashes.total():,} crashes, {tally.counts['acknowledged events']:,} acknowledged "
        f"events; {len(tally.broken)} seeds with violations {tally.broken[:20] or ''}".rstrip()
    )
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
