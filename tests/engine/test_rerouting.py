"""Test mode: while a workspace is tried out, nobody is reached who was not meant to be."""

from collections.abc import Iterator

import pytest

from campaigns import settings_forms
from campaigns.reading import Text
from channels.base import OutMessage, RefusedBy
from engine.sending.rerouting import MARK, NOWHERE, REDIRECTED, reroute
from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.identify("u1")
    yield opened
    opened.close()


def a_mode(*allow: str, **redirect: str) -> settings_forms.TestModeForm:
    forms = {kind: Text(address) for kind, address in redirect.items()}
    return settings_forms.TestModeForm(redirect=forms, allow=[Text(it) for it in allow])


def put_in_test_mode(stage: Stage, mode: settings_forms.TestModeForm) -> None:
    playbook = stage.process.playbook
    playbook.workspace.settings.test_mode = mode


def test_a_message_goes_to_the_address_that_stands_in_and_says_so(stage: Stage) -> None:
    put_in_test_mode(stage, a_mode(email="team@shop.example"))
    stage.a_receipt()

    stage.drain()

    (call,) = stage.email.calls
    assert call.to == "team@shop.example"
    assert call.subject.startswith(MARK)
    assert stage.messages("receipt") == [("sent", REDIRECTED)]


def test_what_has_no_address_to_go_to_is_dropped_with_its_reason(stage: Stage) -> None:
    put_in_test_mode(stage, a_mode(sms="+4915100000099"))
    stage.a_receipt()

    stage.drain()

    assert stage.email.calls == []
    assert stage.messages("receipt") == [("dropped", NOWHERE)]


def test_an_allowed_address_is_reached_as_it_is(stage: Stage) -> None:
    put_in_test_mode(stage, a_mode("*@example.com"))
    stage.a_receipt()

    stage.drain()

    (call,) = stage.email.calls
    assert call.to == "u1@example.com"
    assert not call.subject.startswith(MARK)
    assert stage.messages("receipt") == [("sent", "")]


def test_a_bounce_of_the_address_that_stands_in_suppresses_nobody_else(stage: Stage) -> None:
    put_in_test_mode(stage, a_mode(email="gone@shop.example"))
    stage.a_receipt()
    stage.email.script = [RefusedBy("recipient", "5.1.1", "no such user", "hard")]
    stage.drain()
    playbook = stage.process.playbook
    playbook.workspace.settings.test_mode = None
    stage.email.calls.clear()

    stage.a_receipt(order="o2")
    stage.drain()

    assert [call.to for call in stage.email.calls] == ["u1@example.com"]


@pytest.mark.parametrize(
    ("pattern", "address", "is_reached"),
    [
        ("ada@shop.example", "Ada@Shop.example", True),
        ("*@shop.example", "bob@shop.example", True),
        ("*@shop.example", "bob@mail.shop.example", False),
        ("*@shop.example", "bob@notshop.example", False),
        ("*@", "bob@shop.example", False),
        ("*", "bob@shop.example", False),
        ("+49151", "+4915100000099", False),
        ("+4915100000099", "+4915100000099", True),
    ],
)
def test_a_pattern_is_an_address_or_a_whole_domain(
    pattern: str, address: str, is_reached: bool
) -> None:
    message = OutMessage(1, "email", address)

    assert (reroute(message, mode=a_mode(pattern)) is not None) == is_reached
