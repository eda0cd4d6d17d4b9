"""How the tests of ingest say what comes in and look at what is kept."""

import json
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.core.clocktime import parse_instant
from engine.core.model.instants import DAY
from engine.intake.declared import Declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Answer, Prepared, Terms, prepare
from engine.store.connection import Row
from engine.store.database import Database
from engine.store.events import EventLog
from engine.vault import Vault

NOW = parse_instant("2026-03-02T09:00:00Z")


def a_vault(seed: int = 1) -> Vault:
    return Vault({1: "a secret of sufficient length"}, entropy=random.Random(seed).randbytes)


def some_terms(**changes: Any) -> Terms:
    values: dict[str, Any] = {
        "declared": Declared(),
        "entropy": random.Random(7).randbytes,
        "trigger_age_max": DAY,
        **changes,
    }
    return Terms(**values)


def a_track(**changes: Any) -> dict[str, Any]:
    """A track call as a client would send it; a change to None leaves the key out."""
    call = {
        "type": "track",
        "messageId": "m-1",
        "userId": "ann",
        "event": "Product Viewed",
        "timestamp": "2026-03-02T08:59:00Z",
        "properties": {"price": 12.5},
        **changes,
    }
    return {key: value for key, value in call.items() if value is not None}


def an_identify(**changes: Any) -> dict[str, Any]:
    return a_track(type="identify", event=None, properties=None, **changes)


def prepared(*items: Any, terms: Terms | None = None, received_at: int = NOW) -> Prepared:
    body = json.dumps({"batch": list(items)}).encode()
    return prepare(body, kind="batch", terms=terms or some_terms(), received_at=received_at)


class Intake:
    """An `Ingest` over a database, one commit a call."""

    def __init__(self, database: Database, *, events_per_part: int = 500_000) -> None:
        self.database = database
        self.vault = a_vault()
        self.ingest = Ingest(vault=self.vault, log=EventLog(events_per_part=events_per_part))

    def take(
        self, *items: Mapping[str, Any], terms: Terms | None = None, now: int = NOW
    ) -> list[Answer]:
        group = prepared(*items, terms=terms, received_at=now)
        with self.database.write() as connection:
            (answers,) = self.ingest.commit(connection, [group], now=now)
        return answers

    def rows(self, sql: str, *params: Any) -> list[Row]:
        with self.database.read() as connection:
            return connection.execute(sql, params)

    def events(self) -> list[tuple[int, str]]:
        """(profile, name) of every event in the order of the log."""
        return [
            (row[0], row[1]) for row in self.rows("SELECT profile_id, name FROM event ORDER BY seq")
        ]

    def profile_of(self, kind: str, value: str) -> int | None:
        rows = self.rows(
            "SELECT profile_id FROM identity WHERE kind = ? AND value = ?", kind, value
        )
        return rows[0][0] if rows else None

    def traits(self) -> list[dict[str, Any]]:
        return [
            msgspec.json.decode(row[0]) if row[0] else {}
            for row in self.rows("SELECT traits FROM event ORDER BY seq")
        ]
