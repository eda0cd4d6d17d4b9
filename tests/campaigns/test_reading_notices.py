"""`check` tells what is allowed, but makes a report weaker than its author may think."""

import pytest

from campaigns.load import load_workspace
from campaigns.problems import InvalidWorkspace
from campaigns.workspace import Workspace

SETTINGS = "consent: {unknown: refuse}\ntopics: {offers: {title: Offers}}\n"
ORDERS = "metric: orders\nevent: Order Completed\nwithin: 7d\n"
OPENS = "metric: opens\nevent: Message Opened\nwithin: 7d\n"


def a_workspace(tmp_path, *lines: str) -> Workspace:
    text = "experiment: button\nunit: anonymous\nvariants:\n  control: {value: a}\n"
    text += "  green: {value: b}\n" + "".join(f"{line}\n" for line in lines)
    files = {
        "antiphon.yaml": SETTINGS,
        "metrics/orders.yaml": ORDERS,
        "metrics/opens.yaml": OPENS,
        "experiments/button.yaml": text,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return load_workspace(tmp_path, environ={})


def notices(tmp_path, *lines: str) -> list[str]:
    return [it.message for it in a_workspace(tmp_path, *lines).notices]


@pytest.mark.parametrize("method", ["fixed", "bayesian"])
def test_a_test_that_is_read_once_without_an_end_is_told(tmp_path, method):
    (found,) = notices(tmp_path, "metrics: {primary: orders}", f"analysis: {{method: {method}}}")

    assert f"method: {method}" in found
    assert "no planned end" in found


@pytest.mark.parametrize("end", ["runs: 2w", "planned_sample: 4000", "ends: 2026-12-01T00:00Z"])
def test_any_planned_end_is_an_end(tmp_path, end):
    said = notices(tmp_path, "metrics: {primary: orders}", f"analysis: {{method: fixed, {end}}}")

    assert said == []


def test_opens_as_the_primary_metric_are_told_unless_their_author_insists(tmp_path):
    (found,) = notices(tmp_path, "metrics: {primary: opens}")

    assert "decides nothing" in found
    insisting = "analysis: {opens_may_decide: true}"
    assert notices(tmp_path, "metrics: {primary: opens}", insisting) == []
    assert notices(tmp_path, "metrics: {primary: orders, secondary: opens}") == []


def test_a_hash_that_no_sdk_computes_is_told(tmp_path):
    (found,) = notices(tmp_path, "metrics: {primary: orders}", "hash: s256")

    assert "no SDK computes" in found


def test_planned_looks_at_a_bandit_are_told(tmp_path):
    (found,) = notices(
        tmp_path,
        "metrics: {primary: orders}",
        "analysis: {method: group_sequential, looks: 4, planned_sample: 4000}",
        "allocation: {bandit: {algorithm: thompson}}",
    )

    assert "Write method: sequential" in found


@pytest.mark.parametrize("weight", ["0.5", "50%"])
def test_a_weight_that_is_a_share_is_refused_with_how_weights_are_meant(tmp_path, weight):
    a_workspace(tmp_path, "metrics: {primary: orders}")
    file = tmp_path / "experiments/button.yaml"
    file.write_text(file.read_text().replace("{value: b}", f"{{value: b, weight: {weight}}}"))

    with pytest.raises(InvalidWorkspace) as caught:
        load_workspace(tmp_path, environ={})
    (problem,) = caught.value.problems
    assert "need not add up to anything" in str(problem)
