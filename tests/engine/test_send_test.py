"""`antiphon send-test`: by every provider, to a peer on this machine, and what it tells."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as KeepMessage
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from channels.calls import Answer
from engine.cli import main
from tests.campaigns.build import CAMPAIGN, SETTINGS, files
from tests.channels.test_provider_contract import CASES as EVERY
from tests.channels.test_ses import KEYS
from tests.channels.test_ses import moto as moto
from tests.channels.vendor_cases import VendorCases
from tests.channels.vendor_server import Behaviour, VendorServer, running, saying

CASES = {name: cases for name, cases in EVERY.items() if name != "sms.example"}
NUDGE = CAMPAIGN.replace("topic: offers", "topic: orders")
TEMPLATES = {
    "templates/email/remind.html": "---\nsubject: Grüße\nfrom: Läden <shop@shop.example>\n---\n"
    "<p>Hallo {{ profile.first_name | default('du') }}</p>",
    "templates/sms/remind.txt": "Grüße {{ event.cart_id | default('') }} 🎻",
    "templates/push/remind.json": '{"title": "Grüße", "body": "Ihr Korb wartet"}',
    "templates/web/remind.html": "<p>Grüße</p>",
}


@contextmanager
def peer(behaviour: Behaviour, *, questions: Mapping[str, Answer]) -> Iterator[VendorServer]:
    """A vendor's server in a thread of its own, since the command has its own loop."""
    ready, done, found = threading.Event(), threading.Event(), list[VendorServer]()

    async def serve() -> None:
        async with running(behaviour, questions=questions) as server:
            found.append(server)
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield found[0]
    finally:
        done.set()
        thread.join()


def workspace(
    directory: Path, channel: str, settings: Mapping[str, Any], *, journey: str = NUDGE
) -> Path:
    """A small shop whose one message goes out by this channel, with these settings."""
    written = json.dumps(dict(settings), ensure_ascii=False)
    kinds = {"email": "{}", "sms": "{}", channel: written}
    channels = "channels:\n" + "".join(f"  {name}: {it}\n" for name, it in kinds.items())
    base = SETTINGS.replace("channels: {email: {provider: sandbox}, sms: {}}\n", channels)
    campaign = journey.replace("channel: email", f"channel: {channel}")
    shop = files({"antiphon.yaml": base, "campaigns/nudge.yaml": campaign, **TEMPLATES})
    for name, content in shop.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def local(cases: VendorCases, server: VendorServer) -> dict[str, Any]:
    """The settings of the cases, with every address on this machine."""
    base = f"http://127.0.0.1:{server.port}"
    settings = {**cases.settings, "provider": cases.provider.partition(".")[2], "base_url": base}
    if cases.provider == "push.fcm":
        settings["token_url"] = f"{base}/token"
    return settings


