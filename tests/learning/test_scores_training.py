"""Scores trained and judged: what is planted is found, noise is not promoted, nothing leaks."""

from dataclasses import replace

import numpy as np
import pytest

from engine.core.model.instants import DAY
from engine.learning.artifact import pack, unpack
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused
from engine.learning.scores import Fold, Trained, train
from engine.learning.scores.search import best, candidates
from engine.learning.scores.stages import drawn_rows
from tests.learning.scored_people import a_score, some_folds, some_people, ticking
from tests.rig.sizes import scaled


def trained(seed: int = 1, n: int = 3_000, algorithm: str = "boosting", **how: object) -> Trained:
    rng = np.random.default_rng(seed)
    measure = str(how.get("measure", "happens"))
    k = int(how.pop("k", 2))  # type: ignore[call-overload]
    folds = some_folds(rng, n, k=k, **how)
    return train(folds, a_score(algorithm, measure=measure), rng=rng, clock=ticking())


def test_a_planted_effect_that_the_baseline_cannot_see_is_found_and_promoted() -> None:
    it = trained()

    done = it.verdict()

    assert done.is_better
    assert "of boosting is better than the baseline's" in done.why
    features = [feature for feature, _ in it.metrics["importance"]]
    assert features[0] == "recency_days"
    assert set(features[:3]) == {"recency_days", "device", "frequency"}


def test_its_chances_are_met_by_people_it_never_saw() -> None:
    it = trained(seed=2, n=4_000)
    matrix, y = some_people(np.random.default_rng(99), 20_000)

    p = it.predict(matrix)

    assert p.mean() == pytest.approx(y.mean(), abs=0.02)
    top = p >= np.quantile(p, 0.9)
    assert p[top].mean() == pytest.approx(y[top].mean(), abs=0.04)


def test_of_permuted_outcomes_none_is_promoted() -> None:
    """Twenty seeds: boosting, and auto, which may offer the baseline in its place."""
    promoted = []
    for seed in range(scaled(20)):
        rng = np.random.default_rng(seed)
        algorithm = ("boosting", "auto")[seed % 2]
        folds = some_folds(rng, 500, k=2, permuted=True)
        it = train(folds, a_score(algorithm, tries=2), rng=rng, clock=ticking())
        if it.verdict().is_better:
            promoted.append(seed)

    # One in 200 may slip through by the bound; of twenty none is asked for.
    assert len(promoted) <= scaled(20) // 100, promoted


def test_the_same_seed_gives_the_same_score_and_a_longer_budget_goes_on_where_it_ended() -> None:
    one, two = trained(seed=3, n=600), trained(seed=3, n=600)
    rng = np.random.default_rng(3)
    longer = train(some_folds(rng, 600, k=2), a_score(tries=3), rng=rng, clock=ticking())

    matrix, _ = some_people(np.random.default_rng(4), 500)
    assert pack(one.artifact()) == pack(two.artifact())
    np.testing.assert_array_equal(one.predict(matrix), two.predict(matrix))
    assert one.metrics["tried"] == longer.metrics["tried"][:1]
    assert len(longer.metrics["tried"]) == 3
    assert "the budget ended the search after 1 of 9 settings" in one.metrics["notes"]


def test_a_score_kept_as_arrays_answers_the_same() -> None:
    it = trained(seed=5, n=600)
    matrix, _ = some_people(np.random.default_rng(6), 400)

    again = Trained.of(unpack(pack(it.artifact())))

    np.testing.assert_array_equal(again.predict(matrix), it.predict(matrix))
    assert again.reasons(matrix) == it.reasons(matrix)
    assert again.metrics == it.metrics
    assert again.verdict() == it.verdict()


def test_where_nothing_beats_the_baseline_auto_offers_the_baseline_and_says_so() -> None:
    """Here only recency tells, which the baseline reads; elaborate models can only lose."""

    def cut(rng: np.random.Generator) -> tuple[Matrix, np.ndarray]:
        values = np.column_stack([rng.exponential(60, 1_500), rng.normal(size=(1_500, 3))])
        y = (rng.random(1_500) < 1 / (1 + np.exp(1 - values[:, 0] / 60))).astype(float)
        return Matrix(np.arange(1_500), ("recency_days", "a", "b", "c"), values), y

    rng, folds = np.random.default_rng(7), []
    for at in (1, 2):
        (train_at, y), (test_at, z) = cut(rng), cut(rng)
        folds.append(
            Fold(train=train_at, y_train=y, test=test_at, y_test=z, known_until=at, as_of=at)
        )

    offered = train(folds, a_score("auto", tries=2), rng=rng, clock=ticking())
    named = train(folds, a_score("boosting"), rng=rng, clock=ticking())

    assert offered.metrics["is_baseline"]
    assert offered.metrics["features"] == ["recency_days"]
    assert offered.verdict().is_better
    assert (
        "of the baseline (recency, frequency and monetary alone) is better than"
        in offered.verdict().why
    )
    assert not named.verdict().is_better
    assert "is not surely better than the baseline's" in named.verdict().why


