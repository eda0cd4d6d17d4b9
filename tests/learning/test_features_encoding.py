"""A table becomes the same matrix whenever it is encoded, and a gap is not what is not there."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.learning.features import Encoding, FeatureTable, Shares, encode
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

NAN = float("nan")


def a_table(
    numbers: dict[str, list[float]],
    texts: dict[str, list[str]] | None = None,
    shares: list[tuple[int, str, float]] | None = None,
    n: int | None = None,
) -> FeatureTable:
    columns = {name: np.array(it, dtype=float) for name, it in numbers.items()}
    words = {name: np.array(it, dtype=np.str_) for name, it in (texts or {}).items()}
    size = n or len(next(iter([*columns.values(), *words.values()])))
    spread = None
    if shares is not None:
        spread = Shares(
            np.array([it[0] for it in shares], dtype=np.int64),
            np.array([it[1] for it in shares], dtype=np.str_),
            np.array([it[2] for it in shares], dtype=float),
        )
    return FeatureTable(np.arange(1, size + 1), 0, columns, words, spread)


def column(matrix: Matrix, name: str) -> list[float]:
    found: list[float] = matrix.values[:, matrix.names.index(name)].tolist()
    return found


def test_who_never_bought_bought_longer_ago_than_anybody_and_a_flag_says_so() -> None:
    table = a_table({"recency_days": [3, NAN, 90], "never_bought": [0, 1, 0], "age": [NAN, 1, 2]})

    matrix, encoding = encode(table)

    assert matrix.names == ("recency_days", "never_bought", "age")
    assert column(matrix, "recency_days") == [3, 90, 90]
    assert np.isnan(column(matrix, "age")[0])
    later = a_table({"recency_days": [NAN, 200], "never_bought": [1, 0], "age": [1, 1]})
    # Frozen: the value of the training stands in, whatever the others are by now.
    assert column(encode(later, encoding=encoding)[0], "recency_days") == [90, 200]


def test_an_unseen_level_or_category_is_other_and_an_unknown_one_is_none() -> None:
    texts = [f"c{n:02}" for n in range(25)] + ["c00", ""]
    shares = [(0, "Shoes", 0.75), (0, "Bags", 0.25), (1, "Shoes", 1.0), (26, "Hats", 1.0)]
    table = a_table({"x": list(range(27))}, {"country": texts}, shares)

    matrix, encoding = encode(table)

    # Twenty levels, the most frequent first and then by the alphabet; five share `other`.
    assert encoding.levels["country"] == tuple(f"c{n:02}" for n in range(20))
    assert sum(column(matrix, "country=other")) == 5
    assert encoding.categories == ("Shoes", "Hats", "Bags")
    assert "affinity:other" not in matrix.names  # nobody had any: nothing was learnt of it
    later = a_table(
        {"x": [1, 2, 3]},
        {"country": ["c01", "XX", ""]},
        [(0, "Bags", 0.5), (0, "Gloves", 0.5), (2, "Shoes", 1.0)],
    )
    again, _ = encode(later, encoding=encoding)
    assert again.names == matrix.names
    assert column(again, "country=c01") == [1, 0, 0]
    assert column(again, "country=other") == [0, 1, 0]
    assert column(again, "affinity:Bags") == [0.5, 0, 0]
    assert encoding.unseen(later) == {"country": 0.5}


def test_ordinal_codes_go_by_frequency_with_one_for_all_others() -> None:
    table = a_table({}, {"device": ["mobile", "desktop", "mobile", "", "tablet"]})

    matrix, encoding = encode(table, how="ordinal")
    later, _ = encode(a_table({}, {"device": ["tv", "desktop"]}), encoding=encoding)

    assert matrix.names == ("device",)
    assert column(matrix, "device") == pytest.approx([0, 1, 0, NAN, 2], nan_ok=True)
    assert column(later, "device") == [3, 1]


def test_columns_that_tell_nobody_apart_are_left_out_for_good() -> None:
    table = a_table({"same": [2, 2, 2], "empty": [NAN] * 3, "half": [1, NAN, 1], "x": [1, 2, 3]})

    matrix, encoding = encode(table)
    later, _ = encode(
        a_table({"same": [1, 2], "empty": [1, 2], "half": [1, 2], "x": [1, 2]}), encoding=encoding
    )

    assert matrix.names == later.names == ("half", "x")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (a_table({"x": [1.0]}), "1 person"),
        (a_table({"x": []}), "0 people"),
        (a_table({"x": [1.0, 1.0]}, {"device": ["a", "a"]}), "the same for all"),
        (a_table({"x": [1.0, float("inf")]}), "infinite"),
    ],
)
def test_a_table_that_teaches_nothing_is_refused(table: FeatureTable, said: str) -> None:
    with pytest.raises(Refused, match=said):
        encode(table)


def test_a_table_without_a_feature_of_the_training_is_refused() -> None:
    _, encoding = encode(a_table({"x": [1, 2], "y": [1, 2]}, {"device": ["a", "b"]}, []))

    with pytest.raises(Refused, match="y, device, affinities"):
        encode(a_table({"x": [1, 2]}), encoding=encoding)


def test_a_trait_that_was_a_number_and_now_is_text_is_a_gap() -> None:
    _, encoding = encode(a_table({"x": [1, 2], "traits.size": [1, 2]}))

    matrix, _ = encode(a_table({"x": [1]}, {"traits.size": ["XL"]}), encoding=encoding)

    assert np.isnan(column(matrix, "traits.size")[0])


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_an_encoding_read_back_from_its_schema_does_the_same(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 12))
    some = st.lists(st.sampled_from([0.0, 1.5, NAN]), min_size=n, max_size=n)
    words = st.lists(st.sampled_from(["", "a", "b", "other", "ä=1"]), min_size=n, max_size=n)
    spread = st.lists(
        st.tuples(st.integers(0, n - 1), st.sampled_from(["X", "Y"]), st.just(0.5)), max_size=6
    )
    table = a_table(
        {"x": list(range(n)), "recency_days": data.draw(some), "never_bought": [1.0] * n},
        {"device": data.draw(words)},
        data.draw(spread),
    )

    matrix, encoding = encode(table, how=data.draw(st.sampled_from(["one_hot", "ordinal"])))
    read = Encoding.from_schema(json.loads(json.dumps(encoding.to_schema(), allow_nan=False)))
    again, _ = encode(table, encoding=read)

    assert read == encoding
    assert again.names == matrix.names
    assert again.values.tobytes() == matrix.values.tobytes()
    assert len(set(matrix.names)) == len(matrix.names)
