"""The main job through a real server: an event comes in, a message goes out, a person says no."""

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from tests.engine.serving import Served, command
from tests.engine.test_serve import a_key, post, stored

STARTER = Path(__file__).parents[2] / "campaigns" / "examples" / "starter"
SECONDS_MAX = 30.0

WORKSPACE = """\
zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
traits: {email: {type: email, pii: true}, first_name: {type: string}}
channels:
  email: {provider: sandbox, from: "Shop <shop@example.com>"}
"""


@pytest.fixture
def environ(database_url: str) -> dict[str, str]:
    return {"ANTIPHON_DATABASE_URL": database_url}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The starter workspace, impatient: its message goes out a second after the event."""
    folder = tmp_path / "shop"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns(".antiphon", "tests"))
    (folder / "antiphon.yaml").write_text(WORKSPACE)
    campaign = folder / "campaigns" / "cart_reminder.yaml"
    campaign.write_text(campaign.read_text().replace("delay: 30m ", "delay: 1s "))
    return folder


@pytest.fixture
def served(shop: Path, environ: dict[str, str]) -> Iterator[Served]:
    server = Served(shop, environ=environ)
    yield server
    if server.process.poll() is None:
        server.terminate()


def awaited(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"it did not happen within {SECONDS_MAX:.0f} s")


def mails(shop: Path) -> list[EmailMessage]:
    return [
        BytesParser(policy=policy.default).parsebytes(path.read_bytes())  # type: ignore[arg-type]
        for path in (shop / ".antiphon").rglob("*.eml")
    ]


def test_an_event_becomes_a_message_and_its_link_stops_the_next(
    served: Served, shop: Path, environ: dict[str, str], database_url: str
) -> None:
    before, _ = served.get("/readyz")
    applied = command("apply", shop, environ=environ)
    after, _ = served.get("/readyz")
    assert (before, after) == (503, 200), applied.stderr
    key = a_key(shop)
    consent = {"consent": {"email": {"offers": True}}}
    person = {"userId": "u1", "traits": {"email": "ada@example.com"}, "context": consent}
    post(served, "/v1/identify", person, key)
    cart = {"userId": "u1", "event": "Product Added", "properties": {"cart_id": "c1"}}
    post(served, "/v1/track", cart, key)

    mail = awaited(lambda: mails(shop))[0]
    link = re.search(r"<(http[^>]+/u/[^>]+)>", str(mail["List-Unsubscribe"]))
    assert link is not None
    asked = urllib.request.urlopen(link[1], timeout=10).read().decode()
    untouched = stored(database_url, "SELECT count(*) FROM consent_change WHERE granted = 0")
    acted = urllib.request.urlopen(link[1], data=b"List-Unsubscribe=One-Click", timeout=10)
    post(served, "/v1/track", {**cart, "properties": {"cart_id": "c2"}}, key)
    dropped = awaited(
        lambda: stored(database_url, "SELECT reason FROM message WHERE status = 'dropped'")
    )

    assert mail["To"] == "ada@example.com"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "Stop “Offers”" in asked
    assert untouched == [(0,)]
    assert acted.status == 200
    assert len(mails(shop)) == 1
    assert "offers" in dropped[0][0]
    assert "Traceback" not in "".join(served.log)


def test_files_load_through_the_running_server_and_reads_go_beside_it(
    served: Served, shop: Path, environ: dict[str, str]
) -> None:
    from engine.local import call
    from engine.steady import present

    command("apply", shop, environ=environ)
    rows = [
        {"type": "track", "userId": "u1", "event": "Product Added", "messageId": "1"},
        {"type": "track", "userId": "u1", "messageId": "2"},
    ]
    file = shop / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))

    report = call(shop, "ingest", {"path": str(file)})
    settled = call(shop, "tick", {"until": present()})
    shown = command("messages", shop, "--json", environ=environ)

    assert report is not None
    assert (report["accepted"], report["rejected"]) == (1, 1)
    assert report["errors"][0]["row"] == 2
    assert report["errors"][0]["field"] == "event"
    assert settled == {"lag_seconds": 0.0}
    assert shown.returncode == 0, shown.stderr
