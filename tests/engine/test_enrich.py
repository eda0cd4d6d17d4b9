"""Enrichment: device, language and zone from the context; the IP address never stays."""

import json

import pytest

from engine.core.errors import InvalidEvent
from engine.intake.enrich import device_of, enrich, tidy_locale

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15"
AGENTS = [
    (IPHONE, "mobile", "iOS"),
    ("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15", "tablet", "iOS"),
    ("Mozilla/5.0 (Linux; Android 13; Pixel 7) Chrome/116.0 Mobile Safari/537.36", "mobile",
     "Android"),
    ("Mozilla/5.0 (Linux; Android 13; SM-X200) Chrome/116.0 Safari/537.36", "tablet", "Android"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0 Safari/537.36", "desktop", "Windows"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15", "desktop", "Mac OS X"),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot", ""),
    ("analytics-python/2.2.0", "", ""),
    ("", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("agent", "kind", "system"), AGENTS)
def test_a_user_agent_tells_the_device(agent: str, kind: str, system: str) -> None:
    device = device_of(agent)

    assert (device.type, device.os) == (kind, system)


def test_a_hostile_user_agent_costs_no_more_than_a_long_one() -> None:
    assert device_of("(" * 100_000).type == ""


def context_of(**given: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(enrich(json.dumps(given).encode()).text)
    return found


def test_the_ip_address_is_dropped_and_the_rest_stays() -> None:
    assert context_of(ip="203.0.113.7", page={"path": "/"}) == {"page": {"path": "/"}}


def test_what_an_app_says_of_its_device_is_surer_than_its_agent() -> None:
    found = context_of(userAgent=IPHONE, device={"type": "tv", "model": "X1"})

    assert found["device"] == {
        "type": "tv",
        "model": "X1",
        "os": "iOS",
        "browser": "Mobile Safari UI/WKWebView",
    }


@pytest.mark.parametrize(
    ("zone", "kept"), [("Europe/Berlin", "Europe/Berlin"), ("Mars/Olympus", ""), (5, ""), ("", "")]
)
def test_only_a_zone_that_exists_is_kept(zone: object, kept: str) -> None:
    enriched = enrich(json.dumps({"timezone": zone}).encode())

    assert enriched.zone == kept
    assert json.loads(enriched.text) == ({"timezone": kept} if kept else {})


def test_locales_get_one_spelling() -> None:
    assert context_of(locale="de_de") == {"locale": "de-DE"}
    assert [tidy_locale(it) for it in ("EN", "zh-hans-cn", "")] == ["en", "zh-Hans-CN", ""]


def test_traits_and_consent_stand_apart_from_the_context() -> None:
    enriched = enrich(b'{"traits": {"a": 1}, "consent": {"email": {"offers": true}}, "x": 2}')

    assert enriched.text == '{"x":2}'
    assert (enriched.traits, enriched.consent) == ({"a": 1}, {"email": {"offers": True}})


@pytest.mark.parametrize("raw", [b"[]", b"5", b'"x"', b'{"a": 1e999}', b'{"a": "\xff"}'])
def test_a_context_that_is_none_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        enrich(raw)

    assert caught.value.field == "context"


@pytest.mark.parametrize("raw", [b"", b"{}", b"null"])
def test_no_context_is_an_empty_one(raw: bytes) -> None:
    assert enrich(raw).text == "{}"
