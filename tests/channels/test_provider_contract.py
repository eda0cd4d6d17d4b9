"""One contract, every provider: each claim of contract_*.py, held by
every module of `vendors/`, over a real connection; and the contract itself, by breaking a vendor.
"""

import asyncio
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import httpx
import pytest
from msgspec import structs

from channels import PROVIDERS
from channels.base import Accepted, Ambiguous, Capabilities, RefusedBy
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call
from engine.core.errors import Forged
from tests.channels import (
    contract_callbacks,
    contract_requests,
    contract_sending,
    example_vendor,
    vendors,
)
from tests.channels.example_vendor import CASES as EXAMPLE
from tests.channels.example_vendor import Example
from tests.channels.vendor_cases import VendorCases

OTHERWISE_TESTED = {
    "email.smtp": "no HTTP: tests/channels/test_smtp.py, against real servers",
    "email.sandbox": "calls nobody: tests/channels/test_sandbox.py",
    "sms.sandbox": "calls nobody: tests/channels/test_sandbox.py",
    "push.sandbox": "calls nobody: tests/channels/test_sandbox.py",
    "web.sandbox": "calls nobody: tests/channels/test_sandbox.py",
    "web.placement": "calls nobody: the placement waits in our own store for its visitor",
    "webhook.http": "what a step wrote, to whom it wrote: tests/engine/sending/",
    "webhook.sandbox": "calls nobody",
}
"""Providers without cases, and why."""

Claim = Callable[[VendorCases], Awaitable[None] | None]
CLAIMS: tuple[Claim, ...] = (
    *contract_sending.CLAIMS,
    *contract_requests.CLAIMS,
    *contract_callbacks.CLAIMS,
)


def discovered() -> dict[str, VendorCases]:
    """The cases of every module of `vendors/`, by provider, and of the made-up one."""
    found = [EXAMPLE]
    for module in pkgutil.iter_modules(vendors.__path__):
        found.append(importlib.import_module(f"{vendors.__name__}.{module.name}").CASES)
    by_provider = {cases.provider: cases for cases in found}
    assert len(by_provider) == len(found), "two modules hold cases of one provider"
    return by_provider


CASES = discovered()


@pytest.fixture(autouse=True)
def _example_is_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROVIDERS, "sms.example", example_vendor.__name__)
    # Reading the system's certificates takes 20 ms, and nobody here speaks TLS.
    monkeypatch.setattr(httpx, "create_ssl_context", functools.cache(httpx.create_ssl_context))


def held(claim: Claim, cases: VendorCases) -> None:
    """Try a claim; whatever it raises is why it does not hold."""
    trying: Any = claim(cases)
    if inspect.isawaitable(trying):
        asyncio.run(trying)  # type: ignore[arg-type]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
@pytest.mark.parametrize("provider", sorted(CASES))
def test_every_provider_keeps_the_contract(provider: str, claim: Claim) -> None:
    held(claim, CASES[provider])


def test_every_provider_has_cases_or_a_reason_why_not() -> None:
    ours = set(PROVIDERS) - {"sms.example"}
    known = {*CASES, *OTHERWISE_TESTED}

    assert ours - known == set()
    assert set(CASES) - {"sms.example"} - ours == set()
    assert set(CASES) & set(OTHERWISE_TESTED) == set()


# --- the contract notices what is wrong ---------------------------------------------------------


class Planted:
    """A way to break the example, and the claim that must notice."""

    def __init__(self, claim: Claim, **changed: Any) -> None:
        self.claim, self.changed = claim, changed


def _no_signature(self: Example, callback: Callback, *, now: int) -> Echo:
    return Example.read_callback(self, example_vendor.signed(callback.body, at=now), now=now)


def _no_age(self: Example, callback: Callback, *, now: int) -> Echo:
    at = callback.headers.get("x-time", "0")
    return Example.read_callback(self, callback, now=int(at) * 1_000_000 if at.isdigit() else now)


def _no_error_is_unreadable(self: Example, callback: Callback, *, now: int) -> Echo:
    if not callback.body.startswith(b"["):
        raise RuntimeError("what is this?")
    return Example.read_callback(self, callback, now=now)


def _new_event_ids(self: Example, callback: Callback, *, now: int) -> Echo:
    echo = Example.read_callback(self, callback, now=now)
    return Echo([structs.replace(event, event_id=f"{now}") for event in echo.events])


def _only_known_events(self: Example, callback: Callback, *, now: int) -> Echo:
    echo = Example.read_callback(self, callback, now=now)
    return Echo([event for event in echo.events if event.kind != "unknown"])


def _secret_is_told(self: Example, callback: Callback, *, now: int) -> Echo:
    try:
        return Example.read_callback(self, callback, now=now)
    except Forged:
        raise Forged(f"not signed with {self.settings.secret}") from None


def _call_changed(change: Callable[[Call], Call]) -> Callable[..., Any]:
    def call(self: Example, message: Any, *, now: int) -> Any:
        asked = Example.call(self, message, now=now)
        return change(asked) if isinstance(asked, Call) else asked

    return call


def _unchecked(self: Example, message: Any, *, now: int) -> Any:
    kept = structs.replace(message, to="+4915112345678", from_="Läden")
    asked = Example.call(self, kept, now=now)
    assert isinstance(asked, Call)
    return structs.replace(asked, body=asked.body[:-1] + b',"x":"' + MARKED + b'"}')


