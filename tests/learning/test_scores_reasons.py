"""Why a score is what it is, who has drifted, who is too new to be scored, and the report."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from engine.learning.artifact import Artifact, pack, unpack
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused
from engine.learning.scores import Prior, Reference, Trained, drift, is_cold, matured, report, train
from engine.learning.scores.columns import groups
from engine.learning.scores.drift import stability_index
from engine.learning.scores.metrics import auc
from engine.learning.scores.reasons import importance, reasons_of, typical_of
from tests.learning.scored_people import a_score, some_folds, some_people, ticking


@pytest.fixture(scope="module")
def it() -> Trained:
    rng = np.random.default_rng(1)
    return train(some_folds(rng, 2_000, k=2), a_score(), rng=rng, clock=ticking())


NAMES = ("a", "device=x", "device=y", "hour:00", "hour:01")


def test_effects_of_an_additive_score_are_its_terms() -> None:
    """Score = 2 a + 3 [x] + hour 0: with a = 1, y, 0.5 and typical a = 0, x, 0.25 / 0.75."""
    weights = np.array([2.0, 3.0, 0.0, 1.0, 0.0])
    typical = np.array([0.0, 1.0, 0.0, 0.25, 0.75])
    person = np.array([[1.0, 0.0, 1.0, 0.5, 0.5], typical])

    found = reasons_of(person, NAMES, typical, lambda rows: rows @ weights, top=3)

    assert found[0] == [("device", -3.0), ("a", 2.0), ("hours", 0.25)]
    assert found[1] == []
    assert reasons_of(person, NAMES, typical, lambda rows: rows @ weights, top=1)[0] == [
        ("device", -3.0)
    ]


def test_a_typical_person_has_one_level_of_each_text_and_medians_else() -> None:
    values = np.array([[1.0, 1, 0, 0.2, 0.8], [2.0, 0, 1, 0.2, 0.8], [np.nan, 0, 1, 0.9, 0.1]])

    np.testing.assert_array_equal(typical_of(values, NAMES), [1.5, 0, 1, 0.2, 0.8])


def test_a_number_and_the_flag_of_its_absence_are_one_feature() -> None:
    assert groups(["recency_days", "frequency", "never_bought", "traits.plan=pro"]) == {
        "recency_days": [0, 2],
        "frequency": [1],
        "traits.plan": [3],
    }


def test_reasons_of_a_trained_score_tell_what_was_planted(it: Trained) -> None:
    """Long unseen on the desktop: recency speaks against, and strongest."""
    matrix, _ = some_people(np.random.default_rng(2), 3)
    values = matrix.values.copy()
    values[0] = [200, 0, 2, 100, 0, 1, 0, 0.5, 0]
    values[1] = [2, 0, 6, 300, 0, 1, 0, 0.5, 0]

    first, second, _ = it.reasons(Matrix(matrix.ids, matrix.names, values))

    assert first[0].feature == "recency_days"
    assert first[0].effect < -0.1
    assert {"recency_days", "frequency"} >= {reason.feature for reason in second[:2]}
    assert all(reason.effect > 0 for reason in second[:2])


def test_a_feature_that_is_not_read_has_no_importance() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2_000, 5))
    y = (rng.random(2_000) < 1 / (1 + np.exp(-2 * values[:, 0]))).astype(float)

    found = dict(
        importance(values, y, NAMES, lambda rows: rows[:, 0], name="auc", metric=auc, rng=rng)
    )

    assert found["a"] == pytest.approx(0.33, abs=0.06)  # an AUC of 0.83 falls to a coin toss
    assert found["device"] == found["hours"] == 0


def test_the_index_is_the_sum_by_hand() -> None:
    e, a = np.array([0.5, 0.5, 0.0]), np.array([0.4, 0.5, 0.1])
    by_hand = (0.4 - 0.5) * np.log(0.4 / 0.5) + (0.1 - 1e-4) * np.log(0.1 / 1e-4)

    assert stability_index(e, a) == pytest.approx(by_hand, abs=1e-12)


def test_the_same_people_have_not_drifted_and_others_have(it: Trained) -> None:
    same, _ = some_people(np.random.default_rng(4), 3_000)
    other = Matrix(same.ids, same.names, same.values.copy())
    other.values[:, 0] *= 3

    assert drift(it.reference, same, it.predict(same)).alarms == ()
    moved = drift(it.reference, other, it.predict(other))
    assert [column.name for column in moved.columns[:2]] == ["recency_days", "score"]
    assert "recency_days is distributed otherwise than in training" in moved.alarms[0]
    assert len(moved.alarms) == 2
    assert moved.psi_max > 0.2


def test_few_people_do_not_ring_the_alarm_by_chance(it: Trained) -> None:
    """Fifty of the same people: their indices pass 0.2, and no alarm rings in fifty draws."""
    loud, highest = 0, 0.0
    for seed in range(50):
        same, _ = some_people(np.random.default_rng(seed), 50)
        found = drift(it.reference, same)
        loud += bool([why for why in found.alarms if "PSI" in why])
        highest = max(highest, found.psi_max)

    assert highest > 0.2
    assert loud <= 2


def test_gaps_and_unknown_levels_are_told(it: Trained) -> None:
    same, _ = some_people(np.random.default_rng(5), 2_000)
    gaps = Matrix(same.ids, same.names, same.values.copy())
    gaps.values[:1_200, 7] = np.nan
    strange = Matrix(same.ids, same.names, same.values.copy())
    strange.values[:1_000, 4:7] = [0, 0, 1]

    (why,) = drift(it.reference, gaps).alarms
    assert re.fullmatch(r"open_rate is missing for 6\d% of people, in training for 2\d%", why)
    assert any("device has levels unknown to training" in w or "device=other" in w
               for w in drift(it.reference, strange).alarms)  # fmt: skip


def test_levels_unknown_to_training_are_told_even_where_there_were_none() -> None:
    values = np.array([[1.0, 0.0]] * 100)
    reference = Reference.fit(values, ("device=x", "device=other"), np.zeros(100))
    now = Matrix(np.arange(100), ("device=x", "device=other"), np.array([[0.85, 0.15]] * 100))
    now.values[:] = [1.0, 0.0]
    now.values[:15] = [0.0, 1.0]

    alarms = drift(Reference.of(reference.arrays(), reference.names[:-1]), now).alarms

    assert any("device" in why for why in alarms)
    assert drift(reference, Matrix(np.arange(0), now.names, np.empty((0, 2)))).columns == ()
    with pytest.raises(Refused, match="lacks device=other"):
        drift(reference, Matrix(now.ids, ("device=x",), now.values[:, :1]))


def test_a_reference_is_kept_as_arrays(it: Trained) -> None:
    again = unpack(pack(Artifact(it.reference.arrays(), {}))).arrays
    same, _ = some_people(np.random.default_rng(6), 500)

    assert drift(Reference.of(again, it.names), same) == drift(it.reference, same)


def test_chances_that_are_met_ring_nothing_and_others_do() -> None:
    rng = np.random.default_rng(7)
    p = rng.beta(2, 5, 5_000)
    met, halved = rng.random(5_000) < p, rng.random(5_000) < p / 2

    assert matured(p, met.astype(float)).why == ""
    off = matured(p, halved.astype(float))
    assert "train again" in off.why
    assert off.z < -3
    assert matured(np.empty(0), np.empty(0)).why == ""


def test_a_newcomer_is_scored_by_where_they_came_from() -> None:
    """Mail from DE 60 of 100, FR 20 of 100; one from AT: pulled to the channel's mean."""
    labels = [1.0] * 60 + [0.0] * 40 + [1.0] * 20 + [0.0] * 80 + [1.0]
    channels = ["email"] * 201
    countries = ["DE"] * 100 + ["FR"] * 100 + ["AT"]
    prior = Prior.fit(labels, channels, countries)
    overall = 81 / 201

    again = Prior.read(prior.plain())

    assert again == prior
    assert again.of("email", "DE") == pytest.approx((60 + 50 * overall) / 150)
    assert again.of("email", "AT") == pytest.approx((1 + 50 * overall) / 51)
    assert again.of("email", "US") == pytest.approx(overall)
    assert again.of("sms", "DE") == pytest.approx(overall)
    assert [is_cold(n) for n in (0, 1, 2, float("nan"))] == [True, True, False, True]
    with pytest.raises(ValueError, match="needs somebody"):
        Prior.fit([], [], [])


