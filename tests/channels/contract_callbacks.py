"""What every provider promises of its callbacks, and of what it says it can do.

Each claim is a function that tries it, or raises; `test_provider_contract` runs them.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from channels import PROVIDERS
from channels.base import Capabilities
from channels.callbacks import Callback, Echo
from channels.delivery import DeliveryEvent, EventKind
from channels.http_provider import HttpProvider
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import HOUR
from tests.channels.contract_bench import answering, opened, secrets_of
from tests.channels.garbage import GARBAGE, spoilt
from tests.channels.vendor_cases import NOW, Told, VendorCases

UNTIMED: Final = {
    "sms.twilio": "signs the address and the fields, no time",
    "sms.plivo": "signs the address, the fields and a nonce, no time",
    "email.mailgun": "repeats for 8 hours bear the time of the first: tried in its own tests",
    "email.ses": "SNS repeats a notification for an hour with the time of the first",
    "sms.aws": "SNS repeats a notification for an hour with the time of the first",
}
"""Signed callbacks that say nothing of their age; replays are found by their event ids."""
BODY_SIGNED: Final = {
    "email.mailgun": "the signature stands in the body",
    "email.ses": "the signature of SNS stands in the body",
    "sms.aws": "the signature of SNS stands in the body",
}
"""Callbacks that prove themselves without any header."""

KINDS: Final = frozenset(get_args(EventKind))


def read(
    cases: VendorCases, callback: Callback, *, now: int = NOW, provider: HttpProvider | None = None
) -> Echo:
    """What a provider makes of a callback.

    Raises:
        Forged, Unreadable: And nothing else, ever.
    """
    with answering(cases):
        return asyncio.run((provider or opened(cases, now=now)).read_callback(callback))


def refused(cases: VendorCases, callback: Callback, *, now: int = NOW) -> str:
    """The class of the refusal: "Forged", "Unreadable", or "" where it was believed."""
    refusal: Forged | Unreadable | None = None
    try:
        read(cases, callback, now=now)
    except (Forged, Unreadable) as error:
        refusal = error
    hidden = secrets_of(cases.settings)
    assert not any(secret in str(refusal) for secret in hidden), "a secret is told"
    return type(refusal).__name__ if refusal is not None else ""


# --- genuine ------------------------------------------------------------------------------------


def genuine_callbacks_say_what_happened(cases: VendorCases) -> None:
    for told in cases.told:
        events = read(cases, told.callback, now=told.now).events
        assert len(events) == len(told.expected), f"{told.title}: {events}"
        for event, expected in zip(events, told.expected, strict=True):
            for name, value in expected.items():
                found = getattr(event, name)
                assert found == value, f"{told.title}: {name} is {found!r}, not {value!r}"
            _check_event(event, told)


def _check_event(event: DeliveryEvent, told: Told) -> None:
    assert event.kind in KINDS
    assert event.event_id, f"{told.title}: nothing tells a replay from another event"
    assert event.raw, f"{told.title}: their event as it came is not kept"
    assert 0 < event.at < 4_102_444_800_000_000, f"{told.title}: at {event.at} is no instant"
    is_found = event.message is not None or event.provider_id or event.kind == "inbound"
    assert is_found, f"{told.title}: nothing says which message it is about"
    if event.kind == "bounced":
        assert event.bounce_class is not None, f"{told.title}: a bounce has a class"


def a_replay_is_the_same_event(cases: VendorCases) -> None:
    seen: dict[str, str] = {}
    for told in cases.told:
        first, again = (
            [event.event_id for event in read(cases, told.callback, now=now).events]
            for now in (told.now, told.now + 60_000_000)
        )
        assert first == again, f"{told.title}: a replay would count twice"
        assert len(set(first)) == len(first), f"{told.title}: two events share an id"
        for event_id in first:
            other = seen.setdefault(event_id, told.title)
            is_same = other == told.title or _body(cases, other) == told.callback.body
            assert is_same, f"{told.title} and {other} would count as one event"


def _body(cases: VendorCases, title: str) -> bytes:
    return next(told.callback.body for told in cases.told if told.title == title)


def an_unknown_event_is_kept_and_is_no_error(cases: VendorCases) -> None:
    if cases.unknown is None:
        assert not cases.told, "the cases show no event of a type that nobody documented"
        return
    events = read(cases, cases.unknown).events
    assert events, "it is lost"
    assert {event.kind for event in events} == {"unknown"}
    assert all(event.raw and event.event_id for event in events)


# --- not genuine --------------------------------------------------------------------------------


def a_changed_callback_is_not_believed(cases: VendorCases) -> None:
    if not cases.told:
        return
    assert cases.forge is not None, "the cases cannot forge a callback"
    for told in cases.told:
        forged = cases.forge(told.callback)
        assert forged != told.callback, f"{told.title}: the forgery changes nothing"
        assert refused(cases, forged, now=told.now) == "Forged", told.title


def without_its_proof_a_callback_is_not_believed(cases: VendorCases) -> None:
    if cases.provider in BODY_SIGNED:
        return
    for told in cases.told:
        url = told.callback.url.partition("?")[0]
        bare = structs.replace(told.callback, headers={}, url=url)
        assert refused(cases, bare, now=told.now) == "Forged", told.title
        kind = {"content-type": told.callback.headers.get("content-type", "")}
        bare = structs.replace(told.callback, headers=kind, url=url)
        assert refused(cases, bare, now=told.now) == "Forged", told.title


def a_token_must_have_been_chosen(cases: VendorCases) -> None:
    if opened(cases).capabilities.webhook != "token":
        return
    kept = {name: value for name, value in cases.settings.items() if "webhook_token" not in name}
    assert kept != dict(cases.settings), "the settings of the cases hold no webhook_token"
    unset = opened(cases, settings=kept)
    for told in cases.told:
        with pytest.raises(Forged, match="webhook_token"):
            read(cases, told.callback, now=told.now, provider=unset)


def an_old_callback_is_not_believed(cases: VendorCases) -> None:
    if opened(cases).capabilities.webhook != "signed" or cases.provider in UNTIMED:
        return
    for told in cases.told:
        for now in (told.now + HOUR, told.now - HOUR):
            assert refused(cases, told.callback, now=now) == "Forged", told.title


def garbage_is_refused_and_never_raises(cases: VendorCases) -> None:
    for told in cases.told[:1]:
        for body in GARBAGE:
            sent = structs.replace(told.callback, body=body)
            assert refused(cases, sent, now=told.now) in _allowed(body), body[:20]
            if cases.sign is not None:
                refused(cases, cases.sign(body))  # may be an empty batch, may not raise


def _allowed(body: bytes) -> Sequence[str]:
    # An empty batch is a batch, where a token and not a signature vouches for it.
    is_empty = body.strip() in (b"", b"[]", b"{}")
    return ("Forged", "Unreadable", "") if is_empty else ("Forged", "Unreadable")


def spoilt_callbacks_never_raise(cases: VendorCases) -> None:
    if not cases.told:
        return
    provider = opened(cases)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(st.sampled_from(range(len(cases.told))), st.integers(0, 2**32))
    def holds(which: int, seed: int) -> None:
        told, rng = cases.told[which], random.Random(seed)
        body = spoilt(told.callback.body, rng)
        sent = structs.replace(told.callback, body=body)
        if cases.sign is not None and rng.random() < 0.8:
            sent = cases.sign(body)
        elif rng.random() < 0.4:
            sent = structs.replace(sent, url=_spoilt_query(sent.url, rng))
        elif rng.random() < 0.4:
            sent = structs.replace(sent, headers=_spoilt_headers(sent.headers, rng))
        try:
            events = read(cases, sent, provider=provider).events
        except (Forged, Unreadable):
            return
        for event in events:
            assert event.kind in KINDS
            assert isinstance(event.event_id, str)
            assert isinstance(event.at, int)
            assert event.message is None or isinstance(event.message, int)
            for text in (event.provider_id, event.code, event.reason, event.text, event.url):
                assert isinstance(text, str)
            assert event.recipient is None or isinstance(event.recipient, str)

    holds()


def _spoilt_query(url: str, rng: random.Random) -> str:
    address, _, query = url.partition("?")
    return f"{address}?{spoilt(query.encode(), rng).decode('latin-1')}"


def _spoilt_headers(headers: Any, rng: random.Random) -> dict[str, str]:
    changed = dict(headers)
    for name in rng.sample(sorted(changed), k=min(len(changed), rng.randint(1, 2))):
        changed[name] = rng.choice(["", "x", "0", "-1", "é", "9" * 400, "v1,", "Bearer ", "a.b.c"])
    return changed


# --- what it says it can do ---------------------------------------------------------------------


def what_it_can_do_is_what_it_shows(cases: VendorCases) -> None:
    provider, module = opened(cases), import_module(PROVIDERS[cases.provider])
    can: Capabilities = provider.capabilities
    words = getattr(module, "WORDS", {})
    shown = {event["kind"] for told in cases.told for event in told.expected}
    reported = shown - {"unknown", "inbound"}

    assert can == module.CAPABILITIES, "check and the matrix read the module's CAPABILITIES"
    assert provider.name == cases.provider
    assert provider.channel == cases.provider.partition(".")[0]
    assert can.docs.startswith("https://"), "the vendor's page is not named"
    assert "unknown" not in can.reports
    assert reported == can.reports - {"inbound"}, "claimed and shown events differ"
    assert ("inbound" in shown) == can.receives, "receiving is claimed or shown, not both"
    assert (can.webhook != "none") == bool(cases.told)
    assert set(_kinds(words)) - {"unknown", "inbound"} <= can.reports, "WORDS knows more"
    assert can.batch_max >= 1
    assert can.bytes_max >= 0
    assert not can.is_sandbox


def _kinds(words: Any) -> list[str]:
    values = words.values() if isinstance(words, dict) else ()
    return [value for value in values if isinstance(value, str)]


Claim = Callable[[VendorCases], None]
CLAIMS: Final[tuple[Claim, ...]] = (
    genuine_callbacks_say_what_happened,
    a_replay_is_the_same_event,
    an_unknown_event_is_kept_and_is_no_error,
    a_changed_callback_is_not_believed,
    without_its_proof_a_callback_is_not_believed,
    a_token_must_have_been_chosen,
    an_old_callback_is_not_believed,
    garbage_is_refused_and_never_raises,
    spoilt_callbacks_never_raise,
    what_it_can_do_is_what_it_shows,
)
