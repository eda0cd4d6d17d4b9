"""`analyze --policy … --weights-by`: two fixed policies, read from the log of a bandit."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments.bandits.contextual import LinearPolicy
from experiments.bandits.contextual_inference import policy_contrast
from experiments.bandits.contextual_log import ContextualLog
from experiments.bandits.logged_versions import log_of_columns
from experiments.errors import DataError
from experiments.estimation.cupac_features import encoded
from tests.engine.test_analyze_command import antiphon, refused
from tests.experiments.contextual_runs import CONTROL, DRIFTING, by_sign, play, truth
from tests.rig.sizes import scaled

__all__ = ["antiphon", "refused"]

ARMS = ("plain", "left", "right")
BY_SIGN = (
    "arms: {plain: 1}\nrules:\n  - when: {x1: {gt: 0}}\n    arms: {left: 1}\n"
    "  - when: {x1: {lt: 0}}\n    arms: {right: 1}\n"
)
BASIC = ("--variant", "arm", "--control", "plain", "--metric", "bought")
CHANCES = tuple(part for arm in ARMS for part in ("--propensity", f"{arm}=p_{arm}"))
CONTEXTS = ("--context", "x1", "--context", "x2")


def frame_of(log: ContextualLog) -> pd.DataFrame:
    frame = pd.DataFrame({
        "arm": np.array(ARMS)[log.chosen], "bought": log.outcomes.astype(int),
        "x1": log.contexts[:, 0], "x2": log.contexts[:, 1], "day": log.version,
    })  # fmt: skip
    for place, arm in enumerate(ARMS):
        frame[f"p_{arm}"] = log.chances[:, place]
    return frame


def files(tmp_path, frame: pd.DataFrame, policy: str = BY_SIGN, name: str = "log"):
    data, rules = tmp_path / f"{name}.parquet", tmp_path / "policy.yaml"
    frame.to_parquet(data, index=False)
    rules.write_text(policy)
    return data, ("--policy", str(rules))


def a_log(seed: int = 3, *, floor: float = 0.05) -> ContextualLog:
    """A real bandit that learnt ten times, by contexts, while the base rate rose."""
    return play(DRIFTING, LinearPolicy(floor=floor, draws=32), rng=np.random.default_rng(seed))


def contrast_by(out: str) -> dict:
    (metric,) = json.loads(out)["metrics"]
    return metric["contrast"]


class _Known:
    """The version that decided, asked by the features of the file's columns."""

    def __init__(self, version):
        self.version = version

    def chances(self, contexts):
        return self.version.chances(np.asarray(contexts)[:, [0, 2]])


@pytest.mark.parametrize("weights", ["stable", "minimum", "contextual", "one_step"])
def test_where_every_version_met_every_context_the_log_tells_as_much_as_the_versions(
    antiphon, tmp_path, weights
):
    """Of contexts with four values the columns say all that the functions would."""
    log = a_log()
    coarse = np.column_stack([log.contexts[:, 0], np.where(log.contexts[:, 1] > 0, 0.5, -0.5)])
    chances = np.empty_like(log.chances)
    for place, version in enumerate(log.versions):
        rows = log.version == place
        chances[rows] = version.chances(coarse[rows])
    frame = frame_of(log).assign(x1=coarse[:, 0], x2=coarse[:, 1])
    for place, arm in enumerate(ARMS):
        frame[f"p_{arm}"] = chances[:, place]
    data, policy = files(tmp_path, frame)

    code, out, _ = antiphon(
        data, *BASIC, *policy, *CHANCES, *CONTEXTS, "--weights-by", weights, "--version", "day",
        "--json",
    )  # fmt: skip

    assert code == 0
    told = ContextualLog.of(
        contexts=encoded({"x1": coarse[:, 0], "x2": coarse[:, 1]}, n=log.n), chosen=log.chosen,
        outcomes=log.outcomes, chances=chances, version=log.version,
        versions=[_Known(it) for it in log.versions],
    )  # fmt: skip
    expected = policy_contrast(told, by_sign(coarse), against=CONTROL, weights=weights)
    found = contrast_by(out)
    assert found["versions"] == 10
    assert found["against"] == "everybody plain"
    assert found["value"] == pytest.approx(expected.treatment, rel=1e-9)
    assert found["against_value"] == pytest.approx(expected.control, rel=1e-9)
    half = 1.959963984540054 * expected.difference_variance**0.5
    assert found["gain"]["ci_upper"] - found["gain"]["estimate"] == pytest.approx(half, rel=1e-6)


@pytest.mark.parametrize("weights", ["stable", "one_step"])
def test_the_interval_of_the_command_holds_the_truth_as_often_as_promised(
    antiphon, tmp_path, weights
):
    """Contexts are continuous, so versions are known only where they were; the base rate rises."""
    runs, held = scaled(10), 0
    for seed in range(runs):
        data, policy = files(tmp_path, frame_of(a_log(100 + seed)))
        out = antiphon(
            data, *BASIC, *policy, *CHANCES, *CONTEXTS, "--weights-by", weights, "--version", "day",
            "--json",
        )[1]  # fmt: skip
        gain = contrast_by(out)["gain"]
        held += gain["ci_lower"] <= truth(DRIFTING) <= gain["ci_upper"]
    # At least 92 % of nominal 95, less three binomial errors of so few runs.
    assert held / runs >= 0.92 - 3 * (0.92 * 0.08 / runs) ** 0.5


