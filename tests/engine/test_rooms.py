"""A channel that writes to a team's chat: about a person, and never to them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.core.clocktime import iso
from engine.steady import present
from tests.engine.commanding import EVENTS, Antiphon
from tests.engine.commanding import antiphon as antiphon

CAMPAIGN = """\
campaign: alerts
topic: house
trigger:
  event: Product Added
journey:
  - send: {channel: alerts, template: cart_added}
"""


class Room:
    """A Slack of one room, on this machine."""

    def __init__(self) -> None:
        self.said: list[str] = []
        said = self.said

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                said.append(json.loads(body)["text"])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *words: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/a-secret"


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()


def test_an_alert_reaches_the_room_though_the_person_has_no_address(
    tmp_path: Path, antiphon: Antiphon, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop"
    assert antiphon("init", shop).code == 0
    monkeypatch.setenv("SLACK_URL", room.url)
    settings = shop / "antiphon.yaml"
    text = settings.read_text()
    channels = '\n  alerts: {kind: push, provider: chat, url: "${env:SLACK_URL}"}\ncaps:'
    text = text.replace("\ncaps:", channels)
    settings.write_text(text.replace("topics:", "topics:\n  house: {transactional: true}"))
    (shop / "campaigns" / "alerts.yaml").write_text(CAMPAIGN)
    template = shop / "templates" / "push" / "cart_added.json"
    template.parent.mkdir(exist_ok=True)
    template.write_text('{"title": "A cart", "body": "{{ event.cart_id }} of <{{ now }}>"}')
    events = shop / "events.jsonl"
    events.write_text("\n".join(EVENTS[:2]))
    assert antiphon("check", shop).code == 0
    assert antiphon("apply", shop).code == 0
    assert antiphon("ingest", shop, events, "--live").code == 0

    said = antiphon("tick", shop, "--until", iso(present()))

    assert said.code == 0, said
    (message,) = antiphon("messages", shop, "--json").json()["messages"]
    assert (message["status"], message["channel"]) == ("sent", "push"), message
    assert len(room.said) == 1
    assert room.said[0].startswith("*A cart*\nc1 of &lt;20")
