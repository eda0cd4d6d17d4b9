"""SES: botocore's model of its API, its documented errors, its events through our own topic."""

import json
from base64 import b64decode
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import lru_cache
from typing import Any, Final

import botocore.session
import msgspec
from botocore.validate import ParamValidator
from msgspec import structs

from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from channels.email.told import hashed
from engine.core.model.instants import SECOND
from tests.channels import sns_signing
from tests.channels.email_cases import HEADERS, MESSAGE, SENDER
from tests.channels.published import json_of
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

NAME: Final = "010001956f3b1234-1a2b3c4d-0000-0000-0000-000000000000-000000"


@lru_cache(maxsize=1)
def _model() -> Any:
    loaded = botocore.session.Session().get_service_model("sesv2")
    return loaded.operation_model("SendEmail")


def check_call(call: Call) -> None:
    """What AWS' own model of the operation allows, and the mail inside."""
    body = json_of(call)
    model = _model()
    assert call.url == "https://email.eu-west-1.amazonaws.com" + model.http["requestUri"]
    assert call.headers["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260302/eu-west-1/ses/aws4_request, "
        "SignedHeaders=accept;content-type;host;x-amz-date;x-amz-security-token, Signature="
    )
    raw = b64decode(body["Content"]["Raw"]["Data"], validate=True)
    asked = {**body, "Content": {"Raw": {"Data": raw}}}
    report = ParamValidator().validate(asked, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    assert body["Destination"] == {"ToAddresses": ["ada@example.com"]}
    assert {"Name": "message", "Value": "7"} in body["EmailTags"]
    assert body["ConfigurationSetName"] == "events"
    _check_mail(raw)


def _check_mail(raw: bytes) -> None:
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    assert {name: mail[name] for name in HEADERS} == HEADERS
    assert mail["To"] == "ada@example.com"
    assert mail["From"].addresses[0].display_name == "Läden & Söhne"
    assert mail["Subject"] == MESSAGE.subject
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def telling(word: str, place: str, details: dict[str, Any], **mail: Any) -> Callback:
    """An event of a configuration set, as its pages show it."""
    told = {
        "eventType": word,
        "mail": {
            "timestamp": "2026-03-02T09:59:50.000Z",
            "source": "hello@shop.example",
            "messageId": NAME,
            "destination": ["ada@example.com"],
            "headersTruncated": False,
            "headers": [{"name": "From", "value": "Shop <hello@shop.example>"}],
            "tags": {"ses:configuration-set": ["events"], "message": ["7"]},
            **mail,
        },
        place: details,
    }
    text = json.dumps(told)
    return sns_signing.notification(text, MessageId=hashed(text))


def bounce(kind: str, sub_type: str, *people: dict[str, str]) -> Callback:
    """https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html"""
    return telling("Bounce", "bounce", {
        "bounceType": kind,
        "bounceSubType": sub_type,
        "bouncedRecipients": list(people) or [{"emailAddress": "ada@example.com"}],
        "timestamp": "2026-03-02T09:59:55.000Z",
        "feedbackId": "0100",
    })  # fmt: skip


def sign(body: bytes) -> Callback:
    """Whatever text, published to our topic."""
    return sns_signing.notification(body.decode("utf-8", "replace"))


def forge(callback: Callback) -> Callback:
    """Another time, the signature as it was."""
    return structs.replace(callback, body=callback.body.replace(b"2026-03-02T10", b"2026-03-02T11"))


def error(status: int, kind: str, text: str) -> Answer:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors"""
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazonaws.sesv2/"}
    return Answer(status, headers, msgspec.json.encode({"message": text}))


def expected(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "message": 7,
        "provider_id": NAME,
        "recipient": "ada@example.com",
        "at": NOW - 5 * SECOND,
        **more,
    }


AT: Final = {"timestamp": "2026-03-02T09:59:55.000Z"}
NO_USER: Final = {
    "emailAddress": "ada@example.com",
    "action": "failed",
    "status": "5.1.1",
    "diagnosticCode": "smtp; 550 5.1.1 <ada@example.com>... User unknown",
}
OLD: Final = {"tags": {}, "headers": [{"name": "Message-ID", "value": "<m7.key@shop.example>"}]}

CASES: Final = VendorCases(
    provider="email.ses",
    settings={
        **SENDER,
        "region": "eu-west-1",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "session_token": "test/session+token==",
        "configuration_set": "events",
        "topics": [sns_signing.TOPIC],
    },
    message=MESSAGE,
    check_call=check_call,
    accepted=Answered(
        "sent", Answer(200, {}, msgspec.json.encode({"MessageId": NAME})), Accepted(NAME)
    ),
    answered=(
        Answered(
            "an identity nobody verified",
            error(400, "MessageRejected", "Email address is not verified. The following "
                  "identities failed the check in region EU-WEST-1: hello@shop.example"),
            RefusedBy("config", "MessageRejected", "Email address is not verified. The following "
                      "identities failed the check in region EU-WEST-1: <address>"),
        ),
        Answered(
            "a message it does not take",
            error(400, "MessageRejected", "Transaction failed: virus"),
            RefusedBy("message", "MessageRejected", "Transaction failed: virus"),
        ),
        Answered("a bad request", error(400, "BadRequestException", "Invalid tag"), RefusedBy),
        Answered(
            "a configuration set that is none",
            error(404, "NotFoundException", "Configuration set <events> does not exist."),
            RefusedBy("config", "NotFoundException", "Configuration set <events> does not exist."),
        ),
        Answered(
            "an account that is closed",
            error(400, "AccountSuspendedException", "closed"),
            RefusedBy("account", "AccountSuspendedException", "closed"),
        ),
        Answered(
            "sending that is paused",
            error(400, "SendingPausedException", "paused"),
            RefusedBy("account", "SendingPausedException", "paused"),
        ),
        Answered(
            "a key that is none",
            error(403, "UnrecognizedClientException", "The security token is invalid."),
            RefusedBy(
                "config", "UnrecognizedClientException", "The security token is invalid."
            ),
        ),
        Answered(
            "a clock that is wrong", error(400, "RequestExpired", "Signature expired"),
            RefusedBy("config", "RequestExpired", "Signature expired"),
        ),
        Answered(
            "too fast",
            error(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
            Throttled(None, "Maximum sending rate exceeded."),
        ),
        Answered(
            "too many today",
            error(400, "LimitExceededException", "Daily message quota exceeded."),
            Throttled(3_600.0, "Daily message quota exceeded."),
        ),
        Answered("a fault of theirs", Answer(500, {}, b"oops"), Ambiguous("http 500: oops")),
    ),
    told=(
        Told("sent", telling("Send", "send", {}),
             [expected("sent", at=NOW - 10 * SECOND)]),
        Told(
            "arrived",
            telling("Delivery", "delivery", {**AT, "recipients": ["ada@example.com"],
                                             "smtpResponse": "250 ok"}),
            [expected("delivered", reason="250 ok")],
        ),
        Told(
            "waiting",
            telling("DeliveryDelay", "deliveryDelay", {**AT, "delayType": "MailboxFull",
                    "delayedRecipients": [{"emailAddress": "ada@example.com", "status": "4.2.2",
                                           "diagnosticCode": "smtp; 452 4.2.2 full"}]}),
            [expected("deferred", code="4.2.2")],
        ),
        Told(
            "a bounce of two people: an event for each",
            bounce("Permanent", "General", NO_USER,
                   {"emailAddress": "bob@example.com", "status": "5.7.1",
                    "diagnosticCode": "smtp; 550 5.7.1 refused by policy"}),
            [
                expected("bounced", bounce_class="hard", code="5.1.1",
                         reason="smtp; 550 5.1.1 <<address>>... User unknown"),
                expected("bounced", bounce_class="block", recipient="bob@example.com"),
            ],
        ),
        Told("a full mailbox", bounce("Transient", "MailboxFull"),
             [expected("bounced", bounce_class="soft")]),
        Told("too large", bounce("Transient", "MessageTooLarge"),
             [expected("bounced", bounce_class="message")]),
        Told("never left: on the list of SES", bounce("Permanent", "OnAccountSuppressionList"),
             [expected("rejected", bounce_class=None)]),
        Told(
            "a complaint, of an identity that publishes without tags",
            telling("Complaint", "complaint", {**AT, "complaintFeedbackType": "abuse",
                    "complainedRecipients": [{"emailAddress": "ada@example.com"}]}, **OLD),
            [expected("complained", reason="abuse")],
        ),
        Told("rejected", telling("Reject", "reject", {"reason": "Bad content"}),
             [expected("rejected", reason="Bad content", at=NOW - 10 * SECOND)]),
        Told("a template of theirs", telling("Rendering Failure", "failure", {"errorMessage": "x"}),
             [expected("failed", reason="x", at=NOW - 10 * SECOND)]),
        Told("read", telling("Open", "open", {**AT, "userAgent": "Mozilla/5.0"}),
             [expected("opened")]),
        Told("clicked", telling("Click", "click", {**AT, "link": "https://shop.example/"}),
             [expected("clicked", url="https://shop.example/")]),
        Told(
            "had enough",
            telling("Subscription", "subscription",
                    {**AT, "newTopicPreferences": {"unsubscribeAll": True}}),
            [expected("unsubscribed")],
        ),
        Told(
            "back again",
            telling("Subscription", "subscription",
                    {**AT, "newTopicPreferences": {
                        "unsubscribeAll": False,
                        "topicSubscriptionStatus": [
                            {"topicName": "a", "subscriptionStatus": "OptIn"}]}}),
            [expected("subscribed")],
        ),
        Told("a new subscription is confirmed", sns_signing.confirmation(), []),
        Told("SNS says hello",
             sns_signing.notification("Successfully validated SNS topic for Amazon SES event "
                                      "publishing."), []),
    ),
    forge=forge,
    unknown=telling("SmokeSignal", "smoke", AT),
    questions=sns_signing.QUESTIONS,
    sign=sign,
)  # fmt: skip
