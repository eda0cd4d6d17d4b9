import os
import random
import subprocess
import sys
from itertools import pairwise

import pytest
from growthbook.core import gbhash, getBucketRanges
from hypothesis import assume, given
from hypothesis import strategies as st

from experiments.assignment import (
    N_BUCKETS,
    assign,
    bucket,
    bucket_ranges,
    fnv1a32,
    in_growthbook_namespace,
    in_layer,
    is_held_out,
)
from experiments.distributions import chi_square_tail
from experiments.errors import AssignmentError
from tests.experiments.data import growthbook_cases

# Version 2 and 1 from the public GrowthBook cases; s256 worked out with `sha256sum` and `bc`:
# printf 'antiphon-1|seed|b' | sha256sum, first 16 hex digits, shifted right by 11 bits.
GOLDEN = [
    ("seed", "b", 2, 2696),
    ("foo", "def", 2, 2019),
    ("90850943850283058242805", "123", 2, 7516),
    ("b", "a", 1, 946),
    ("asdf", "8952klfjas09ujk", 1, 549),
    ("seed", "b", "s256", 1580994677696859),
    ("", "ü🎵", "s256", 8897014940829584),
]


def _flat(ranges):
    return [bound for pair in ranges for bound in pair]


def chi_square(observed, expected):
    return sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))


@pytest.mark.parametrize(("seed", "unit", "version", "expected"), GOLDEN)
def test_golden_vectors_never_change(seed, unit, version, expected):
    assert bucket(seed, unit, version=version, imported=True) == expected


def test_the_public_hash_cases_agree():
    for seed, unit, version, share in growthbook_cases("hash"):
        if share is None:
            with pytest.raises(AssignmentError, match="unknown"):
                bucket(seed, unit, version=version)
        else:
            found = bucket(seed, unit, version=version, imported=True) / N_BUCKETS[version]
            assert found == share


@given(seed=st.text(), unit=st.text())
def test_version_2_equals_the_growthbook_sdk_on_any_text(seed, unit):
    assert bucket(seed, unit) / 10_000 == gbhash(seed, unit, 2)
    assert bucket(seed, unit, version=1, imported=True) / 1_000 == gbhash(seed, unit, 1)


def test_hashes_whose_first_round_is_short_agree_too():
    # The second round takes a table for ten digits and a loop for fewer: both must be met.
    units = [f"unit-{i}" for i in range(3_000)]
    lengths = {len(str(fnv1a32("s" + unit))) for unit in units}

    assert lengths >= {9, 10}
    assert all(bucket("s", unit) / 10_000 == gbhash("s", unit, 2) for unit in units)


@given(
    weights=st.lists(st.integers(1, 1_000), min_size=1, max_size=6),
    coverage=st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 1.0]),
    unit=st.text(min_size=1),
)
def test_a_variant_is_the_one_the_sdk_chooses_from_our_ranges(weights, coverage, unit):
    variants = [f"v{i}" for i in range(len(weights))]
    share = gbhash("exp", unit, 2)
    expected = [
        name
        for name, (start, end) in zip(
            variants, bucket_ranges(weights, coverage=coverage), strict=True
        )
        if start <= share < end
    ]

    try:
        found = assign(unit, seed="exp", variants=variants, weights=weights, coverage=coverage)
    except AssignmentError:  # A variant of less than one bucket: refused, as tested below.
        assume(False)

    assert ([found.variant] if found.variant else []) == expected


def test_ranges_equal_the_public_cases_that_whole_weights_can_say():
    told = 0
    for _, (n, coverage, weights), ranges in growthbook_cases("getBucketRange"):
        whole = [round(w * 10_000) for w in weights] if weights else [1] * n
        if coverage > 1 or sum(whole) not in (n, 10_000):
            continue  # GrowthBook repairs these; we refuse them or take the ratios at their word.
        assert _flat(bucket_ranges(whole, coverage=coverage)) == pytest.approx(
            _flat(ranges), abs=1e-12
        )
        told += 1
    assert told >= 4