def test_a_champion_asked_on_the_same_people_is_kept_while_it_is_better() -> None:
    rng = np.random.default_rng(8)
    folds = some_folds(rng, 2_000, k=2)
    oracle = np.clip(0.4 * folds[-1].y_test + 0.3 + 0.2 * rng.random(2_000), 0, 1)
    poor = rng.random(2_000)

    beaten = train(folds, a_score(), rng=rng, clock=ticking(), champion=oracle)
    beats = train(folds, a_score(), rng=rng, clock=ticking(), champion=poor)

    assert not beaten.verdict().is_better
    assert "is worse than the champion's by" in beaten.verdict().why
    assert beats.verdict().is_better
    assert "and better than the champion by" in beats.verdict().why


def test_a_champion_known_by_its_figures_only_is_compared_by_both_intervals() -> None:
    it = trained(seed=9)
    mine = it.metrics["values"]["auc"]

    def champion(auc: float) -> dict[str, object]:
        return {"primary": "auc", "values": {"auc": {**mine, "value": auc}}}

    far = mine["value"] + 10 * mine["std_error"]
    near = mine["value"] + mine["std_error"]
    assert not it.verdict(champion(far)).is_better
    assert it.verdict(champion(near)).is_better
    assert "and as good as the champion (worse by" in it.verdict(champion(near)).why
    assert "e-0" not in it.verdict(champion(mine["value"] - 1e-6)).why
    assert it.verdict({"primary": "rmse", "values": {}}).is_better  # another target: no rival


def test_errors_of_another_season_are_compared_by_what_they_take_off_knowing_nothing() -> None:
    rng = np.random.default_rng(10)
    folds = some_folds(rng, 2_000, k=2, measure="sum")
    it = train(folds, a_score("logistic", measure="sum"), rng=rng, clock=ticking())

    def champion(times: float, gained: float) -> dict[str, object]:
        """The same model in a season in which everybody spends so many times as much."""
        mine, nothing = it.metrics["values"]["rmse"], it.metrics["constant"]
        gain = nothing["gain"]["rmse"]
        worse = nothing["values"]["rmse"]["value"] * times
        return {
            "primary": "rmse",
            "values": {"rmse": {"value": mine["value"] * times, "std_error": mine["std_error"]}},
            "constant": {
                "values": {"rmse": {"value": worse}},
                "gain": {"rmse": {**gain, "value": gain["value"] * times * gained}},
            },
        }

    # In a quiet summer the champion's error was a third of what anybody's is now: no better for it.
    assert it.verdict(champion(1 / 3, 1)).is_better
    verdict = it.verdict(champion(1 / 3, 3))
    assert not verdict.is_better
    assert "of the error of knowing nothing" in verdict.why


