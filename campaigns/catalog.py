"""catalog/NAME.csv or .jsonl -> the products of a feed, or every row that is wrong with its line.

`id`, `title` and `url` are required; `price` is a number, `in_stock` true or false, `currency` an
ISO 4217 code, `url` and `image_url` web addresses. Other columns are yours and read as text (in
JSON as they are written). The order of the file is the order of the feed: the best first.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from io import StringIO
from pathlib import PurePosixPath
from typing import Final

from campaigns.problems import Problem, advice
from campaigns.reading import shorten

CATALOG_FOLDER: Final = "catalog"
CATALOG_EXTENSIONS: Final = (".csv", ".jsonl")
CATALOG_BYTES_MAX: Final = 64_000_000
ROWS_MAX: Final = 100_000
COLUMNS_MAX: Final = 64
VALUE_LENGTH_MAX: Final = 4_096
PROBLEMS_MAX: Final = 20
REQUIRED: Final = ("id", "title", "url")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_COLUMN: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_NUMBER: Final = re.compile(r"\d{1,15}(\.\d{1,6})?")

Value = str | int | float | bool


class _Wrong(Exception):
    """What is wrong with a row; `found` is the value."""

    def __init__(self, found: object, message: str) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True)
class CatalogFile:
    """One feed as read. A blank cell has no key in its row."""

    file: str
    rows: tuple[dict[str, Value], ...] = field(repr=False)

    @cached_property
    def by_id(self) -> dict[str, dict[str, Value]]:
        """The rows by their id."""
        return {str(row["id"]): row for row in self.rows}


def catalog_name(path: str) -> str | None:
    """The feed's name, if this is the path of one."""
    parts = PurePosixPath(path).parts
    if len(parts) != 2 or parts[0] != CATALOG_FOLDER:
        return None
    stem, dot, extension = parts[1].partition(".")
    is_feed = dot + extension in CATALOG_EXTENSIONS and _NAME.fullmatch(stem)
    return stem if is_feed else None


@lru_cache(maxsize=4)
def read_catalog(path: str, data: bytes) -> tuple[CatalogFile | None, tuple[Problem, ...]]:
    """(feed, problems): the feed is None if anything is wrong with it.

    Remembered, because one file belongs to many releases and each of them is read.
    """
    if len(data) > CATALOG_BYTES_MAX:
        message = f"the feed has {len(data):,} bytes; at most {CATALOG_BYTES_MAX:,} are read."
        return None, (Problem(path, 0, f"{len(data):,} bytes", message),)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, (Problem(path, line, "", "the feed is not UTF-8. Save it as UTF-8."),)
    rows, problems = _read(path, _of_csv if path.endswith(".csv") else _of_json, text)
    if not rows and not problems:
        problems.append(Problem(path, 1, "", f"the feed is empty. {_COLUMNS}"))
    return (None, tuple(problems)) if problems else (CatalogFile(path, tuple(rows)), ())


_COLUMNS: Final = f"Each product has at least {', '.join(REQUIRED[:-1])} and {REQUIRED[-1]}."

_Rows = Iterator[tuple[int, Mapping[str, object] | _Wrong]]


def _read(
    path: str, reader: Callable[[str], _Rows], text: str
) -> tuple[list[dict[str, Value]], list[Problem]]:
    rows: list[dict[str, Value]] = []
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for line, found in reader(text):
        try:
            if isinstance(found, _Wrong):
                raise found
            row = {
                key: _READ.get(key, _plain)(key, it) for key, it in found.items() if _is_said(it)
            }
            lacking = [key for key in REQUIRED if key not in row]
            if lacking:
                raise _Wrong("", f"the product has no {lacking[0]}. {_COLUMNS}")
            row["id"] = product = str(row["id"])
            if product in lines:
                message = f'the product "{product}" is on line {lines[product]} already.'
                raise _Wrong(product, message)
        except _Wrong as wrong:
            problems.append(Problem(path, line, shorten(str(wrong.found)), str(wrong)))
            if len(problems) >= PROBLEMS_MAX:
                problems.append(Problem(path, line, "", "…and the rest is not read."))
                break
            continue
        lines[product] = line
        rows.append(row)
        if len(rows) > ROWS_MAX:
            message = f"a feed has at most {ROWS_MAX:,} products. Keep those you would show."
            problems.append(Problem(path, line, "", message))
            break
    return rows, problems


