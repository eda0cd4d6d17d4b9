"""Random payloads, visitors and sticky documents of every kind, for tests against real SDKs.

Attributes keep one kind each, and comparisons ask `$exists` first: SDKs differ on what a missing
attribute or a text compares to (docs/flags.md), and those cases have tests of their own.
"""

from typing import Any

from hypothesis import strategies as st

IDS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from(["", "a", "u1", "u2", "Zoë", "ü🎵", "1", 1.0, 2.5, 1e21, True, None]),
    st.integers(0, 5_000).map(lambda number: f"user-{number}"),
)
COUNTRIES = st.sampled_from(["FR", "de", "GB", "US"])
TAGS = st.lists(st.sampled_from(["a", "b", "A", "c"]), max_size=3)
VERSIONS = st.sampled_from(["1.2.3", "1.10.0", "v2.0.0", "2.0.0-rc.1", "2.0.0+build.5", "10"])
SHARES = st.integers(0, 10_000).map(lambda number: number / 10_000)


def mixed(always: dict[str, Any], percent: dict[str, tuple[int, Any]]) -> st.SearchStrategy[Any]:
    """An object with some keys always and others so often: most drawn objects do something."""

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        found = {key: draw(strategy) for key, strategy in always.items()}
        for key, (chance, strategy) in percent.items():
            if draw(st.integers(0, 99)) >= 100 - chance:  # Shrinks towards leaving it out.
                found[key] = draw(strategy)
        return found

    return drawn()


KNOWN_IDS = st.one_of(
    st.sampled_from(["u1", "u1", "u1", "u2", "Zoë", "ü🎵", "1", 7, 7, 2.5]),
    st.integers(0, 5_000).map(lambda number: f"user-{number}"),
)
ATTRIBUTES = mixed(
    {"country": COUNTRIES, "paid": st.booleans()},
    {
        "id": (90, st.one_of(KNOWN_IDS, KNOWN_IDS, IDS)),
        "anonId": (60, st.one_of(st.just("a"), IDS)),
        "age": (80, st.one_of(st.integers(0, 90), st.floats(0, 90))),
        "tags": (70, TAGS),
        "version": (70, VERSIONS),
        "plan": (
            60,
            st.fixed_dictionaries({"name": COUNTRIES}, optional={"seats": st.integers(0, 9)}),
        ),
        "orders": (
            60,
            st.lists(st.fixed_dictionaries({"total": st.integers(0, 9)}), max_size=3),
        ),
        "when": (70, st.sampled_from(["2026-01-01T00:00:00Z", "2026-11-23T18:00:00Z"])),
    },
)

GROUPS = st.fixed_dictionaries(
    {
        "ids": st.lists(st.sampled_from(["u1", 1, 2, "2", True]), max_size=4),
        "french": st.just({"type": "condition", "condition": {"country": "FR"}}),
        "listed": st.just({"type": "list", "attributeKey": "id", "values": ["u1", "u2", 7]}),
        "outer": st.just(
            {
                "type": "condition",
                "condition": {"$or": [{"$savedGroup": {"id": "french"}}, {"paid": True}]},
            }
        ),
        "circle": st.just({"type": "condition", "condition": {"$savedGroup": {"id": "circle"}}}),
        "later": st.just({"type": "kind of next year"}),
    }
)


def _compared(path: str, operators: list[str], values: st.SearchStrategy[Any]) -> Any:
    return st.tuples(st.sampled_from(operators), values).map(
        lambda pair: {path: {"$exists": True, pair[0]: pair[1]}}
    )


