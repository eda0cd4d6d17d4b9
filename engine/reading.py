"""What the pages and the read API show, read from one snapshot. Nothing here writes.

Personal data stays hidden: traits declared `pii` are stored sealed and are shown as dots.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, field

from engine.core.clocktime import iso
from engine.core.model.instants import Instant
from engine.store.connection import Connection
from engine.vault import is_sealed

MESSAGES_SHOWN: Final = 50
TIMELINE_SHOWN: Final = 200
HIDDEN: Final = "••••••"
_BLIND: Final = "blind:"
_HOPS_MAX: Final = 32


class MessageRow(Struct, frozen=True):
    """One message, with the id its profile goes by outside."""

    id: int
    profile: str
    campaign: str
    step: str
    variant: str
    channel: str
    topic: str
    template: str
    status: str
    reason: str
    at: Instant
    due_at: Instant
    expires_at: Instant
    enrollment: int
    version: str
    template_hash: str
    context: str


class Passage(Struct, frozen=True):
    """One enrollment as the pages show it."""

    id: int
    profile: str
    campaign: str
    version: str
    key: str
    status: str
    entered_at: Instant
    step: str | None
    due_at: Instant
    reason: str
    held_by: str
    trigger: dict[str, Any]
    variants: dict[str, str]


class Moment(Struct, frozen=True):
    """One line of a profile's timeline. `kind` is event, message, entered, consent."""

    at: Instant
    kind: str
    title: str
    detail: str = ""
    link: str = ""
    status: str = ""


class ProfilePage(Struct, frozen=True):
    """One person, as far as the local pages show them."""

    id: int
    external_id: str
    created_at: Instant
    zone: str
    traits: dict[str, Any]
    consent: dict[str, dict[str, bool]]
    channels: dict[str, str]
    is_erased: bool
    segments: list[tuple[str, Instant]]
    enrollments: list[Passage]
    timeline: list[Moment] = field(default_factory=list)


MESSAGE: Final = (
    "SELECT m.id, p.external_id, m.campaign, m.step, m.variant, m.channel, m.topic, m.template, "
    "m.status, m.reason, m.at, m.due_at, m.expires_at, m.enrollment_id, m.version, "
    "m.template_hash, m.context FROM message m JOIN profile p ON p.id = m.profile_id "
)
PASSAGE: Final = (
    "SELECT e.id, p.external_id, e.campaign, e.version, e.key, e.status, e.entered_at, e.step, "
    "e.due_at, e.reason, e.held_by, e.trigger, e.variants, e.trigger_seq, e.profile_id "
    "FROM enrollment e JOIN profile p ON p.id = e.profile_id "
)


def latest_messages(connection: Connection, *, campaign: str = "") -> list[MessageRow]:
    """The newest messages first, of one campaign if it is named."""
    where, params = ("WHERE m.campaign = ? ", (campaign,)) if campaign else ("", ())
    rows = connection.execute(f"{MESSAGE}{where}ORDER BY m.id DESC LIMIT {MESSAGES_SHOWN}", params)
    return [MessageRow(*row) for row in rows]


def find_profile(connection: Connection, id: str, *, kinds: Sequence[str]) -> int | None:
    """The profile that an outside id of one of these kinds leads to now, across merges."""
    found: int | None = None
    for kind in kinds:
        rows = connection.execute(
            "SELECT profile_id FROM identity WHERE kind = ? AND value = ?", (kind, id)
        )
        if rows:
            found = int(rows[0][0])
            break
    for _ in range(_HOPS_MAX):
        if found is None:
            return None
        rows = connection.execute("SELECT merged_into FROM profile WHERE id = ?", (found,))
        if not rows:
            return None
        if rows[0][0] is None:
            return found
        found = int(rows[0][0])
    return found


def read_profile(
    connection: Connection, profile: int, *, segments: Sequence[str], with_timeline: bool
) -> ProfilePage | None:
    """One person by internal id, or None. `segments` are the names to look membership up in."""
    rows = connection.execute(
        "SELECT external_id, created_at, zone, traits, sealed, consent, addresses, erased_at "
        "FROM profile WHERE id = ?",
        (profile,),
    )
    if not rows:
        return None
    external_id, created_at, zone, traits, sealed, consent, addresses, erased_at = rows[0]
    hidden = _object(sealed)
    inside = connection.select_in(
        "SELECT segment, since FROM membership WHERE segment IN (?) AND profile_id = ?",
        list(segments),
        (profile,),
    )
    found = connection.execute(PASSAGE + "WHERE e.profile_id = ? ORDER BY e.id DESC", (profile,))
    passages = [passage_of(row) for row in found]
    return ProfilePage(
        id=profile,
        external_id=external_id,
        created_at=created_at,
        zone=zone,
        traits={
            name: HIDDEN if name in hidden else _masked(value)
            for name, value in {**hidden, **_object(traits)}.items()
        },
        consent=_with_withdrawals(connection, _object(consent), _object(addresses)),
        channels=_channels(connection, _object(addresses)),
        is_erased=erased_at is not None,
        segments=sorted((str(name), int(since)) for name, since in inside),
        enrollments=passages,
        timeline=_timeline(connection, profile, passages) if with_timeline else [],
    )


