"""Suppression lists as CSV: in with addresses or hashes, out with hashes alone.

An address is hashed as soon as it is read; no row is kept. What goes out can be opened in a
spreadsheet: no cell begins a formula.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO

from msgspec import Struct

from channels.addresses import is_e164, normal_email
from engine.core.clocktime import iso, parse_instant
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.store.suppressions import Suppression
from engine.vault import Vault, normalised

COLUMNS: Final = ("address_hash", "channel", "reason", "since", "until", "source")
CHANNELS: Final = ("email", "sms", "push", "web")
"""Of `web` the address is the user id: a visitor has no other."""
REASON_CHARACTERS_MAX: Final = 200
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
HEADER: Final = (
    "the first line names the columns: address (or address_hash), channel, reason, until"
)


class Defaults(Struct, frozen=True):
    """What a row that does not say so has."""

    channel: str | None
    reason: str
    source: str
    at: Instant


def address_key(vault: Vault, channel: str, address: str) -> str:
    """The hash (hex) under which an address is suppressed.

    Raises:
        UsageError: If the channel has no addresses, or this is none of it.
    """
    if channel not in CHANNELS:
        raise UsageError(f'found channel "{channel[:40]}", allowed are {", ".join(CHANNELS)}')
    told = address.strip()
    if channel == "email" and not _is_email(told):
        raise UsageError("this is no e-mail address (a name, @ and a domain)")
    if channel == "sms" and not is_e164(normalised("phone", told)):
        raise UsageError("a number is written with its country: +4915112345678")
    if not told or len(told) > 1_000:
        raise UsageError("an address is a text of 1 to 1,000 characters")
    return vault.address_hash(channel, told).hex()


def rows_of(file: TextIO, *, vault: Vault, defaults: Defaults) -> Iterator[Suppression | str]:
    """The rows of a list, or what is wrong with one, with its line; no message has an address.

    Raises:
        UsageError: If its first line does not name the columns.
    """
    reader = csv.DictReader(file)
    try:
        names = {name.strip().lower() for name in reader.fieldnames or ()}
    except (csv.Error, UnicodeDecodeError):
        raise UsageError(f"the file is no CSV in UTF-8: save it as one. {HEADER}") from None
    if not names & {"address", "address_hash"}:
        raise UsageError(HEADER)
    try:
        for row in reader:
            told = {
                str(name).strip().lower(): value.strip()
                for name, value in row.items()
                if isinstance(value, str)
            }
            try:
                yield _row(told, vault=vault, defaults=defaults)
            except UsageError as error:
                yield f"line {reader.line_num}: {error}"
    except (csv.Error, UnicodeDecodeError) as error:
        yield f"line {reader.line_num}: {error}; nothing after it was read"


def write_csv(found: Iterable[Suppression], file: TextIO) -> int:
    """Write suppressions with a header line; give how many."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    n = 0
    for it in found:
        until = "" if it.until is None else iso(it.until)
        cells = (it.address_hash, it.channel, it.why, iso(it.at), until, it.by)
        writer.writerow([harmless(cell) for cell in cells])
        n += 1
    return n


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection).

    >>> harmless("=HYPERLINK()"), harmless("hard bounce")
    ("'=HYPERLINK()", 'hard bounce')
    """
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def instant_of(text: str) -> Instant:
    """An instant or a day as people write it.

    Raises:
        UsageError: If it is neither.
    """
    try:
        return parse_instant(text)
    except ValueError:
        raise UsageError(f'found "{text[:40]}" where a day or an instant stands') from None


def open_list(path: Path) -> TextIO:
    """A list as text; a byte order mark, as spreadsheets write it, is no part of it."""
    return path.open(encoding="utf-8-sig", newline="")


def _row(told: dict[str, str], *, vault: Vault, defaults: Defaults) -> Suppression:
    channel = told.get("channel") or defaults.channel
    if channel is None:
        raise UsageError("it names no channel, and --channel was not given")
    if key := told.get("address_hash", ""):
        if len(key) != 32 or set(key) - set("0123456789abcdef"):
            raise UsageError("address_hash is 32 hexadecimal digits, as an export has them")
        if channel not in CHANNELS:
            raise UsageError(f'found channel "{channel[:40]}", allowed are {", ".join(CHANNELS)}')
    else:
        key = address_key(vault, channel, told.get("address", "").removeprefix("'"))
    return Suppression(
        key,
        channel,
        _short(told.get("reason", "").removeprefix("'") or defaults.reason),
        _short(told.get("source", "").removeprefix("'") or defaults.source),
        min(instant_of(told["since"]), defaults.at) if told.get("since") else defaults.at,
        instant_of(told["until"]) if told.get("until") else None,
    )


def _is_email(told: str) -> bool:
    try:
        normal_email(told)
    except ValueError:
        return False
    return True


def _short(text: str) -> str:
    return text.replace("\0", "")[:REASON_CHARACTERS_MAX]