MARKED = contract_requests.MARK.encode()


def _receipt(change: Callable[[Answer, Any], Any]) -> Callable[..., Any]:
    def receipt(self: Example, answer: Answer, *, now: int) -> Any:
        return change(answer, Example.receipt(self, answer, now=now))

    return receipt


def _headers(call: Call, **changed: str) -> Call:
    return structs.replace(call, headers={**call.headers, **changed})


sending, requests, callbacks = contract_sending, contract_requests, contract_callbacks


def _our_own_fault() -> NoReturn:
    raise RuntimeError("planted")


PLANTED = {
    "an unknown field is sent": Planted(
        sending.a_message_is_taken_by_a_request_its_documentation_allows,
        call=_call_changed(lambda it: structs.replace(it, body=it.body[:-1] + b',"odd":1}')),
    ),
    "2xx is success whatever it says": Planted(
        sending.an_answer_nobody_can_read_is_never_taken_for_success,
        receipt=_receipt(lambda answer, it: Accepted("?") if answer.is_ok else it),
    ),
    "the vendor's name is not kept": Planted(
        sending.a_message_is_taken_by_a_request_its_documentation_allows,
        receipt=_receipt(lambda answer, it: Accepted("") if answer.is_ok else it),
    ),
    "5xx is a refusal": Planted(
        sending.a_server_in_trouble_leaves_us_in_doubt,
        receipt=_receipt(
            lambda answer, it: RefusedBy("message", "5", "") if answer.status > 499 else it
        ),
    ),
    "a wrong key burns the person": Planted(
        sending.every_documented_answer_means_what_it_should,
        receipt=_receipt(
            lambda answer, it: (
                RefusedBy("config", "http 401", "", "hard") if answer.status == 401 else it
            )
        ),
    ),
    "everything is in doubt": Planted(
        sending.the_cases_show_every_class_of_answer,
        receipt=_receipt(lambda answer, it: it if answer.is_ok else Ambiguous("?")),
    ),
    "a key for each attempt": Planted(
        requests.a_repeat_bears_the_same_key_where_keys_are_honoured,
        call=_call_changed(lambda it: _headers(it, **{"Idempotency-Key": str(id(it))})),
    ),
    "text is sent in ASCII": Planted(
        requests.every_letter_of_every_script_survives,
        call=_call_changed(
            lambda it: structs.replace(it, body=it.body.decode("ascii", "replace").encode())
        ),
    ),
    "line breaks travel": Planted(
        requests.a_line_break_is_refused_before_any_call, call=_unchecked
    ),
    "the key stands in the address": Planted(
        requests.no_secret_is_shown_told_or_logged,
        call=_call_changed(lambda it: structs.replace(it, url=f"{it.url}?key=test-key-of-ours")),
    ),
    "an answer of another shape raises": Planted(
        sending.no_answer_whatever_raises,
        receipt=_receipt(lambda answer, it: it if answer.json() else _our_own_fault()),
    ),
    "the operator's address is not called": Planted(
        requests.the_operators_own_address_is_called,
        call=_call_changed(lambda it: structs.replace(it, url="https://127.0.0.1:9/messages")),
    ),
    "the number stands in other words": Planted(
        requests.no_receipt_repeats_the_address,
        receipt=_receipt(
            lambda answer, it: (
                RefusedBy("message", EXAMPLE.message.to, "") if answer.status == 400 else it
            )
        ),
    ),
    "no signature is asked for": Planted(
        callbacks.a_changed_callback_is_not_believed, read_callback=_no_signature
    ),
    "nor a header": Planted(
        callbacks.without_its_proof_a_callback_is_not_believed, read_callback=_no_signature
    ),
    "an old callback is believed": Planted(
        callbacks.an_old_callback_is_not_believed, read_callback=_no_age
    ),
    "a fault of ours escapes": Planted(
        callbacks.garbage_is_refused_and_never_raises, read_callback=_no_error_is_unreadable
    ),
    "it escapes for spoilt bodies": Planted(
        callbacks.spoilt_callbacks_never_raise, read_callback=_no_error_is_unreadable
    ),
    "a replay is news": Planted(callbacks.a_replay_is_the_same_event, read_callback=_new_event_ids),
    "unknown events are dropped": Planted(
        callbacks.an_unknown_event_is_kept_and_is_no_error, read_callback=_only_known_events
    ),
    "the secret is in the refusal": Planted(
        callbacks.a_changed_callback_is_not_believed, read_callback=_secret_is_told
    ),
    "more is claimed than shown": Planted(
        callbacks.what_it_can_do_is_what_it_shows,
        capabilities=structs.replace(
            Example.capabilities, reports=Example.capabilities.reports | {"opened"}
        ),
    ),
    "less is claimed than shown": Planted(
        callbacks.what_it_can_do_is_what_it_shows, capabilities=Capabilities()
    ),
}


@pytest.mark.parametrize("title", PLANTED)
def test_the_contract_notices_a_planted_fault(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = PLANTED[title]
    broken = type("Broken", (Example,), {})
    for name, value in planted.changed.items():
        setattr(broken, name, value)
    monkeypatch.setattr(example_vendor, "Example", broken)

    with pytest.raises((AssertionError, RuntimeError, ArithmeticError)):
        held(planted.claim, EXAMPLE)
