"""Batches give what one at a time gives, on every id, in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.assignment import assign, bucket, in_layer, is_held_out
from experiments.assignment.batch import (
    CHUNK_UNITS,
    assign_batch,
    bucket_batch,
    in_chunks,
    in_layer_batch,
    is_held_out_batch,
)
from experiments.errors import AssignmentError

ANY_TEXT = st.text(alphabet=st.characters(blacklist_categories=()), max_size=12)
"""Surrogates that stand alone and characters beyond U+FFFF included."""

ODD = ["", "a", "ü🎵", "\ud83d", "\ud83d" + "\ude00", "a\0", "\0", "x" * 300, "𝔘nit", " ", "0"]


@settings(max_examples=60, deadline=None)
@given(seed=ANY_TEXT, units=st.lists(ANY_TEXT, max_size=40), version=st.sampled_from([1, 2]))
def test_a_batch_hashes_any_text_as_one_at_a_time(seed, units, version):
    expected = [bucket(seed, unit, version=version, imported=True) for unit in units]

    assert bucket_batch(seed, units, version=version, imported=True).tolist() == expected


@pytest.mark.parametrize("version", [2, "s256"])
def test_odd_ids_and_hashes_of_every_length_agree(version):
    units = [*ODD, *(f"user-{index}" for index in range(30_000))]

    found = bucket_batch("s", units, version=version)

    assert found.tolist() == [bucket("s", unit, version=version) for unit in units]


def test_hashes_of_few_digits_agree():
    # Fewer than seven digits is one hash in 4,000: the batch takes another way for those.
    from experiments.assignment.hashes import fnv1a32

    units = [f"unit-{index}" for index in range(60_000)]
    short = [unit for unit in units if fnv1a32("s" + unit) < 1_000_000]

    assert len(short) > 5
    assert bucket_batch("s", short).tolist() == [bucket("s", unit) for unit in short]


def test_an_audience_longer_than_a_chunk_keeps_its_order():
    units = [f"u{index}" for index in range(CHUNK_UNITS + 17)]

    found = bucket_batch("s", units)

    for index in (0, CHUNK_UNITS - 1, CHUNK_UNITS, CHUNK_UNITS + 16):
        assert found[index] == bucket("s", units[index])


@pytest.mark.parametrize(
    "units",
    [
        np.array(["u1", "Zoë", "user-22"]),
        np.array([b"u1", "Zoë".encode(), b"user-22"]),
        np.array(["u1", "Zoë", "user-22"], dtype=object),
        ("u1", "Zoë", "user-22"),
        [b"u1", "Zoë".encode(), b"user-22"],
    ],
    ids=["text array", "UTF-8 array", "objects", "tuple", "bytes"],
)
def test_arrays_of_text_and_of_bytes_are_taken(units):
    expected = [bucket("s", unit) for unit in ("u1", "Zoë", "user-22")]

    assert bucket_batch("s", units).tolist() == expected


@pytest.mark.parametrize("units", [[1, 2], ["a", 1], ["a", b"b"], np.array([1, 2]), [None]])
def test_units_that_are_no_text_are_refused(units):
    with pytest.raises(AssignmentError, match="not text"):
        bucket_batch("s", units)


def test_an_empty_audience_has_an_empty_answer():
    found = assign_batch([], seed="s", variants=("a", "b"), weights=(1, 1))

    assert (found.indices.tolist(), found.buckets.tolist()) == ([], [])


@pytest.mark.parametrize("version", [2, "s256"])
@pytest.mark.parametrize(("weights", "coverage"), [((1, 1, 1), 1.0), ((5, 0, 3), 0.3)])
def test_a_batch_assigns_as_one_at_a_time(version, weights, coverage):
    units = [f"u{index}" for index in range(3_000)]
    design = {
        "seed": "e",
        "variants": ("a", "b", "c"),
        "weights": weights,
        "coverage": coverage,
        "version": version,
    }

    found = assign_batch(units, **design)

    one_by_one = [assign(unit, **design) for unit in units]
    names = [found.variants[index] if index >= 0 else None for index in found.indices]
    chances = [found.probabilities[index] for index in found.indices]
    assert names == [each.variant for each in one_by_one]
    assert chances == [each.probability for each in one_by_one]
    assert found.buckets.tolist() == [each.bucket for each in one_by_one]


def test_slices_and_holdouts_agree_with_one_at_a_time():
    units = [f"u{index}" for index in range(2_000)]

    slices = in_layer_batch(units, layer_seed="l", start=0.2, end=0.7)
    held = is_held_out_batch(units, seed="h", share=0.1)

    assert slices.tolist() == [in_layer(u, layer_seed="l", start=0.2, end=0.7) for u in units]
    assert held.tolist() == [is_held_out(u, seed="h", share=0.1) for u in units]


def test_a_batch_refuses_what_one_at_a_time_refuses():
    with pytest.raises(AssignmentError, match="not independent"):
        bucket_batch("s", ["u"], version=1)
    with pytest.raises(AssignmentError, match="unknown"):
        bucket_batch("s", ["u"], version=3)
    with pytest.raises(AssignmentError, match="separates"):
        bucket_batch("a|b", ["u"], version="s256")
    with pytest.raises(AssignmentError, match="not distinct"):
        assign_batch(["u"], seed="s", variants=("a", "a"), weights=(1, 1))


def test_memory_beside_the_answer_does_not_grow_with_the_audience():
    def peak_beside_the_answer(n_units):
        units = [f"user-{index:09d}" for index in range(n_units)]
        tracemalloc.start()
        found = bucket_batch("s", units)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - found.nbytes

    one, four = peak_beside_the_answer(CHUNK_UNITS), peak_beside_the_answer(4 * CHUNK_UNITS)

    assert four < 1.2 * one


def test_chunks_of_an_audience_are_all_of_it_in_order():
    units = [str(index) for index in range(10)]

    chunks = list(in_chunks(units, 4))

    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert [unit for chunk in chunks for unit in chunk] == units
