"""The outbox's rows: what is queued, what is being attempted, what became of it.

An attempt is a row before it is a call. Withdrawals and attempts meet at the `contact` row: a
withdrawal updates it, an attempt locks it first, so once an unsubscribe is acknowledged no new
attempt commits.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from engine.core.model.gates import Placement
from engine.core.model.instants import Instant
from engine.core.model.people import Contact
from engine.failpoints import hit
from engine.store import bulk, suppressions
from engine.store.claims import Holding, of
from engine.store.connection import Connection, Row
from engine.store.people import contacts
from engine.store.suppressions import Suppression

TRANSACTIONAL: Final = 0
MARKETING: Final = 1
"""In `message.lane`: which of a channel's two lanes a message waits in. The lower goes first."""

WEBHOOK: Final = "webhook"
"""The channel of webhook steps' calls."""

_QUEUED = (
    "id, profile_id, enrollment_id, campaign, step, variant, channel, topic, template, "
    "template_hash, expires_at, context, at, due_at, lane, account"
)


class Queued(Struct, frozen=True):
    """A message whose turn has come. `channel` is its kind, `account` the name of its channel."""

    id: int
    profile_id: int
    enrollment_id: int
    campaign: str
    step: str
    variant: str
    channel: str
    topic: str
    template: str
    template_hash: str
    expires_at: Instant
    context: str
    at: Instant
    due_at: Instant
    lane: int
    account: str


class Addressee(Struct, frozen=True):
    """The profile behind a message: what rendering and the last look at the gates need."""

    id: int
    external_id: str
    zone: str
    traits: str
    sealed: str
    addresses: str
    consent: str
    data_key: bytes | None
    merged_into: int | None
    erased_at: Instant | None


class Outcome(Struct, frozen=True):
    """What became of one attempt, known `at` an instant.

    `status` is the message's: sent, unknown, failed, dropped or queued. `is_opt_out`: the person
    has said no at the provider. `bounce` is what a refusal said of the address. `stays_with` names
    the channel that alone may be called for it again: its key is all that protects from a copy.
    `placement` is the page of a web message that is now kept for its visitor.
    """

    message: int
    number: int
    outcome: str
    status: str
    reason: str
    due_at: Instant
    at: Instant
    provider_id: str = ""
    detail: str = ""
    suppress: str = ""
    address_hash: str = ""
    is_opt_out: bool = False
    bounce: str = ""
    stays_with: str = ""
    placement: Placement | None = None


def queued(
    connection: Connection,
    channel: str,
    *,
    lane: int,
    now: Instant,
    limit: int,
    holding: Holding | None = None,
) -> list[Queued]:
    """The next messages of a lane, oldest first; of the partitions held, where they are shared."""
    rows = connection.execute(
        f"SELECT {_QUEUED} FROM message WHERE status = 'queued' AND account = ? AND lane = ? "
        f"AND due_at <= ?{of(holding)} ORDER BY due_at, id LIMIT ?",
        (channel, lane, now, limit),
    )
    hit("outbox claim")
    return [Queued(*row) for row in rows]


def addressees(connection: Connection, ids: Iterable[int]) -> dict[int, Addressee]:
    """The profiles behind messages; one that was merged is answered by its winner."""
    found: dict[int, Addressee] = {}
    wanted = {i: i for i in ids}
    while wanted:
        rows = connection.select_in(
            "SELECT id, external_id, zone, traits, sealed, addresses, consent, data_key, "
            "merged_into, erased_at FROM profile WHERE id IN (?)",
            list(set(wanted.values())),
        )
        people = {row[0]: Addressee(*row) for row in rows}
        merged: dict[int, int] = {}
        for asked, at in wanted.items():
            person = people.get(at)
            if person is not None and person.merged_into is not None:
                merged[asked] = person.merged_into
            elif person is not None:
                found[asked] = person
        wanted = merged
    return found


def waits(
    connection: Connection,
    channel: str,
    *,
    lane: int,
    now: Instant,
    holding: Holding | None = None,
) -> bool:
    """Whether a lane has a message that is due."""
    rows = connection.execute(
        "SELECT 1 FROM message WHERE status = 'queued' AND account = ? AND lane = ? "
        f"AND due_at <= ?{of(holding)} LIMIT 1",
        (channel, lane, now),
    )
    return bool(rows)


