"""APNs, as Apple's pages show it: "Sending notification requests to APNs" and "Handling
notification responses from APNs"."""

import json
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.calls import Answer, Call
from tests.channels.published import check_fields
from tests.channels.vendor_cases import NOW, Answered, VendorCases

KEY: Final = generate_private_key(SECP256R1())
PEM: Final = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
DEVICE: Final = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
APNS_ID: Final = "5e3f6f8a-0000-5000-8000-000000000007"

HEADERS: Final = {
    "Authorization", "Content-Type", "apns-topic", "apns-push-type", "apns-expiration",
    "apns-id", "apns-priority", "apns-collapse-id",
}  # fmt: skip
APS: Final = {
    "alert": {"title": str, "subtitle": str, "body": str, "launch-image": str},
    "badge": int, "sound": str, "thread-id": str, "category": str, "content-available": int,
    "mutable-content": int, "interruption-level": str, "relevance-score": float,
}  # fmt: skip
"""https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification"""


def check_call(call: Call) -> None:
    assert (call.method, call.url) == ("POST", f"https://api.push.apple.com/3/device/{DEVICE}")
    assert set(call.headers) <= HEADERS
    assert call.headers["apns-topic"] == "example.shop.app"
    assert call.headers["apns-push-type"] == "alert"
    assert call.headers["apns-id"] == APNS_ID
    assert call.headers["apns-priority"] == "10"
    assert call.headers["apns-expiration"] == str(NOW // 1_000_000 + 3_600)
    kind, _, token = call.headers["Authorization"].partition(" ")
    options: Any = {"verify_iat": False}
    claims = jwt.decode(token, KEY.public_key(), algorithms=["ES256"], options=options)
    assert (kind, claims) == ("bearer", {"iss": "TEAM123456", "iat": NOW // 1_000_000})
    assert jwt.get_unverified_header(token)["kid"] == "KEY1234567"
    assert len(call.body) <= 4_096
    body = msgspec.json.decode(call.body)
    check_fields(body["aps"], APS)
    assert body["antiphon_message"] == "7"


def said(status: int, reason: str, **more: Any) -> Answer:
    headers = {"apns-id": APNS_ID, **more.pop("headers", {})}
    return Answer(status, headers, json.dumps({"reason": reason, **more}).encode())


CASES: Final = VendorCases(
    provider="push.apns",
    settings={
        "key": PEM,
        "key_id": "KEY1234567",
        "team_id": "TEAM123456",
        "topic": "example.shop.app",
    },
    message=OutMessage(
        7,
        "push",
        DEVICE.upper(),
        data={
            "title": "Grüße 🎻",
            "body": "Dein Korb wartet – 日本語",
            "url": "shop://cart",
            "image": "https://shop.example/a.png",
            "badge": 3,
            "sound": "default",
            "collapse_key": "cart of the week",
            "ttl": "4h",
            "priority": "high",
            "data": {"cart": "c-1"},
        },
        idempotency_key=APNS_ID,
        metadata={"message": "7"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered("taken", Answer(200, {"apns-id": APNS_ID}), Accepted(APNS_ID)),
    answered=(
        Answered(
            "gone",
            said(410, "Unregistered", timestamp=1_772_442_000_000),
            RefusedBy(
                "recipient",
                "Unregistered",
                "Apple answered 410 Unregistered, gone since 2026-03-02T09:00:00Z",
                "hard",
            ),
        ),
        Answered(
            "expired",
            said(410, "ExpiredToken"),
            RefusedBy("recipient", "ExpiredToken", "Apple answered 410 ExpiredToken", "hard"),
        ),
        Answered(
            "no token of this environment",
            said(400, "BadDeviceToken"),
            RefusedBy(
                "recipient",
                "BadDeviceToken",
                "Apple answered 400 BadDeviceToken; is it of production and example.shop.app?",
                "undetermined",
            ),
        ),
        Answered("another app's", said(400, "DeviceTokenNotForTopic"), RefusedBy),
        Answered(
            "too large",
            said(413, "PayloadTooLarge"),
            RefusedBy("message", "PayloadTooLarge", "Apple answered 413 PayloadTooLarge"),
        ),
        Answered(
            "collapse id",
            said(400, "BadCollapseId"),
            RefusedBy("message", "BadCollapseId", "Apple answered 400 BadCollapseId"),
        ),
        Answered(
            "our key",
            said(403, "InvalidProviderToken"),
            RefusedBy("config", "InvalidProviderToken", "Apple answered 403 InvalidProviderToken"),
        ),
        Answered("topic", said(400, "TopicDisallowed"), RefusedBy),
        Answered("our clock", said(403, "ExpiredProviderToken"), RefusedBy),
        Answered(
            "too many to this device",
            said(429, "TooManyRequests", headers={"Retry-After": "7"}),
            Throttled(7.0, "Apple answered 429 TooManyRequests"),
        ),
        Answered("too many tokens", said(429, "TooManyProviderTokenUpdates"), Throttled),
        Answered("going down", said(503, "Shutdown"), Throttled),
        Answered("trouble", said(500, "InternalServerError"), Ambiguous),
        Answered("a reason nobody knows", said(400, "BadMood"), RefusedBy),
    ),
)