_LEAVES = st.one_of(
    st.just({}),
    st.builds(lambda value: {"country": value}, COUNTRIES),
    st.builds(lambda value: {"plan.name": value}, COUNTRIES),
    st.builds(lambda value: {"paid": value}, st.one_of(st.booleans(), st.none(), st.just(1))),
    st.builds(lambda value: {"id": value}, IDS),
    st.builds(
        lambda word, values: {"country": {word: values}},
        st.sampled_from(["$in", "$nin", "$ini", "$nini"]),
        st.one_of(st.lists(COUNTRIES, max_size=3), st.just("FR")),
    ),
    st.builds(
        lambda word, values: {"tags": {word: values}},
        st.sampled_from(["$in", "$nin", "$ini", "$nini", "$all", "$alli"]),
        TAGS,
    ),
    st.builds(lambda word, value: {"id": {word: value}}, st.sampled_from(["$eq", "$ne"]), IDS),
    st.builds(
        lambda word, text: {"country": {word: text}},
        st.sampled_from(["$regex", "$regexi", "$notRegex", "$notRegexi"]),
        st.sampled_from(["^F", "[de]+", "us|fr", "(", "$"]),
    ),
    _compared(
        "age", ["$lt", "$lte", "$gt", "$gte"], st.one_of(st.integers(0, 90), st.floats(0, 90))
    ),
    _compared("when", ["$lt", "$gt"], st.just("2026-06-01T00:00:00Z")),
    _compared("version", ["$vlt", "$vlte", "$vgt", "$vgte", "$veq", "$vne"], VERSIONS),
    st.builds(lambda flag: {"age": {"$exists": flag}}, st.booleans()),
    st.builds(
        lambda path, kind: {path: {"$type": kind}},
        st.sampled_from(["id", "age", "tags", "plan", "paid"]),
        st.sampled_from(["string", "number", "boolean", "array", "object", "null"]),
    ),
    st.builds(lambda size: {"tags": {"$size": size}}, st.integers(0, 3)),
    st.builds(lambda size: {"tags": {"$size": {"$gt": size}}}, st.integers(0, 3)),
    st.builds(lambda total: {"orders": {"$elemMatch": {"total": total}}}, st.integers(0, 9)),
    st.builds(lambda tag: {"tags": {"$not": {"$elemMatch": {"$eq": tag}}}}, st.just("a")),
    st.builds(
        lambda word, group: {"id": {word: group}},
        st.sampled_from(["$inGroup", "$notInGroup"]),
        st.sampled_from(["ids", "nobody", "french", "listed", "later", 5]),
    ),
    st.builds(
        lambda group: {"$savedGroup": {"id": group}},
        st.sampled_from(["french", "outer", "listed", "circle", "later", "ids", "nobody"]),
    ),
    st.just({"age": {"$unheardOf": 1}}),
    st.just({"$savedGroups": []}),
    st.just({"plan": {"name": "FR"}}),
    st.just({"tags.length": 2}),
    st.just({"tags.0": "a"}),
    st.just({"$and": 5}),
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        st.builds(lambda each: {"$or": each}, several),
        st.builds(lambda each: {"$and": each}, several),
        st.builds(lambda each: {"$nor": each}, several),
        st.builds(lambda each: {"$not": each}, inner),
        st.builds(lambda a, b: {**a, **b}, inner, inner),
    )


CONDITIONS = st.recursive(_LEAVES, _nested, max_leaves=5)

