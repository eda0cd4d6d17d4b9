"""Kannel, as it speaks: its user guide, and the answers its own 1.4.5 gave to `test_kannel`."""

from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from msgspec import structs

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

TOKEN: Final = "a-token-for-tests"
PHONE: Final = "+4915112345678"
SECONDS: Final = NOW // 1_000_000

HEADERS: Final = {
    "Content-Type", "X-Kannel-Username", "X-Kannel-Password", "X-Kannel-From", "X-Kannel-To",
    "X-Kannel-SMSC", "X-Kannel-Coding", "X-Kannel-DLR-Mask", "X-Kannel-DLR-URL",
    "X-Kannel-Validity",
}  # fmt: skip
"""User guide, "Posting SMS messages by HTTP POST", those that we send."""


def check_call(call: Call) -> None:
    assert (call.method, call.url) == ("POST", "http://127.0.0.1:13013/cgi-bin/sendsms")
    assert set(call.headers) <= HEADERS
    assert {"X-Kannel-Username", "X-Kannel-Password", "X-Kannel-To"} <= set(call.headers)
    assert call.headers["X-Kannel-Coding"] in ("0", "2")
    assert int(call.headers["X-Kannel-Validity"]) == 60
    report = urlsplit(call.headers["X-Kannel-DLR-URL"])
    assert parse_qs(report.query)["message"] == ["7"]
    assert call.body.decode()


def told(kind: str, **changed: str) -> Callback:
    fields = {"token": TOKEN, "message": "7", "type": kind, "at": str(SECONDS), "to": PHONE}
    fields |= {"carrier_id": "3fae3cfb", "words": "", **changed}
    return Callback(f"https://us.example/webhooks/sms?{urlencode(fields)}", method="GET")


def forge(callback: Callback) -> Callback:
    return structs.replace(callback, url=callback.url.replace(TOKEN, TOKEN[:-1] + "z"))


ANSWER: Final = Callback(
    "https://us.example/webhooks/sms?"
    + urlencode({"token": TOKEN, "from": PHONE, "to": "13013", "text": "STOP 😀", "id": "717fb665",
                 "at": str(SECONDS)}),
    method="GET",
)  # fmt: skip

CASES: Final = VendorCases(
    provider="sms.kannel",
    settings={
        "base_url": "http://127.0.0.1:13013",
        "username": "antiphon",
        "password": "a-password",
        "smsc": "carrier-1",
        "from": "13013",
        "webhook_token": TOKEN,
        "callback_url": "https://us.example/webhooks/sms",
    },
    message=OutMessage(
        7, "sms", PHONE, text="Grüße 🎻 & schöne Zeit", metadata={"message": "7"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered(
        "taken",
        Answer(202, body=b"0: Accepted for delivery"),
        Accepted("0: Accepted for delivery"),
    ),
    answered=(
        Answered("stored", Answer(202, body=b"3: Queued for later delivery"), Accepted),
        Answered(
            "password",
            Answer(403, body=b"Authorization failed for sendsms"),
            RefusedBy("config", "http 403", "Authorization failed for sendsms"),
        ),
        Answered("no number", Answer(400, body=b"Missing receiver number, rejected"), RefusedBy),
        Answered(
            "no route",
            Answer(404, body=b"Not routable. Do not try again."),
            RefusedBy("recipient", "not_routable", "Not routable. Do not try again.",
                      "undetermined"),
        ),
        Answered(
            "not now",
            Answer(503, body=b"Temporal failure, try again later."),
            Throttled(None, "Temporal failure, try again later."),
        ),
        Answered("no path", Answer(404, body=b"Unknown request."), RefusedBy),
        Answered("other words", Answer(202, body=b"9: What?"), Ambiguous),
    ),
    told=(
        Told("queued", told("4"), [{"kind": "queued", "message": 7}]),
        Told("to the carrier", told("8", words="ACK/"), [{"kind": "sent", "recipient": PHONE}]),
        Told("to the phone", told("1"), [{"kind": "delivered", "message": 7,
                                          "at": SECONDS * 1_000_000}]),
        Told(
            "not to the phone",
            told("2", words="id:1 sub:001 stat:UNDELIV err:001"),
            [{"kind": "undelivered", "bounce_class": "undetermined", "code": "001"}],
        ),
        Told("too late", told("34"), [{"kind": "undelivered", "bounce_class": "soft"}]),
        Told(
            "refused by the carrier",
            told("16", words="NACK/11/Invalid Destination Address"),
            [{"kind": "rejected", "bounce_class": "hard", "code": "NACK/11"}],
        ),
        Told(
            "an answer", ANSWER,
            [{"kind": "inbound", "recipient": PHONE, "text": "STOP 😀", "message": None}],
        ),
    ),
    forge=forge,
    unknown=told("99"),
)  # fmt: skip
