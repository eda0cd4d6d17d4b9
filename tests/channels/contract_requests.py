"""What every provider promises of the request it makes: its key, its letters, and what it hides.

What an answer means is in `contract_sending`; `test_provider_contract` runs both.
"""

import json
import re
from email.utils import parseaddr
from typing import Any, Final
from unittest.mock import patch

import pytest
from msgspec import structs

from channels import http_provider
from channels.base import Accepted, OutMessage, Receipt, RefusedBy
from channels.calls import Answer, Call
from engine.core.errors import UsageError
from tests.channels.contract_bench import (
    Exchange,
    bench,
    listening,
    opened,
    recording,
    secrets_of,
    texts_of,
)
from tests.channels.contract_sending import Claim, delivered
from tests.channels.vendor_cases import Answered, VendorCases
from tests.channels.vendor_server import hanging_up, running, saying, silent

ENCRYPTED: Final = {"push.webpush": "only the browser can read it; its own tests decrypt"}
"""Requests whose texts nobody between us and the person can read."""
NO_BASE_URL: Final[dict[str, str]] = {}
MARK: Final = "injected-mark"
SMALL_BYTES: Final = 20_000
"""Forty megabytes would take seconds to write, and prove no more."""

# --- what the request carries -------------------------------------------------------------------


async def a_repeat_bears_the_same_key_where_keys_are_honoured(cases: VendorCases) -> None:
    hours = opened(cases).capabilities.idempotency_hours
    other = structs.replace(cases.message, id=cases.message.id + 1, idempotency_key="another-key")
    good = saying(cases.accepted.answer)
    first, again = [(await delivered(cases, good))[1].call for _ in range(2)]
    different = (await delivered(cases, good, other))[1].call
    key = cases.message.idempotency_key

    if hours:
        assert key, "the case's message has no key"
        assert _carries(first, key)
        assert _carries(again, key)
        assert _carries(different, "another-key")
        assert not _carries(different, key)
    else:
        names = {name.lower() for name in first.headers}
        assert "idempotency-key" not in names, "a key is sent, and no hours are claimed for it"


def _carries(call: Call, key: str) -> bool:
    return key in call.headers.values() or key in texts_of(call)


async def every_letter_of_every_script_survives(cases: VendorCases) -> None:
    if cases.provider in ENCRYPTED:
        return
    receipt, tried = await delivered(cases, saying(cases.accepted.answer))
    assert isinstance(receipt, Accepted), receipt
    carried = "\n".join(_even(text) for text in texts_of(tried.call))
    wanted = _texts_in(cases.message)

    assert any(not text.isascii() for text in wanted), "the case's message is all ASCII"
    for text in wanted:
        assert _even(text) in carried, f"lost on the way: {text!r}"


def _texts_in(message: OutMessage) -> list[str]:
    found = [message.subject, message.html, message.text]
    if message.channel == "email":
        found += [parseaddr(message.from_)[0], parseaddr(message.reply_to)[0]]
    found += [value for value in message.data.values() if isinstance(value, str)]
    return [text for text in found if text and not text.isascii()]