def test_ranges_equal_the_sdk():
    for weights in ((1, 1), (2, 3, 5), (1, 1, 1), (97, 2, 1)):
        shares = [w / sum(weights) for w in weights]
        assert _flat(bucket_ranges(weights, coverage=0.4)) == pytest.approx(
            _flat(getBucketRanges(len(weights), 0.4, shares)), abs=1e-12
        )


def test_choosing_from_ranges_agrees_with_the_public_cases():
    # Their ranges as weights and coverage of ours.
    expressed = {"even": ((1, 1), 1.0), "reduced": ((1, 1), 0.5), "zero": ((1, 0, 1), 1.0)}

    for name, share, ranges, index in growthbook_cases("chooseVariation"):
        weights, coverage = expressed[name.split()[0]]
        ours = bucket_ranges(weights, coverage=coverage)
        assert _flat(ours) == _flat(ranges)
        inside = [i for i, (start, end) in enumerate(ours) if start <= share < end]
        assert (inside or [-1]) == [index]


def test_membership_in_imported_namespaces_equals_the_public_cases():
    for _, unit, (namespace, start, end), expected in growthbook_cases("inNamespace"):
        assert in_growthbook_namespace(unit, namespace=namespace, start=start, end=end) is expected


def test_equal_weights_give_equal_shares_as_the_public_cases():
    for n, weights in growthbook_cases("getEqualWeights"):
        if n > 0:
            widths = [end - start for start, end in bucket_ranges([1] * n)]
            assert widths == pytest.approx(weights, abs=1e-7)


def test_version_1_is_refused_for_new_experiments():
    with pytest.raises(AssignmentError, match="not independent"):
        bucket("seed", "u1", version=1)
    with pytest.raises(AssignmentError, match="not independent"):
        assign("u1", seed="s", variants=("a", "b"), weights=(1, 1), version=1)


def test_version_1_deserves_its_refusal():
    # Neighbouring seeds of the same units: a 10 x 10 table that independence would keep flat.
    assert min(_independence_pvalues(1)) < 1e-6


@pytest.mark.parametrize("version", [2, "s256"])
def test_neighbouring_seeds_are_independent(version):
    pvalues = _independence_pvalues(version)

    # Bonferroni over the pairs: a chance alarm once in a thousand runs, and the ids are fixed.
    assert min(pvalues) > 0.001 / len(pvalues)


