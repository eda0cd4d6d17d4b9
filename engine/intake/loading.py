"""Loads a file of calls through the same checks and the same commit as the API, in groups."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from engine.core.errors import InvalidEvent
from engine.core.model.instants import Instant
from engine.intake.calls import Read, from_values
from engine.intake.declared import Declared
from engine.intake.eventfile import read_rows
from engine.intake.prepare import AcceptedAt, Answer, Prepared, Terms, prepare_items
from engine.intake.validate import Limits

GROUP_ROWS = 5_000
ERRORS_KEPT_MAX = 100
SOURCE = "file"


class RowError(Struct, frozen=True):
    """A row that was not taken: its line, the field (or ""), and why."""

    row: int
    field: str
    message: str


class Report(Struct):
    """What became of a file. `errors` are the first hundred."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    errors: list[RowError] = []

    def refuse(self, row: int, field: str, message: str) -> None:
        self.rejected += 1
        if len(self.errors) < ERRORS_KEPT_MAX:
            self.errors.append(RowError(row, field, message))


def ingest_file(
    path: str,
    *,
    write: Callable[[Prepared], list[Answer]],
    declared: Declared,
    now: Callable[[], Instant],
    mapping: Mapping[str, str] | None = None,
    live: bool = False,
    accepted_at: AcceptedAt = None,
    limits: Limits | None = None,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Load a file, or stdin as "-", with the rights of a server key.

    A row without messageId gets one from its content and line, so that loading a file again adds
    nothing. A row without `type` is a track where it names an event, else an identify.

    Args:
        write: Commits one group and gives its answers (`GroupCommit.submit(…).result` or an own
            transaction around `Ingest.commit`).
        live: Let even old events start journeys.
        accepted_at: "event" when replaying history on a virtual clock.
        progress: Called after every group.
    Raises:
        UsageError: If the file as a whole cannot be read.
    """
    terms = Terms(
        declared=declared,
        entropy=_no_entropy,
        source=SOURCE,
        limits=limits or Limits(),
        trigger_age_max=None if live else declared.trigger_age_file_max,
        accepted_at=accepted_at,
    )
    report = Report()
    rows: list[int] = []
    items: list[Read] = []
    for number, value in read_rows(path, mapping=mapping or {}, declared=declared):
        rows.append(number)
        items.append(value if isinstance(value, InvalidEvent) else _call(value, number))
        if len(items) >= GROUP_ROWS:
            _take(report, rows, items, terms, write, now())
            rows, items = [], []
            if progress is not None:
                progress(report)
    if items:
        _take(report, rows, items, terms, write, now())
    if progress is not None:
        progress(report)
    return report


def _call(value: dict[str, Any], number: int) -> Read:
    if "type" not in value:
        value["type"] = "track" if "event" in value else "identify"
    try:
        if value.get("messageId") in (None, ""):
            value["messageId"] = _content_id(value, number)
        return from_values(value)
    except InvalidEvent as error:
        return error


def _content_id(value: dict[str, Any], number: int) -> str:
    try:
        text = msgspec.json.encode(value, order="sorted")
    except (OverflowError, ValueError, TypeError, UnicodeEncodeError):
        return f"line-{number}"  # a value that no one can write: it will be refused by name
    return hashlib.sha256(text + b"\0%d" % number).hexdigest()[:40]


def _no_entropy(n_bytes: int) -> bytes:
    raise AssertionError("every row of a file has a messageId")


def _take(
    report: Report,
    rows: list[int],
    items: list[Read],
    terms: Terms,
    write: Callable[[Prepared], list[Answer]],
    received_at: Instant,
) -> None:
    prepared = prepare_items(items, terms=terms, received_at=received_at)
    for row, answer in zip(rows, write(prepared), strict=True):
        if answer.status == "accepted":
            report.accepted += 1
        elif answer.status == "duplicate":
            report.duplicates += 1
        else:
            report.refuse(row, answer.field, answer.message)