def passage_of(row: tuple[Any, ...]) -> Passage:
    """An enrollment from a row of PASSAGE."""
    return Passage(*(*row[:11], _object(row[11]), _object(row[12])))


def _with_withdrawals(
    connection: Connection, consent: dict[str, dict[str, bool]], addresses: dict[str, str]
) -> dict[str, dict[str, bool]]:
    """What a person agreed to, less what they took back by a link: that stands on the address."""
    hashes = {bytes.fromhex(digest): channel for channel, digest in addresses.items()}
    found = connection.select_in(
        "SELECT address_hash, withdrawn FROM contact WHERE address_hash IN (?)", list(hashes)
    )
    effective = {channel: dict(topics) for channel, topics in consent.items()}
    for digest, withdrawn in found:
        topics = effective.setdefault(hashes[bytes(digest)], {})
        for topic in json.loads(withdrawn or "[]"):
            topics.update(dict.fromkeys(topics, False) if topic == "*" else {})
            topics[topic] = False
    return {channel: topics for channel, topics in effective.items() if topics}


def _channels(connection: Connection, addresses: dict[str, str]) -> dict[str, str]:
    """Channel -> whether and why (not) its address may be reached, in words."""
    hashes = {bytes.fromhex(digest): channel for channel, digest in addresses.items()}
    found = connection.select_in(
        "SELECT address_hash, suppressed, withdrawn, suppressed_until FROM contact "
        "WHERE address_hash IN (?)",
        list(hashes),
    )
    words = dict.fromkeys(addresses, "can be reached")
    for digest, suppressed, withdrawn, until in found:
        topics = json.loads(withdrawn or "[]")
        channel = hashes[bytes(digest)]
        if suppressed:
            end = "" if until is None else f" until {iso(until)[:10]}"
            words[channel] = f"suppressed{end}: {suppressed}"
        elif "*" in topics:
            words[channel] = "withdrew from all marketing"
        elif topics:
            words[channel] = f"withdrew from {', '.join(topics)}"
    return words


def _timeline(connection: Connection, profile: int, passages: Sequence[Passage]) -> list[Moment]:
    moments = [
        Moment(at, "event", name, detail=_short(properties))
        for name, at, properties in connection.execute(
            "SELECT name, at, properties FROM event WHERE profile_id = ? "
            f"ORDER BY at DESC LIMIT {TIMELINE_SHOWN}",
            (profile,),
        )
    ]
    messages = connection.select_in(
        MESSAGE + "WHERE m.enrollment_id IN (?)", [passage.id for passage in passages]
    )
    for row in messages:
        it = MessageRow(*row)
        title = f"{it.channel}: {it.template}"
        detail = f"{it.campaign} / {it.step}" + (f" — {it.reason}" if it.reason else "")
        moments.append(Moment(it.at, "message", title, detail, f"/messages/{it.id}", it.status))
    for passage in passages:
        moments.append(Moment(passage.entered_at, "entered", passage.campaign))
    for channel, topic, granted, at, source in connection.execute(
        "SELECT channel, topic, granted, at, source FROM consent_change WHERE profile_id = ? "
        f"ORDER BY id DESC LIMIT {TIMELINE_SHOWN}",
        (profile,),
    ):
        verb = "agreed to" if granted else "withdrew from"
        subject = "all marketing" if topic == "*" else topic
        moments.append(Moment(at, "consent", f"{verb} {subject} by {channel}", source))
    moments.sort(key=lambda moment: moment.at, reverse=True)
    return moments[:TIMELINE_SHOWN]


def event_moment(connection: Connection, seq: int) -> Moment | None:
    """One event of the log as a line of a timeline, or None if it is not there."""
    rows = connection.execute("SELECT name, at, properties FROM event WHERE seq = ?", (seq,))
    return Moment(rows[0][1], "event", rows[0][0], _short(rows[0][2])) if rows else None


def _masked(value: Any) -> Any:
    is_blind = isinstance(value, str) and value.startswith(_BLIND)
    return HIDDEN if is_blind or is_sealed(value) else value


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def _short(properties: str | None) -> str:
    parts = []
    told = {name: value for name, value in _object(properties).items() if value not in ("", None)}
    for name, value in list(told.items())[:6]:
        shown = _masked(value)
        shown = f"{len(shown)} items" if isinstance(shown, list | dict) else shown
        parts.append(f"{name} {shown}")
    return " · ".join(parts)[:200]