def _independence_pvalues(version, *, n=10_000, seeds=6):
    size = N_BUCKETS[version]
    rows = [
        [bucket(f"exp-{s}", f"{u}", version=version, imported=True) * 10 // size for u in range(n)]
        for s in range(seeds)
    ]
    pvalues = []
    for left, right in pairwise(rows):
        table = [0] * 100
        for a, b in zip(left, right, strict=True):
            table[a * 10 + b] += 1
        pvalues.append(chi_square_tail(chi_square(table, [n / 100] * 100), degrees_of_freedom=99))
    return pvalues


@pytest.mark.parametrize("version", [2, "s256"])
def test_buckets_are_uniform(version):
    n, size = 40_000, N_BUCKETS[version]
    counts = [0] * 50
    for unit in range(n):
        counts[bucket("uniform", f"user-{unit}", version=version) * 50 // size] += 1

    assert chi_square_tail(chi_square(counts, [n / 50] * 50), degrees_of_freedom=49) > 0.001


def test_a_unit_keeps_its_variant_when_coverage_grows():
    def given_at(coverage):
        return {
            unit: assign(
                str(unit), seed="s", variants=("a", "b"), weights=(3, 1), coverage=coverage
            ).variant
            for unit in range(2_000)
        }

    small, large = given_at(0.1), given_at(0.6)

    moved = [unit for unit, variant in small.items() if variant and large[unit] != variant]
    assert moved == []
    assert sum(v is not None for v in large.values()) > sum(v is not None for v in small.values())


def test_the_same_answer_in_every_process_whatever_its_hash_seed():
    program = (
        "from experiments.assignment import assign;"
        "print([assign(str(u), seed='s', variants=('a', 'b'), weights=(1, 2)).variant"
        " for u in range(200)])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }

    assert len(answers) == 1


def test_probabilities_are_those_of_the_buckets_and_sum_to_one():
    units = [str(unit) for unit in range(5_000)]

    given_ = [
        assign(u, seed="s", variants=("a", "b", "c"), weights=(1, 1, 1), coverage=0.5)
        for u in units
    ]
    chances = {found.variant: found.probability for found in given_}

    assert sum(chances.values()) == pytest.approx(1, abs=1e-12)
    # ceil(10000/6) buckets: the exact chance, not 1/6.
    assert chances["a"] == 0.1667
    for variant, chance in chances.items():
        share = sum(found.variant == variant for found in given_) / len(given_)
        assert share == pytest.approx(chance, abs=0.02)


def test_weights_are_shares_to_the_bucket():
    weights = (70, 20, 10)
    n = 20_000

    counts = [0, 0, 0]
    for unit in range(n):
        found = assign(f"x{unit}", seed="w", variants=("a", "b", "c"), weights=weights)
        counts["abc".index(found.variant)] += 1

    expected = [n * w / 100 for w in weights]
    assert chi_square_tail(chi_square(counts, expected), degrees_of_freedom=2) > 0.001


def test_a_variant_too_small_for_the_buckets_is_refused_and_s256_takes_it():
    arguments = {"seed": "s", "variants": ("big", "tiny"), "weights": (10**6, 1)}

    with pytest.raises(AssignmentError, match="s256"):
        assign("u", **arguments, coverage=0.001)
    assert assign("u", **arguments, version="s256").variant == "big"


@pytest.mark.parametrize(
    ("variants", "weights", "message"),
    [
        (("a",), (1, 2), "1 variants but 2 weights"),
        (("a", "a"), (1, 1), "not distinct"),
        (("a", "b"), (0, 0), "every weight is 0"),
        (("a", "b"), (-1, 2), "weight -1"),
        (("a", "b"), (0.5, 0.5), "weight 0.5"),
        ((), (), "no variant"),
    ],
)
def test_weights_that_make_no_sense_are_refused(variants, weights, message):
    with pytest.raises(AssignmentError, match=message):
        assign("u", seed="s", variants=variants, weights=weights)


@pytest.mark.parametrize("coverage", [-0.1, 1.5, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    with pytest.raises(AssignmentError, match="share between 0 and 1"):
        bucket_ranges((1, 1), coverage=coverage)


def test_slices_of_a_layer_share_no_unit_and_leave_none_out():
    cuts = [(0.0, 0.3), (0.3, 0.7), (0.7, 1.0)]

    for unit in range(2_000):
        inside = [in_layer(str(unit), layer_seed="cart", start=a, end=b) for a, b in cuts]
        assert sum(inside) == 1


def test_a_holdout_grows_without_releasing_anyone():
    units = [str(unit) for unit in range(4_000)]
    two = {unit for unit in units if is_held_out(unit, seed="2026-H1", share=0.02)}
    five = {unit for unit in units if is_held_out(unit, seed="2026-H1", share=0.05)}

    assert two < five
    assert len(five) == pytest.approx(200, abs=60)
    assert not any(is_held_out(unit, seed="2026-H1", share=0.0) for unit in units)
    assert all(is_held_out(unit, seed="2026-H1", share=1.0) for unit in units)


def test_holdout_and_experiment_are_independent_under_their_own_seeds():
    rng = random.Random(7)
    units = [f"{rng.getrandbits(64):x}" for _ in range(20_000)]

    held = [unit for unit in units if is_held_out(unit, seed="global", share=0.2)]
    in_b = sum(
        assign(u, seed="exp", variants=("a", "b"), weights=(1, 1)).variant == "b" for u in held
    )

    expected = len(held) / 2
    assert (
        chi_square_tail(chi_square([in_b, len(held) - in_b], [expected] * 2), degrees_of_freedom=1)
        > 0.001
    )


def test_a_seed_that_could_be_read_two_ways_is_refused():
    with pytest.raises(AssignmentError, match="separates"):
        bucket("a|b", "c", version="s256")


def test_importing_assignment_loads_no_numeric_library():
    program = (
        "import sys, experiments.assignment;"
        "print([m for m in ('numpy', 'scipy', 'statsmodels', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout.strip() == "[]"