def locked_contacts(
    connection: Connection, keys: Sequence[tuple[str, str]], *, now: Instant
) -> dict[str, Contact]:
    """Lock and read the contact rows of (channel, address hash), making those that lack.

    SQLite has one writer, so the transaction itself is the lock.
    """
    hashes = sorted({(key, channel) for channel, key in keys})
    bulk.insert(
        connection,
        "contact",
        ("address_hash", "channel", "withdrawn", "updated_at"),
        [(bytes.fromhex(key), channel, "[]", now) for key, channel in hashes],
        on_conflict="ignore",
    )
    if connection.dialect == "postgresql":
        connection.select_in(
            "SELECT 1 FROM contact WHERE address_hash IN (?) ORDER BY address_hash FOR SHARE",
            [bytes.fromhex(key) for key, _ in hashes],
        )
    return contacts(connection, (key for key, _ in hashes))


class Doubt(Struct, frozen=True):
    """How often a message's fate was unclear, and since which attempt."""

    n_ambiguous: int = 0
    since: Instant | None = None


NO_DOUBT: Final = Doubt()


def doubts(connection: Connection, messages: Sequence[int]) -> dict[int, dict[str, Doubt]]:
    """What earlier attempts at these messages left open, by the channel that was called.

    Those without doubt are absent.
    """
    rows = connection.select_in(
        "SELECT a.message_id, CASE a.account WHEN '' THEN m.account ELSE a.account END, "
        "a.started_at FROM attempt a JOIN message m ON m.id = a.message_id "
        "WHERE a.message_id IN (?) AND a.outcome = 'ambiguous'",
        messages,
    )
    found: dict[int, dict[str, Doubt]] = {}
    for message, account, started_at in rows:
        known = found.setdefault(message, {})
        before = known.get(account, NO_DOUBT)
        since = started_at if before.since is None else min(before.since, started_at)
        known[account] = Doubt(before.n_ambiguous + 1, since)
    return found


class Beginning(Struct, frozen=True):
    """An attempt to be committed. `account` is the channel that is called."""

    message: int
    provider: str
    digest: str
    started_at: Instant
    address_hash: bytes | None
    account: str = ""
    domain: str = ""


def begin_attempts(connection: Connection, rows: Sequence[Beginning]) -> dict[int, int]:
    """Commit to calling a provider; give the number of each attempt by message.

    A message that is no longer queued is left out: another process or a withdrawal has it.
    """
    if not rows:
        return {}
    taken = {
        row[0]
        for row in connection.select_in(
            "UPDATE message SET status = 'attempting' WHERE id IN (?) AND status = 'queued' "
            "RETURNING id",
            [row.message for row in rows],
        )
    }
    counts: dict[int, int] = {
        row[0]: row[1]
        for row in connection.select_in(
            "SELECT message_id, count(*) FROM attempt WHERE message_id IN (?) GROUP BY message_id",
            sorted(taken),
        )
    }
    numbers = {it.message: counts.get(it.message, 0) + 1 for it in rows if it.message in taken}
    bulk.insert(
        connection,
        "attempt",
        (
            "message_id", "number", "provider", "started_at", "outcome", "provider_id", "detail",
            "body_digest", "address_hash", "account", "domain",
        ),
        [
            (
                it.message, numbers[it.message], it.provider, it.started_at, "", "", "", it.digest,
                it.address_hash, it.account, it.domain,
            )
            for it in rows
            if it.message in numbers
        ],
    )  # fmt: skip
    return numbers


def decide(connection: Connection, rows: Sequence[tuple[int, str, str, Instant]]) -> None:
    """Set (message, status, reason, due) of messages that a gate held or dropped at the attempt.

    Those that are no longer queued stay as they are: since they were read they may have been
    displaced, or a report may have shown that an earlier attempt of unclear fate had arrived.
    """
    lock = " ORDER BY id FOR UPDATE" if connection.dialect == "postgresql" else ""
    still = {
        row[0]
        for row in connection.select_in(
            f"SELECT id FROM message WHERE id IN (?) AND status = 'queued'{lock}",
            [row[0] for row in rows],
        )
    }
    bulk.update(
        connection,
        "message",
        ("id",),
        ("status", "reason", "due_at"),
        [tuple(row) for row in rows if row[0] in still],
    )