class Balanced(HTMLParser):
    """Whether every tag that is opened is closed in order."""

    VOID = ("meta", "br", "path", "circle", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_report_is_whole_escaped_and_says_what_to_do_first(it: Trained) -> None:
    same, _ = some_people(np.random.default_rng(8), 1_000)
    same.values[:, 0] *= 3
    found = drift(it.reference, same, it.predict(same))
    metrics = {**it.metrics, "notes": ["a <b>bold</b> name"]}

    page = report.page(metrics, it.verdict(), name="churn<script>", drift=found)
    text = report.text(metrics, it.verdict(), name="churn", drift=found)

    reader = Balanced()
    reader.feed(page)
    assert reader.open == []
    assert "<script" not in page
    assert "<b>bold" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.index("Publish this run") < page.index("AUC") < page.index("recency_days")
    assert page.count('role="img"') >= 2 + len(it.metrics["importance"])
    assert "**Publish this run.**" in text
    assert "- Moved: recency_days is distributed otherwise" in text
    assert "| lift, top tenth |" in text


def test_a_report_of_amounts_and_of_a_baseline_stands_too() -> None:
    rng = np.random.default_rng(9)
    folds = some_folds(rng, 800, k=2, measure="sum")

    it = train(folds, a_score("logistic", measure="sum"), rng=rng, clock=ticking())

    page = report.page(it.metrics, it.verdict(), name="spend")
    reader = Balanced()
    reader.feed(page)
    assert reader.open == []
    assert "foretells how much" in page
    assert it.metrics["is_baseline"]
    assert "The baseline</th>" not in page
