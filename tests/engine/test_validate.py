"""Bad input: each gets one clear answer that names the field, and nothing else is lost."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clocktime import iso
from engine.core.errors import InvalidEvent
from engine.core.model.instants import DAY, HOUR, SECOND
from engine.intake.calls import KINDS, write_key_of
from engine.intake.declared import ALWAYS_PII, Declared, Field
from engine.intake.prepare import Answer, prepare
from engine.intake.validate import Limits
from tests.engine.ingesting import NOW, a_track, an_identify, prepared, some_terms


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels else 1


BAD_ITEMS: list[tuple[str, Any, str, str]] = [
    ("no object", 7, "", "object"),
    ("unknown type", a_track(type="trak"), "type", "trak"),
    ("no user", a_track(userId=None), "userId", "required"),
    ("empty user", a_track(userId=""), "userId", "required"),
    ("a list for a user", a_track(userId=["ann"]), "userId", "a list"),
    ("a long user id", a_track(userId="x" * 256), "userId", "255"),
    ("no event name", a_track(event=None), "event", "required"),
    ("a number for a name", a_track(event=5), "event", "text"),
    ("a long name", a_track(event="x" * 200), "event", "199"),
    ("a long message id", a_track(messageId="x" * 101), "messageId", "100"),
    ("properties no object", a_track(properties=[1]), "properties", "object"),
    ("context no object", a_track(context="x"), "context", "object"),
    ("NaN", a_track(properties={"price": float("nan")}), "properties.price", "finite"),
    ("infinity", a_track(properties={"a": {"b": [float("-inf")]}}), "properties.a.b.0", "finite"),
    ("a huge integer", a_track(properties={"n": 2**53 + 1}), "properties.n", "2^53"),
    ("a negative huge integer", a_track(properties={"n": -(2**60)}), "properties.n", "2^53"),
    ("a thousand digits", a_track(properties={"n": 10**3000}), "properties.n", "2^53"),
    ("a huge integer in context", a_track(context={"n": 2**53 + 1}), "context.n", "2^53"),
    ("NUL in a value", a_track(properties={"a": "x\0"}), "properties.a", "NUL"),
    ("NUL in a key", a_track(properties={"a\0": 1}), "properties", "NUL"),
    ("NUL in a user id", a_track(userId="a\0b"), "userId", "NUL"),
    ("half a surrogate", a_track(properties={"a": "\ud800"}), "properties.a", "surrogate"),
    ("half a surrogate in a name", a_track(event="\udc00"), "event", "surrogate"),
    ("too deep", a_track(properties=nested(33)), "properties.a.a", "32"),
    ("too large", a_track(properties={"a": "x" * 33_000}), "properties", "32,768"),
    ("no time", a_track(timestamp="yesterday"), "timestamp", "yesterday"),
    ("a number for a time", a_track(timestamp=1772442000), "timestamp", "2026-03-02"),
    ("the future", a_track(timestamp="2026-03-04T09:00:00Z"), "timestamp", "future"),
    ("ancient times", a_track(timestamp="1999-12-31T00:00:00Z"), "timestamp", "2000"),
    ("a bad sentAt", a_track(sentAt="soon"), "sentAt", "soon"),
    ("an address that is none", an_identify(traits={"email": "not an address"}),
     "traits.email", "e-mail"),
    ("an address in context", a_track(context={"traits": {"phone": "call me"}}),
     "context.traits.phone", "phone"),
    ("traits no object", an_identify(traits="x"), "traits", "object"),
    ("a forged seal", an_identify(traits={"a": {"$sealed": "sealed:1:x"}}), "traits.a", "ours"),
    ("a forged mark", an_identify(traits={"a": "blind:00"}), "traits.a", "ours"),
    ("consent of no form", an_identify(traits={"consent": True}), "traits.consent", "form"),
    ("consent of a channel", an_identify(traits={"consent": {"email": "yes"}}),
     "traits.consent.email", "form"),
    ("consent as text", an_identify(traits={"consent": {"email": {"offers": "yes"}}}),
     "traits.consent.email.offers", "true or false"),
    ("group without id", {"type": "group", "userId": "ann"}, "groupId", "required"),
    ("alias without previous id", {"type": "alias", "userId": "ann"}, "previousId", "previousId"),
    ("alias without user", {"type": "alias", "previousId": "x"}, "userId", "userId"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "field", "word"), [case[1:] for case in BAD_ITEMS], ids=[case[0] for case in BAD_ITEMS]
)
def test_a_bad_item_is_rejected_by_name_and_its_neighbours_are_not(
    item: Any, field: str, word: str
) -> None:
    group = prepared(a_track(messageId="before"), item, a_track(messageId="after"))

    assert [it.status for it in group.answers] == ["accepted", "rejected", "accepted"]
    assert len(group.facts) == 2
    assert group.answers[1].field == field
    assert word in group.answers[1].message


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[]", "JSON object"),
        (b'{"batch": 5}', "a list is required"),
        (b"{}", "a list is required"),
        (b'{"batch": [\xff]}', "UTF-8"),
        (b"[" * 100_000, "deep"),
        (b'{"batch": [' + b"[" * 50_000 + b"]" * 50_000 + b"]}", "deep"),
        (b'{"batch": ["' + b"x" * 512_001 + b'"]}', "512,000"),
        (b'{"batch": [' + b",".join([b"{}"] * 2_501) + b"]}", "2,500"),
    ],
)
def test_a_bad_envelope_is_refused_whole_with_one_clear_word(body: bytes, word: str) -> None:
    with pytest.raises(InvalidEvent, match=word):
        prepare(body, kind="batch", terms=some_terms(), received_at=NOW)


def test_unknown_keys_are_accepted_and_named() -> None:
    group = prepared(a_track(propertes={"a": 1}), a_track(messageId="m-2"))

    assert group.answers == [Answer("accepted", ignored=["propertes"]), Answer("accepted")]


def test_keys_of_other_libraries_pass_without_a_word() -> None:
    group = prepared(
        a_track(integrations={}, channel="web", _metadata={"bundled": []}, version=2, options={})
    )

    assert group.answers == [Answer("accepted")]


def test_a_reserved_trait_name_is_dropped_and_named() -> None:
    group = prepared(an_identify(traits={"$consent": {"email": {"offers": True}}, "a": 1}))

    assert group.answers[0].ignored == ["traits.$consent"]
    assert group.facts[0][1].traits == '{"a":1}'


def test_numbers_at_the_limit_pass() -> None:
    values = {"a": 2**53, "b": -(2**53), "c": 1e308, "d": "12345678901234567890"}

    group = prepared(a_track(properties=values), a_track(properties=nested(32), messageId="m-2"))

    assert [it.status for it in group.answers] == ["accepted", "accepted"]
    assert json.loads(group.facts[0][1].properties) == values


def test_a_clock_that_is_wrong_is_corrected_by_what_it_says_itself() -> None:
    # The device is two hours ahead: it happened 90 s before it was sent.
    item = a_track(timestamp=iso(NOW + 2 * HOUR - 90 * SECOND), sentAt=iso(NOW + 2 * HOUR))

    group = prepared(item)

    assert group.facts[0][1].at == NOW - 90 * SECOND


def test_sent_at_of_the_envelope_serves_every_item() -> None:
    body = {"batch": [a_track(timestamp=iso(NOW - DAY))], "sentAt": iso(NOW - DAY + 5 * SECOND)}

    group = prepare(json.dumps(body).encode(), kind="batch", terms=some_terms(), received_at=NOW)

    assert group.facts[0][1].at == NOW - 5 * SECOND


def test_without_sent_at_a_little_future_is_clipped_to_now() -> None:
    group = prepared(a_track(timestamp=iso(NOW + HOUR)), a_track(timestamp=None, messageId="m"))

    assert [fact.at for _, fact in group.facts] == [NOW, NOW]


@pytest.mark.parametrize(
    ("ahead", "status"), [(1, "accepted"), (DAY, "accepted"), (DAY + SECOND, "rejected")]
)
@pytest.mark.parametrize("corrected", [False, True])
def test_up_to_a_day_ahead_is_stored_at_the_arrival_and_further_is_refused(
    ahead: int, status: str, corrected: bool
) -> None:
    # The sender says that it was sent an hour ago by its clock, and happened later than that.
    by_their_clock = NOW - HOUR if corrected else NOW
    sent = {"sentAt": iso(by_their_clock)} if corrected else {}

    group = prepared(a_track(timestamp=iso(by_their_clock + ahead), **sent))

    assert group.answers[0].status == status
    assert [fact.at for _, fact in group.facts] == ([NOW] if status == "accepted" else [])


def test_a_single_call_ends_like_an_item_of_a_batch() -> None:
    bad = json.dumps(a_track(properties={"a": float("nan")})).encode()
    good = json.dumps({"anonymousId": "a", "event": "X"}).encode()

    rejected = prepare(bad, kind="track", terms=some_terms(), received_at=NOW)
    accepted = prepare(good, kind="track", terms=some_terms(), received_at=NOW)

    assert (rejected.answers[0].status, rejected.answers[0].field) == ("rejected", "properties.a")
    assert accepted.answers == [Answer("accepted")]
    with pytest.raises(InvalidEvent, match="not JSON"):
        prepare(b"{]", kind="track", terms=some_terms(), received_at=NOW)


DECLARED = Declared(
    traits={**ALWAYS_PII, "ltv": Field("number"), "zone": Field("timezone"), "n": Field("integer")},
    events={
        "Product Added": {
            "cart_id": Field("string", is_required=True),
            "cart_value": Field("number"),
        }
    },
)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (a_track(event="Product Added"), "properties.cart_id"),
        (a_track(event="Product Added", properties={"cart_id": None}), "properties.cart_id"),
        (a_track(event="Product Added", properties={"cart_id": "c", "cart_value": "12"}),
         "properties.cart_value"),
        (an_identify(traits={"ltv": "much"}), "traits.ltv"),
        (an_identify(traits={"ltv": True}), "traits.ltv"),
        (an_identify(traits={"n": 1.5}), "traits.n"),
        (an_identify(traits={"zone": "Mars/Olympus"}), "traits.zone"),
    ],
)  # fmt: skip
def test_what_the_workspace_declares_is_checked(item: dict[str, Any], field: str) -> None:
    group = prepared(item, terms=some_terms(declared=DECLARED))

    assert (group.answers[0].status, group.answers[0].field) == ("rejected", field)


def test_a_null_unsets_a_declared_trait() -> None:
    group = prepared(an_identify(traits={"ltv": None, "email": None}))

    assert group.answers == [Answer("accepted")]
    assert group.facts[0][1].traits == '{"ltv":null,"email":null}'


def test_a_personal_value_is_not_repeated_in_the_answer() -> None:
    group = prepared(an_identify(traits={"email": "ann at example"}))

    assert "ann" not in group.answers[0].message


def test_limits_can_be_set() -> None:
    terms = some_terms(limits=Limits(event_bytes_max=100, batch_events_max=1))

    assert (
        prepared(a_track(properties={"a": "x" * 100}), terms=terms).answers[0].status == "rejected"
    )
    with pytest.raises(InvalidEvent, match="at most 1 "):
        prepared(a_track(), a_track(), terms=terms)


def test_the_write_key_is_found_in_the_body() -> None:
    assert write_key_of(b'{"writeKey": "wk_1", "batch": []}') == "wk_1"
    assert write_key_of(b'{"writeKey": 5}') == write_key_of(b"{") == write_key_of(b"[]") == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["type", "messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name",
     "category", "timestamp", "originalTimestamp", "sentAt", "properties", "context", "traits",
     "integrations", "other", "$unknown"]
)  # fmt: skip
ITEMS = st.dictionaries(FIELDS, JSON, max_size=8) | JSON
TYPED = st.builds(
    lambda item, kind: {**item, "type": kind, "userId": "ann", "event": "E"},
    st.dictionaries(FIELDS, JSON, max_size=8),
    st.sampled_from(KINDS),
)


@settings(max_examples=300, deadline=None)
@given(items=st.lists(ITEMS | TYPED, max_size=5))
def test_any_json_is_answered_item_by_item(items: list[Any]) -> None:
    group = prepared(*items)

    assert len(group.answers) == len(items)
    assert [place for place, _ in group.facts] == [
        i for i, answer in enumerate(group.answers) if answer.status == "accepted"
    ]
    for _, fact in group.facts:
        for text in (fact.properties, fact.context, fact.traits or "{}"):
            assert isinstance(json.loads(text), dict)
            assert "\0" not in text.encode().decode()


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_invalid_event(body: bytes) -> None:
    for kind in ("batch", "track"):
        try:
            group = prepare(body, kind=kind, terms=some_terms(), received_at=NOW)
        except InvalidEvent:
            continue
        assert all(isinstance(it, Answer) for it in group.answers)


@settings(max_examples=100, deadline=None)
@given(items=st.lists(TYPED, max_size=3))
def test_the_fast_and_the_careful_way_give_one_verdict(items: list[Any]) -> None:
    fast = prepared(*items)
    careful = prepared(*items, {"$unknown": 1})

    assert [(it.status, it.field) for it in fast.answers] == [
        (it.status, it.field) for it in careful.answers[:-1]
    ]
