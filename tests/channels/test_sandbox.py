"""The sandbox leaves something to look at and invents the same events for the same seed."""

import asyncio
import json
import random
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from channels import PROVIDERS, open_provider
from channels.base import Accepted, Channel, OutMessage, RefusedBy
from channels.callbacks import Callback
from channels.delivery import DeliveryEvent
from channels.sandbox import Rates, Sandbox, echo
from engine.core.errors import Unreadable, UsageError

NOW = 1_772_445_600_000_000  # 2026-03-02T10:00:00Z


def a_sandbox(channel: str, directory: Path, **settings: Any) -> Sandbox:
    provider = open_provider(
        channel, "sandbox", settings, directory=directory, rng=random.Random(1), now=lambda: NOW
    )
    assert isinstance(provider, Sandbox)
    return provider


def a_message(number: int = 1, channel: Channel = "email", **changes: Any) -> OutMessage:
    given: dict[str, Any] = {"to": "ada@example.com", "subject": "Hé", "text": "Hi", **changes}
    return OutMessage(number, channel, **given)


def all_echoes(n: int, channel: Channel = "email", **rates: float) -> list[list[DeliveryEvent]]:
    return [
        echo(a_message(number, channel), at=NOW, seed="s", rates=Rates(**rates))
        for number in range(n)
    ]


def test_an_email_is_a_file_that_a_mail_program_opens(tmp_path: Path) -> None:
    sandbox = a_sandbox("email", tmp_path)

    receipt = asyncio.run(sandbox.deliver(a_message(1234, html="<p>Hi")))

    [path] = tmp_path.rglob("*.eml")
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert receipt == Accepted("sandbox-1234")
    assert path.relative_to(tmp_path).as_posix() == "outbox/2026-03-02/email-000001/1234.eml"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Hé"


@pytest.mark.parametrize("channel", ["sms", "push", "web"])
def test_the_others_are_one_json_line_each(channel: Channel, tmp_path: Path) -> None:
    async def deliver() -> None:
        sandbox = a_sandbox(channel, tmp_path)
        for number in range(3):
            await sandbox.deliver(a_message(number, channel, to="x", data={"title": "T"}))
        await sandbox.close()

    asyncio.run(deliver())

    lines = (tmp_path / f"outbox/2026-03-02/{channel}.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [0, 1, 2]
    assert json.loads(lines[0])["data"] == {"title": "T"}
    assert json.loads(lines[0])["at"] == "2026-03-02T10:00:00Z"


def test_a_sandbox_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    sandbox = a_sandbox("email", tmp_path, write="none")

    receipt = asyncio.run(sandbox.deliver(a_message()))

    assert isinstance(receipt, Accepted)
    assert list(tmp_path.iterdir()) == []


def test_it_refuses_what_smtp_would_refuse(tmp_path: Path) -> None:
    sandbox = a_sandbox("email", tmp_path, write="none")

    receipt = asyncio.run(sandbox.deliver(a_message(to="nobody")))

    assert isinstance(receipt, RefusedBy)


@pytest.mark.parametrize(
    ("channel", "settings", "fault"),
    [
        ("sms", {"write": "eml"}, '"eml" is for email'),
        ("email", {"wrte": "log"}, "wrte"),
        ("email", {"rates": {"opened": 1.5}}, "opened is a share"),
        ("email", {"rates": {"open": 0.5}}, "open"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    channel: str, settings: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=fault):
        a_sandbox(channel, tmp_path, **settings)


def test_echoes_hang_on_seed_and_id_alone() -> None:
    rates = Rates(opened=0.5, clicked=0.5)
    messages = [a_message(number) for number in range(300)]

    forward = [echo(message, at=NOW, seed="s", rates=rates) for message in messages]
    backward = [echo(message, at=NOW, seed="s", rates=rates) for message in reversed(messages)]
    other = [echo(message, at=NOW, seed="t", rates=rates) for message in messages]

    assert forward == backward[::-1]
    assert forward != other
    assert [event.at for events in forward for event in events] >= [NOW]


def test_the_rates_are_kept_within_what_chance_allows() -> None:
    n = 20_000
    events = all_echoes(
        n, hard_bounce=0.02, soft_bounce=0.03, opened=0.4, machine_opened=0.3, clicked=0.25,
        complained=0.01, unsubscribed=0.1,
    )  # fmt: skip

    def share(kind: str, of: int, **wanted: Any) -> float:
        return (
            sum(
                any(
                    event.kind == kind
                    and all(getattr(event, name) == value for name, value in wanted.items())
                    for event in one
                )
                for one in events
            )
            / of
        )

    delivered = n * share("delivered", n)
    opened = delivered * share("opened", int(delivered), is_machine=False)
    # Five standard errors of a share over 5,000 and more trials are at most 0.035.
    assert share("bounced", n, bounce_class="hard") == pytest.approx(0.02, abs=0.006)
    assert share("bounced", n, bounce_class="soft") == pytest.approx(0.03, abs=0.007)
    assert opened / delivered == pytest.approx(0.4, abs=0.02)
    assert share("opened", int(delivered), is_machine=True) == pytest.approx(0.3, abs=0.02)
    assert share("clicked", int(opened)) == pytest.approx(0.25, abs=0.03)
    assert share("unsubscribed", int(opened)) == pytest.approx(0.1, abs=0.02)
    assert share("complained", int(delivered)) == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize("channel", ["email", "sms", "push", "web"])
def test_events_are_possible_and_in_order(channel: Channel, tmp_path: Path) -> None:
    reports = a_sandbox(channel, tmp_path).capabilities.reports
    seen: set[str] = set()

    for events in all_echoes(
        3000, channel, hard_bounce=0.1, opened=0.9, clicked=0.5, complained=0.1, unsubscribed=0.3
    ):
        kinds = [event.kind for event in events]
        seen.update(kinds)
        assert [event.at for event in events] == sorted(event.at for event in events)
        assert events[0].kind in {"delivered", "displayed", "bounced", "undelivered", "failed"}
        assert len(events) == 1 or events[0].kind in {"delivered", "displayed"}
        assert len({event.event_id for event in events}) == len(events)
        assert channel != "email" or "clicked" not in kinds or "opened" in kinds

    assert seen == reports


def test_a_provider_that_hears_nothing_back_opens_by_its_name_and_says_so(tmp_path: Path) -> None:
    # The others need settings, and are opened by the contract of test_provider_contract.py.
    deaf = [key for key in PROVIDERS if key.split(".")[1] in ("sandbox", "http")]
    assert len(deaf) > 5
    for key in deaf:
        channel, name = key.split(".")
        provider = open_provider(
            channel, name, {}, directory=tmp_path, rng=random.Random(1), now=lambda: NOW
        )
        assert provider.name == key
        assert provider.channel == channel
        with pytest.raises(Unreadable, match="webhook"):
            asyncio.run(provider.read_callback(Callback("https://shop.example/webhooks/it")))


@pytest.mark.parametrize(
    ("channel", "provider", "hint"),
    [("email", "smpt", 'Did you mean "smtp"?'), ("emial", "smtp", 'Did you mean "email"?')],
)
def test_an_unknown_provider_is_named_with_its_nearest(
    channel: str, provider: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as error:
        open_provider(
            channel, provider, {}, directory=tmp_path, rng=random.Random(1), now=lambda: NOW
        )

    assert hint in str(error.value)
