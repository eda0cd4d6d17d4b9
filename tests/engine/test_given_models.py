"""`scores`, `clusters` and `best_hours` of tests/*.yaml: what models say is given, not learnt."""

import pytest

from campaigns.load import load_bundle
from engine.core.clocktime import iso, parse_instant
from engine.core.errors import CampaignError
from engine.core.model.instants import HOUR
from engine.simulation.trials import Outcome, run_trials
from tests.engine.publishing import FILES

SHOP = {
    **FILES,
    "campaigns/cart.yaml": "campaign: stay\ntrigger: {segment: {enter: leaving}}\ntopic: offers\n"
    "journey:\n"
    "  - best_time: {within: 24h, model: hour}\n"
    "    id: their-hour\n"
    "  - branch:\n"
    "      - if: {cluster: {model: kinds, is: loyal, confidence: {gte: 0.5}}}\n"
    "        do: [{send: {channel: email, template: soft}}]\n"
    "    id: who\n",
    "segments/leaving.yaml": "segment: leaving\nwhen:\n  all:\n"
    "    - score: {model: churn, value: {gte: 0.5}, percentile: {gte: 80}}\n"
    "    - {event: Product Added, within: 3d}\n",
    "models/hour.yaml": "send_time: hour\nexplore: 20%\n",
    "models/churn.yaml": "score: churn\ntarget: {not: {event: Order Completed, within: 60d}}\n",
    "models/kinds.yaml": "cluster: kinds\nalgorithm: rfm\n",
}
TRIAL = """\
test: who is leaving is written to at their hour
given:
  profile: {id: ann, traits: {email: a@example.com%TRAITS}, consent: {email: {offers: true}}}
  events: [{at: 2026-03-02T10:00Z, event: Product Added, properties: {cart: c1}}]
  scores: {churn: %CHURN}
  clusters: {kinds: %KIND}
  best_hours: {hour: %HOUR}
expect:
  - {at: %AT, %WITHIN send: {channel: email, template: soft}}
  - nothing_until: 2026-03-06T00:00Z
"""
USUAL = {
    "TRAITS": "", "CHURN": "{value: 0.8, percentile: 95}", "KIND": "{is: loyal, confidence: 0.9}",
    "HOUR": "19", "AT": "2026-03-02T19:00Z", "WITHIN": "within: 1h,",
}  # fmt: skip


def trial(**changed: str) -> Outcome:
    text = TRIAL
    for name, value in {**USUAL, **changed}.items():
        text = text.replace(f"%{name}", value)
    files = {**SHOP, "tests/one.yaml": text}
    workspace = load_bundle({name: it.encode() for name, it in files.items()}, environ={})
    (outcome,) = run_trials(workspace)
    return outcome


def refused(**changed: str) -> str:
    with pytest.raises(CampaignError) as error:
        trial(**changed)
    return str(error.value)


def test_what_models_say_is_read_by_segments_branches_and_hours() -> None:
    outcome = trial()

    assert outcome.passed, outcome.timeline


@pytest.mark.parametrize("hour", range(24))
def test_whoever_is_given_an_hour_is_written_to_in_it_and_never_explores(hour: int) -> None:
    midnight = parse_instant("2026-03-02T00:00:00Z")
    at = midnight + hour * HOUR + (24 * HOUR if hour < 10 else 0)
    whole = {"AT": iso(at), "WITHIN": "within: 1h,"}

    outcome = trial(HOUR=str(hour), **whole)

    assert outcome.passed, outcome.timeline


@pytest.mark.parametrize(
    "changed",
    [
        {"CHURN": "{value: 0.8, percentile: 79.9}"},
        {"CHURN": "{value: 0.49, percentile: 95}"},
        {"KIND": "{is: at risk, confidence: 0.9}"},
        {"KIND": "{is: loyal, confidence: 0.4}"},
        {"TRAITS": ", profiling: false"},
    ],
    ids=lambda it: str(it),
)
def test_a_model_that_says_otherwise_or_may_not_speak_reaches_nobody(
    changed: dict[str, str],
) -> None:
    outcome = trial(**changed)

    assert (outcome.problem, outcome.unexpected) == ("", ())
    assert outcome.missing == ("2026-03-02T19:00:00Z to 2026-03-02T19:59:59.999999Z  email/soft",)


def test_an_instant_without_within_is_that_instant_and_no_other() -> None:
    outcome = trial(WITHIN="")

    assert outcome.missing == ("2026-03-02T19:00:00Z  email/soft",)
    assert len(outcome.unexpected) == 1


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"CHURN": "0.8"}, 'compares the percentile of "churn", and the test gives none'),
        ({"CHURN": "{percentile: 95}"}, 'compares the value of "churn"'),
        ({"CHURN": "{}"}, "it says nothing. Write 0.8, or {value: 0.8, percentile: 95}"),
        ({"CHURN": "{value: 0.8, percentile: 101}"}, "101 is not a percentile"),
        ({"CHURN": "nan"}, '"nan" is not a number'),
        ({"KIND": "loyal"}, 'compares the confidence of "kinds", and the test gives none'),
        ({"KIND": "{is: loyal, confidence: 1.1}"}, "1.1 is not a confidence"),
        ({"CHURN": "{value: 2, percentile: 9}"}, "foretells a chance"),
        ({"CHURN": "{value: -0.1, percentile: 9}"}, "Write a number from 0 to 1: 0.8."),
        (
            {"KIND": "{is: nobodies, confidence: 1}"},
            'knows no "nobodies". Allowed: about to sleep, at risk,',
        ),
        ({"KIND": "{is: losst, confidence: 1}"}, 'Did you mean "lost"?'),
        ({"HOUR": "24"}, "24 is not an hour of the day"),
        ({"HOUR": "19, huor: 3"}, 'there is no send_time "huor". Did you mean "hour"?'),
        ({"CHURN": "{value: 1, percentile: 9}, chrun: 1"}, 'Did you mean "churn"?'),
    ],
    ids=lambda it: str(it)[:40],
)
def test_what_is_given_in_part_or_to_nobody_is_refused_with_its_mend(
    changed: dict[str, str], word: str
) -> None:
    assert word in refused(**changed)
