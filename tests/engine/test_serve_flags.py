"""OpenFeature remote evaluation: who gets what, why, and what is said of bad questions."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.model.instants import DAY
from engine.settings import visitor_key
from experiments.assignment import assign, is_held_out
from tests.engine.flag_stage import Flags, an_experiment, flags_of, with_experiments

ONE, ALL = "/ofrep/v1/evaluate/flags/button", "/ofrep/v1/evaluate/flags"


@pytest.fixture
def flags(database_url: str, tmp_path: Path) -> Iterator[Flags]:
    with flags_of(database_url, tmp_path) as opened:
        yield opened


def planned(unit: str, *, seed: str = "button", coverage: float = 1.0) -> str | None:
    """What the assignment library gives, asked directly."""
    return assign(
        unit, seed=seed, variants=("control", "green"), weights=(1, 1), coverage=coverage
    ).variant


def test_an_unknown_visitor_gets_what_their_id_hashes_to_and_is_told_how(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))

    found = {f"v{number}": flags.flag("button", targetingKey=f"v{number}") for number in range(60)}

    assert {unit: it["variant"] for unit, it in found.items()} == {
        unit: planned(unit) for unit in found
    }
    values = {"control": "blue", "green": "green"}
    assert all(it["value"] == values[it["variant"]] for it in found.values())
    it = found["v7"]
    bucket = assign("v7", seed="button", variants=("a", "b"), weights=(1, 1)).bucket / 10_000
    assert (it["key"], it["reason"]) == ("button", "SPLIT")
    assert it["metadata"] == {
        "experiment": "button", "phase": 1, "bucket": bucket, "probability": 0.5,
    }  # fmt: skip


def test_the_unit_is_the_id_that_the_experiment_draws_by(flags: Flags) -> None:
    flags.house.apply(
        with_experiments(
            an_experiment(),
            an_experiment("price", unit="user"),
            an_experiment("layout", unit="traits.account.id"),
        )
    )
    who = {"userId": "ann", "anonymousId": "v1", "account": {"id": 7.0}}

    assert flags.variant("button", **who) == planned("v1")
    assert flags.variant("price", **who) == planned("ann", seed="price")
    assert flags.variant("layout", **who) == planned("7", seed="layout")


def test_whoever_is_outside_gets_the_controls_value_no_variant_and_the_reason(
    flags: Flags,
) -> None:
    flags.house.apply(
        with_experiments(an_experiment(more="coverage: 10%\nwhere: {country: [US]}\n"))
    )
    inside = next(f"v{n}" for n in range(99) if planned(f"v{n}", coverage=0.1) == "green")
    outside = next(f"v{n}" for n in range(99) if planned(f"v{n}", coverage=0.1) is None)

    found = [
        flags.flag("button", targetingKey=inside, country="US"),
        flags.flag("button", targetingKey=inside, country="FR"),
        flags.flag("button", targetingKey=outside, country="US"),
        flags.flag("button", userHash="nobody's", targetingKey=inside),
    ]

    assert [(it["value"], it["variant"], it["reason"]) for it in found] == [
        ("green", "green", "SPLIT"), *[("blue", "", "DEFAULT")] * 3,
    ]  # fmt: skip
    assert [it["metadata"].get("why") for it in found] == [
        None, "its attributes do not match", "outside the coverage", "its attributes do not match",
    ]  # fmt: skip


def test_what_was_seen_first_stays_through_an_edit_and_says_its_phase(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment()))
    seen = [f"v{number}" for number in range(20)]
    for unit in seen:
        assert flags.saw("button", str(planned(unit)), anonymousId=unit).status_code == 200
    flags.house.now += DAY
    flags.house.apply(
        with_experiments(
            an_experiment(
                values="{control: {weight: 3, value: blue}, green: {weight: 1, value: green}}"
            )
        )
    )

    found = [flags.flag("button", targetingKey=unit) for unit in (*seen, "fresh")]

    assert [it["variant"] for it in found[:-1]] == [planned(unit) for unit in seen]
    assert {it["metadata"]["phase"] for it in found[:-1]} == {1}
    assert all(it["metadata"]["sticky"] for it in found[:-1])
    assert found[-1]["metadata"]["phase"] == 2
    assert "sticky" not in found[-1]["metadata"]


def test_holdouts_keep_units_out_by_their_own_hash_and_name_their_level(flags: Flags) -> None:
    """Known or not: the hash of the unit that the experiment draws decides."""
    settings = with_experiments()["antiphon.yaml"]
    held = settings + "global_holdout: {share: 30%, period: 2026-H1}\n"
    held += "programmes: {web: {holdout: 30%}}\n"
    flags.house.apply(
        with_experiments(an_experiment(unit="user", more="programme: web\n"), settings=held)
    )
    for number in range(80):
        flags.house.identify(f"u{number}")
    flags.house.settle()
    program = flags.house.process.playbook.program
    assert program.global_holdout is not None
    seed = f"{program.global_holdout.seed}@2026-H1"

    for kind in ("u", "s"):
        units = [f"{kind}{number}" for number in range(80)]
        told = [flags.flag("button", targetingKey=unit) for unit in units]
        levels = Counter(it["metadata"].get("holdout") for it in told)
        assert levels.keys() == {None, "global", "programme:web"}
        assert [it["metadata"].get("holdout") == "global" for it in told] == [
            is_held_out(unit, seed=seed, share=0.3) for unit in units
        ]
        assert all(it["value"] == "blue" for it in told if it["metadata"].get("holdout"))


def test_strangers_are_not_all_of_one_holdout(flags: Flags) -> None:
    """They have no profile, and "no profile" must not be hashed as if it were one."""
    held = with_experiments()["antiphon.yaml"] + "global_holdout: {share: 50%, period: 2026-H1}\n"
    flags.house.apply(with_experiments(an_experiment(unit="user"), settings=held))

    found = [flags.flag("button", targetingKey=f"s{number}") for number in range(20)]

    assert {it["reason"] for it in found} == {"SPLIT", "DEFAULT"}


def test_a_stranger_who_becomes_a_profile_stays_on_their_side_of_the_holdout(flags: Flags) -> None:
    """From the first request, through the exposure that makes them a profile, to whatever follows;
    and a larger holdout takes nothing from whoever was shown a variant."""
    settings = with_experiments()["antiphon.yaml"]
    with_holdout = settings + "global_holdout: {share: 40%, period: 2026-H1}\n"
    flags.house.apply(with_experiments(an_experiment(unit="user"), settings=with_holdout))
    people = [f"s{number}" for number in range(40)]
    first = {it: flags.flag("button", targetingKey=it) for it in people}
    held = {it for it, told in first.items() if told["metadata"].get("holdout")}
    assert 8 < len(held) < 32

    for it in people:
        if it in held:
            flags.house.identify(it)
        else:
            flags.saw("button", first[it]["variant"], userId=it)
    flags.house.settle()

    after = {it: flags.flag("button", targetingKey=it) for it in people}
    assert {it: told["variant"] for it, told in after.items() if it not in held} == {
        it: told["variant"] for it, told in first.items() if it not in held
    }
    assert {it for it, told in after.items() if told["metadata"].get("holdout")} == held
    assert {row[3] for row in flags.exposures()} == {""}, "each is analysed"

    larger = settings + "global_holdout: {share: 90%, period: 2026-H1}\n"
    flags.house.apply(with_experiments(an_experiment(unit="user"), settings=larger))
    kept = {it: flags.flag("button", targetingKey=it)["variant"] for it in people if it not in held}
    assert kept == {it: first[it]["variant"] for it in kept}


def test_segments_of_the_profile_decide_and_a_stranger_is_in_none(flags: Flags) -> None:
    flags.house.apply(
        with_experiments(
            an_experiment(unit="user", more="audience: {segment: not-bought}\n"),
            segments__not_bought=(
                "segment: not-bought\nwhen:\n  none: [{event: Order Completed, within: 30d}]\n"
            ),
        )
    )
    for user in ("u1", "u2"):
        flags.house.identify(user)
    flags.house.track("u2", "Order Completed")
    flags.house.settle()

    found = [flags.flag("button", targetingKey=user) for user in ("u1", "u2", "stranger")]

    assert [it["reason"] for it in found] == ["SPLIT", "DEFAULT", "DEFAULT"]
    assert found[1]["metadata"]["why"] == 'not in the segment "not-bought"'


def test_a_browser_key_opens_no_users_profile_without_proof(flags: Flags) -> None:
    flags.house.apply(
        with_experiments(
            an_experiment(unit="user", more="audience: {segment: buyers}\n"),
            segments__buyers="segment: buyers\nwhen: {event: Order Completed}\n",
        )
    )
    flags.house.send({"type": "identify", "userId": "u1", "anonymousId": "device-1"})
    flags.house.track("u1", "Order Completed")
    flags.house.settle()
    browser = flags.app.browser_key
    key = visitor_key(flags.app.services.settings).encode()
    proof = hmac.new(key, b"u1", hashlib.sha256).hexdigest()

    asked = {
        "server": flags.flag("button", targetingKey="u1"),
        "no proof": flags.flag("button", key=browser, targetingKey="u1"),
        "another's proof": flags.flag("button", key=browser, targetingKey="u2", userHash=proof),
        "proof": flags.flag("button", key=browser, targetingKey="u1", userHash=proof),
        "its own device": flags.flag("button", key=browser, userId="u1", anonymousId="device-1"),
    }

    assert {name: it["reason"] for name, it in asked.items()} == {
        "server": "SPLIT", "no proof": "DEFAULT", "another's proof": "DEFAULT", "proof": "SPLIT",
        "its own device": "SPLIT",
    }  # fmt: skip


def test_forced_stopped_and_draft_experiments_say_so(flags: Flags) -> None:
    flags.house.apply(
        with_experiments(
            an_experiment(more="forced: {qa: green}\n"),
            an_experiment("old", more="state: stopped\nwinner: green\n"),
            an_experiment("ended", more="state: stopped\n"),
            an_experiment("next", more="state: draft\n"),
        )
    )

    found = {
        name: flags.flag(name, targetingKey="qa") for name in ("button", "old", "ended", "next")
    }

    assert {name: (it["value"], it["reason"]) for name, it in found.items()} == {
        "button": ("green", "TARGETING_MATCH"),
        "old": ("green", "STATIC"),
        "ended": ("blue", "STATIC"),
        "next": ("blue", "DISABLED"),
    }
    assert all("probability" not in it["metadata"] for it in found.values())


def test_numbers_are_all_fractions_where_one_is(flags: Flags) -> None:
    flags.house.apply(
        with_experiments(an_experiment(values="{control: {value: 1}, green: {value: 1.5}}"))
    )
    unit = next(f"v{n}" for n in range(9) if planned(f"v{n}") == "control")

    answer = flags.post(ONE, {"context": {"targetingKey": unit}})

    assert b'"value":1.0,' in answer.content, "the Python provider takes 1 for no float"


def test_all_flags_have_a_mark_and_are_not_sent_twice(flags: Flags) -> None:
    flags.house.apply(with_experiments(an_experiment(), an_experiment("price", unit="user")))
    who = {"context": {"targetingKey": "v1"}}

    first = flags.post(ALL, who)
    again = flags.post(ALL, who, **{"If-None-Match": f"W/{first.headers['ETag']}"})
    other = flags.post(ALL, {"context": {"targetingKey": "v2"}}, **{"If-None-Match": '"x"'})
    flags.house.apply(
        with_experiments(
            an_experiment(more="state: stopped\n"), an_experiment("price", unit="user")
        )
    )
    changed = flags.post(ALL, who, **{"If-None-Match": first.headers["ETag"]})

    assert [each["key"] for each in first.json()["flags"]] == ["button", "price"]
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200
    assert changed.status_code == 200
    assert changed.json()["metadata"] != first.json()["metadata"]
    (stream,) = first.json()["eventStreams"]
    assert stream["type"] == "sse"
    assert stream["endpoint"]["requestUri"].startswith("/ofrep/v1/events?token=")


def test_a_visitor_without_an_id_fails_flag_by_flag_but_not_where_none_is_needed(
    flags: Flags,
) -> None:
    flags.house.apply(
        with_experiments(an_experiment(), an_experiment("old", more="state: stopped\n"))
    )

    one = flags.post(ONE, {"context": {}})
    both = flags.post(ALL, {"context": {"country": "US"}}).json()["flags"]

    assert one.status_code == 400
    assert (one.json()["key"], one.json()["errorCode"]) == ("button", "TARGETING_KEY_MISSING")
    assert "targetingKey" in one.json()["errorDetails"]
    assert [each.get("errorCode") for each in both] == ["TARGETING_KEY_MISSING", None]
    assert both[1]["value"] == "blue"


def test_of_what_is_no_flag_404_says_what_it_is(flags: Flags) -> None:
    journey = (
        "campaign: nudge\ntrigger: {event: Product Added}\ntopic: offers\njourney:\n"
        "  - experiment: at-a-step\n    id: fork\n    variants:\n"
        "      control: {weight: 1, do: []}\n      mail: {weight: 1, do: []}\n"
        "    metrics: {primary: ordered}\n"
    )
    flags.house.apply(with_experiments(an_experiment(), campaigns__nudge=journey))

    for name, word in (("no-such", "no served experiment"), ("at-a-step", "its journey")):
        answer = flags.post(f"/ofrep/v1/evaluate/flags/{name}", {"context": {"targetingKey": "a"}})

        assert answer.status_code == 404
        assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"
        assert answer.json()["key"] == name
        assert word in answer.json()["errorDetails"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "TARGETING_KEY_MISSING"),
        (b"{", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b"\xff\xfe", "PARSE_ERROR"),
        (b'{"context": NaN}', "PARSE_ERROR"),
        (b'{"context": ' + b"[" * 100 + b"]" * 100 + b"}", "INVALID_CONTEXT"),
        (b'{"context": "v1"}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": {"a": 1}}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": true}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "a\\u0000b"}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "' + b"x" * 300 + b'"}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "a", "x": 1e999}}', "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "a", "x": 99999999999999999999}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "a", "x": ' + b'{"a":' * 40 + b"1" + b"}" * 41 + b"}",
         "INVALID_CONTEXT"),
    ],
)  # fmt: skip
def test_a_hostile_context_is_400_in_the_protocols_words(
    flags: Flags, body: bytes, code: str
) -> None:
    flags.house.apply(with_experiments(an_experiment()))
    headers = {"Authorization": f"Bearer {flags.app.server_key}"}

    answer = flags.app.client.post(ONE, content=body, headers=headers)

    assert answer.status_code == 400, answer.text
    assert answer.json()["errorCode"] == code, answer.text
    assert len(answer.json()["errorDetails"]) > 10
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_context_that_is_too_large_is_413_and_a_trait_of_odd_text_is_only_outside(
    flags: Flags,
) -> None:
    flags.house.apply(with_experiments(an_experiment(unit="traits.house"), an_experiment("other")))

    large = flags.post(ONE, {"context": {"targetingKey": "a", "x": "y" * 50_000}})
    odd = [flags.flag("button", targetingKey="a", house=value) for value in ([], {}, True, "", "é")]

    assert large.status_code == 413
    assert [it["reason"] for it in odd] == ["DEFAULT"] * 4 + ["SPLIT"]


def test_a_key_that_asks_too_much_is_told_when_to_come_back(
    database_url: str, tmp_path: Path
) -> None:
    environ = {"ANTIPHON_KEY_EVENTS_PER_SECOND_MAX": "1"}
    with flags_of(database_url, tmp_path, environ=environ) as flags:
        flags.house.apply(with_experiments(an_experiment()))

        answers = [flags.post(ONE, {"context": {"targetingKey": "a"}}) for _ in range(12)]

    assert Counter(it.status_code for it in answers) == {200: 10, 429: 2}
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json()["errorDetails"]
