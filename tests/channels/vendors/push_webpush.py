"""Web Push, by RFC 8030, 8291 and 8292, and the words of the services that browsers use.

Chrome's refusal: web-push-libs/webpush-java#212. Mozilla's:
https://mozilla-services.github.io/autopush-rs/errors.html. Apple's:
https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers
"""

import json
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.calls import Answer, Call
from channels.push.provider_token import unpadded
from channels.push.webpush_encryption import point
from tests.channels.push_browser import Browser
from tests.channels.vendor_cases import NOW, Answered, VendorCases

KEY: Final = generate_private_key(SECP256R1())
PRIVATE: Final = unpadded(KEY.private_numbers().private_value.to_bytes(32, "big"))
PUBLIC: Final = unpadded(point(KEY.public_key()))
BROWSER: Final = Browser("https://updates.push.services.mozilla.com/wpush/v2/gAAAAABf")

HEADERS: Final = {
    "TTL", "Urgency", "Topic", "Content-Encoding", "Content-Type", "Authorization",
}  # fmt: skip


def check_call(call: Call) -> None:
    assert (call.method, call.url) == ("POST", BROWSER.endpoint)
    assert set(call.headers) == HEADERS
    assert call.headers["TTL"] == "3600"
    assert call.headers["Urgency"] == "high"
    assert call.headers["Topic"] == "cart"
    assert call.headers["Content-Encoding"] == "aes128gcm"
    kind, _, rest = call.headers["Authorization"].partition(" ")
    token, key = (each.partition("=")[2] for each in rest.split(", "))
    assert (kind, key) == ("vapid", PUBLIC)
    options: Any = {"verify_exp": False}
    audience = "https://updates.push.services.mozilla.com"
    claims = jwt.decode(
        token, KEY.public_key(), algorithms=["ES256"], audience=audience, options=options
    )
    assert claims["sub"] == "mailto:push@shop.example"
    assert NOW // 1_000_000 < claims["exp"] <= NOW // 1_000_000 + 86_400
    assert len(call.body) <= 4_096
    shown = json.loads(BROWSER.opened(call.body))
    assert shown == {
        "title": "Grüße 🎻",
        "body": "Dein Korb wartet – 日本語",
        "url": "https://shop.example/cart",
        "image": "https://shop.example/a.png",
        "badge": 3,
        "data": {"cart": "c-1", "antiphon_message": "7"},
    }


CHROME: Final = (
    b"the VAPID credentials in the authorization header do not correspond to the credentials "
    b"used to create the subscriptions.\n"
)
MOZILLA: Final = (
    b'{"code":401,"errno":109,"error":"Unauthorized","message":"VAPID public key mismatch",'
    b'"more_info":"http://autopush.readthedocs.io/en/latest/http.html#error-codes"}'
)

CASES: Final = VendorCases(
    provider="push.webpush",
    settings={"private_key": PRIVATE, "subject": "mailto:push@shop.example"},
    message=OutMessage(
        7,
        "push",
        BROWSER.subscription,
        data={
            "title": "Grüße 🎻",
            "body": "Dein Korb wartet – 日本語",
            "url": "https://shop.example/cart",
            "image": "https://shop.example/a.png",
            "badge": "3",
            "collapse_key": "cart",
            "priority": "high",
            "data": {"cart": "c-1"},
        },
        metadata={"message": "7"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered(
        "taken (RFC 8030, 5)",
        Answer(201, {"location": "https://updates.push.services.mozilla.com/m/gAAAAABgxyz"}),
        Accepted("gAAAAABgxyz"),
    ),
    answered=(
        Answered(
            "gone",
            Answer(410),
            RefusedBy(
                "recipient",
                "http 410",
                "the push service answered 410: the browser no longer listens",
                "hard",
            ),
        ),
        Answered("unknown", Answer(404), RefusedBy),
        Answered("too large", Answer(413), RefusedBy),
        Answered("another key (Chrome)", Answer(403, body=CHROME), RefusedBy),
        Answered(
            "another key (Mozilla)",
            Answer(401, body=MOZILLA),
            RefusedBy(
                "recipient",
                "http 401",
                "the push service answered 401: the browser subscribed with another VAPID key",
                "undetermined",
            ),
        ),
        Answered(
            "another key (Apple)", Answer(400, body=b'{"reason":"VapidPkHashMismatch"}'), RefusedBy
        ),
        Answered(
            "our subject (Apple)",
            Answer(403, body=b'{"reason":"BadJwtToken"}'),
            RefusedBy(
                "config",
                "http 403",
                "the push service answered 403: it does not believe private_key or subject",
            ),
        ),
        Answered("our token (Chrome)", Answer(400, body=b"UnauthorizedRegistration"), RefusedBy),
        Answered("the body", Answer(400, body=b'{"code":400,"errno":110}'), RefusedBy),
        Answered("busy", Answer(429, {"retry-after": "30"}), Throttled(30.0, "")),
        Answered("trouble", Answer(500, body=b"oops"), Ambiguous("http 500: ")),
        Answered("out", Answer(503), Ambiguous),
    ),
)
