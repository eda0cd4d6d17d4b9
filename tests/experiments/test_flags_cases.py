"""The public conformance cases of the GrowthBook SDK specification: all that a server needs."""

import pytest

from experiments.errors import DataError
from experiments.flags import (
    Visitor,
    compile_condition,
    decrypt,
    evaluate,
    parse_payload,
    run,
)
from experiments.flags.shares import choose, equal_weights, hash_share, in_namespace, ranges_of
from experiments.flags.urls import UrlPattern, forced_by_query, is_targeted
from tests.experiments.data import growthbook_cases


def _payload(context):
    sections = ("features", "savedGroups", "contextualBandits")
    return parse_payload({name: context.get(name, {}) for name in sections})


def _visitor(context, sticky=None):
    return Visitor(
        attributes=context.get("attributes", {}),
        url=context.get("url", ""),
        forced_variations=context.get("forcedVariations", {}),
        enabled=context.get("enabled", True),
        qa_mode=context.get("qaMode", False),
        overrides=context.get("overrides", {}),
        sticky=sticky,
    )


def _failures(section, answer):
    """Names of the cases whose answer is another; a section without cases proves nothing."""
    cases = growthbook_cases(section)
    assert cases
    return [case[0] for case in cases if not answer(*case[1:])]


def test_conditions():
    def agrees(condition, attributes, expected, groups=None):
        return compile_condition(condition, groups)(attributes) is expected

    assert _failures("evalCondition", agrees) == []


def test_hashes():
    for seed, unit, version, expected in growthbook_cases("hash"):
        assert hash_share(seed, unit, version) == expected


def test_bucket_ranges():
    def agrees(arguments, expected):
        found = ranges_of(arguments[0], arguments[1], arguments[2])
        flat = [bound for pair in found for bound in pair]
        return flat == pytest.approx([bound for pair in expected for bound in pair], abs=1e-9)

    assert _failures("getBucketRange", agrees) == []


def test_choosing_a_variation():
    assert _failures("chooseVariation", lambda n, ranges, index: choose(n, ranges) == index) == []


def test_namespaces():
    assert _failures("inNamespace", lambda unit, ns, inside: in_namespace(unit, ns) is inside) == []


def test_equal_weights():
    for n, expected in growthbook_cases("getEqualWeights"):
        assert equal_weights(n) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("section", ["feature", "contextualBandit"])
def test_features(section):
    def agrees(context, key, expected):
        return evaluate(_payload(context), key, _visitor(context)).as_json() == expected

    assert _failures(section, agrees) == []


def test_inline_experiments():
    def agrees(context, experiment, value, in_experiment, hash_used):
        found = run(_payload(context), experiment, _visitor(context)).result
        return (found.value, found.in_experiment, found.hash_used) == (
            value,
            in_experiment,
            hash_used,
        )

    assert _failures("run", agrees) == []


def test_sticky_buckets():
    def agrees(context, documents, key, expected, after):
        stored = {f"{one['attributeName']}||{one['attributeValue']}": one for one in documents}
        found = evaluate(_payload(context), key, _visitor(context, stored))
        result = found.result.as_json() if found.result else None
        return result == expected and {**stored, **found.sticky} == after

    assert _failures("stickyBucket", agrees) == []


def test_decryption():
    def agrees(text, key, expected):
        try:
            return decrypt(text, key) == expected
        except DataError:
            return expected is None

    assert _failures("decrypt", agrees) == []


def test_variations_forced_in_the_query():
    assert (
        _failures(
            "getQueryStringOverride",
            lambda key, url, n, expected: forced_by_query(key, url, n) == expected,
        )
        == []
    )


def test_urls_are_targeted_where_a_redirect_is():
    for _, context, redirects in growthbook_cases("urlRedirect"):
        for experiment, expected in zip(context["experiments"], redirects, strict=True):
            patterns = [
                UrlPattern(each["type"], each["pattern"], each["include"])
                for each in experiment["urlPatterns"]
            ]
            assert is_targeted(context["url"], patterns) is expected["inExperiment"]
