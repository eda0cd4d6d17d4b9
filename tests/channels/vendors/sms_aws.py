"""AWS End User Messaging: botocore's model, its documented errors and events, a topic of our own.

https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/API_SendTextMessage.html
"""

import json
from functools import lru_cache
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import botocore.session
import msgspec
from botocore.validate import ParamValidator
from msgspec import structs

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from tests.channels import sns_signing
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

PHONE: Final = "+4915112345678"
ID: Final = "862a8790-60c0-4430-9b2b-658bdexample"


@lru_cache(maxsize=1)
def _model() -> Any:
    loaded = botocore.session.Session().get_service_model("pinpoint-sms-voice-v2")
    return loaded.operation_model("SendTextMessage")


def check_call(call: Call) -> None:
    """What AWS' own model of the operation allows; it knows unknown fields too."""
    body = msgspec.json.decode(call.body)
    report = ParamValidator().validate(body, _model().input_shape)
    assert not report.has_errors(), report.generate_report()
    assert call.url == "https://sms-voice.eu-west-1.amazonaws.com/"
    assert call.headers["X-Amz-Target"] == "PinpointSMSVoiceV2.SendTextMessage"
    assert call.headers["Content-Type"] == "application/x-amz-json-1.0"
    assert call.headers["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260302/eu-west-1/sms-voice/aws4_request, "
        "SignedHeaders=accept;content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
    )
    assert body["Context"] == {"message": "7"}
    assert body["TimeToLive"] == 3600


def notified(told: dict[str, Any]) -> Callback:
    text = json.dumps(told)
    return sns_signing.notification(text, MessageId=str(uuid5(NAMESPACE_URL, text)))


def told(kind: str, words: str = "") -> Callback:
    return notified({
        "eventType": kind, "eventVersion": "1.0", "eventTimestamp": NOW // 1000, "isFinal": True,
        "originationPhoneNumber": "+12065550152", "destinationPhoneNumber": PHONE,
        "messageId": ID, "messageRequestTimestamp": NOW // 1000, "messageEncoding": "GSM",
        "messageType": "PROMOTIONAL", "messageStatus": kind.removeprefix("TEXT_"),
        "messageStatusDescription": words, "context": {"message": "7"}, "totalMessageParts": 1,
        "totalMessagePrice": 0.09582, "totalCarrierFee": 0.0,
    })  # fmt: skip


ANSWER: Final = {
    "originationNumber": PHONE, "destinationNumber": "+12125550101", "messageKeyword": "JOIN",
    "messageBody": "STOP 😀", "inboundMessageId": "cae173d2-66b9-564c-8309-21f858e9fb84",
    "previousPublishedMessageId": "wJalrXUtnFEMI",
}  # fmt: skip


def forge(callback: Callback) -> Callback:
    return structs.replace(callback, body=callback.body.replace(b"4915112345678", b"4915112345670"))


def fault(kind: str, words: str, status: int = 400, **more: str) -> Answer:
    body = {"__type": f"com.amazonaws.pinpointsmsvoicev2#{kind}", "Message": words, **more}
    return Answer(status, {"x-amzn-errortype": kind}, json.dumps(body).encode())


CASES: Final = VendorCases(
    provider="sms.aws",
    settings={
        "region": "eu-west-1",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "a-secret-access-key-for-tests",
        "session_token": "a-session-token-for-tests",
        "configuration_set": "events",
        "topics": [sns_signing.TOPIC],
        "from": "pool-0123456789abcdef",
    },
    message=OutMessage(
        7, "sms", PHONE, text="Grüße 🎻 & schöne Zeit", metadata={"message": "7"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered("taken", Answer(200, {}, json.dumps({"MessageId": ID}).encode()),
                      Accepted(ID)),
    answered=(
        Answered(
            "opted out",
            fault("ConflictException", "Destination phone number is opted out",
                  Reason="DESTINATION_PHONE_NUMBER_OPTED_OUT"),
            RefusedBy("recipient", "DESTINATION_PHONE_NUMBER_OPTED_OUT",
                      "Destination phone number is opted out", is_opt_out=True),
        ),
        Answered(
            "protected",
            fault("ConflictException", "+4915112345678 is blocked",
                  Reason="DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"),
            RefusedBy("recipient", "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE",
                      "<number> is blocked", "block"),
        ),
        Answered(
            "sandbox",
            fault("ConflictException", "Not verified",
                  Reason="DESTINATION_PHONE_NUMBER_NOT_VERIFIED"),
            RefusedBy("config", "DESTINATION_PHONE_NUMBER_NOT_VERIFIED", "Not verified"),
        ),
        Answered("invalid", fault("ValidationException", "Bad", Reason="INVALID_PARAMETER"),
                 RefusedBy("message", "INVALID_PARAMETER", "Bad")),
        Answered(
            "spent",
            fault("ServiceQuotaExceededException", "Limit",
                  Reason="MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
            RefusedBy("account", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT", "Limit"),
        ),
        Answered("disabled", fault("AccessDeniedException", "Off", Reason="ACCOUNT_DISABLED"),
                 RefusedBy("account", "ACCOUNT_DISABLED", "Off")),
        Answered("keys", fault("UnrecognizedClientException", "The security token is invalid"),
                 RefusedBy("config", "UnrecognizedClientException",
                           "The security token is invalid")),
        Answered("no pool", fault("ResourceNotFoundException", "No", ResourceType="pool"),
                 RefusedBy("config", "ResourceNotFoundException", "No")),
        Answered("too fast", fault("ThrottlingException", "Rate exceeded"),
                 Throttled(None, "Rate exceeded")),
        Answered("broken", fault("InternalServerException", "Oops", 500), Ambiguous),
    ),
    told=(
        Told("queued", told("TEXT_QUEUED"), [{"kind": "queued", "message": 7}]),
        Told("at the carrier", told("TEXT_SUCCESSFUL", "accepted by phone carrier"),
             [{"kind": "sent", "provider_id": ID, "at": NOW}]),
        Told("delivered", told("TEXT_DELIVERED"), [{"kind": "delivered", "recipient": PHONE}]),
        Told("no number", told("TEXT_INVALID"), [{"kind": "undelivered", "bounce_class": "hard"}]),
        Told("off", told("TEXT_UNREACHABLE"), [{"kind": "undelivered", "bounce_class": "soft"}]),
        Told("our text", told("TEXT_INVALID_MESSAGE"), [
            {"kind": "failed", "bounce_class": "message"}]),
        Told("spam", told("TEXT_SPAM"), [
            {"kind": "rejected", "bounce_class": "block", "code": "TEXT_SPAM"}]),
        Told("answer", notified(ANSWER), [
            {"kind": "inbound", "recipient": PHONE, "text": "STOP 😀"}]),
    ),
    forge=forge,
    unknown=told("TEXT_TELEPORTED"),
    sign=lambda body: sns_signing.notification(body.decode("utf-8", "replace")),
    questions=sns_signing.QUESTIONS,
)  # fmt: skip
