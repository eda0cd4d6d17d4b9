"""HELP by text: the campaign that the docs show answers it, through a real server and vendor."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.engine.callback_cases import NUMBER, TOKEN, a_text
from tests.engine.serving import Served, command
from tests.engine.test_serve import a_key, post
from tests.engine.test_serve_callbacks import DOCS
from tests.engine.test_serve_callbacks import post as called_back
from tests.engine.test_serve_journey import STARTER, awaited

ANSWER = "Call us: 0800 1234"


class Twilio(ThreadingHTTPServer):
    """Takes texts as api.twilio.com does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.texts: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Twilio

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.texts.append({name: values[0] for name, values in form.items()})
        body = json.dumps({"sid": f"SM{len(self.server.texts):032}", "status": "queued"}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: a test's output is its own."""


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    server = Twilio()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(tmp_path: Path, twilio: Twilio) -> Iterator[Served]:
    folder = tmp_path / "shop"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns(".antiphon", "tests"))
    (folder / "antiphon.yaml").write_text(
        "zone: UTC\n"
        "consent: {unknown: refuse}\n"
        "topics: {offers: {title: Offers}, service: {title: Service, transactional: true}}\n"
        "traits: {email: {type: email, pii: true}, phone: {type: phone, pii: true},\n"
        "  first_name: {type: string}}\n"
        "channels:\n"
        "  email: {provider: sandbox, from: shop@shop.example}\n"
        f"  sms: {{provider: twilio, account_sid: AC{'0' * 32}, auth_token: {TOKEN}, "
        f'from: "+15005550006", base_url: "{twilio.url}"}}\n'
    )
    shown = re.search(r"```yaml\n(campaign: text-help\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert shown is not None
    (folder / "campaigns" / "text_help.yaml").write_text(shown[1])
    (folder / "templates" / "sms").mkdir()
    (folder / "templates" / "sms" / "help.txt").write_text(ANSWER)
    server = Served(folder, environ={"ANTIPHON_PUBLIC_URL": "https://shop.example"})
    yield server
    server.terminate()


def test_help_is_answered_once_a_day_and_stop_does_not_silence_it(
    served: Served, twilio: Twilio
) -> None:
    applied = command("apply", served.directory)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    awaited(lambda: served.get("/readyz")[0] == 200)
    key = a_key(served.directory)
    person = {"userId": "u1", "traits": {"phone": NUMBER}}
    assert post(served, "/v1/identify", person, key)[0] == 200
    texts = f"{served.url}/webhooks/sms"

    # The profile's number is known once the event is played.
    awaited(lambda: "sms" in command("profile", "show", "u1", served.directory).stdout)
    assert called_back(texts, **a_text("STOP")) == 200
    assert called_back(texts, **a_text("help")) == 200
    awaited(lambda: twilio.texts)
    assert called_back(texts, **a_text("HELP")) == 200
    awaited(lambda: _n_replies(served) >= 2)
    awaited(
        lambda: re.search(r"^antiphon_tick_lag_seconds 0(\.0+)?$", served.get("/metrics")[1], re.M)
    )

    assert [(it["To"], it["Body"]) for it in twilio.texts] == [(NUMBER, ANSWER)]


def _n_replies(served: Served) -> int:
    shown = command("profile", "show", "u1", served.directory, "--json").stdout
    return shown.count("Message Replied")
