"""A room of Slack, as its pages show it; the other shapes are in `test_chat`.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/#handling_errors
https://docs.slack.dev/apis/web-api/rate-limits/
"""

from typing import Final

import msgspec

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.calls import Answer, Call
from tests.channels.published import check_fields
from tests.channels.vendor_cases import NOW, Answered, VendorCases

PATH: Final = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"

FIELDS: Final = {
    "!text": str, "blocks": list, "attachments": list, "thread_ts": str, "mrkdwn": bool,
    "unfurl_links": bool, "unfurl_media": bool,
}  # fmt: skip


def check_call(call: Call) -> None:
    assert (call.method, call.url) == ("POST", f"https://hooks.slack.com{PATH}")
    body = msgspec.json.decode(call.body)
    check_fields(body, FIELDS)
    assert body["text"] == ("*Grüße 🎻*\nDein Korb wartet – 日本語\nhttps://shop.example/cart")


CASES: Final = VendorCases(
    provider="push.chat",
    settings={"url": f"https://hooks.slack.com{PATH}"},
    message=OutMessage(
        7,
        "push",
        "a-profile-of-tests",
        data={
            "title": "Grüße 🎻",
            "body": "Dein Korb wartet – 日本語",
            "url": "https://shop.example/cart",
        },
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered("taken", Answer(200, body=b"ok"), Accepted("http 200")),
    answered=(
        Answered(
            "payload",
            Answer(400, body=b"invalid_payload"),
            RefusedBy("message", "http 400", "invalid_payload"),
        ),
        Answered(
            "no such hook",
            Answer(404, body=b"no_service"),
            RefusedBy("config", "http 404", "no_service"),
        ),
        Answered("archived", Answer(410, body=b"channel_is_archived"), RefusedBy),
        Answered("forbidden", Answer(403, body=b"action_prohibited"), RefusedBy),
        Answered(
            "busy", Answer(429, {"retry-after": "30"}, b"rate_limited"),
            Throttled(30.0, "rate_limited"),
        ),
        Answered("trouble", Answer(500, body=b"rollup_error"), Ambiguous),
    ),
)  # fmt: skip
