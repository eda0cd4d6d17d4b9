"""What people write back: STOP, START, HELP, and everything else, as events of whoever has the
number.

STOP takes effect on the contact row, for every profile with that number and before anybody is told
that we heard it. START gives back only what a STOP took, and only if it was written later. No
answer is sent from here: most providers confirm a STOP themselves, and "Message Replied" with
`keyword` lets a campaign answer where one does not.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from channels.delivery import DeliveryEvent
from channels.sms.keywords import Intent, intent_of_event
from engine.consent.unsubscribe import EVERYTHING, TEXT, enter, give_back, withdraw_address
from engine.core.model.instants import DAY, Instant
from engine.store.connection import Connection
from engine.store.events import EventLog, message_hash
from engine.store.people import TEXTED, text
from engine.store.queue import Addressee, addressees

REPLIED: Final = "Message Replied"
UNSUBSCRIBED: Final = "Message Unsubscribed"
TEXT_CHARACTERS_MAX: Final = 1_600
PROOF_CHARACTERS_MAX: Final = 160
ANSWERS_FOR: Final = 7 * DAY
"""A text within so long after a message of ours is taken for an answer to it."""

_addresses = msgspec.json.Decoder(dict[str, str])
_LAST = (
    "SELECT m.id, m.campaign, m.step, m.variant, m.topic, m.template FROM enrollment e "
    "JOIN message m ON m.enrollment_id = e.id WHERE e.profile_id = ? AND m.channel = ? "
    "AND m.status = 'sent' AND m.due_at > ? ORDER BY m.due_at DESC, m.id DESC LIMIT 1"
)
_LAST_NAMES = ("message", "campaign", "step", "variant", "topic", "template")


def take_texts(
    connection: Connection,
    texts: Sequence[DeliveryEvent],
    *,
    channel: str,
    provider: str,
    address_hash: Callable[[str, str], bytes],
    log: EventLog,
    now: Instant,
) -> Counter[str]:
    """Take in texts that were never told before; count what they were.

    Args:
        address_hash: The hash of a (channel, address), as contact rows have it.
    """
    counts: Counter[str] = Counter()
    by_number: dict[str, list[DeliveryEvent]] = {}
    for it in texts:
        number = e164(it.recipient or "")
        if number is None:
            counts["no number"] += 1
        else:
            by_number.setdefault(address_hash(TEXTED, number).hex(), []).append(it)
    people = _holders(connection, by_number)
    rows: list[tuple[Any, ...]] = []
    for key in sorted(by_number):  # attempts lock contact rows in this order, too
        for it in sorted(by_number[key], key=lambda it: (it.at, it.event_id)):
            intent = intent_of_event(it)
            word = intent.word if intent else ""
            counts[word or "other"] += 1
            counts["unknown number"] += not people[key]
            has_changed = _obey(connection, key, it, intent, people[key], now=now)
            for person in people[key]:
                said = _said(connection, it, intent, person, channel=channel)
                names = [REPLIED, *([UNSUBSCRIBED] if word == "stop" and has_changed else ())]
                rows += [
                    (
                        message_hash(provider, f"{it.event_id}:{person.id}:{name}"), person.id,
                        name, it.at, now, 0, text(said), "{}", None,
                    )
                    for name in names
                ]  # fmt: skip
    log.append(connection, rows, now=now)
    return counts


def e164(number: str) -> str | None:
    """A number as providers write it, with or without its plus; None if it is none.

    >>> e164("4915112345678"), e164("0044 20 7946 0000"), e164("SHOP")
    ('+4915112345678', '+442079460000', None)
    """
    digits = re.sub(r"[\s().\-/]", "", number).removeprefix("+").removeprefix("00")
    if not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):
        return None
    return f"+{digits}"


def _obey(
    connection: Connection,
    key: str,
    it: DeliveryEvent,
    intent: Intent | None,
    people: Sequence[Addressee],
    *,
    now: Instant,
) -> bool:
    """Do what a keyword asks for; whether that changed anything."""
    match intent and intent.word:
        case "stop":
            has_changed = withdraw_address(
                connection, key, channel=TEXTED, topic=EVERYTHING, now=now, stopped_at=it.at
            )
        case "start":
            has_changed = give_back(connection, key, at=it.at, now=now)
        case _:
            return False
    if has_changed:
        enter(
            connection,
            [person.id for person in people],
            channel=TEXTED,
            topic=EVERYTHING,
            granted=intent is not None and intent.word == "start",
            at=it.at,
            source=TEXT,
            proof=f"text: {it.text[:PROOF_CHARACTERS_MAX]}",
        )
    return has_changed


def _holders(connection: Connection, keys: Iterable[str]) -> dict[str, list[Addressee]]:
    """Who has each number now: merged profiles are answered by their winner, once."""
    known = connection.select_in(
        "SELECT address_hash, profile_id FROM address_holder WHERE address_hash IN (?)",
        [bytes.fromhex(key) for key in keys],
    )
    people = addressees(connection, {row[1] for row in known})
    found: dict[str, dict[int, Addressee]] = {key: {} for key in keys}
    for address, profile in known:
        person, key = people.get(profile), bytes(address).hex()
        if person is None or person.erased_at is not None:
            continue
        if _addresses.decode(person.addresses).get(TEXTED) == key:
            found[key][person.id] = person
    return {key: [those[id] for id in sorted(those)] for key, those in found.items()}


def _said(
    connection: Connection,
    it: DeliveryEvent,
    intent: Intent | None,
    person: Addressee,
    *,
    channel: str,
) -> dict[str, Any]:
    """What a text says as properties of an event, with the message it seems to answer."""
    said: dict[str, Any] = {"channel": channel, "text": it.text[:TEXT_CHARACTERS_MAX]}
    if intent is not None:
        said |= {"keyword": intent.word, "is_free_text": intent.is_free_text}
    last = connection.execute(_LAST, (person.id, channel, it.at - ANSWERS_FOR))
    return said | (dict(zip(_LAST_NAMES, last[0], strict=True)) if last else {})
