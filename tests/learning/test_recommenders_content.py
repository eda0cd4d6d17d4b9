"""TF-IDF as scikit-learn weighs it, cosines, and two rankings fused."""

import numpy as np
import pytest

from engine.learning.recommenders.content import fit_content
from engine.learning.recommenders.engines import ByContent
from engine.learning.recommenders.fusing import DEPTH, K, fused
from engine.learning.recommenders.tastes import Taste

TITLES = (
    "Green tea, loose leaf", "green TEA bags", "Stainless steel teapot", "Steel hammer", "", "Tea",
)  # fmt: skip


def test_words_are_weighed_as_scikit_learn_weighs_them() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = fit_content([{"title": it} for it in TITLES], text=("title",), attributes=())

    assert found is not None
    theirs = TfidfVectorizer().fit_transform(TITLES)
    assert found.table().toarray() == pytest.approx(theirs.toarray(), abs=1e-7)


def test_texts_and_attributes_count_alike_and_rows_have_length_one() -> None:
    rows = [
        {"title": "mug red", "category": "Kitchen", "tags": ["gift", "new"]},
        {"title": "mug blue", "category": "kitchen ", "tags": ["gift"]},
        {"title": "saw", "category": "Tools"},
        {},
    ]

    found = fit_content(rows, text=("title",), attributes=("category", "tags"))

    assert found is not None
    table = found.table().toarray()
    assert np.linalg.norm(table, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-6)
    engine = ByContent(found)
    to_first = engine.likeness(0, [0, 1, 2, 3])
    assert to_first[0] == pytest.approx(1, abs=1e-6)
    assert 0.4 < to_first[1] < 1
    assert to_first[2:].tolist() == [0, 0]


def test_items_without_a_word_make_no_content() -> None:
    assert fit_content([{}, {"title": ""}], text=("title",), attributes=("category",)) is None


def test_effects_sum_to_the_cosine_with_what_is_liked() -> None:
    found = fit_content([{"title": it} for it in TITLES], text=("title",), attributes=())
    assert found is not None
    engine = ByContent(found)
    liked = Taste(np.asarray([0, 3]), np.asarray([2.0, 0.5]))

    scores = engine.scores(liked)

    person = 2.0 * found.table().toarray()[0] + 0.5 * found.table().toarray()[3]
    exact = found.table().toarray() @ person / np.linalg.norm(person)
    for item in range(len(TITLES)):
        if exact[item] > 0:
            assert scores[item] == pytest.approx(exact[item], abs=1e-6)
            assert sum(engine.effects(liked, item).values()) == pytest.approx(exact[item], abs=1e-6)
        else:
            assert scores[item] == -np.inf


def test_fused_scores_are_reciprocal_ranks() -> None:
    first, second = np.asarray([3.0, 2.0, -np.inf, 1.0]), np.asarray([-np.inf, 5.0, 9.0, -np.inf])

    found = fused(first, second, weight=0.25)

    assert found == pytest.approx(
        [0.75 / (K + 1), 0.75 / (K + 2) + 0.25 / (K + 2), 0.25 / (K + 1), 0.75 / (K + 3)]
    )


def test_a_weight_of_nothing_leaves_one_ranking_as_it_was() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=DEPTH + 300), rng.normal(size=DEPTH + 300)

    found = fused(first, second, weight=0.0)

    expected = np.argsort(-first, kind="stable")[:DEPTH]
    assert np.array_equal(np.argsort(-found, kind="stable")[:DEPTH], expected)
    assert (found > -np.inf).sum() == DEPTH