def _is_said(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _of_csv(text: str) -> _Rows:
    # A quoted value may hold a line break: the reader's own count of lines is the true one.
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not row or row == [""]:
                continue
            if header is None:
                header = [name.strip() for name in row]
                fault = _header_fault(header)
                if fault is not None:
                    yield reader.line_num, fault
                    return
            elif len(row) != len(header):
                message = f"the row has {len(row)} values for {len(header)} columns. Quote commas."
                yield reader.line_num, _Wrong(",".join(row), message)
            else:
                yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        yield reader.line_num, _Wrong("", f"the row cannot be read: {error}.")


def _header_fault(header: list[str]) -> _Wrong | None:
    if len(header) > COLUMNS_MAX:
        return _Wrong("", f"a feed has at most {COLUMNS_MAX} columns.")
    for name in header:
        if _COLUMN.fullmatch(name) is None:
            return _Wrong(name, f'"{name}" is no name of a column. Use a-z, 0-9 and _.')
        if header.count(name) > 1:
            return _Wrong(name, f'the column "{name}" is there twice.')
    lacking = [name for name in REQUIRED if name not in header]
    if lacking:
        return _Wrong(
            "", f'there is no column "{lacking[0]}".{advice(lacking[0], header)} {_COLUMNS}'
        )
    return None


def _of_json(text: str) -> _Rows:
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        try:
            row = json.loads(written)
        except (ValueError, RecursionError) as error:
            yield line, _Wrong(written, f"the line is not JSON: {error}.")
            continue
        if not isinstance(row, dict):
            yield line, _Wrong(written, "a product is a JSON object.")
        elif len(row) > COLUMNS_MAX or any(_COLUMN.fullmatch(name) is None for name in row):
            message = f"a product has at most {COLUMNS_MAX} keys, of a-z, 0-9 and _."
            yield line, _Wrong(written, message)
        else:
            yield line, row


# --- one function per kind of column: name, value -> value ---------------------------------------


def _plain(name: str, value: object) -> Value:
    if isinstance(value, str):
        if len(value) > VALUE_LENGTH_MAX:
            message = (
                f"{name} has {len(value):,} characters; at most {VALUE_LENGTH_MAX:,} are read."
            )
            raise _Wrong(value[:40], message)
        return value.strip()
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise _Wrong(name, f"{name} is a text, a number, true or false, not a list or a map.")


def _price(name: str, value: object) -> Value:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and 0 <= value < 1e15:
            return value
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value) if "." in value else int(value)
    raise _Wrong(value, f'"{value}" is no {name}. Write a number such as 12.50.')


def _in_stock(name: str, value: object) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise _Wrong(value, f'{name} is true or false, not "{value}".')


def _currency(name: str, value: object) -> Value:
    if isinstance(value, str) and _CURRENCY.fullmatch(value.strip()):
        return value.strip()
    raise _Wrong(value, f'"{value}" is no {name}. Write its ISO 4217 code, such as EUR.')


def _url(name: str, value: object) -> Value:
    if isinstance(value, str) and value.strip().lower().startswith(("https://", "http://")):
        return _plain(name, value)
    raise _Wrong(value, f"{name} is a web address that starts with https://.")


_READ: Final[dict[str, Callable[[str, object], Value]]] = {
    "price": _price,
    "in_stock": _in_stock,
    "currency": _currency,
    "url": _url,
    "image_url": _url,
}
