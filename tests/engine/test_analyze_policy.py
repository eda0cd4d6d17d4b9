"""`antiphon analyze --policy`: another allocation judged by a log, or refused with the reason."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.engine.test_analyze_command import antiphon, refused
from tests.rig.sizes import scaled

__all__ = ["antiphon", "refused"]

BASIC = ("--variant", "arm", "--control", "plain", "--metric", "spend")
BY_COUNTRY = "arms: {plain: 1}\nrules:\n  - when: {country: FR}\n    arms: {mail: 1}\n"
EVEN = ("--weights", "plain=1,mail=1")


def log(n: int = 4_000, *, seed: int = 1, share: float = 0.5) -> pd.DataFrame:
    """The mail adds 4 in France and takes 2 elsewhere; people have two rows each."""
    rng = np.random.default_rng(seed)
    person = np.arange(n) // 2
    country = rng.choice(["FR", "DE", "IT"], n // 2 + 1)[person]
    chance = np.where(country == "FR", share, 0.5)
    arm = np.where(rng.random(n) < chance, "mail", "plain")
    mailed = arm == "mail"
    spend = (
        10 + 3 * rng.normal(size=n // 2 + 1)[person]
        + mailed * np.where(country == "FR", 4, -2) + rng.normal(0, 3, n)
    )  # fmt: skip
    return pd.DataFrame({
        "person": person, "arm": arm, "country": country, "spend": spend, "p_mail": chance,
        "p_plain": 1 - chance, "age": rng.integers(18, 90, n),
    })  # fmt: skip


def files(tmp_path, frame: pd.DataFrame, policy: str = BY_COUNTRY):
    data, rules = tmp_path / "log.csv", tmp_path / "policy.yaml"
    frame.to_csv(data, index=False)
    rules.write_text(policy)
    return data, ("--policy", str(rules))


def found_by(out: str) -> dict:
    (metric,) = json.loads(out)["metrics"]
    return metric


def test_a_policy_by_country_is_worth_what_it_would_earn(antiphon, tmp_path):
    data, policy = files(tmp_path, log())

    code, out, _ = antiphon(data, *BASIC, *policy, *EVEN, "--cluster", "person", "--json")

    assert code == 0
    found = found_by(out)
    truth = 10 + 4 / 3  # France is a third.
    assert found["refused"] is None
    assert found["clusters"] == 2_000
    for method in ("ipw", "self_normalised", "doubly_robust"):
        value = found["values"][method]["value"]
        assert value["ci_lower"] < truth < value["ci_upper"]
        assert value["estimate"] == pytest.approx(truth, abs=0.4)
    assert found["verdict"].startswith("Better than what ran")


def test_inverse_chances_are_the_sum_written_out(antiphon, tmp_path):
    frame = log(share=0.8)
    data, policy = files(tmp_path, frame)

    _, out, _ = antiphon(
        data, *BASIC, *policy, "--propensity", "mail=p_mail", "--propensity", "plain=p_plain",
        "--json",
    )  # fmt: skip

    found = found_by(out)
    wished = np.where(frame.country == "FR", frame.arm == "mail", frame.arm == "plain")
    chance = np.where(frame.arm == "mail", frame.p_mail, frame.p_plain)
    weight = wished / chance
    by_hand = (weight * frame.spend).mean()
    assert found["values"]["ipw"]["value"]["estimate"] == pytest.approx(by_hand, rel=1e-9)
    normalised = (weight * frame.spend).sum() / weight.sum()
    estimate = found["values"]["self_normalised"]["value"]["estimate"]
    assert estimate == pytest.approx(normalised, rel=1e-9)
    assert found["effective_sample"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert found["max_weight"] == pytest.approx(weight.max())


def test_intervals_over_people_hold_the_truth_as_often_as_they_say(antiphon, tmp_path):
    """Two rows of a person are no two people: clusters are drawn, not rows."""
    runs, missed = scaled(25), 0
    for seed in range(runs):
        data, policy = files(tmp_path, log(800, seed=70 + seed))
        out = antiphon(data, *BASIC, *policy, *EVEN, "--cluster", "person", "--json")[1]
        value = found_by(out)["values"]["doubly_robust"]["value"]
        missed += not value["ci_lower"] <= 10 + 4 / 3 <= value["ci_upper"]
    assert missed <= 0.05 * runs + 3.1 * (0.05 * 0.95 * runs) ** 0.5


def test_what_the_log_never_did_cannot_be_judged(antiphon, tmp_path):
    frame = log().assign(arm=lambda it: np.where(it.country == "FR", "plain", it.arm),
                         p_mail=lambda it: np.where(it.country == "FR", 0.0, 0.5))  # fmt: skip
    frame["p_plain"] = 1 - frame.p_mail
    data, policy = files(tmp_path, frame)

    code, out, _ = antiphon(
        data, *BASIC, *policy, "--propensity", "mail=p_mail", "--propensity", "plain=p_plain"
    )

    assert code == 0
    assert "Cannot be judged from this log: 3" in out
    assert "no chance of" in out
    assert "read by" not in out


def test_a_handful_of_units_that_decide_everything_is_refused(antiphon, tmp_path):
    frame = log(2_000, share=0.01)
    data, policy = files(
        tmp_path, frame, "arms: {plain: 0, mail: 1}\nrules:\n  - when: {country: [DE, IT]}\n"
        "    arms: {plain: 1}\n",
    )  # fmt: skip
    frame[frame.country == "FR"].to_csv(data, index=False)

    _, out, _ = antiphon(
        data, *BASIC, *policy, "--propensity", "mail=p_mail", "--propensity", "plain=p_plain"
    )

    assert "Cannot be judged from this log" in out
    assert "are needed" in out


def test_the_policy_that_ran_is_worth_what_it_earned(antiphon, tmp_path):
    frame = log()
    data, policy = files(tmp_path, frame, "arms: {plain: 50, mail: 50}\n")

    for form in ("text", "md"):
        out = antiphon(data, *BASIC, *policy, *EVEN, "--format", form)[1]
        assert "Not told apart from what ran." in out
        assert "doubly robust (DR)" in out
    found = found_by(antiphon(data, *BASIC, *policy, *EVEN, "--json")[1])
    gain = found["values"]["ipw"]["gain"]
    assert gain["estimate"] == pytest.approx(0, abs=1e-9)
    assert found["logged_mean"] == pytest.approx(frame.spend.mean())


def test_numbers_are_compared_and_the_first_rule_decides(antiphon, tmp_path):
    frame = log()
    rules = (
        "arms: {plain: 1}\nrules:\n  - when: {age: {gte: 60, lt: 80}, country: [FR, IT]}\n"
        "    arms: {mail: 1}\n  - when: {age: {gte: 60}}\n    arms: {plain: 1, mail: 3}\n"
    )
    data, policy = files(tmp_path, frame, rules)

    found = found_by(antiphon(data, *BASIC, *policy, *EVEN, "--json")[1])

    first = frame.age.between(60, 79) & frame.country.isin(["FR", "IT"])
    second = (frame.age >= 60) & ~first
    expected = first.mean() + 0.75 * second.mean()
    assert found["target_shares"]["mail"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("policy", "extra", "says"),
    [
        ("arms: {plan: 1}\n", EVEN, 'Did you mean "plain"?'),
        ("arms: {plain: -1}\n", EVEN, "not 0 or more"),
        ("arms: {plain: 0}\n", EVEN, "a weight of 0"),
        ("arm: {plain: 1}\n", EVEN, 'Did you mean "arms"?'),
        ("arms: {plain: 1}\nrules: [{when: {spend: 1}, arms: {mail: 1}}]\n", EVEN, "is about"),
        ("arms: {plain: 1}\nrules: [{when: {town: 1}, arms: {mail: 1}}]\n", EVEN, "no column"),
        ("arms: {plain: 1}\nrules: [{when: {country: {gte: 1}}, arms: {mail: 1}}]\n", EVEN,
         "holds texts"),
        ("arms: {plain: 1}\nrules: [{arms: {mail: 1}}]\n", EVEN, "needs when"),
        ("arms: [plain\n", EVEN, "policy.yaml"),
        (BY_COUNTRY, (), "--weights"),
        (BY_COUNTRY, ("--weights", "plain=1"), "is no arm"),
        (BY_COUNTRY, ("--propensity", "mail=p_mail", "--propensity", "plain=country"),
         "are no number"),
        (BY_COUNTRY, ("--propensity", "mail=p_mail", "--propensity", "plain=age"), "sum to 1"),
        (BY_COUNTRY, (*EVEN, "--format", "html"), "text, md or json"),
        (BY_COUNTRY, (*EVEN, "--cluster", "country"), "too few to draw"),
    ],
)  # fmt: skip
def test_what_is_no_policy_or_no_log_is_refused(refused, tmp_path, policy, extra, says):
    data, rules = files(tmp_path, log(400), policy)

    assert says in refused(data, *BASIC, *rules, *extra)
