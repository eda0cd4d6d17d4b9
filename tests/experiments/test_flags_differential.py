"""Our evaluator beside the real `growthbook` SDK, on payloads nobody thought of."""

import copy
import logging
import os
from typing import Any

import growthbook.common_types as sdk
import pytest
from growthbook.core import eval_feature, evalCondition
from growthbook.growthbook import InMemoryStickyBucketService
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.flags import Visitor, compile_condition, evaluate, parse_payload
from tests.experiments.flag_payloads import (
    ATTRIBUTES,
    BANDIT_RULES,
    BANDITS,
    CONDITIONS,
    GROUPS,
    NAMES,
    PAYLOADS,
    STICKY,
    STICKY_ATTRIBUTES,
    STICKY_RULES,
    mixed,
)

SCALE = float(os.environ.get("ANTIPHON_TEST_SCALE", "1"))
EXAMPLES = int(300 * SCALE)
# The same examples in every ordinary run; new ones wherever more are asked for.
IS_FIXED = SCALE <= 1


VISITORS = mixed(
    {"attributes": ATTRIBUTES},
    {
        "sticky": (50, STICKY),
        "forced_variations": (
            10,
            st.dictionaries(st.sampled_from(["exp", "a"]), st.integers(-1, 4), max_size=1),
        ),
        "url": (
            15,
            st.sampled_from(["https://shop.example/?exp=1", "https://shop.example/?a=7"]),
        ),
        "qa_mode": (5, st.booleans()),
        "enabled": (5, st.booleans()),
        "skip_experiments": (5, st.booleans()),
        "overrides": (
            20,
            st.sampled_from(
                [
                    {"exp": {"coverage": 0.5}},
                    {"exp": {"weights": [0.1, 0.9]}},
                    {"exp": {"status": "stopped"}},
                    {"exp": {"status": "draft"}},
                    {"exp": {"force": 1}},
                    {"exp": {"url": "shop"}},
                    {"exp": {"groups": ["beta"]}},
                ]
            ),
        ),
        "groups": (20, st.fixed_dictionaries({"beta": st.booleans()})),
    },
).map(lambda fields: Visitor(**fields))


@pytest.fixture(autouse=True)
def _quiet_sdk(caplog):
    caplog.set_level(logging.CRITICAL, "growthbook")


class _Document(dict[str, Any]):
    """A sticky document that SDK 4.0.0 cannot spoil: it merges the fallback's assignments into
    the hash attribute's own, in place, where GrowthBook's other SDKs merge a copy."""

    def get(self, key: str, default: Any = None) -> Any:
        return copy.copy(super().get(key, default))


class _Documents(dict[str, Any]):
    def __setitem__(self, key: str, document: Any) -> None:
        super().__setitem__(key, _Document(document))


def by_sdk(document: dict[str, Any], key: str, visitor: Visitor) -> tuple[Any, Any]:
    """The SDK's result, and the sticky documents as it leaves them."""
    document = copy.deepcopy(document)
    service = InMemoryStickyBucketService() if visitor.sticky is not None else None
    stored = _Documents()
    for name, each in copy.deepcopy(dict(visitor.sticky or {})).items():
        stored[name] = each
    user = sdk.UserContext(
        attributes=dict(visitor.attributes),
        forced_variations=dict(visitor.forced_variations),
        overrides={name: dict(each) for name, each in visitor.overrides.items()},
        sticky_bucket_assignment_docs=stored,
        url=visitor.url,
        groups={"beta": False, **visitor.groups},
        skip_all_experiments=visitor.skip_experiments,
    )
    context = sdk.GlobalContext(
        options=sdk.Options(
            sticky_bucket_service=service,
            enabled=visitor.enabled,
            qa_mode=visitor.qa_mode,
            url=visitor.url,
        ),
        features={name: sdk.Feature(**each) for name, each in document["features"].items()},
        saved_groups=document["savedGroups"],
        contextual_bandits=document["contextualBandits"],
    )
    found = eval_feature(key, sdk.EvaluationContext(user, context, sdk.StackContext()))
    return found, user.sticky_bucket_assignment_docs


@settings(max_examples=2 * EXAMPLES, deadline=None, derandomize=IS_FIXED)
@given(condition=CONDITIONS, attributes=ATTRIBUTES, groups=GROUPS)
def test_conditions_hold_where_they_hold_for_the_sdk(condition, attributes, groups):
    assert compile_condition(condition, groups)(attributes) is evalCondition(
        attributes, condition, groups
    )


def _assert_as_the_sdk(document: dict[str, Any], key: str, visitor: Visitor) -> None:
    theirs, sticky = by_sdk(document, key, visitor)

    ours = evaluate(parse_payload(document), key, visitor)

    assert (ours.value, ours.source, ours.rule_id) == (
        theirs.value,
        theirs.source,
        theirs.ruleId or "",
    )
    assert (ours.on, ours.off) == (theirs.on, theirs.off)
    if theirs.experimentResult is None:
        assert ours.result is None
    else:
        assert ours.result is not None
        assert ours.result.as_json() == theirs.experimentResult.to_dict()
        assert ours.experiment is not None
        assert ours.experiment.key == theirs.experiment.key
    if visitor.sticky is not None:
        assert {**visitor.sticky, **ours.sticky} == sticky
    else:
        assert ours.sticky == {}


def _one_feature(rule: dict[str, Any], bandits: dict[str, Any]) -> dict[str, Any]:
    feature = {"defaultValue": "default", "rules": [rule]}
    return {"features": {"f": feature}, "savedGroups": {}, "contextualBandits": bandits}


@settings(max_examples=EXAMPLES, deadline=None, derandomize=IS_FIXED)
@given(document=PAYLOADS, key=st.sampled_from([*NAMES, "nowhere"]), visitor=VISITORS)
def test_features_have_the_value_and_the_reason_the_sdk_gives(document, key, visitor):
    _assert_as_the_sdk(document, key, visitor)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=IS_FIXED)
@given(rule=STICKY_RULES, attributes=STICKY_ATTRIBUTES, documents=STICKY)
def test_sticky_documents_are_read_and_written_as_the_sdk_does(rule, attributes, documents):
    visitor = Visitor(attributes, sticky=documents)

    _assert_as_the_sdk(_one_feature(rule, {}), "f", visitor)


@settings(max_examples=EXAMPLES // 2, deadline=None, derandomize=IS_FIXED)
@given(rule=BANDIT_RULES, attributes=ATTRIBUTES, bandit=BANDITS)
def test_bandits_route_and_report_as_the_sdk_does(rule, attributes, bandit):
    _assert_as_the_sdk(_one_feature(rule, {"cb": bandit}), "f", Visitor(attributes))
