"""What verified callbacks change, all in one transaction: reports, refusals, texts.

A callback is one provider's word about its own messages: what it says of others is counted and
believed in nothing. What cannot be used yet is kept in `stray_report`: kinds that have no name
here, and messages named only by the provider, whose own answer may still be on its way to us.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from channels.delivery import DeliveryEvent
from engine.consent.unsubscribe import PROVIDER, withdraw
from engine.core.model.instants import DAY, Instant
from engine.failpoints import hit
from engine.hearing.attribution import Speaker, attributed
from engine.hearing.feedback import event_hash, move_forward, take_in, unseen
from engine.hearing.inbound import take_texts
from engine.store.bulk import insert, last, reserve
from engine.store.connection import Connection
from engine.store.events import EventLog

STRAYS_MAX: Final = 10_000
STRAYS_FOR: Final = 30 * DAY
LINK: Final = "link"
"""In place of a provider, where our own links tell."""
RAW_BYTES_MAX: Final = 8_000
TEXT_CHARACTERS_MAX: Final = 2_000
NUMBER_DIGITS_MIN: Final = 7
AHEAD_MAX: Final = DAY
"""A clock that is wrong by no more than a time zone is believed: only the order counts."""

# Only where a word begins, and no letter twice: what strangers wrote is read in linear time.
_ADDRESS: Final = re.compile(r"(?<![^\s<>()@\"',;:])[^\s<>()@\"',;:]++@[^\s<>()@\"',;:]+")

_COLUMNS: Final = (
    "id", "event_hash", "channel", "provider", "provider_id", "message_id", "kind", "body",
    "received_at",
)  # fmt: skip
_COUNTER: Final = "stray_report"
_LOCK: Final = "delivery_event"
_encode = msgspec.json.Encoder(enc_hook=str).encode
_decode = msgspec.json.Decoder(DeliveryEvent).decode


class Heard(Struct, frozen=True):
    """What one callback said, verified."""

    speaker: Speaker
    events: Sequence[DeliveryEvent]


def hear(
    connection: Connection,
    callbacks: Sequence[Heard],
    *,
    address_hash: Callable[[str, str], bytes],
    log: EventLog,
    now: Instant,
) -> Counter[tuple[str, str]]:
    """Take in what providers said, in the caller's transaction; count events by (channel, what).

    `what` is a kind of event, or `repeated`, `foreign`, `stray`, `text: stop` and the like.
    """
    hit("webhook verified")
    _wait_for_others(connection)
    counts: Counter[tuple[str, str]] = Counter()
    for speaker, events in _grouped(callbacks).items():
        ear = _Ear(connection, speaker, log, now)
        ear.take([_cleaned(it, now) for it in events], address_hash)
        for what, n in ear.counts.items():
            counts[speaker.channel, what] += n
    return +counts


def note(
    connection: Connection, reports: Sequence[DeliveryEvent], *, log: EventLog, now: Instant
) -> int:
    """Take in what our own links saw: their tokens say whose message it is."""
    _wait_for_others(connection)
    return take_in(connection, reports, provider=LINK, log=log, now=now)


def hear_strays(
    connection: Connection,
    provider_ids: Sequence[str],
    *,
    speaker: Speaker,
    log: EventLog,
    now: Instant,
) -> None:
    """Take in what was said of messages before we knew what the provider calls them."""
    rows = connection.select_in(
        "SELECT id, body FROM stray_report WHERE provider_id IN (?) AND channel = ? "
        "AND provider = ? AND kind <> 'unknown' ORDER BY id",
        [it for it in provider_ids if it],
        (speaker.channel, speaker.provider),
    )
    if rows:
        ear = _Ear(connection, speaker, log, now)
        connection.select_in(
            "DELETE FROM stray_report WHERE id IN (?) RETURNING id", [row[0] for row in rows]
        )
        ear.take([_decode(row[1]) for row in rows], _no_hash)


class _Ear:
    """One provider's events in one transaction."""

    def __init__(
        self, connection: Connection, speaker: Speaker, log: EventLog, now: Instant
    ) -> None:
        self._connection = connection
        self._speaker = speaker
        self._provider = speaker.provider
        self._log = log
        self._now = now
        self.counts: Counter[str] = Counter()

    def take(
        self, events: Sequence[DeliveryEvent], address_hash: Callable[[str, str], bytes]
    ) -> None:
        texts = [it for it in events if it.kind == "inbound"]
        if texts:
            self._take_texts(texts, address_hash)
        reports = [it for it in events if it.kind != "inbound"]
        found = attributed(self._connection, reports, self._speaker)
        self.counts["foreign"] += len(found.foreign)
        nameless = [it for it in found.foreign if it.message is None]
        unknown = [it for it in (*found.known, *nameless) if it.kind == "unknown"]
        self._keep([*found.strays, *unknown])
        self._take_refusals([it for it in found.known if it.kind == "unsubscribed"])
        known = [it for it in found.known if it.kind not in ("unknown", "unsubscribed")]
        n_new = take_in(
            self._connection, known, provider=self._provider, log=self._log, now=self._now
        )
        self.counts += Counter(it.kind for it in known)
        self.counts["repeated"] += len(known) - n_new

    def _take_texts(
        self, texts: Sequence[DeliveryEvent], address_hash: Callable[[str, str], bytes]
    ) -> None:
        fresh = unseen(self._connection, texts, self._provider)
        self.counts["repeated"] += len(texts) - len(fresh)
        counted = take_texts(
            self._connection,
            fresh,
            channel=self._speaker.kind,
            provider=self._provider,
            address_hash=address_hash,
            log=self._log,
            now=self._now,
        )
        self.counts += Counter({f"text: {word}": n for word, n in counted.items()})

    def _take_refusals(self, refusals: Sequence[DeliveryEvent]) -> None:
        """People who said no at the provider said it to us: to all marketing on this channel."""
        fresh = unseen(self._connection, refusals, self._provider)
        # Of two that say so the earlier counts, whichever comes first.
        move_forward(self._connection, fresh)
        self.counts["unsubscribed"] += len(fresh)
        self.counts["repeated"] += len(refusals) - len(fresh)
        for it in fresh:
            assert it.message is not None
            withdraw(
                self._connection,
                message=it.message,
                scope="all",
                log=self._log,
                now=self._now,
                proof=f"{self._provider} told us",
                source=PROVIDER,
                at=it.at,
            )

    def _keep(self, events: Sequence[DeliveryEvent]) -> None:
        """Keep what is of no use yet: the newest, for a while, without anybody's address."""
        if not events:
            return
        self.counts["stray"] += len(events)
        first = reserve(self._connection, _COUNTER, len(events))
        insert(
            self._connection,
            "stray_report",
            _COLUMNS,
            [
                (
                    number, event_hash(self._provider, it.event_id), self._speaker.channel,
                    self._provider, it.provider_id, it.message or 0, it.kind, _body(it), self._now,
                )
                for number, it in enumerate(events, start=first)
            ],
            on_conflict="ignore",
        )  # fmt: skip
        self._connection.execute(
            "DELETE FROM stray_report WHERE id <= ? OR received_at < ?",
            (first + len(events) - 1 - STRAYS_MAX, self._now - STRAYS_FOR),
        )