def test_one_wild_row_does_not_calibrate_every_amount_to_nothing() -> None:
    rng = np.random.default_rng(31)
    folds = []
    for at in (1, 2):
        given = [rng.normal(size=(2_000, 1)) for _ in range(2)]
        paid = [np.exp(1.5 * it[:, 0]) * rng.gamma(4, 5, 2_000) for it in given]
        train_rows, test_rows = (Matrix(np.arange(2_000), ("frequency",), it) for it in given)
        instant = at * 60 * DAY
        folds.append(
            Fold(
                train=train_rows,
                y_train=paid[0],
                test=test_rows,
                y_test=paid[1],
                known_until=instant,
                as_of=instant,
            )
        )
    folds[0].test.values[0] = 100.0  # Its amount, log-linear, is beyond all others together.

    it = train(folds, a_score("logistic", measure="sum"), rng=rng, clock=ticking())

    assert it.metrics["values"]["total_ratio"]["value"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("measure", ["count", "sum"])
def test_amounts_are_foretold_in_two_parts_and_beat_knowing_nothing(measure: str) -> None:
    it = trained(seed=10, n=4_000, measure=measure)
    matrix, y = some_people(np.random.default_rng(11), 10_000, measure=measure)

    p = it.predict(matrix)

    assert it.scorer.predictor.kind == "two_part"
    assert it.metrics["constant"]["gain"]["rmse"]["low"] > 0
    assert p.mean() == pytest.approx(y.mean(), rel=0.08)
    assert p.min() >= 0
    assert p.max() <= it.scorer.ceiling


def test_a_network_is_tried_only_where_it_is_named_and_last() -> None:
    rng = np.random.default_rng(12)

    assert "mlp" not in {it.algorithm for it in candidates("auto", rng)}
    assert [it.algorithm for it in candidates("mlp", rng)][3] == "mlp"


def test_an_elaborate_algorithm_must_win_by_more_than_a_trifle() -> None:
    from engine.learning.scores.search import Tried

    logistic, boosting, forest, _ = candidates("mlp", np.random.default_rng(13))[:4]

    assert best([Tried(logistic, 0.8), Tried(boosting, 0.801)]).candidate is logistic
    assert best([Tried(logistic, 0.8), Tried(boosting, 0.81)]).candidate is boosting
    assert best([Tried(forest, -9.0), Tried(boosting, -10.0)]).candidate is forest


def test_one_cut_off_will_do_and_is_said() -> None:
    it = trained(seed=14, k=1)

    assert it.verdict().is_better
    assert any("one cut-off only" in note for note in it.metrics["notes"])


def test_weights_change_what_is_learnt_and_how_it_is_judged() -> None:
    """Mailed people come back whoever they are; with a weight of 0 they teach nothing."""
    rng = np.random.default_rng(15)
    folds = []
    for fold in some_folds(rng, 2_000, k=2):
        mailed = rng.random(2_000) < 0.5
        y = np.where(mailed, 1.0, fold.y_train)
        folds.append(replace(fold, y_train=y, train_weights=np.where(mailed, 0.0, 1.0)))
    matrix, y = some_people(np.random.default_rng(16), 5_000)

    it = train(folds, a_score(), rng=rng, clock=ticking())
    fooled = train(
        [replace(fold, train_weights=None) for fold in folds], a_score(), rng=rng, clock=ticking()
    )

    def raw(of: Trained) -> float:
        return float(of.scorer.predictor.predict(matrix.values[:, of.used]).mean())

    assert raw(it) == pytest.approx(y.mean(), abs=0.03)
    assert raw(fooled) > y.mean() + 0.08
    assert it.predict(matrix).mean() == pytest.approx(y.mean(), abs=0.03)


def test_a_fold_that_knows_the_future_cannot_be_made() -> None:
    matrix, y = some_people(np.random.default_rng(17), 100)

    with pytest.raises(ValueError, match="the model would know the future"):
        Fold(train=matrix, y_train=y, test=matrix, y_test=y, known_until=61 * DAY, as_of=60 * DAY)


def test_outcomes_of_the_last_cut_off_choose_no_setting() -> None:
    """Whatever happened there, the same settings are taken, with the same scores."""
    found = []
    for flip in (False, True):
        rng = np.random.default_rng(18)
        folds = some_folds(rng, 500, k=2)
        if flip:
            folds[-1] = replace(folds[-1], y_test=1 - folds[-1].y_test)
        found.append(train(folds, a_score(tries=3), rng=rng, clock=ticking()).metrics["tried"])

    assert found[0] == found[1]


def test_a_rare_outcome_among_many_is_kept_whole_by_the_search() -> None:
    """60 of 300,000: a plain draw of 40,000 would hold eight."""
    y = np.zeros(300_000)
    y[::5_000] = 1.0
    halves: np.ndarray = np.arange(300_000) % 2.0

    some = drawn_rows(y, 40_000, np.random.default_rng(27))
    common = drawn_rows(1 - y, 40_000, np.random.default_rng(27))
    even = drawn_rows(halves, 40_000, np.random.default_rng(27))

    assert y[some].sum() == y[common].sum() == 60
    assert len(some) == len(np.unique(some)) == len(even) == 40_000
    assert halves[even].mean() == pytest.approx(0.5, abs=0.01)


def test_a_search_on_a_sample_is_followed_by_training_on_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.learning.scores.stages.ROWS_SEARCHED", 300)
    rng = np.random.default_rng(28)

    it = train(some_folds(rng, 3_000, k=2), a_score(), rng=rng, clock=ticking())

    assert it.metrics["n_trained"] == 3_000
    assert it.metrics["calibrated_by"] == "isotonic"  # by the 3,000 before, and not by 300
    assert it.verdict().is_better


def broken(seed: int, **change: object) -> list[Fold]:
    """Folds whose last is changed."""
    folds = some_folds(np.random.default_rng(seed), 400, k=2)
    return [*folds[:-1], replace(folds[-1], **change)]  # type: ignore[arg-type]


LABELS = {
    "the target never happens": np.zeros(400),
    "the target always happens": np.ones(400),
    "rarer outcome; 50 are needed": np.r_[np.ones(49), np.zeros(351)],
    r"unknown \(NaN\) for 1 of 400": np.r_[np.nan, np.ones(199), np.zeros(200)],
    "neither 0 nor 1": np.full(400, 2.0),
}


@pytest.mark.parametrize("why", LABELS)
def test_outcomes_that_cannot_be_learnt_from_are_refused_in_words(why: str) -> None:
    with pytest.raises(Refused, match=why) as refusal:
        train(
            broken(19, y_train=LABELS[why]), a_score(), rng=np.random.default_rng(1),
            clock=ticking(),
        )  # fmt: skip

    assert refusal.value.mend


def test_money_below_zero_is_refused() -> None:
    folds = broken(20, y_train=np.r_[-5.0, np.ones(399)])

    with pytest.raises(Refused, match="1 of 400 people have a sum below zero"):
        train(folds, a_score(measure="sum"), rng=np.random.default_rng(1), clock=ticking())


def test_features_that_are_all_alike_are_refused_and_some_are_left_out() -> None:
    rng = np.random.default_rng(21)
    folds = some_folds(rng, 600, k=2)

    def with_column(fold: Fold, at: int | None) -> Fold:
        def alike(matrix: Matrix) -> Matrix:
            values = matrix.values.copy()
            values[:, slice(None) if at is None else at] = 7.0
            return replace(matrix, values=values)

        return replace(fold, train=alike(fold.train), test=alike(fold.test))

    it = train([with_column(f, 8) for f in folds], a_score(), rng=rng, clock=ticking())

    assert any("not learnt from: noise" in note for note in it.metrics["notes"])
    with pytest.raises(Refused, match="all 9 features are the same for everybody"):
        train([with_column(f, None) for f in folds], a_score(), rng=rng, clock=ticking())


def test_a_table_with_other_columns_is_refused_and_another_order_is_not() -> None:
    it = trained(seed=22, n=500)
    matrix, _ = some_people(np.random.default_rng(23), 50)
    turned = Matrix(matrix.ids, matrix.names[::-1], matrix.values[:, ::-1])
    lacking = Matrix(matrix.ids, matrix.names[:-1], matrix.values[:, :-1])
    strange = Matrix(matrix.ids, (*matrix.names[:-1], "shoe_size"), matrix.values)

    np.testing.assert_array_equal(it.predict(turned), it.predict(matrix))
    with pytest.raises(Refused, match="lacks noise"):
        it.predict(lacking)
    with pytest.raises(Refused, match="lacks noise and has the unknown shoe_size"):
        it.predict(strange)


def test_infinity_is_refused_by_the_name_of_its_column() -> None:
    folds = broken(24)
    folds[-1].train.values[3, 3] = np.inf

    with pytest.raises(Refused, match="monetary holds infinity"):
        train(folds, a_score(), rng=np.random.default_rng(1), clock=ticking())


def test_an_earlier_cut_off_with_hardly_any_outcomes_is_left_out() -> None:
    rng = np.random.default_rng(25)
    folds = some_folds(rng, 600, k=3)
    folds[0] = replace(folds[0], y_test=np.r_[np.ones(3), np.zeros(597)])

    it = train(folds, a_score(), rng=rng, clock=ticking())

    assert "1 earlier cut-offs have too few of one outcome and were left out" in it.metrics["notes"]
    with pytest.raises(Refused, match="no cut-off"):
        train([], a_score(), rng=rng, clock=ticking())


def test_lifetime_is_another_rooms_work() -> None:
    with pytest.raises(ValueError, match='"lifetime" is not learnt here'):
        train([], a_score("lifetime"), rng=np.random.default_rng(1), clock=ticking())