def test_people_read_the_gain_over_the_control_or_over_another_policy(antiphon, tmp_path):
    data, policy = files(tmp_path, frame_of(a_log()))
    other = tmp_path / "other.yaml"
    other.write_text("arms: {left: 1, right: 1}\n")
    asked = (data, *BASIC, *policy, *CHANCES, *CONTEXTS, "--weights-by", "stable", "--version",
             "day")  # fmt: skip

    against_control = antiphon(*asked)[1]
    against_other = antiphon(*asked, "--against", other, "--format", "md")[1]

    assert "Against everybody plain, versions weighed by stable" in against_control
    assert "over 10 versions" in against_control
    assert "doubly robust (DR)" in against_control
    assert "### Against other.yaml" in against_other


def test_what_the_log_hardly_did_is_refused_in_words_and_not_read(antiphon, tmp_path):
    frame = frame_of(a_log())
    frame["p_plain"], frame["p_left"], frame["p_right"] = 0.499, 0.002, 0.499
    rng = np.random.default_rng(1)
    frame["arm"] = rng.choice(ARMS, len(frame), p=[0.499, 0.002, 0.499])
    data, policy = files(tmp_path, frame, "arms: {left: 1}\n")

    code, out, _ = antiphon(
        data, *BASIC, *policy, *CHANCES, "--weights-by", "stable", "--version", "day", "--json"
    )

    found = contrast_by(out)
    assert code == 0
    assert found["gain"] is found["value"] is found["pvalue"] is None
    assert "the policy: the 3,000 units are worth" in found["refused"]


def test_an_arm_that_never_had_a_chance_is_refused_in_words(antiphon, tmp_path):
    frame = frame_of(a_log())
    frame["p_plain"], frame["p_left"], frame["p_right"] = 0.5, 0.5, 0.0
    frame["arm"] = np.random.default_rng(1).choice(["plain", "left"], len(frame))
    data, policy = files(tmp_path, frame, "arms: {left: 1}\n")

    out = antiphon(
        data, *BASIC, *policy, *CHANCES, "--weights-by", "stable", "--version", "day"
    )[1]  # fmt: skip

    assert "Cannot be told from this log: for 3,000 units an arm had no chance at all" in out


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ((*CHANCES, *CONTEXTS, "--weights-by", "stable"), "needs --version"),
        ((*CHANCES, *CONTEXTS, "--weights-by", "stable", "--version", "one"), "one version"),
        ((*CHANCES, "--weights-by", "stable", "--version", "day"), "something else decided too"),
        ((*CHANCES, *CONTEXTS, "--weights-by", "stable", "--version", "gap"), "units have none"),
        ((*CHANCES, *CONTEXTS, "--weights-by", "stable", "--version", "each"), "2,000 versions"),
        ((*CHANCES, *CONTEXTS, "--version", "day"), "belongs to --weights-by"),
        ((*CHANCES, "--weights-by", "stable", "--version", "day", "--context", "bought"),
         "what the log is about"),
        ((*CHANCES, *CONTEXTS, "--weights-by", "stable", "--version", "day", "--cluster", "x1"),
         "give one of them"),
        (("--weights", "plain=1,left=1,right=1", "--weights-by", "stable", "--version", "day"),
         "nothing adapted"),
        ((*CHANCES, "--weights-by", "stable", "--version", "wek"), '"wek"'),
    ],
)  # fmt: skip
def test_what_cannot_be_weighed_is_refused(refused, tmp_path, extra, says):
    frame = frame_of(a_log()).iloc[:2_000].assign(one=1, each=range(2_000))
    frame["gap"] = frame.day.astype(float).where(frame.day > 0)
    data, policy = files(tmp_path, frame)

    assert says in refused(data, *BASIC, *policy, *extra)


def test_weights_without_a_policy_are_refused(refused, tmp_path):
    data, _ = files(tmp_path, frame_of(a_log()))

    assert "belongs to --policy" in refused(data, *BASIC, "--weights-by", "stable")


def test_a_version_answers_by_the_nearest_context_it_met_whatever_the_units_of_measure():
    contexts = np.array([[0.0, 1_000.0], [1.0, 1_000.0], [0.0, 2_000.0], [1.0, 2_000.0]])
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    log = log_of_columns(
        contexts=contexts, chosen=[0, 1, 0, 1], outcomes=[1.0, 0.0, 1.0, 1.0], chances=chances,
        version=["monday", "monday", "tuesday", "tuesday"],
    )  # fmt: skip

    # 300 is little of what the second feature does; 0.6 is more than half of the first.
    asked = log.versions[0].chances([[0.4, 1_300.0], [0.6, 1_300.0]])

    assert asked.tolist() == [[0.9, 0.1], [0.2, 0.8]]
    assert log.versions[1].chances([[0.0, 0.0]]).tolist() == [[0.6, 0.4]]
    with pytest.raises(DataError, match="is expected"):
        log.versions[0].chances([[0.4]])