def _wait_for_others(connection: Connection) -> None:
    """Two processes may be told the same at once; on SQLite there is one writer."""
    if connection.dialect == "postgresql":
        last(connection, _LOCK)


def _grouped(callbacks: Sequence[Heard]) -> dict[Speaker, list[DeliveryEvent]]:
    found: dict[Speaker, list[DeliveryEvent]] = {}
    for it in callbacks:
        found.setdefault(it.speaker, []).extend(it.events)
    return found


def _cleaned(it: DeliveryEvent, now: Instant) -> DeliveryEvent:
    """An event that every database can hold, at an instant that can be."""
    return replace(
        it,
        at=it.at if 0 < it.at <= now + AHEAD_MAX else now,
        **{
            name: _plain(value)
            for name in ("reason", "code", "text", "url", "provider_id", "event_id", "recipient")
            if (value := getattr(it, name)) and not _is_plain(value)
        },
    )


def _is_plain(value: str) -> bool:
    return value.isascii() and len(value) <= TEXT_CHARACTERS_MAX and "\0" not in value


def _plain(value: str) -> str:
    """Without NUL, which PostgreSQL refuses, and half surrogate pairs, which nobody can encode."""
    kept = value[:TEXT_CHARACTERS_MAX].replace("\0", "")
    return kept.encode("utf-8", "replace").decode()


def _body(it: DeliveryEvent) -> str:
    """The event as JSON with the provider's own beside it, addresses masked."""
    number = (it.recipient or "").removeprefix("+")
    raw = _masked(it.raw, number if len(number) >= NUMBER_DIGITS_MIN else "")
    shown = _encode(raw)
    if len(shown) > RAW_BYTES_MAX:
        raw = {"cut": shown[:RAW_BYTES_MAX].decode("utf-8", "ignore")}
    return _encode(replace(it, raw=raw, recipient=None, text="", url="")).decode()


def _masked(value: Any, number: str, *, levels: int = 20) -> Any:
    """What a provider said, as JSON can hold it, without e-mail addresses and that number."""
    match value:
        case dict() | list() if levels == 0:
            return "…"
        case dict():
            return {
                _masked(str(key), number): _masked(it, number, levels=levels - 1)
                for key, it in value.items()
            }
        case list() | tuple():
            return [_masked(it, number, levels=levels - 1) for it in value]
        case None | bool() | int() | float():
            return value
        case _:
            shown = _ADDRESS.sub("***", _plain(str(value)))
            return shown.replace(number, "***") if number else shown


def _no_hash(_channel: str, _address: str) -> bytes:
    raise AssertionError("texts are never strays")
