"""A topic of SNS' that we run ourselves: a throw-away authority, its certificate, and signatures.

What is signed here and how is taken from the documentation of SNS, not from our reader.
"""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from channels.callbacks import Callback
from channels.calls import Answer

TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:antiphon-test"
CERTIFICATE_URL: Final = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-test.pem"
SUBSCRIBE_URL: Final = (
    f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=23364"
)


def _certificate(
    name: str, key: rsa.RSAPrivateKey, *, issuer: str, by: rsa.RSAPrivateKey
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .sign(by, SHA256())
    )


_AUTHORITY: Final = rsa.generate_private_key(65_537, 2048)
KEY: Final = rsa.generate_private_key(65_537, 2048)
CHAIN: Final = b"".join(
    certificate.public_bytes(Encoding.PEM)
    for certificate in (
        _certificate("sns.amazonaws.com", KEY, issuer="Test CA", by=_AUTHORITY),
        _certificate("Test CA", _AUTHORITY, issuer="Test CA", by=_AUTHORITY),
    )
)
"""The certificate, then the one that signed it."""

QUESTIONS: Final = {
    "SimpleNotificationService-test.pem": Answer(200, {}, CHAIN),
    "Action=ConfirmSubscription": Answer(200, {}, b"<ConfirmSubscriptionResponse/>"),
}
"""What SNS answers when it is asked."""


def notification(message: str, **changed: Any) -> Callback:
    """A notification of our topic."""
    return signed({
        "Type": "Notification",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": "2026-03-02T10:00:00.000Z",
        **changed,
    })  # fmt: skip


def confirmation(**changed: Any) -> Callback:
    """What SNS sends first to a new subscriber."""
    return signed({
        "Type": "SubscriptionConfirmation",
        "MessageId": "334fa09c-cfa2-465c-82aa-733848bece90",
        "Token": "23364",
        "TopicArn": TOPIC,
        "Message": f"You have chosen to subscribe to the topic {TOPIC}.",
        "SubscribeURL": SUBSCRIBE_URL,
        "Timestamp": "2026-03-02T10:00:00.000Z",
        **changed,
    })  # fmt: skip


def signed(told: dict[str, Any]) -> Callback:
    """The message with its signature; SignatureVersion 1 unless it says otherwise."""
    told = {"SignatureVersion": "1", "SigningCertURL": CERTIFICATE_URL, **told}
    unsigned = ("Signature", "SignatureVersion", "SigningCertURL", "UnsubscribeURL")
    if told["Type"] == "Notification":
        unsigned = (*unsigned, "Token", "SubscribeURL")
    lines = "".join(f"{name}\n{told[name]}\n" for name in sorted(set(told) - set(unsigned)))
    digest = SHA1() if told["SignatureVersion"] == "1" else SHA256()
    signature = KEY.sign(lines.encode("utf-8", "replace"), padding.PKCS1v15(), digest)
    told["Signature"] = b64encode(signature).decode()
    headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": told["Type"]}
    return Callback("https://us.example/webhooks/email", headers, json.dumps(told).encode())
