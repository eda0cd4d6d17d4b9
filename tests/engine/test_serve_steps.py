"""Through a real `antiphon serve`: a call starts a journey, which asks a URL, and writes."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.serving import Served, command
from tests.engine.shop_stage import Server, a_server
from tests.engine.test_serve import a_key, post, stored

SECONDS_MAX = 30.0
FILES = {
    "antiphon.yaml": """\
zone: UTC
consent: {unknown: refuse}
topics: {offers: {}, orders: {transactional: true}}
traits: {email: {type: email, pii: true}, renews_on: {type: date}}
channels:
  email: {provider: sandbox, from: "Shop <shop@example.com>"}
  sms: {provider: sandbox}
""",
    "campaigns/receipt.yaml": """\
campaign: receipt
trigger: {api: true}
topic: orders
journey:
  - webhook:
      url: "URL/orders/{{ event.order_id }}"
      method: GET
      headers: {Authorization: "Bearer ${env:SHOP_TOKEN}"}
      save_as: reply
    id: ask
  - repeat:
      times: 2
      every: 1s
      do:
        - first_possible:
            - send: {channel: sms, template: receipt}
            - send: {channel: email, template: receipt}
    id: twice
""",
    "templates/sms/receipt.txt": "{{ reply.total }}",
    "templates/email/receipt.html": "---\nsubject: Order {{ event.order_id }}\n---\n"
    "<p>You paid {{ reply.total }}.</p>",
}


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as made:
        made.answers = [(500, b"one moment"), (200, b'{"total": "12.50 EUR"}')]
        yield made


@pytest.fixture
def environ(database_url: str) -> dict[str, str]:
    return {
        "ANTIPHON_DATABASE_URL": database_url,
        "ANTIPHON_WEBHOOK_LOCAL": "1",
        "SHOP_TOKEN": "s3cret",
    }


@pytest.fixture
def served(tmp_path: Path, environ: dict[str, str], server: Server) -> Iterator[Served]:
    for path, text in FILES.items():
        file = tmp_path / "shop" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("URL", server.url))
    running = Served(tmp_path / "shop", environ=environ)
    yield running
    if running.process.poll() is None:
        running.terminate()


def awaited(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"it did not happen within {SECONDS_MAX:.0f} s")


def trigger(served: Served, key: str, body: Any, idempotency: str) -> tuple[int, Any]:
    basic = base64.b64encode(f"{key}:".encode()).decode()
    request = urllib.request.Request(
        f"{served.url}/v1/campaigns/receipt/trigger",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Basic {basic}", "Idempotency-Key": idempotency},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_call_starts_a_journey_that_asks_a_server_and_writes_twice(
    served: Served, environ: dict[str, str], server: Server, database_url: str
) -> None:
    shop = served.directory
    applied = command("apply", shop, environ=environ)
    assert applied.returncode == 0, applied.stderr
    key = a_key(shop)
    post(served, "/v1/identify", {"userId": "u1", "traits": {"email": "ada@example.com"}}, key)
    body = {"userId": "u1", "properties": {"order_id": "o1"}}

    first = trigger(served, key, body, "k1")
    again = trigger(served, key, body, "k1")
    other = trigger(served, key, {**body, "properties": {"order_id": "o2"}}, "k1")
    unknown = trigger(served, key, {"userId": "nobody"}, "k2")
    mails = awaited(lambda: len(found := list((shop / ".antiphon").rglob("*.eml"))) == 2 and found)

    assert [status for status, _ in (first, again, other, unknown)] == [200, 200, 422, 404]
    assert again[1] == first[1]
    assert all("12.50 EUR" in mail.read_text() for mail in mails)
    assert [asked.path for asked in server.asked] == ["/orders/o1"] * 2
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer s3cret"}
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    rows = stored(database_url, "SELECT channel, status FROM message ORDER BY id")
    assert rows == [("webhook", "sent"), ("email", "sent"), ("email", "sent")]
    assert "Traceback" not in "".join(served.log)
    assert "s3cret" not in "".join(served.log)
