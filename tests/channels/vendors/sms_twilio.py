"""Twilio, as its documentation shows it.

Answers: https://www.twilio.com/docs/messaging/api/message-resource and /docs/api/errors.
"""

import hmac
import json
from base64 import b64encode
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlencode

from msgspec import structs

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from tests.channels.published import check_published
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

ACCOUNT: Final = "AC" + "a1" * 16
TOKEN: Final = "an-auth-token-for-tests"
SID: Final = "SM4262411b90e5464b98a4f66a49c57a97"
US, PHONE, SENDER = "https://us.example/webhooks/sms", "+4915112345678", "+15005550006"

FIELDS: Final = {"To", "From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod"}


def check_call(call: Call) -> None:
    assert call.url == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    form = parse_qs(call.body.decode(), strict_parsing=True)
    assert set(form) == FIELDS
    assert form["StatusCallback"] == [f"{US}?message=7"]
    assert form["ValidityPeriod"] == ["3600"]
    check_published(call, "twilio_messages", host="https://api.twilio.com")


def seal(url: str, body: bytes, *, token: str = TOKEN) -> str:
    """https://www.twilio.com/docs/usage/security: address, then names and values in order."""
    fields = sorted(set(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))
    text = url + "".join(name + value for name, value in fields)
    return b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def signed(body: bytes, *, url: str = f"{US}?message=7") -> Callback:
    headers = {
        "x-twilio-signature": seal(url, body),
        "content-type": "application/x-www-form-urlencoded",
    }
    return Callback(url, headers, body)


def told(status: str, **more: str) -> Callback:
    fields = {"SmsSid": SID, "SmsStatus": status, "MessageStatus": status, "To": PHONE,
              "MessageSid": SID, "AccountSid": ACCOUNT, "From": SENDER,
              "ApiVersion": "2010-04-01", **more}  # fmt: skip
    return signed(urlencode(fields).encode())


def inbound(text: str, **more: str) -> Callback:
    fields = {"ToCountry": "US", "SmsMessageSid": "SMin", "NumMedia": "0", "SmsSid": "SMin",
              "SmsStatus": "received", "Body": text, "To": SENDER, "From": PHONE,
              "MessageSid": "SMin", "AccountSid": ACCOUNT, **more}  # fmt: skip
    return signed(urlencode(fields).encode(), url=US)


def forge(callback: Callback) -> Callback:
    return structs.replace(callback, body=callback.body.replace(b"SM", b"SN", 1))


def refusal(code: int, words: str, status: int = 400) -> Answer:
    body = {"code": code, "message": words, "status": status,
            "more_info": f"https://www.twilio.com/docs/errors/{code}"}  # fmt: skip
    return Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())


CASES: Final = VendorCases(
    provider="sms.twilio",
    settings={
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "from": [SENDER],
        "messaging_service": "MG" + "b2" * 16,
        "callback_url": US,
    },
    message=OutMessage(
        7, "sms", PHONE, text="Grüße 🎻 & schöne Zeit", metadata={"message": "7"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered(
        "created",
        Answer(201, body=json.dumps({"sid": SID, "status": "queued", "num_segments": "1",
                                     "error_code": None, "to": PHONE}).encode()),
        Accepted(SID),
    ),
    answered=(
        Answered(
            "invalid number",
            refusal(21211, "The 'To' number +15005550001 is not a valid phone number."),
            RefusedBy("recipient", "21211",
                      "The 'To' number <number> is not a valid phone number.", "hard"),
        ),
        Answered(
            "opted out",
            refusal(21610, "Attempt to send to unsubscribed recipient"),
            RefusedBy("recipient", "21610", "Attempt to send to unsubscribed recipient",
                      is_opt_out=True),
        ),
        Answered(
            "no mobile",
            refusal(21614, "'To' number is not a valid mobile number"),
            RefusedBy("recipient", "21614", "'To' number is not a valid mobile number", "hard"),
        ),
        Answered(
            "region off",
            refusal(21408, "Permission to send an SMS has not been enabled for the region"),
            RefusedBy("recipient", "21408",
                      "Permission to send an SMS has not been enabled for the region", "block"),
        ),
        Answered(
            "too long",
            refusal(21617, "The concatenated message body exceeds the 1600 character limit."),
            RefusedBy("message", "21617",
                      "The concatenated message body exceeds the 1600 character limit."),
        ),
        Answered("new code", refusal(21999, "Something new"),
                 RefusedBy("message", "21999", "Something new")),
        Answered(
            "sender not ours",
            refusal(21606, "The From phone number is not a valid, SMS-capable number."),
            RefusedBy("config", "21606",
                      "The From phone number is not a valid, SMS-capable number."),
        ),
        Answered("token", refusal(20003, "Authenticate", 401),
                 RefusedBy("config", "20003", "Authenticate")),
        Answered("account closed", refusal(20005, "Account is not active", 403),
                 RefusedBy("account", "20005", "Account is not active")),
        Answered(
            "too many",
            Answer(429, {"retry-after": "2"}, b'{"code": 20429, "message": "Too Many Requests"}'),
            Throttled(2.0, '{"code": 20429, "message": "Too Many Requests"}'),
        ),
        Answered("queue full", refusal(21611, "This From number has exceeded the maximum"),
                 Throttled(None, "This From number has exceeded the maximum")),
        Answered("broken", Answer(500, body=b'{"code": 20500, "message": "Internal"}'), Ambiguous),
        Answered("no sid", Answer(201, body=b"{}"), Ambiguous),
    ),
    told=(
        Told("queued", told("queued"), [{"kind": "queued", "message": 7, "provider_id": SID}]),
        Told("sent", told("sent"), [{"kind": "sent", "message": 7}]),
        Told("delivered", told("delivered"), [{"kind": "delivered", "recipient": PHONE}]),
        Told("read", told("read"), [{"kind": "opened", "message": 7}]),
        Told("cancelled", told("canceled"), [{"kind": "rejected", "message": 7}]),
        Told("unknown handset", told("undelivered", ErrorCode="30005"),
             [{"kind": "undelivered", "code": "30005", "bounce_class": "hard"}]),
        Told("landline", told("undelivered", ErrorCode="30006"), [{"bounce_class": "hard",
             "kind": "undelivered"}]),
        Told("off", told("undelivered", ErrorCode="30003"), [{"bounce_class": "soft",
             "kind": "undelivered"}]),
        Told("filtered", told("failed", ErrorCode="30007"), [{"kind": "failed",
             "bounce_class": "block"}]),
        Told("new failure", told("failed", ErrorCode="30999"), [{"kind": "failed",
             "bounce_class": "undetermined"}]),
        Told(
            "opted out", told("failed", ErrorCode="21610"),
            [{"kind": "failed", "bounce_class": None}, {"kind": "unsubscribed", "message": 7}],
        ),
        Told("answer", inbound("Grüße, wann kommt es? 😀"),
             [{"kind": "inbound", "recipient": PHONE, "text": "Grüße, wann kommt es? 😀"}]),
        Told("stop", inbound("BASTA", OptOutType="STOP", MessageSid="SMstop"),
             [{"kind": "inbound", "code": "STOP"}]),
    ),
    forge=forge,
    unknown=told("teleported"),
    sign=signed,
)  # fmt: skip
