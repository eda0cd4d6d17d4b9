"""Amazon SNS: what AWS services tell us comes as its notifications, signed with a certificate.

Pure: certificates and confirmations are questions. Nothing is fetched from anywhere but SNS itself,
nothing is believed of a topic that the settings do not name. Raw message delivery must be off: it
drops the signature.
Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import Certificate, load_pem_x509_certificate
from msgspec import Struct

from channels.callbacks import Callback, Echo, Reply
from channels.calls import Answer, Call, Question
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import SECOND, Instant

_HOST: Final = re.compile(r"sns\.[a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?")
"""A region has this form. AWS' own "three letters or more" also fits `sns.s3-us-west-2.…`, where
whoever holds the bucket "sns" would sign for Amazon."""
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = (
    "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
)  # fmt: skip
_SIGNED: Final = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
"""The fields that each type signs, in the order of their bytes; Subject may be missing."""
_DIGESTS: Final = {"1": SHA1, "2": SHA256}
"""SignatureVersion: 1 is what a topic has unless its owner changed it."""
CERTIFICATES_MAX: Final = 16
"""They change about once a year."""


class Notification(Struct, frozen=True):
    """One notification whose signature held; `id` is the same on every repeat."""

    id: str
    topic: str
    text: str


class SnsReader:
    """Reads callbacks of the topics that are ours, and confirms their subscriptions.

    Args:
        topics: Their ARNs.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self.topics = frozenset(topics)
        self._certificates: dict[str, Certificate] = {}

    def read(
        self, callback: Callback, *, now: Instant, then: Callable[[Notification], Echo]
    ) -> Echo | Question[Echo]:
        """What a callback says, or what has to be asked first.

        Args:
            then: Reads a notification that is genuine.
        Raises:
            Forged, Unreadable: It is not SNS', not of our topics, or no message of SNS' at all.
        """
        told = _told(callback)
        if told["TopicArn"] not in self.topics:
            raise Forged("the notification is of a topic that the channel's `topics` do not name")
        url = told["SigningCertURL"]
        _check_url(url, "SigningCertURL")
        if not urlsplit(url).path.endswith(".pem"):
            raise Forged("SigningCertURL is no certificate's")

        def known(answer: Answer | None) -> Echo | Question[Echo]:
            try:
                certificate = load_pem_x509_certificate(answer.body if answer else b"")
            except ValueError:
                return _later("the certificate of SNS cannot be fetched")
            self._keep(url, certificate)
            return self._believed(told, now=now, then=then)

        if url in self._certificates:
            return self._believed(told, now=now, then=then)
        return Question(Call(url, method="GET"), known)

    def _believed(
        self, told: dict[str, str], *, now: Instant, then: Callable[[Notification], Echo]
    ) -> Echo | Question[Echo]:
        _verify(told, self._certificates[told["SigningCertURL"]], now=now)
        match told["Type"]:
            case "Notification":
                return then(Notification(told["MessageId"], told["TopicArn"], told["Message"]))
            case "SubscriptionConfirmation":
                _check_url(told["SubscribeURL"], "SubscribeURL")
                return Question(Call(told["SubscribeURL"], method="GET"), _confirmed)
            case _:
                return Echo()  # somebody unsubscribed us: it says so, and asks nothing

    def _keep(self, url: str, certificate: Certificate) -> None:
        if len(self._certificates) >= CERTIFICATES_MAX:
            self._certificates.pop(next(iter(self._certificates)))
        self._certificates[url] = certificate


def string_to_sign(told: dict[str, str]) -> str:
    """The fields that are signed: a line for each name and each value."""
    present = (name for name in _SIGNED[told["Type"]] if name in told)
    return "".join(f"{name}\n{told[name]}\n" for name in present)


def _told(callback: Callback) -> dict[str, str]:
    """The message, its fields all text."""
    try:
        found: Any = msgspec.json.decode(callback.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable("the callback is not JSON") from None
    if not isinstance(found, dict) or found.get("Type") not in _SIGNED:
        raise Unreadable("the callback is no message of SNS'")
    # SNS writes null where there is no subject, and does not sign it.
    told = {name: value for name, value in found.items() if value is not None}
    if not all(isinstance(value, str) for value in told.values() if value is not None):
        raise Unreadable("a field of the message is no text")
    wanted = {*_SIGNED[told["Type"]], "Signature", "SignatureVersion", "SigningCertURL"}
    missing = wanted - set(told) - {"Subject"}
    if missing:
        raise Unreadable(f"the message lacks {', '.join(sorted(missing))}")
    return told


def _check_url(url: str, name: str) -> None:
    """Refuse every address that is not SNS' own.

    Raises:
        Forged: It is another host, port or scheme, or names a user.
    """
    try:
        parts = urlsplit(url)
        is_plain = url.isascii() and url.isprintable()  # urlsplit drops line ends
        is_ours = is_plain and parts.scheme == "https" and _HOST.fullmatch(parts.netloc)
    except ValueError:
        is_ours = False
    if not is_ours:
        raise Forged(f"{name} is no address of SNS")


def _verify(told: dict[str, str], certificate: Certificate, *, now: Instant) -> None:
    key = certificate.public_key()
    digest = _DIGESTS.get(told["SignatureVersion"])
    at = datetime.fromtimestamp(now // SECOND, UTC)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Forged("the certificate is not valid now")
    if digest is None or not isinstance(key, RSAPublicKey):
        raise Forged("SignatureVersion is neither 1 nor 2, or the certificate is not RSA")
    try:
        key.verify(
            b64decode(told["Signature"]), string_to_sign(told).encode(), PKCS1v15(), digest()
        )
    except (InvalidSignature, ValueError):
        raise Forged("the notification is not signed by its certificate") from None


def _confirmed(answer: Answer | None) -> Echo:
    if answer is None or not answer.is_ok:
        return _later("the subscription could not be confirmed")
    return Echo()


def _later(why: str) -> Echo:
    """SNS repeats what it was answered 5xx; what it was answered 4xx is lost."""
    return Echo((), Reply(503, why.encode()))