def _even(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


async def a_line_break_is_refused_before_any_call(cases: VendorCases) -> None:
    good = saying(cases.accepted.answer)
    for title, message in _injections(cases.message):
        receipt, tried = await delivered(cases, good, message)
        sent = [it for it in tried.calls if not any(part in it.url for part in cases.questions)]
        if not sent:
            assert isinstance(receipt, RefusedBy), f"{title}: {receipt}"
            assert receipt.scope in ("message", "recipient"), f"{title}: {receipt}"
            assert MARK not in receipt.text, f"{title}: repeated in the receipt"
            continue
        # Not a field that this vendor carries: then it must not travel at all.
        whole = [sent[-1].url, *sent[-1].headers, *sent[-1].headers.values()]
        assert not re.search(r"[\r\n\0]", "".join(whole)), f"{title}: it splits the request"
        is_token = title == "to" and cases.message.channel == "push"
        if not is_token:
            assert not any(MARK in text for text in [*whole, *texts_of(sent[-1])]), title


def _injections(message: OutMessage) -> list[tuple[str, OutMessage]]:
    tail = f"\r\nX-Extra: {MARK}"
    names = ["to", "from_", "reply_to", *(["subject"] if message.channel == "email" else [])]
    found = []
    for name in names:
        written = getattr(message, name) or "a@b.example"
        found.append((name, structs.replace(message, **{name: written + tail})))
    for headers in ({"X-Ours": f"a{tail}"}, {f"X-Ours{tail}": "a"}, {"X-Ours": f"a\0{MARK}"}):
        found.append((f"headers {headers!r}", structs.replace(message, headers=headers)))
    return found


async def a_message_beyond_the_limit_is_refused_before_any_call(cases: VendorCases) -> None:
    async with bench(cases, saying(cases.accepted.answer)) as tried:
        can = tried.provider.capabilities
        if not can.bytes_max:
            return
        most = min(can.bytes_max, SMALL_BYTES)
        tried.provider.capabilities = structs.replace(can, bytes_max=most)
        receipt = await tried.provider.deliver(_enlarged(cases.message, "ü" * (most // 2 + 1)))

    assert isinstance(receipt, RefusedBy), receipt
    assert receipt.scope == "message", receipt
    assert f"{most:,}" in receipt.text, f"it does not say what is allowed: {receipt.text}"
    assert tried.server.arrived == []


def _enlarged(message: OutMessage, text: str) -> OutMessage:
    if message.channel == "push":
        return structs.replace(message, data={**message.data, "body": text})
    return structs.replace(message, html=f"<p>{text}</p>", text=text)


# --- what nobody may read -----------------------------------------------------------------------


async def no_secret_is_shown_told_or_logged(cases: VendorCases) -> None:
    hidden = secrets_of(cases.settings)
    assert hidden, "the settings of the cases hold no secret that could leak"
    shown: list[str] = []
    with listening() as logged:
        for behaviour in (saying(cases.accepted.answer), saying(Answer(401)), silent, hanging_up):
            receipt, tried = await delivered(cases, behaviour)
            vendor = tried.provider.vendor
            shown += [repr(receipt), repr(tried.provider), repr(vendor)]
            shown += [repr(each) for each in vars(vendor).values()] if _has_vars(vendor) else []
    for text in [*shown, *logged]:
        for secret in hidden:
            assert secret not in text, f"a secret stands in {text[:40]!r}…"


def _has_vars(vendor: object) -> bool:
    return hasattr(vendor, "__dict__")


async def no_receipt_repeats_the_address(cases: VendorCases) -> None:
    to = cases.message.to
    for status in (400, 401, 404, 422, 500):
        plain = f"cannot send to {to}, sorry"
        told: list[bytes] = [plain.encode()]
        told += [json.dumps({word: plain}).encode() for word in ("message", "error", "Message")]
        told += [_with_address(each, to) for each in cases.answered if each.answer.status == status]
        for body in told:
            receipt, _ = await delivered(cases, saying(Answer(status, {}, body)))
            assert to not in repr(receipt), f"{status} {body!r}: {receipt}"


def _with_address(each: Answered, to: str) -> bytes:
    return re.sub(rb'": ?"', f'": "{to} '.encode(), each.answer.body)


async def settings_are_refused_by_name_and_never_by_value(cases: VendorCases) -> None:
    hidden = secrets_of(cases.settings)
    wrong: list[dict[str, Any]] = [{**cases.settings, "no_such_setting": "x"}]
    wrong += [{**cases.settings, name: {"a": [1]}} for name in cases.settings]
    for each in wrong:
        odd = next(name for name, value in each.items() if cases.settings.get(name) != value)
        with pytest.raises(UsageError) as refusal:
            await opened(cases, settings=each).close()
        said = str(refusal.value)
        assert not any(secret in said for secret in hidden), f"{odd}: {said[:30]}"
        assert f"channels.{cases.provider.partition('.')[0]}" in said, f"{odd}: {said}"


async def the_operators_own_address_is_called(cases: VendorCases) -> None:
    if cases.provider in NO_BASE_URL:
        return
    async with running(saying(cases.accepted.answer), questions=cases.questions) as server:
        base = f"http://127.0.0.1:{server.port}"
        provider = opened(cases, settings={**cases.settings, "base_url": base})
        calls: list[Call] = []
        with recording(calls):
            if cases.questions:
                with _asked_without_a_wire(cases):
                    receipt = await provider.deliver(cases.message)
            else:
                receipt = await provider.deliver(cases.message)
        await provider.close()

    assert isinstance(receipt, Accepted), receipt
    assert len(server.arrived) == 1
    assert server.arrived[0].headers["host"] == f"127.0.0.1:{server.port}"


def _asked_without_a_wire(cases: VendorCases) -> Any:
    """Answers the questions here, and lets the message's own call go out."""
    exchange: Exchange = vars(http_provider)["exchange"]

    async def asked(client: Any, call: Call) -> Answer | Receipt:
        for part, answer in cases.questions.items():
            if part in call.url:
                return answer
        return await exchange(client, call)

    return patch.object(http_provider, "exchange", asked)


CLAIMS: Final[tuple[Claim, ...]] = (
    a_repeat_bears_the_same_key_where_keys_are_honoured,
    every_letter_of_every_script_survives,
    a_line_break_is_refused_before_any_call,
    a_message_beyond_the_limit_is_refused_before_any_call,
    no_secret_is_shown_told_or_logged,
    no_receipt_repeats_the_address,
    settings_are_refused_by_name_and_never_by_value,
    the_operators_own_address_is_called,
)
