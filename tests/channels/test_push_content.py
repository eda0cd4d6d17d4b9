"""What a push template says, and the one text that names a device."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from channels.base import OutMessage
from channels.chat.http import ChatSettings
from channels.push.address import apns_token, fcm_target, mask_tokens, subscription
from channels.push.apns import ApnsSettings
from channels.push.content import KEYS, TTL_SECONDS_MAX, key_problem, read_push
from channels.push.fcm import FcmSettings
from channels.push.google_token import ServiceAccount
from channels.push.webpush import WebPushSettings
from engine.core.model.instants import HOUR, NEVER
from tests.channels.push_browser import Browser, base64url
from tests.channels.vendor_cases import NOW

DEVICE = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"


def push(*, expires_at: int = NEVER, **data: Any) -> Any:
    told = {"title": "T", **data}
    return read_push(
        OutMessage(7, "push", "x", data=told, metadata={"message": "7"}, expires_at=expires_at),
        now=NOW,
    )


# --- content ------------------------------------------------------------------------------------


def test_rendered_texts_become_numbers_where_numbers_are_meant() -> None:
    found = push(badge="3", ttl="4h", priority="high", data={"n": 3, "list": [1], "t": "x"})

    assert (found.badge, found.ttl_seconds, found.priority) == (3, 14_400, "high")
    assert found.data == {"n": "3", "list": "[1]", "t": "x", "antiphon_message": "7"}


def test_our_message_id_cannot_be_forged_by_a_template() -> None:
    assert push(data={"antiphon_message": "8"}).data == {"antiphon_message": "7"}


def test_keys_of_older_templates_still_reach_the_app() -> None:
    assert push(deeplink="shop://a").data["deeplink"] == "shop://a"


@pytest.mark.parametrize(
    ("ttl", "expires_at", "seconds"),
    [
        (None, NEVER, TTL_SECONDS_MAX),
        (90, NEVER, 90),
        ("30m", NEVER, 1_800),
        ("2 d", NEVER, 172_800),
        ("9w", NEVER, TTL_SECONDS_MAX),
        ("4h", NOW + HOUR, 3_600),
        (None, NOW + HOUR, 3_600),
        ("4h", NOW, 0),
        ("4h", NOW - HOUR, 0),
    ],
)
def test_a_push_lives_as_long_as_the_shorter_of_ttl_and_expires(
    ttl: Any, expires_at: int, seconds: int
) -> None:
    assert push(ttl=ttl, expires_at=expires_at).ttl_seconds == seconds


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"title": ""}, '"title" is empty'),
        ({"title": None}, '"title" is empty'),
        ({"body": ["x"]}, '"body" is a text'),
        ({"badge": "many"}, '"badge" is a whole number'),
        ({"badge": "-1"}, '"badge" is a whole number'),
        ({"ttl": "soon"}, '"ttl" is a span'),
        ({"ttl": "4h; drop"}, '"ttl" is a span'),
        ({"priority": "urgent"}, '"priority" is high or normal'),
        ({"data": "x"}, '"data" is a map'),
        ({"data": ["x"]}, '"data" is a map'),
    ],
)
def test_what_no_vendor_takes_is_refused_by_its_key(data: dict[str, Any], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        push(**data)


def test_a_key_that_is_none_is_told_with_the_nearest() -> None:
    assert key_problem(dict.fromkeys(KEYS, "x")) is None
    key, words = key_problem({"title": "x", "colapse_key": "x"}) or ("", "")
    assert key == "colapse_key"
    assert words.endswith('Did you mean "collapse_key"?')
    _, words = key_problem({"deeplink": "x"}) or ("", "")
    assert words.endswith('your app\'s own go into "data"')


# --- addresses ----------------------------------------------------------------------------------


def test_each_kind_of_address_is_known_by_its_form() -> None:
    browser = Browser("https://web.push.apple.com/abc")

    assert fcm_target(" dQw4w9WgXcQ:APA91b_x-y ").kind == "token"
    assert fcm_target("fid:cAbCdEfGhIjKlMnOpQrStU").value == "cAbCdEfGhIjKlMnOpQrStU"
    assert apns_token(f"<{DEVICE[:32].upper()} {DEVICE[32:]}>") == DEVICE
    found = subscription(browser.subscription)
    assert (found.p256dh, found.auth) == (browser.point, browser.auth)
    assert (found.origin, found.host) == ("https://web.push.apple.com", "web.push.apple.com")


def test_a_subscription_in_the_other_base64_and_with_padding_is_read() -> None:
    browser = Browser("https://web.push.apple.com:443/abc")
    told = json.loads(browser.subscription)
    keys = {
        name: text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        for name, text in told["keys"].items()
    }

    found = subscription(json.dumps({**told, "keys": keys}))

    assert (found.p256dh, found.auth) == (browser.point, browser.auth)
    # The audience of a token names no port that goes without saying.
    assert found.origin == "https://web.push.apple.com"


def spoiled(**changed: Any) -> str:
    told = json.loads(Browser("https://web.push.apple.com/abc").subscription)
    told["keys"] |= {name: value for name, value in changed.items() if name != "endpoint"}
    return json.dumps({**told, "endpoint": changed.get("endpoint", told["endpoint"])})


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("", "is not a subscription"),
        (DEVICE, "it looks like the token of an iPhone"),
        ("fid:cAbCdEfGhIjKlMnOpQrStU", "it is a Firebase installation id"),
        ("{", "is not a subscription"),
        ('{"endpoint": "https://web.push.apple.com/a"}', "is not a subscription"),
        (spoiled(endpoint="not a url"), "endpoint is not a URL"),
        (spoiled(endpoint="https://[::1/x"), "endpoint is not a URL"),
        (spoiled(endpoint="https://a@web.push.apple.com/"), "endpoint is not a URL"),
        (spoiled(endpoint="https://web.push.apple.com/ä"), "endpoint is not a URL"),
        (spoiled(auth="AAAA"), "auth has 3 bytes; it must have 16"),
        (spoiled(auth="!!"), "auth is not base64"),
        (spoiled(p256dh=base64url(b"\x04" + b"\x01" * 64)), "p256dh is not a point of P-256"),
        (spoiled(p256dh=""), "p256dh is not a point of P-256"),
        ("x" * 5_000, "at most 4,096 characters"),
    ],
)
def test_what_is_no_subscription_is_refused_without_repeating_it(address: str, found: str) -> None:
    with pytest.raises(ValueError, match=found) as refusal:
        subscription(address)

    assert len(address) < 20 or address not in str(refusal.value)


def test_no_garbage_makes_an_address_raise_anything_but_its_refusal() -> None:
    rng = random.Random(7)
    good = Browser("https://web.push.apple.com/abc").subscription
    told: list[tuple[str, str]] = []
    for _ in range(2_000):
        at = rng.randrange(len(good))
        text = good[:at] + chr(rng.choice([0, 9, 34, 47, 92, 123, 233, 0x1F3BB])) + good[at + 1 :]
        for read in (fcm_target, apns_token, subscription):
            try:
                read(text)
            except ValueError as refusal:
                told.append((text, str(refusal)))

    assert len(told) > 4_000
    assert not [words for text, words in told if text in words]


def test_words_of_a_vendor_lose_what_could_be_an_address() -> None:
    words = f"bad token {DEVICE} at https://x.example/a?b=c\nsorry"

    assert mask_tokens(words) == "bad token <address> at <address> sorry"


def test_no_settings_show_what_they_hold() -> None:
    secret = "a-secret-of-tests"
    for shown in (
        FcmSettings(secret),
        ApnsSettings(secret, "k", "t", "x"),
        WebPushSettings(secret, "mailto:a@b.example"),
        ChatSettings(secret),
        ServiceAccount("a@b.example", secret),
    ):
        assert secret not in repr(shown)


def test_no_file_of_push_reaches_the_network() -> None:
    folder = Path(__file__).parents[2] / "channels" / "push"

    assert not [path for path in folder.glob("*.py") if "import httpx" in path.read_text()]
