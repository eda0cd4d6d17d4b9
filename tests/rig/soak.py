"""Thousands of seeds, one after the other; the last line is the verdict.

    python -m tests.rig.soak --seeds 2000 --first-seed 1

Exits with 1 if any seed broke a promise. A seed that did belongs into `corpus.txt`, for ever.
"""

import argparse
import sys
from collections import Counter
from time import monotonic

from tests.rig.run import run_seed

PROGRESS_SECONDS = 10.0


def main() -> int:
    """Run the seeds asked for; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first-seed", type=int, default=1)
    arguments = parser.parse_args()

    started = shown = monotonic()
    hits: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    broken: list[int] = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        verdict = run_seed(seed)
        world = verdict.world
        hits += world.hits
        counts["crashes"] += world.n_crashes + world.recorder.n_kills
        counts["acknowledged events"] += len(world.clients.acknowledged)
        counts["calls"] += len(world.ledger.calls)
        counts["ambiguous"] += sum(call.reply == "ambiguous" for call in world.ledger.calls)
        counts["withdrawals"] += len(world.withdrawals)
        if verdict.violations:
            broken.append(seed)
            print(verdict.words, flush=True)
        if monotonic() - shown > PROGRESS_SECONDS:
            shown = monotonic()
            done = seed - arguments.first_seed + 1
            print(f"{done:,} of {arguments.seeds:,} seeds, {len(broken)} broken", flush=True)
    print(f"failpoints hit: {dict(sorted(hits.items()))}")
    found = ", ".join(f"{n:,} {what}" for what, n in counts.items())
    seconds = monotonic() - started
    print(
        f"{'BROKEN' if broken else 'ok'}: {arguments.seeds:,} seeds from "
        f"{arguments.first_seed:,} in {seconds:.0f} s, {found}; "
        f"{len(broken)} seeds with violations {broken[:20] or ''}".rstrip()
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