def sent(directory: Path, to: str, *more: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """(exit code, what was printed, as JSON where it was asked for)."""
    code = main(["send-test", "nudge", "remind", str(directory), "--to", to, *more])
    said = capsys.readouterr()
    return code, json.loads(said.out) if "--json" in more and said.out else said.out + said.err


@pytest.mark.parametrize("provider", sorted(CASES))
def test_every_provider_takes_a_test_message(
    provider: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = CASES[provider]
    channel = provider.partition(".")[0]
    address = tmp_path / "address.txt"
    address.write_text(cases.message.to)
    questions = dict(cases.questions)
    if provider == "push.fcm":
        questions = {"/token": next(iter(questions.values()))}

    with peer(saying(cases.accepted.answer), questions=questions) as server:
        shop = workspace(tmp_path / "shop", channel, local(cases, server))
        code, told = sent(shop, f"@{address}", "--json", capsys=capsys)

    assert (code, told["receipt"]["kind"], told["provider"]) == (0, "accepted", provider), told
    assert told["answer"]["status"] == cases.accepted.answer.status
    assert len(server.arrived) == 1


def test_the_receipt_is_told_in_our_words_beside_the_providers_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = CASES["sms.plivo"]
    refusal = Answer(401, {}, b"Could not verify your access level for that URL.")

    with peer(saying(refusal), questions={}) as server:
        shop = workspace(tmp_path, "sms", local(cases, server))
        code, told = sent(shop, cases.message.to, "--event", '{"cart_id": "c1"}', capsys=capsys)

    assert code == 1
    assert told.splitlines() == [
        "sms.plivo: refused, the channel is not set up as it should be (http 401): "
        "Could not verify your access level for that URL.",
        "it answered 401: Could not verify your access level for that URL.",
        "ANTIPHON_PUBLIC_URL is not set, so the links in it lead nowhere.",
    ]
    assert "c1" in json.loads(server.arrived[0].body)["text"]
    assert cases.settings["auth_token"] not in told


def test_nobody_listening_is_not_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = CASES["sms.plivo"]
    shop = workspace(tmp_path, "sms", {**local(cases, VendorServer(saying(Answer(200)), port=9))})

    code, told = sent(shop, cases.message.to, "--json", capsys=capsys)

    assert (code, told["receipt"]["kind"], told["answer"]) == (1, "not_sent", None)


def test_a_mail_server_takes_a_test_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[Any] = []

    class Keep(KeepMessage):
        def handle_message(self, message: Any) -> None:
            kept.append(message)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(Keep(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        url = f"smtp://127.0.0.1:{port}?starttls=never"
        shop = workspace(tmp_path, "email", {"provider": "smtp", "url": url})
        code, told = sent(
            shop, "you@example.com", "--traits", '{"first_name": "Uma"}', capsys=capsys
        )
    finally:
        controller.stop()

    assert (code, told.startswith("email.smtp: accepted as ")) == (0, True), told
    assert kept[0]["To"] == "you@example.com"
    assert "Uma" in kept[0].as_string()


def test_amazons_own_model_takes_a_test_message(
    moto: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "provider": "ses",
        "region": "eu-west-1",
        "access_key_id": KEYS.access_key_id,
        "secret_access_key": KEYS.secret_access_key,
        "base_url": moto,
    }
    shop = workspace(tmp_path, "email", settings)
    template = shop / "templates" / "email" / "remind.html"
    template.write_text(template.read_text().replace("shop@shop.example", "hello@shop.example"))

    code, told = sent(shop, "you@example.com", "--json", capsys=capsys)

    [arrived] = ses_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].sent_messages
    assert (code, told["receipt"]) == (
        0,
        {"kind": "accepted", "provider_id": arrived.id, "reply": ""},
    )
    assert set(arrived.destinations) == {"you@example.com"}  # moto reads the mail as well


@pytest.mark.parametrize("channel", ["email", "sms", "push", "web"])
def test_a_sandbox_says_that_it_is_one(
    channel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = workspace(tmp_path, channel, {"provider": "sandbox"})
    to = {"email": "you@example.com", "sms": "+4915112345678"}.get(channel, "token")

    code, told = sent(shop, to, "--json", capsys=capsys)

    assert (code, told["provider"], told["answer"]) == (0, f"{channel}.sandbox", None)


def test_a_step_that_sends_nothing_is_refused_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = workspace(tmp_path, "email", {"provider": "sandbox"})

    for words, expected in (
        (("nudgee", "remind"), 'there is no campaign "nudgee". Did you mean "nudge"?'),
        (("nudge", "remnid"), 'nudge has no step "remnid". Did you mean "remind"?'),
        (("nudge", "settle"), '"settle" of nudge sends nothing. Allowed: remind.'),
    ):
        code = main(["send-test", *words, str(shop), "--to", "you@example.com"])

        assert (code, capsys.readouterr().err.strip()) == (2, f"antiphon: {expected}")


def test_an_address_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = workspace(tmp_path, "email", {"provider": "sandbox"})

    code, told = sent(shop, "youexample", capsys=capsys)

    assert code == 2
    assert told.startswith("antiphon: --to: ")


def test_a_missing_value_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = workspace(tmp_path, "email", {"provider": "sandbox"})
    path = shop / "templates" / "email" / "remind.html"
    path.write_text(path.read_text().replace("profile.first_name | default('du')", "event.cart_id"))

    code, told = sent(shop, "you@example.com", capsys=capsys)

    assert code == 2
    assert told == "antiphon: nudge/remind cannot be made: missing value: event.cart_id\n"


def test_each_test_is_a_message_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = CASES["email.resend"]  # the one that honours keys

    with peer(saying(cases.accepted.answer), questions={}) as server:
        shop = workspace(tmp_path, "email", local(cases, server))
        codes = [sent(shop, "you@example.com", "--json", capsys=capsys)[0] for _ in range(2)]

    assert codes == [0, 0]
    assert len({it.headers["idempotency-key"] for it in server.arrived}) == 2