def still_queued(connection: Connection, messages: Sequence[int]) -> frozenset[int]:
    """Which of these wait for their first attempt: only they may be displaced (rule 5)."""
    rows = connection.select_in(
        "SELECT id FROM message WHERE id IN (?) AND status = 'queued' "
        "AND NOT EXISTS (SELECT 1 FROM attempt WHERE message_id = id)",
        messages,
    )
    return frozenset(row[0] for row in rows)


def displace(connection: Connection, message: int, *, why: str) -> bool:
    """Drop a message that waits for its first attempt; false if it does not any more."""
    rows = connection.execute(
        "UPDATE message SET status = 'dropped', reason = ? WHERE id = ? AND status = 'queued' "
        "AND NOT EXISTS (SELECT 1 FROM attempt WHERE message_id = id) RETURNING id",
        (why, message),
    )
    return bool(rows)


def finish_attempts(connection: Connection, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Record what became of attempts, and suppress the addresses that do not exist.

    An attempt that somebody has settled meanwhile, since its process seemed dead, stays settled;
    the others are returned.
    """
    still_open = _open_attempts(connection, [it.message for it in outcomes])
    outcomes = [it for it in outcomes if (it.message, it.number) in still_open]
    bulk.update(
        connection,
        "attempt",
        ("message_id", "number"),
        ("finished_at", "outcome", "provider_id", "detail", "bounce"),
        [
            (it.message, it.number, it.at, it.outcome, it.provider_id, it.detail, it.bounce)
            for it in outcomes
        ],
    )
    pinned = [(it.message, it.stays_with) for it in outcomes if it.stays_with]
    bulk.update(connection, "message", ("id",), ("account",), pinned)
    bulk.update(
        connection,
        "message",
        ("id",),
        ("status", "reason", "due_at"),
        [(it.message, it.status, it.reason, it.due_at) for it in outcomes],
    )
    for it in outcomes:
        if it.suppress and it.address_hash:
            suppress(connection, it.address_hash, why=it.suppress, now=it.at)
    return outcomes


def _open_attempts(connection: Connection, messages: Sequence[int]) -> set[tuple[int, int]]:
    """(message, number) of attempts without an outcome, which nobody else gives one now."""
    lock = " ORDER BY message_id, number FOR UPDATE" if connection.dialect == "postgresql" else ""
    rows = connection.select_in(
        f"SELECT message_id, number FROM attempt WHERE message_id IN (?) AND outcome = ''{lock}",
        messages,
    )
    return {(row[0], row[1]) for row in rows}


def suppress(connection: Connection, address_hash: str, *, why: str, now: Instant) -> None:
    """Never reach this address again, by what a provider answered at once; the attempt has made
    its contact row."""
    suppressions.suppress(
        connection, [Suppression(address_hash, "", why, "provider", now)], now=now
    )


def reached(connection: Connection, messages: Sequence[int]) -> dict[int, str]:
    """The address hash (hex) that each message went to, whichever its profile has by now.

    The attempt that was accepted knows; without one, the last that may have arrived.
    """
    found: dict[int, str] = {}
    accepted: set[int] = set()
    for message, _, outcome, key in sorted(
        connection.select_in(
            "SELECT message_id, number, outcome, address_hash FROM attempt "
            "WHERE message_id IN (?) AND address_hash IS NOT NULL",
            messages,
        )
    ):
        if outcome == "accepted" or message not in accepted:
            found[message] = bytes(key).hex()
        if outcome == "accepted":
            accepted.add(message)
    return found


def unfinished(connection: Connection, holding: Holding | None = None) -> list[Row]:
    """(message, number, topic, channel called, started at) of attempts that a dead process left
    open."""
    return connection.execute(
        "SELECT a.message_id, a.number, m.topic, "
        "CASE a.account WHEN '' THEN m.account ELSE a.account END, a.started_at FROM message m "
        "JOIN attempt a ON a.message_id = m.id "
        f"WHERE m.status = 'attempting' AND a.outcome = ''{of(holding, 'm.profile_id')}"
    )


def set_contexts(connection: Connection, contexts: Mapping[int, str]) -> None:
    """Keep what messages are made of now, where that is not what was queued."""
    bulk.update(connection, "message", ("id",), ("context",), list(contexts.items()))