RANGES = st.one_of(st.just([0, 1]), st.tuples(SHARES, SHARES).map(sorted))
FILTERS = st.lists(
    mixed(
        {
            "seed": st.sampled_from(["layer", "other"]),
            "ranges": st.lists(RANGES, min_size=1, max_size=2),
        },
        {
            "attribute": (20, st.sampled_from(["id", "anonId", "country"])),
            "hashVersion": (30, st.sampled_from([1, 2, 2, 9])),
        },
    ),
    max_size=2,
)
WEIGHTS = st.sampled_from(
    [[0.5, 0.5], [0.1, 0.9], [1, 0], [0.7, 0.6], [0.3, 0.3], [0.2, 0.3, 0.5], [1.2, -0.2], [1]]
)
META = st.sampled_from(
    [
        [{"key": "control"}, {"key": "red", "name": "Red"}],
        [{"key": "control"}, {"key": "red"}, {"key": "0"}],
        [{"key": "0"}, {"key": "1", "passthrough": True}],
        [{}, {"passthrough": True}],
        [{}],
    ]
)
NAMES = ["a", "b", "c", "d"]
PARENTS = st.lists(
    mixed(
        {
            # Mostly later features, so that not every chain is a circle.
            "id": st.sampled_from(["b", "c", "d", "d", "d", "a", "nowhere"]),
        },
        {
            "condition": (
                80,
                st.sampled_from(
                    [
                        {"value": "red"},
                        {"value": {"$exists": True}},
                        {"value": {"$exists": True}},
                        {"value": {"$ne": "x"}},
                        {},
                    ]
                ),
            ),
            "gate": (40, st.booleans()),
        },
    ),
    max_size=2,
)
_HASHED = {
    "seed": (40, st.sampled_from(["s", "t", "Zoë"])),
    "hashAttribute": (15, st.sampled_from(["id", "anonId", "country"])),
    "fallbackAttribute": (50, st.sampled_from(["anonId", "country"])),
    "hashVersion": (60, st.sampled_from([1, 2, 2, 2, 2, 2, 9])),
    "coverage": (30, st.one_of(SHARES, st.sampled_from([1, 0, 0.5, 1.5, -1]))),
    "condition": (25, CONDITIONS),
    "filters": (15, FILTERS),
    "disableStickyBucketing": (10, st.booleans()),
    "parentConditions": (20, PARENTS),
    "id": (50, st.just("rule")),
}
_BUCKETED = {
    "key": (80, st.sampled_from(["exp", "exp2"])),
    "weights": (50, WEIGHTS),
    "ranges": (20, st.lists(RANGES, min_size=2, max_size=2)),
    "meta": (70, META),
    "namespace": (15, st.sampled_from([["ns", 0, 0.5], ["ns", 0.5, 1]])),
    "bucketVersion": (30, st.integers(0, 2)),
    "minBucketVersion": (20, st.integers(0, 2)),
    "name": (20, st.just("An experiment")),
    "phase": (20, st.just("1")),
}
VALUES = st.sampled_from(["red", "x", 0, 1, False, True, "", {"json": [1]}, []])
VARIATIONS = st.sampled_from([["x", "red"], ["x", "red"], [0, 1], ["x", "red", 3], ["x"], []])
_FORCED = mixed({"force": VALUES}, {**_HASHED, "range": (20, RANGES)})
_EXPERIMENT = mixed({"variations": VARIATIONS}, {**_HASHED, **_BUCKETED})
BANDIT_RULES = mixed(
    {
        "contextualVariations": st.just(["x", "red"]),
        "contextualBanditRef": st.sampled_from(["cb", "cb", "gone"]),
    },
    {**_HASHED, **_BUCKETED},
)
RULES = st.one_of(
    _EXPERIMENT,
    _EXPERIMENT,
    BANDIT_RULES,
    _FORCED,
    st.fixed_dictionaries({"parentConditions": PARENTS}),
)
FEATURES = mixed({"rules": st.lists(RULES, min_size=1, max_size=3)}, {"defaultValue": (70, VALUES)})
BANDITS = mixed(
    {
        "contexts": st.lists(
            mixed(
                {"weights": WEIGHTS, "leafId": st.sampled_from([0, 1, 2, "no id", True])},
                {"condition": (60, CONDITIONS)},
            ),
            max_size=2,
        )
    },
    {"banditVersion": (70, st.one_of(st.integers(1, 9), st.just("x")))},
)
PAYLOADS = st.fixed_dictionaries(
    {
        "features": st.fixed_dictionaries(dict.fromkeys(NAMES, FEATURES)),
        "savedGroups": GROUPS,
        "contextualBandits": st.fixed_dictionaries({"cb": BANDITS}),
    }
)
_ASSIGNED = mixed(
    {},
    {
        "exp__0": (70, st.sampled_from(["control", "red", "red", "1", "gone"])),
        "exp2__0": (40, st.sampled_from(["control", "red", "0"])),
        "exp__1": (25, st.sampled_from(["control", "red", "1"])),
        "exp__2": (25, st.sampled_from(["control", "red", "1"])),
    },
)
STICKY = mixed(
    {},
    {
        "id||u1": (80, _ASSIGNED),
        "id||7": (60, _ASSIGNED),
        "id||u2": (30, _ASSIGNED),
        "anonId||a": (60, _ASSIGNED),
        "country||FR": (60, _ASSIGNED),
    },
).map(
    lambda docs: {
        key: {
            "attributeName": key.split("||")[0],
            "attributeValue": key.split("||")[1],
            "assignments": assignments,
        }
        for key, assignments in docs.items()
    }
)

STICKY_RULES = mixed(
    {
        "variations": st.just(["x", "red"]),
        "meta": st.sampled_from([[{"key": "control"}, {"key": "red"}], [{}, {"key": "red"}], []]),
        "key": st.just("exp"),
        "hashVersion": st.just(2),
    },
    {
        "fallbackAttribute": (70, st.sampled_from(["anonId", "country"])),
        "bucketVersion": (50, st.integers(0, 2)),
        "minBucketVersion": (40, st.integers(0, 2)),
        "disableStickyBucketing": (10, st.booleans()),
        "coverage": (30, st.sampled_from([0, 0.5])),
        "condition": (20, st.just({"paid": True})),
        "weights": (20, WEIGHTS),
    },
)
"""Experiments that nearly always reach the question whether a document is stored."""

STICKY_ATTRIBUTES = mixed(
    {"country": COUNTRIES, "paid": st.booleans()},
    {
        "id": (70, st.sampled_from(["u1", "u2", 7, 7.0, ""])),
        "anonId": (70, st.sampled_from(["a", "b", 0])),
    },
)
