"""FCM, as its documentation shows it.

Answers: https://firebase.google.com/docs/cloud-messaging/error-codes and
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. The table of fields is that of
the discovery document fcm.v1, revision 20261023, with the names that its guides write.
"""

import json
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.calls import Answer, Call
from tests.channels.published import check_fields
from tests.channels.vendor_cases import NOW, Answered, VendorCases

KEY: Final = generate_private_key(65537, 2048)
PEM: Final = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ACCOUNT: Final = {
    "type": "service_account",
    "project_id": "a-project",
    "private_key_id": "kid-of-tests",
    "private_key": PEM,
    "client_email": "pusher@a-project.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
TOKEN: Final = "cAbCdEfGhIjKlMnOpQrStU:APA91bExampleExampleExampleExampleExample-Example_Example"

NOTIFICATION: Final = {"!title": str, "body": str, "image": str}
ANDROID_NOTIFICATION: Final = {
    "title": str, "body": str, "icon": str, "color": str, "sound": str, "tag": str,
    "click_action": str, "channel_id": str, "ticker": str, "sticky": bool, "event_time": str,
    "local_only": bool, "notification_priority": str, "default_sound": bool, "visibility": str,
    "notification_count": int, "image": str,
}  # fmt: skip
FIELDS: Final[dict[str, Any]] = {
    "validate_only": bool,
    "!message": {
        "name": str,
        "data": dict,
        "notification": NOTIFICATION,
        "android": {
            "collapse_key": str, "priority": str, "ttl": str, "restricted_package_name": str,
            "data": dict, "notification": ANDROID_NOTIFICATION, "direct_boot_ok": bool,
        },
        "webpush": {
            "headers": dict, "data": dict, "notification": dict,
            "fcm_options": {"link": str, "analytics_label": str},
        },
        "apns": {
            "headers": dict, "payload": {"!aps": dict},
            "fcm_options": {"image": str, "analytics_label": str},
            "live_activity_token": str,
        },
        "token": str, "fid": str, "topic": str, "condition": str,
    },
}  # fmt: skip


def check_call(call: Call) -> None:
    assert (call.method, call.url) == (
        "POST",
        "https://fcm.googleapis.com/v1/projects/a-project/messages:send",
    )
    assert call.headers["Authorization"] == "Bearer ya29.a-token-of-tests"
    body = msgspec.json.decode(call.body)
    check_fields(body, FIELDS)
    message = body["message"]
    assert len({"token", "fid", "topic", "condition"} & set(message)) == 1
    for texts in (message["data"], message["apns"]["headers"], message["webpush"]["headers"]):
        assert all(isinstance(value, str) for value in texts.values())
    assert message["android"]["ttl"].removesuffix("s").isdigit()
    assert message["android"]["priority"] in ("NORMAL", "HIGH")
    assert message["data"]["antiphon_message"] == "7"


def error(status: int, word: str, code: str = "", **more: Any) -> Answer:
    """An answer as the page "FCM Error Codes" shows it."""
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    details: list[dict[str, Any]] = [{"@type": kind, "errorCode": code}] if code else []
    fields = more.pop("fields", ())
    if fields:
        kind = "type.googleapis.com/google.rpc.BadRequest"
        violations = [{"field": name, "description": "Invalid value"} for name in fields]
        details.append({"@type": kind, "fieldViolations": violations})
    message = more.pop("message", "Something was wrong")
    told = {"code": status, "message": message, "status": word, "details": details}
    return Answer(status, more.pop("headers", {}), json.dumps({"error": told}).encode())


NOT_A_TOKEN: Final = "The registration token is not a valid FCM registration token"
GONE: Final = RefusedBy(
    "recipient", "UNREGISTERED", "Google answered 404 UNREGISTERED: Something was wrong", "hard"
)

CASES: Final = VendorCases(
    provider="push.fcm",
    settings={"credentials": json.dumps(ACCOUNT), "android_channel": "offers"},
    message=OutMessage(
        7,
        "push",
        TOKEN,
        data={
            "title": "Grüße 🎻",
            "body": "Dein Korb wartet – 日本語",
            "url": "https://shop.example/cart",
            "image": "https://shop.example/a.png",
            "badge": "3",
            "sound": "ding.caf",
            "collapse_key": "cart",
            "ttl": "4h",
            "priority": "high",
            "data": {"cart": "c-1", "n": 3},
        },
        idempotency_key="5e3f6f8a-0000-5000-8000-000000000007",
        metadata={"message": "7", "campaign": "cart", "step": "push"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered(
        "taken",
        Answer(200, body=b'{"name": "projects/a-project/messages/0:1500415314455276%31bd1c96"}'),
        Accepted("projects/a-project/messages/0:1500415314455276%31bd1c96"),
    ),
    answered=(
        Answered("gone", error(404, "NOT_FOUND", "UNREGISTERED"), GONE),
        Answered(
            "another project's token",
            error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
            RefusedBy(
                "recipient",
                "SENDER_ID_MISMATCH",
                "Google answered 403 SENDER_ID_MISMATCH: Something was wrong",
                "undetermined",
            ),
        ),
        Answered(
            "a value of the message (example 1)",
            error(400, "INVALID_ARGUMENT", fields=["message.data[0].value"]),
            RefusedBy(
                "message",
                "INVALID_ARGUMENT",
                "Google answered 400 INVALID_ARGUMENT: Something was wrong",
            ),
        ),
        Answered(
            "no token (example 2)",
            error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", message=NOT_A_TOKEN),
            RefusedBy(
                "recipient",
                "INVALID_ARGUMENT",
                f"Google answered 400 INVALID_ARGUMENT: {NOT_A_TOKEN}",
                "hard",
            ),
        ),
        Answered(
            "no token, by its field",
            error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", fields=["message.token"]),
            RefusedBy,
        ),
        Answered("Apple's key is missing", error(401, "X", "THIRD_PARTY_AUTH_ERROR"), RefusedBy),
        Answered("our token", error(401, "UNAUTHENTICATED"), RefusedBy),
        Answered("no rights", error(403, "PERMISSION_DENIED"), RefusedBy),
        Answered("no such project", error(404, "NOT_FOUND"), RefusedBy),
        Answered(
            "too many",
            error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", headers={"Retry-After": "30"}),
            Throttled(30.0, "Google answered 429 QUOTA_EXCEEDED: Something was wrong"),
        ),
        Answered(
            "too many, no time named",
            error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
            Throttled(60.0, "Google answered 429 QUOTA_EXCEEDED: Something was wrong"),
        ),
        Answered("overloaded", error(503, "UNAVAILABLE", "UNAVAILABLE"), Throttled),
        Answered("trouble", error(500, "INTERNAL", "INTERNAL"), Ambiguous),
        Answered("a page", Answer(502, body=b"<!DOCTYPE html><title>Error 502</title>"), Ambiguous),
    ),
    questions={
        "oauth2.googleapis.com/token": Answer(
            200,
            body=b'{"access_token":"ya29.a-token-of-tests","expires_in":3599,'
            b'"token_type":"Bearer"}',
        )
    },
)
