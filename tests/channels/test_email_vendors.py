"""What only some vendors of e-mail have: test modes, streams, two keys at once, unsigned bodies."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Mapping
from email import message_from_bytes, policy
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

from channels.base import Accepted, OutMessage, RefusedBy
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call
from channels.email.mailgun import Mailgun
from channels.http_provider import HttpProvider
from engine.core.errors import Forged, UsageError
from engine.core.model.instants import HOUR, MINUTE, SECOND
from tests.channels.contract_bench import opened
from tests.channels.email_cases import MESSAGE
from tests.channels.vendor_cases import NOW, VendorCases
from tests.channels.vendors import (
    email_brevo,
    email_mailgun,
    email_postmark,
    email_resend,
    email_sendgrid,
    email_ses,
)

VENDORS = {
    cases.CASES.provider: cases.CASES
    for cases in (
        email_brevo, email_mailgun, email_postmark, email_resend, email_sendgrid, email_ses,
    )
}  # fmt: skip
JSON = ("email.brevo", "email.postmark", "email.resend", "email.sendgrid")
RECEIPT = structs.replace(MESSAGE, unsubscribe_url="", topic="", headers={})
"""The same mail, transactional."""


def with_settings(cases: VendorCases, **changed: Any) -> HttpProvider:
    return opened(cases, settings={**cases.settings, **changed})


def call(cases: VendorCases, message: OutMessage = MESSAGE, **changed: Any) -> Call:
    asked = with_settings(cases, **changed).vendor.call(message, now=NOW)
    assert isinstance(asked, Call), asked
    return asked


def body(cases: VendorCases, message: OutMessage = MESSAGE, **changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(call(cases, message, **changed).body)
    return found


def read(provider: HttpProvider, callback: Callback) -> Echo:
    return asyncio.run(provider.read_callback(callback))


def headers_in(provider: str, message: OutMessage) -> Mapping[str, str]:
    """The headers that a request adds, whatever the vendor calls them."""
    asked = call(VENDORS[provider], message)
    if provider == "email.mailgun":
        return dict(_mail(asked.body[asked.body.index(b"Date: ") :]))
    found = msgspec.json.decode(asked.body)
    if provider == "email.ses":
        return dict(_mail(b64decode(found["Content"]["Raw"]["Data"])))
    if provider == "email.postmark":
        return {each["Name"]: each["Value"] for each in found["Headers"]}
    told: dict[str, str] = found["headers"]
    return told


def _mail(raw: bytes) -> dict[str, str]:
    return {
        name: str(value) for name, value in message_from_bytes(raw, policy=policy.default).items()
    }


# --- out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", sorted(VENDORS))
def test_a_transactional_mail_says_it_is_automatic_and_names_no_list(provider: str) -> None:
    found = headers_in(provider, RECEIPT)

    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Feedback-ID"] == "win-back:none:transactional:shopmail"
    assert not [name for name in found if name.startswith("List-")]


@pytest.mark.parametrize("provider", sorted(VENDORS))
def test_a_marketing_mail_has_both_headers_of_one_click(provider: str) -> None:
    found = headers_in(provider, MESSAGE)

    assert found["List-Unsubscribe"].startswith(f"<{MESSAGE.unsubscribe_url}>")
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert found["List-Id"] == "<offers.mail.shop.example>"


@pytest.mark.parametrize("provider", JSON)
@pytest.mark.parametrize("changed", [{"html": ""}, {"text": ""}])
def test_a_mail_with_one_part_has_no_empty_one(provider: str, changed: dict[str, str]) -> None:
    whole, part = (
        body(VENDORS[provider]),
        body(VENDORS[provider], structs.replace(MESSAGE, **changed)),
    )

    missing = MESSAGE.html if "html" in changed else MESSAGE.text
    assert missing in _leaves(whole)
    assert missing not in _leaves(part)
    assert "" not in _leaves(part)


def _leaves(value: Any) -> list[Any]:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return [value] if inner is None else [leaf for each in inner for leaf in _leaves(each)]


@pytest.mark.parametrize("provider", sorted(VENDORS))
@pytest.mark.parametrize("changed", [
    {"html": "", "text": ""}, {"to": "nobody"}, {"headers": {"Bcc": "eve@example.com"}},
    {"unsubscribe_url": "javascript:alert(1)"}, {"from_": "nobody"}, {"text": "half \ud83c"},
    {"subject": "\udfbb"}, {"headers": {"X-Season": "\udfbb"}}, {"from_": "\ud83c <a@b.example>"},
])  # fmt: skip
def test_what_is_no_mail_is_refused_before_any_call(provider: str, changed: dict[str, Any]) -> None:
    asked = with_settings(VENDORS[provider]).vendor.call(
        structs.replace(MESSAGE, **changed), now=NOW
    )

    assert isinstance(asked, RefusedBy)
    assert (asked.scope, asked.code) == ("message", "compose")
    assert "eve@" not in asked.text


def test_each_test_mode_is_asked_for_in_its_vendors_way() -> None:
    sendgrid = body(email_sendgrid.CASES, sandbox=True)
    mailgun = call(email_mailgun.CASES, sandbox=True)
    postmark = call(email_postmark.CASES, sandbox=True)
    brevo = body(email_brevo.CASES, sandbox=True)

    assert sendgrid["mail_settings"]["sandbox_mode"] == {"enable": True}
    assert b'name="o:testmode"\r\n\r\nyes\r\n' in mailgun.body
    assert postmark.headers["X-Postmark-Server-Token"] == "POSTMARK_API_TEST"
    assert brevo["headers"]["X-Sib-Sandbox"] == "drop"
    assert body(email_sendgrid.CASES)["mail_settings"]["sandbox_mode"] == {"enable": False}
    assert b"testmode" not in call(email_mailgun.CASES).body


def test_only_sendgrids_sandbox_answers_200() -> None:
    sandbox = with_settings(email_sendgrid.CASES, sandbox=True).vendor

    assert sandbox.receipt(Answer(200), now=NOW) == Accepted("sandbox")


def test_postmark_has_a_stream_for_each_kind_of_mail() -> None:
    streams = {"stream": "orders", "marketing_stream": "newsletters"}

    assert body(email_postmark.CASES, MESSAGE, **streams)["MessageStream"] == "newsletters"
    assert body(email_postmark.CASES, RECEIPT, **streams)["MessageStream"] == "orders"
    assert body(email_postmark.CASES, RECEIPT)["MessageStream"] == "outbound"


def test_ses_takes_no_address_beyond_ascii() -> None:
    asked = with_settings(email_ses.CASES).vendor.call(
        structs.replace(MESSAGE, to="zoë@example.com"), now=NOW
    )

    assert isinstance(asked, RefusedBy)
    assert (asked.scope, asked.bounce) == ("recipient", "undetermined")


def test_tags_hold_only_what_ses_and_resend_allow() -> None:
    odd = structs.replace(MESSAGE, metadata={"campaign": "Läden: 50 %", "step": ""})

    ses = body(email_ses.CASES, odd)["EmailTags"]
    resend = body(email_resend.CASES, odd)["tags"]

    assert ses == [
        {"Name": "campaign", "Value": "L-den--50--"}, {"Name": "message", "Value": "7"},
    ]  # fmt: skip
    assert resend == [{"name": each["Name"], "value": each["Value"]} for each in ses]


# --- back ---------------------------------------------------------------------------------------

ROTATED: dict[str, tuple[VendorCases, str, str]] = {
    "email.brevo": (email_brevo.CASES, "webhook_token", "another-token"),
    "email.mailgun": (email_mailgun.CASES, "webhook_key", "another-key"),
    "email.postmark": (email_postmark.CASES, "webhook_token", "another-token"),
    "email.resend": (email_resend.CASES, "webhook_secret", "whsec_AAAAAAAAAAAAAAAAAAAAAAAA"),
    "email.sendgrid": (
        email_sendgrid.CASES,
        "webhook_key",
        email_sendgrid.public_text(ec.derive_private_key(99, ec.SECP256R1())),
    ),
}


@pytest.mark.parametrize("provider", ROTATED)
def test_while_secrets_change_callbacks_of_the_old_one_are_believed(provider: str) -> None:
    cases, name, new = ROTATED[provider]
    callback, old = cases.told[0].callback, cases.settings[name]

    assert read(with_settings(cases, **{name: new, f"{name}_old": old}), callback).events
    with pytest.raises(Forged):
        read(with_settings(cases, **{name: new}), callback)


@pytest.mark.parametrize("provider", ROTATED)
def test_without_a_secret_the_setting_to_fill_is_named(provider: str) -> None:
    cases, name, _ = ROTATED[provider]

    with pytest.raises(Forged, match=f"set {name}:"):
        read(with_settings(cases, **{name: ""}), cases.told[0].callback)


@pytest.mark.parametrize(
    ("cases", "changed", "said"),
    [
        (email_sendgrid.CASES, {"webhook_key": "bm8ga2V5"}, "email.webhook_key is no key"),
        (email_resend.CASES, {"webhook_secret": "whsec_!"}, "email.webhook_secret: the secret is"),
        (email_ses.CASES, {"region": "evil.example/"}, "email.region is no AWS region"),
        (email_mailgun.CASES, {"domain": "", "from": ""}, "email.domain is empty"),
        (email_brevo.CASES, {"feedback": "abc"}, "email.feedback has 5 to 15 characters"),
        (email_postmark.CASES, {"list_id": "a\nb"}, "email.list_id holds a control character"),
        (email_brevo.CASES, {"domain": "", "from": "x"}, "email.from: an e-mail address has"),
    ],
)
def test_settings_that_cannot_work_are_refused_when_they_are_read(
    cases: VendorCases, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        with_settings(cases, **changed)


def test_a_token_of_mailguns_vouches_for_one_body_only() -> None:
    # Only time and token are signed: who has seen one callback could write any other.
    provider = with_settings(email_mailgun.CASES)
    genuine = email_mailgun.telling("complained")
    told = json.loads(genuine.body)
    told["event-data"]["recipient"] = "eve@example.com"
    forged = structs.replace(genuine, body=json.dumps(told).encode())

    first = read(provider, genuine).events
    again = read(provider, genuine).events

    assert [event.event_id for event in first] == [event.event_id for event in again]
    with pytest.raises(Forged, match="token came before, with another body"):
        read(provider, forged)


def test_tokens_that_are_too_old_to_come_again_are_forgotten() -> None:
    vendor = with_settings(email_mailgun.CASES).vendor
    assert isinstance(vendor, Mailgun)

    for number in range(50):
        now = NOW + number * HOUR // 2
        callback = email_mailgun.signed(
            {"event": "opened", "id": str(number), "timestamp": now / SECOND}, at=now
        )
        vendor.read_callback(callback, now=now)

    assert len(vendor.tokens) in (19, 20)  # nine hours of two an hour


def test_a_repeat_of_mailguns_is_believed_for_as_long_as_it_repeats() -> None:
    # It comes with the time of the first call.
    vendor = with_settings(email_mailgun.CASES).vendor
    callback = email_mailgun.telling("delivered")

    for now in (NOW - 4 * MINUTE, NOW, NOW + 8 * HOUR):
        assert isinstance(vendor.read_callback(callback, now=now), Echo)

    for now in (NOW - 6 * MINUTE, NOW + 10 * HOUR):
        with pytest.raises(Forged, match="clock"):
            vendor.read_callback(callback, now=now)
