"""Callbacks through a real server, alone and as `antiphon web` beside workers."""

import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine import serving
from tests.engine.callback_cases import PUBLIC, TOKEN, a_text, an_event, signed
from tests.engine.test_serve_journey import STARTER, awaited

DOCS = Path(__file__).parents[2] / "docs" / "channels.md"
WORKSPACE = f"""\
zone: UTC
consent: {{unknown: refuse}}
topics: {{offers: {{title: Offers}}, service: {{title: Service, transactional: true}}}}
traits:
  email: {{type: email, pii: true}}
  phone: {{type: phone, pii: true}}
  first_name: {{type: string}}
channels:
  email: {{provider: sendgrid, api_key: none, from: shop@shop.example, webhook_key: "{PUBLIC}"}}
  sms: {{provider: twilio, account_sid: AC{"0" * 32}, auth_token: {TOKEN}, from: "+15005550006"}}
"""


class Web(serving.Served):
    command_line = ("web", "--port", "0")


@pytest.fixture(params=["serve", "web"])
def served(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[serving.Served, Path, dict[str, str]]]:
    environ = {"ANTIPHON_PUBLIC_URL": "https://shop.example"}
    if request.param == "web":
        template = request.getfixturevalue("postgres_template")
        create = request.getfixturevalue("postgres_server")
        environ["ANTIPHON_DATABASE_URL"] = create(template=template)
    folder = tmp_path / "shop"
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns(".antiphon", "tests"))
    (folder / "antiphon.yaml").write_text(WORKSPACE)
    # The campaign that the documentation shows.
    shown = re.search(r"```yaml\n(campaign: text-help\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert shown is not None
    (folder / "campaigns" / "text_help.yaml").write_text(shown[1])
    (folder / "templates" / "sms").mkdir()
    (folder / "templates" / "sms" / "help.txt").write_text("Call us: 0800 1234")
    kind = Web if request.param == "web" else serving.Served
    server = kind(folder, environ=environ)
    applied = serving.command("apply", folder, environ=environ)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    awaited(lambda: server.get("/readyz")[0] == 200)
    yield server, folder, environ
    server.terminate()


def post(url: str, *, content: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, data=content, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0  # the server hung up on a body that it had refused


def test_callbacks_are_believed_refused_and_counted(
    served: tuple[serving.Served, Path, dict[str, str]],
) -> None:
    server, folder, environ = served
    email, sms = f"{server.url}/webhooks/email", f"{server.url}/webhooks/sms"
    forged: dict[str, Any] = signed([an_event("delivered", 1)])
    forged["content"] += b" "

    answers = [
        post(email, **signed([an_event("delivered", 999)])),
        post(sms, **a_text("STOP")),
        post(email, **forged),
        post(f"{server.url}/webhooks/none", **signed([])),
        post(email, **signed(b"[" + b" " * 10_000_000)),
    ]

    assert answers[:4] == [200, 200, 403, 404]
    assert answers[4] in (413, 0)
    _, metrics = server.get("/metrics")
    assert 'antiphon_callbacks_total{channel="email",outcome="taken"} 1' in metrics
    assert 'antiphon_callbacks_total{channel="email",outcome="forged"} 1' in metrics
    assert 'antiphon_callback_events_total{channel="email",event="foreign"} 1' in metrics
    assert 'antiphon_callback_events_total{channel="sms",event="text: stop"} 1' in metrics
    listed = serving.command("suppressions", "list", folder, environ=environ)
    assert "no address is suppressed" in listed.stdout
