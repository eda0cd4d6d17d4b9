"""Web messages through a real server: made by a journey, shown, clicked, said no to."""

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.serving import Served, command
from tests.engine.test_serve import a_key, post
from tests.engine.test_serve_journey import STARTER, awaited
from tests.engine.web_harness import basic

DOCS = Path(__file__).parents[2] / "docs"
WORKSPACE = """\
zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
traits: {email: {type: email, pii: true}, first_name: {type: string, pii: true}}
channels:
  email: {provider: sandbox, from: "Shop <shop@example.com>"}
  web: {provider: placement}
"""
CAMPAIGN = """\
campaign: hello
trigger: {event: Page Viewed}
reentry: {when: after_exit}
topic: offers
journey:
  - send: {channel: web, template: hello}
    id: greet
"""


@pytest.fixture
def environ(database_url: str) -> dict[str, str]:
    return {"ANTIPHON_DATABASE_URL": database_url}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The starter workspace, which greets whoever views a page with what the docs show."""
    folder = tmp_path / "shop"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns(".antiphon", "tests"))
    (folder / "antiphon.yaml").write_text(WORKSPACE)
    (folder / "campaigns" / "hello.yaml").write_text(CAMPAIGN)
    (folder / "templates" / "web").mkdir(parents=True)
    shown = re.search(
        r"```html\n(---\nplacement:.*?)```", (DOCS / "channels.md").read_text(), re.DOTALL
    )
    assert shown is not None
    (folder / "templates" / "web" / "hello.html").write_text(shown[1])
    return folder


@pytest.fixture
def served(shop: Path, environ: dict[str, str]) -> Iterator[Served]:
    server = Served(shop, environ=environ)
    applied = command("apply", shop, environ=environ)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    yield server
    if server.process.poll() is None:
        server.terminate()


def seen(served: Served, query: str, key: str) -> Any:
    request = urllib.request.Request(f"{served.url}/v1/placements?{query}", headers=basic(key))
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["placements"]


class Stay(urllib.request.HTTPRedirectHandler):
    """Where a link leads is looked at and not visited."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def led_to(url: str) -> str:
    """Where a person's browser is led."""
    request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0 (X11; Linux)"})
    try:
        urllib.request.build_opener(Stay).open(request, timeout=10)
    except urllib.error.HTTPError as found:
        return str(found.headers["Location"])
    raise AssertionError(f"{url} leads nowhere")


def test_a_visitor_is_greeted_clicks_closes_and_says_no(
    served: Served, shop: Path, environ: dict[str, str]
) -> None:
    server_key, browser_key = a_key(shop), a_key(shop, "browser")
    person = {
        "anonymousId": "device-1", "traits": {"first_name": "Ada <3"},
        "context": {"consent": {"web": {"offers": True}}},
    }  # fmt: skip
    post(served, "/v1/identify", person, server_key)
    post(served, "/v1/page", {"anonymousId": "device-1", "name": "Home"}, browser_key)

    (it,) = awaited(lambda: seen(served, "anonymousId=device-1", browser_key))
    told = {"token": it["token"], "event": "displayed"}
    shown = [post(served, "/v1/placements/events", told, browser_key) for _ in range(2)]
    link, refusal = (
        re.search(rf'href="(http[^"]+/{part}/[^"]+)"', it["html"]) for part in ("t/c", "u")
    )
    assert link is not None
    assert refusal is not None
    destination = led_to(link[1])
    clicked = awaited(lambda: seen(served, "anonymousId=device-1", browser_key) == [])
    post(served, "/v1/page", {"anonymousId": "device-1", "name": "Home"}, browser_key)
    again = awaited(lambda: seen(served, "anonymousId=device-1", browser_key))
    urllib.request.urlopen(refusal[1], data=b"scope=topic", timeout=10).read()
    refused = seen(served, "anonymousId=device-1", browser_key)

    assert "Ada &lt;3" in it["html"]
    assert shown == [(200, {"success": True, "status": "accepted"})] * 2
    assert destination == "https://shop.example/spring"
    assert clicked, "a banner goes when its link was followed"
    assert [found["placement"] for found in again] == ["top"]
    assert refused == []
    story = command("profile", "show", "device-1", shop, environ=environ).stdout
    assert "Message Displayed" in story
    assert "Message Unsubscribed" in story
    assert "Traceback" not in "".join(served.log)


def test_a_page_speaks_for_a_user_with_the_proof_that_the_docs_show(
    served: Served, shop: Path, environ: dict[str, str]
) -> None:
    server_key, browser_key = a_key(shop), a_key(shop, "browser")
    person = {
        "userId": "u1", "traits": {"first_name": "Ada"},
        "context": {"consent": {"web": {"offers": True}}},
    }  # fmt: skip
    post(served, "/v1/identify", person, server_key)
    post(served, "/v1/page", {"userId": "u1", "name": "Home"}, server_key)
    awaited(lambda: seen(served, "userId=u1", server_key))
    key = command("keys", "visitor", shop, environ=environ).stdout.strip()
    recipe = re.search(r"```python\n(import hashlib.*?)```", (DOCS / "api.md").read_text(), re.S)
    assert recipe is not None
    names: dict[str, Any] = {"visitor_key": key, "user_id": "u1"}
    exec(recipe[1], names)

    proved = seen(served, f"userId=u1&userHash={names['user_hash']}", browser_key)
    with pytest.raises(urllib.error.HTTPError) as refused:
        seen(served, f"userId=u2&userHash={names['user_hash']}", browser_key)

    assert [it["placement"] for it in proved] == ["top"]
    assert refused.value.code == 403


def test_a_trial_shows_the_page_and_says_that_nobody_is_shown_it(shop: Path) -> None:
    words = ("send-test", "hello", "greet", shop, "--to", "u1", "--traits", '{"first_name": "Ada"}')

    shown = command(*words)
    told = json.loads(command(*words, "--json").stdout)

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(
        "web.placement: it would stand in top as banner, priority 70; nobody is shown a trial:\n"
        "<p>Hi Ada, it is spring."
    )
    assert told["receipt"]["placement"]["kind"] == "banner"
