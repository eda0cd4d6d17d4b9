"""SNS: real signatures of AWS', a topic of our own, and everything that must not be believed."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest
from msgspec import structs

from channels.aws_sns import Notification, SnsReader
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Question
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import DAY, SECOND
from tests.channels.contract_bench import bench
from tests.channels.recorded import vectors
from tests.channels.sns_signing import (
    CERTIFICATE_URL,
    CHAIN,
    SUBSCRIBE_URL,
    TOPIC,
    confirmation,
    notification,
    signed,
)
from tests.channels.vendor_cases import NOW
from tests.channels.vendor_server import saying
from tests.channels.vendors.email_ses import CASES, NO_USER, bounce

GOOD = Answer(200, {}, CHAIN)


def read(
    callback: Callback,
    *answers: Answer | None,
    reader: SnsReader | None = None,
    now: int = NOW,
    asked: list[str] | None = None,
) -> tuple[Echo, list[Notification]]:
    """Read a callback, its questions answered in turn; also the notifications believed."""
    believed: list[Notification] = []

    def then(found: Notification) -> Echo:
        believed.append(found)
        return Echo()

    found: Any = (reader or SnsReader([TOPIC])).read(callback, now=now, then=then)
    for answer in answers:
        assert isinstance(found, Question)
        if asked is not None:
            asked.append(found.call.url)
        found = found.then(answer)
    assert isinstance(found, Echo), found.call.url
    return found, believed


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


def test_every_vector_is_believed_or_refused_as_it_says() -> None:
    n_believed = n_refused = 0
    for case in vectors("aws_sns"):
        told = json.loads(case["body"])
        callback = Callback(
            "https://us.example/webhooks/email", case["headers"], case["body"].encode()
        )
        certificate = Answer(200, {}, case["public_key"].encode())
        # The certificate that was made for a test is ten years younger than its mail.
        now = at("2022-02-01T00:00:00Z") if "self-signed" in case["name"] else at(told["Timestamp"])
        answers = [certificate]
        if told["Type"] == "SubscriptionConfirmation":
            answers.append(Answer(200))
        reader = SnsReader([told["TopicArn"]])
        if case["expected"]:
            read(callback, *answers, reader=reader, now=now)
            n_believed += 1
        else:
            with pytest.raises(Forged):
                read(callback, *answers, reader=reader, now=now)
            n_refused += 1
    assert (n_believed, n_refused) == (6, 8)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [{}, {"Subject": "Amazon SES Email Event"}])
def test_a_notification_of_our_topic_is_believed(version: str, subject: dict[str, str]) -> None:
    callback = notification("é\n{}", SignatureVersion=version, **subject)

    _, [found] = read(callback, GOOD)

    assert found == Notification("165545c9-2a5c-472c-8df2-7ff2be2b3b1b", TOPIC, "é\n{}")


def test_a_certificate_is_fetched_once() -> None:
    reader, asked = SnsReader([TOPIC]), list[str]()
    read(notification("first"), GOOD, reader=reader, asked=asked)

    _, [found] = read(notification("second"), reader=reader, asked=asked)

    assert found.text == "second"
    assert asked == [CERTIFICATE_URL]


def test_a_subscription_of_our_topic_is_confirmed_by_asking_its_address() -> None:
    asked = list[str]()

    echo, believed = read(confirmation(), GOOD, Answer(200), asked=asked)

    assert asked == [CERTIFICATE_URL, SUBSCRIBE_URL]
    assert (echo, believed) == (Echo(), [])


@pytest.mark.parametrize("answers", [
    [None], [Answer(500)], [Answer(200, {}, b"<html>")], [GOOD, None], [GOOD, Answer(403)],
])  # fmt: skip
def test_what_cannot_be_asked_now_is_asked_for_again(answers: list[Answer | None]) -> None:
    # SNS repeats what was answered 5xx, and drops what was answered 4xx.
    echo, believed = read(confirmation(), *answers)

    assert echo.reply.status == 503
    assert believed == []


@pytest.mark.parametrize("changed", [
    {"TopicArn": TOPIC + "-of-somebody-else"},
    {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/x.pem"},
    {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem"},
    {"SigningCertURL": "https://evil.example@sns.eu-west-1.amazonaws.com/x.pem"},
    {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com:8443/x.pem"},
    {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"},
    {"SigningCertURL": "https://sns.amazonaws.com/x.pem"},
    {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com\\@evil.example/x.pem"},
    {"SigningCertURL": "https://[sns"},
])  # fmt: skip
def test_nothing_is_fetched_for_what_is_not_ours(changed: dict[str, str]) -> None:
    told = json.loads(notification("x").body)

    with pytest.raises(Forged):
        read(structs.replace(notification("x"), body=json.dumps({**told, **changed}).encode()))


def test_a_subscription_is_never_confirmed_at_another_address() -> None:
    evil = confirmation(SubscribeURL="https://169.254.169.254/latest/meta-data/")

    with pytest.raises(Forged, match="SubscribeURL is no address of SNS"):
        read(evil, GOOD)


@pytest.mark.parametrize("changed", [
    {"Message": "another"}, {"Timestamp": "2026-03-02T10:00:01.000Z"}, {"Signature": "AAAA"},
    {"Signature": "!"}, {"SignatureVersion": "2"}, {"SignatureVersion": "3"}, {"Subject": "new"},
])  # fmt: skip
def test_a_changed_notification_is_not_believed(changed: dict[str, str]) -> None:
    told = json.loads(notification("x").body)
    callback = structs.replace(notification("x"), body=json.dumps({**told, **changed}).encode())

    with pytest.raises(Forged):
        read(callback, GOOD)


def test_a_certificate_that_has_run_out_proves_nothing() -> None:
    with pytest.raises(Forged, match="not valid now"):
        read(notification("x"), GOOD, now=NOW + 400 * DAY)


def test_what_is_no_message_of_sns_is_unreadable() -> None:
    for body in (b"", b"[]", b'{"Type":"Smoke"}', b'{"Type":"Notification","Message":1}'):
        with pytest.raises(Unreadable):
            read(Callback("https://us.example/", {}, body))
    with pytest.raises(Unreadable, match="lacks MessageId"):
        read(signed({"Type": "Notification", "TopicArn": TOPIC, "Message": "", "Timestamp": ""}))


def test_over_a_real_connection_the_certificate_comes_first_and_each_person_has_an_event() -> None:
    async def told() -> Echo:
        async with bench(CASES, saying(Answer(404))) as tried:
            callback = bounce("Permanent", "General", NO_USER, {"emailAddress": "bob@example.com"})
            echo = await tried.provider.read_callback(callback)
            assert [call.url for call in tried.calls] == [CERTIFICATE_URL]
            return echo

    events = asyncio.run(told()).events

    assert [event.recipient for event in events] == ["ada@example.com", "bob@example.com"]
    assert len({event.event_id for event in events}) == 2
