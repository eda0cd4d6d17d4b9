"""What Amazon SES says of a mail, in our words.

Pure. One notification may name several recipients: an event for each.
Source: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.email.bounces import enhanced_code, mask_addresses, reported_class
from channels.email.headers import id_in
from channels.email.told import at_iso, hashed, our_id
from engine.core.errors import Unreadable

WORDS: Final[Mapping[str, tuple[EventKind, str, str]]] = {
    "Send": ("sent", "send", ""),
    "Delivery": ("delivered", "delivery", "recipients"),
    "DeliveryDelay": ("deferred", "deliveryDelay", "delayedRecipients"),
    "Bounce": ("bounced", "bounce", "bouncedRecipients"),
    "Complaint": ("complained", "complaint", "complainedRecipients"),
    "Reject": ("rejected", "reject", ""),
    "Rendering Failure": ("failed", "failure", ""),
    "Open": ("opened", "open", ""),
    "Click": ("clicked", "click", ""),
    "Subscription": ("unsubscribed", "subscription", ""),
}
"""Their word: our word, the field of its details, and the list of those it is about: "" for all
the mail's destinations."""

BOUNCES: Final[Mapping[tuple[str, str], BounceClass]] = {
    ("Permanent", "General"): "hard",
    ("Permanent", "NoEmail"): "hard",
    ("Transient", "General"): "soft",
    ("Transient", "MailboxFull"): "soft",
    ("Transient", "MessageTooLarge"): "message",
    ("Transient", "ContentRejected"): "message",
    ("Transient", "AttachmentRejected"): "message",
    ("Transient", "CustomTimeoutExceeded"): "soft",
    ("Undetermined", "Undetermined"): "undetermined",
}
"""Their bounceType and bounceSubType."""

SUPPRESSED: Final = frozenset({"Suppressed", "OnAccountSuppressionList", "UnsubscribedRecipient"})
"""Sub-types of what never left SES: no new bounce or complaint."""

KINDS: Final[frozenset[EventKind]] = frozenset(
    {*(kind for kind, _, _ in WORDS.values()), "subscribed"}
)


def read_notification(text: str, *, id: str) -> list[DeliveryEvent]:
    """The events of one notification; none where it is SNS' own "Successfully validated".

    Args:
        id: The notification's, the same on every repeat.
    Raises:
        Unreadable, LookupError, TypeError, ValueError: Its shape is none that SES has.
    """
    if text.startswith("Successfully validated SNS topic"):
        return []
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise Unreadable("the notification is not JSON") from None
    if not isinstance(told, dict):
        raise Unreadable("the notification is no JSON object")
    return list(_events(told, id))


def _events(told: dict[str, Any], id: str) -> Iterator[DeliveryEvent]:
    word = str(told.get("eventType") or told["notificationType"])
    kind, place, people = WORDS.get(word, ("unknown", "", ""))
    mail, details = told["mail"], told.get(place) or {}
    listed = details[people] if people else mail.get("destination") or [None]
    for each in listed:
        person = each if isinstance(each, dict) else {"emailAddress": each}
        address = person.get("emailAddress")
        said = str(person.get("diagnosticCode") or _reason(details))
        status = str(person.get("status") or enhanced_code(said) or "")
        ours, bounce = _classed(kind, details, status, said)
        yield DeliveryEvent(
            ours,
            _message(mail),
            hashed(id, address),
            at_iso(str(details.get("timestamp") or mail["timestamp"])),
            recipient=str(address) if address else None,
            reason=mask_addresses(said),
            bounce_class=bounce,
            raw=told,
            provider_id=str(mail.get("messageId") or ""),
            code=status,
            url=str(details.get("link") or ""),
        )


def _classed(
    kind: EventKind, details: dict[str, Any], status: str, said: str
) -> tuple[EventKind, BounceClass | None]:
    """The kind by its details, and what a bounce means."""
    sub_type = details.get("bounceSubType") or details.get("complaintSubType")
    if sub_type in SUPPRESSED:
        return "rejected", None
    if kind == "unsubscribed":
        return ("unsubscribed" if _is_leaving(details) else "subscribed"), None
    if kind == "complained" and details.get("complaintFeedbackType") == "not-spam":
        return "unknown", None
    if kind != "bounced":
        return kind, None
    key = (str(details.get("bounceType")), str(sub_type))
    found = BOUNCES.get(key, "hard" if key[0] == "Permanent" else "undetermined")
    if found == "hard":
        # The server's own words may say that it was a policy: nobody's address is dead then.
        theirs = reported_class(status, said.partition(";")[2].strip() or said)
        return kind, theirs if theirs in ("block", "message") else found
    return kind, found


def _is_leaving(details: dict[str, Any]) -> bool:
    wishes = details.get("newTopicPreferences") or {}
    topics = wishes.get("topicSubscriptionStatus") or []
    return bool(wishes.get("unsubscribeAll")) or any(
        topic.get("subscriptionStatus") == "OptOut" for topic in topics
    )


def _reason(details: dict[str, Any]) -> str:
    words = ("reason", "errorMessage", "smtpResponse", "delayType", "complaintFeedbackType")
    return next((str(details[word]) for word in words if details.get(word)), "")


def _message(mail: dict[str, Any]) -> int | None:
    """By our tag; notifications of an identity have only the headers of the mail."""
    tags = mail.get("tags") or {}
    if tags.get("message"):
        return our_id(tags["message"][0])
    for header in mail.get("headers") or []:
        if str(header["name"]).lower() == "message-id":
            return id_in(str(header["value"]))
    return None
