"""Neutral vectors from another language, other processes, and independence between levels.

`vectors/assignment.json` was written by an implementation in JavaScript and says how each number
comes about: whoever reimplements the assignment can check theirs against it.
"""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency, kstest

from experiments.assignment import assign, bucket
from experiments.assignment.batch import assign_batch, bucket_batch, is_held_out_batch

VECTORS = Path(__file__).parent / "vectors" / "assignment.json"


def vectors(kind):
    return json.loads(VECTORS.read_text())[kind]


def test_every_bucket_is_that_of_the_other_implementation():
    rows = vectors("bucket_vectors")

    for seed, unit, s256, version_2 in rows:
        assert bucket(seed, unit, version="s256") == int(s256)
        assert bucket(seed, unit) == version_2
    assert len(rows) == 133


def test_every_assignment_is_that_of_the_other_implementation():
    for seed, unit, weights, coverage, version_2, s256 in vectors("assignment_vectors"):
        names = [str(index) for index in range(len(weights))]
        for version, expected in ((2, version_2), ("s256", s256)):
            found = assign(
                unit, seed=seed, variants=names, weights=weights, coverage=coverage, version=version
            )
            assert found.variant == (None if expected < 0 else str(expected))


def test_vectors_hold_in_processes_of_any_hash_seed():
    program = (
        "import json, sys; from experiments.assignment import bucket;"
        "rows = json.load(open(sys.argv[1]))['bucket_vectors'];"
        "bad = [r for r in rows if (str(bucket(r[0], r[1], version='s256')), bucket(r[0], r[1]))"
        " != (r[2], r[3])];"
        "print(len(rows) - len(bad), sys.flags.hash_randomization)"
    )

    answers = [
        subprocess.run(
            [sys.executable, "-c", program, str(VECTORS)],
            env={
                **os.environ,
                "PYTHONHASHSEED": "random",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(3)
    ]

    assert answers == [["133", "1"]] * 3


UNITS = [f"user-{index}" for index in range(60_000)]


@pytest.mark.parametrize("version", [2, "s256"])
def test_levels_with_their_own_seeds_are_independent(version):
    # Holdouts global and of a programme, a layer, two experiments on it: every pair of levels.
    seeds = ["2026-H1", "retention:2026-H1", "layer:cart", "cart-nudge:1", "cart-nudge:2"]
    levels = [bucket_batch(seed, UNITS, version=version) for seed in seeds]
    size = 10_000 if version == 2 else 1 << 53
    cells = [(level // (size // 8)).clip(0, 7) for level in levels]

    pvalues = [
        chi2_contingency(np.histogram2d(a, b, bins=(8, 8))[0]).pvalue
        for a, b in combinations(cells, 2)
    ]

    # Bonferroni over ten pairs; the ids are fixed, so this holds or fails for good.
    assert min(pvalues) > 0.001 / len(pvalues)


def test_buckets_of_s256_are_uniform_to_the_last_bit():
    found = bucket_batch("uniform", UNITS, version="s256")

    assert kstest(found / 2.0**53, "uniform").pvalue > 0.001
    # The lowest bits too: a share of 2**-53 would be as fair as one half.
    ones = [(int(np.count_nonzero(found >> bit & 1)) / len(UNITS)) for bit in range(53)]
    assert max(abs(one - 0.5) for one in ones) < 5 * 0.5 / len(UNITS) ** 0.5


def test_the_held_out_are_split_evenly_by_every_experiment_below():
    held = is_held_out_batch(UNITS, seed="2026-H1", share=0.1)

    for experiment in range(20):
        found = assign_batch(UNITS, seed=f"e{experiment}:1", variants=("a", "b"), weights=(1, 1))
        table = np.histogram2d(held, found.indices, bins=(2, 2))[0]
        assert chi2_contingency(table).pvalue > 0.001 / 20
