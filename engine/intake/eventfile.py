"""Event files, line by line: JSON lines, CSV and Parquet, packed or not, from disk or stdin.

Every row comes with its line. What cannot be read is an error of that line and no other: a quote
that is never closed costs the line it opens in, not the rest of the file. Read next: `loading`.
"""

import csv
import gzip
import io
import json
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from engine.core.errors import InvalidEvent, UsageError
from engine.intake.declared import Declared, Field

STDIN: Final = "-"
FORMATS: Final = ".jsonl .ndjson .csv .tsv (each also .gz or .zst) and .parquet"
LINE_BYTES_MAX: Final = 1 << 20
QUOTED_LINES_MAX: Final = 100
"""A quoted field may span that many lines; a quote open for longer was never closed."""

Row: TypeAlias = tuple[int, dict[str, Any] | InvalidEvent]
"""(line or row number from 1, the values of one call)."""

_OBJECTS: Final = ("properties", "traits", "context")
_SCALARS: Final = (
    "type", "messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name",
    "category", "timestamp", "originalTimestamp", "sentAt",
)  # fmt: skip
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")


def read_rows(path: str, *, mapping: Mapping[str, str], declared: Declared) -> Iterator[Row]:
    """The calls of one file.

    Args:
        path: A file, or "-" for stdin (JSON lines or CSV, packed or not).
        mapping: A field of the call (`userId`, `properties.price`) to the column it comes from, or
            to a constant written "=Order Completed". Without one, columns are fields by their own
            name, and all others are properties.
    Raises:
        UsageError: If the file is absent, of an unknown kind, or its header is of no use.
    """
    name = path.lower()
    if path == STDIN:
        stream = _unpacked(sys.stdin.buffer)
        first = stream.peek(1)[:1]
        if first in (b"{", b""):
            yield from _json_lines(stream, mapping)
        else:
            yield from _csv_rows(stream, ",", mapping, declared, where="stdin")
        return
    if not Path(path).is_file():
        raise UsageError(f"{path}: there is no such file")
    bare = name.removesuffix(".gz").removesuffix(".zst")
    if bare.endswith(".parquet") and bare == name:
        yield from _parquet_rows(path, mapping, declared)
        return
    if not bare.endswith((".jsonl", ".ndjson", ".csv", ".tsv")):
        raise UsageError(f"{path}: files of this kind are not read; allowed are {FORMATS}")
    with Path(path).open("rb") as raw:
        stream = _unpacked(raw)
        try:
            if bare.endswith((".jsonl", ".ndjson")):
                yield from _json_lines(stream, mapping)
            else:
                delimiter = "\t" if bare.endswith(".tsv") else ","
                yield from _csv_rows(stream, delimiter, mapping, declared, where=path)
        except (OSError, EOFError) as error:
            raise UsageError(f"{path}: cannot be unpacked to its end ({error})") from None


PACKED_BYTES: Final = 1 << 16


def _unpacked(raw: IO[bytes]) -> "io.BufferedReader[Any]":
    """The stream in the clear; its first bytes say whether it is packed, not its name."""
    plain: Any = raw
    buffered = plain if isinstance(raw, io.BufferedReader) else io.BufferedReader(plain)
    start = buffered.peek(4)[:4]
    if start.startswith(b"\x1f\x8b"):
        return io.BufferedReader(gzip.GzipFile(fileobj=buffered))
    if start == b"\x28\xb5\x2f\xfd":
        return io.BufferedReader(_Zstd(buffered))
    return buffered


class _Zstd(io.RawIOBase):
    """Zstandard in the clear. The library's own reader takes a file cut short for a whole one."""

    def __init__(self, packed: IO[bytes]) -> None:
        import zstandard

        self._packed = packed
        self._new_frame: Callable[[], Any] = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new_frame()
        self._fault: type[Exception] = zstandard.ZstdError
        self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._packed.read(PACKED_BYTES)
            if not packed:
                if self._frame.eof:
                    return 0
                raise EOFError("it ends in the middle of a frame")
            if self._frame.eof:
                self._frame = self._new_frame()
            try:
                self._plain = self._frame.decompress(packed)
            except self._fault as error:
                raise EOFError(str(error)) from None
        piece, self._plain = self._plain[: len(buffer)], self._plain[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _lines(stream: "io.BufferedReader[Any]") -> Iterator[tuple[int, str | InvalidEvent]]:
    """Text lines, numbered; one that is too long or not UTF-8 is an error of its own."""
    number = 0
    while line := stream.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            while line and not line.endswith(b"\n"):
                line = stream.readline(LINE_BYTES_MAX)
            yield number, InvalidEvent(f"line is longer than {LINE_BYTES_MAX:,} bytes")
            continue
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            yield number, InvalidEvent(f"line is not UTF-8 (byte {error.start})")


def _json_lines(stream: "io.BufferedReader[Any]", mapping: Mapping[str, str]) -> Iterator[Row]:
    # Lines may be sparse, so that a column is absent only if no line has it.
    absent = {to: source for to, source in mapping.items() if not source.startswith("=")}
    number = 0
    for number, line in _lines(stream):
        if isinstance(line, InvalidEvent):
            yield number, line
        elif line.strip():
            yield number, _json_call(line, mapping, absent)
    for target, source in absent.items() if number else ():
        yield number, InvalidEvent(f'--map {target}={source}: no line has "{source}"')


def _json_call(
    line: str, mapping: Mapping[str, str], absent: dict[str, str]
) -> dict[str, Any] | InvalidEvent:
    try:
        value = json.loads(line, parse_int=lambda digits: int(digits[:40]))
    except RecursionError:
        return InvalidEvent("line is nested too deep")
    except ValueError as error:
        return InvalidEvent(f"line is not JSON: {error}")
    if not isinstance(value, dict):
        return InvalidEvent("line must hold a JSON object")
    return _mapped(value, mapping, absent) if mapping else value


def _mapped(
    value: dict[str, Any], mapping: Mapping[str, str], absent: dict[str, str]
) -> dict[str, Any]:
    call: dict[str, Any] = {}
    for target, source in mapping.items():
        found = source[1:] if source.startswith("=") else _at(value, source)
        if found is not None:
            _put(call, target, found)
            absent.pop(target, None)
    return call


def _at(value: Any, path: str) -> Any:
    if isinstance(value, dict) and path in value:
        return value[path]
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _put(call: dict[str, Any], target: str, value: Any) -> None:
    head, _, rest = target.partition(".")
    if rest:
        inner = call.setdefault(head, {})
        _put(inner, rest, value)
    else:
        call[head] = value


# --- CSV ----------------------------------------------------------------------------------------


def _csv_rows(
    stream: "io.BufferedReader[Any]",
    delimiter: str,
    mapping: Mapping[str, str],
    declared: Declared,
    *,
    where: str,
) -> Iterator[Row]:
    records = _records(_lines(stream), delimiter)
    first = next(records, None)
    if first is None:
        raise UsageError(f"{where}: the file is empty; line 1 must name the columns")
    header = first[1]
    if isinstance(header, InvalidEvent):
        raise UsageError(f"{where}: line 1: {header}")
    # Some exports wrap every whole line in quotes: then each line is one field that is a line.
    is_wrapped = len(header) == 1 and delimiter in header[0]
    if is_wrapped:
        header = next(csv.reader(header, delimiter=delimiter))
    columns = [name.strip() for name in header]
    if len(set(columns)) != len(columns) or not all(columns):
        raise UsageError(f"{where}: line 1 has empty or repeated names: {', '.join(columns)[:200]}")
    targets = _targets(columns, mapping, where=where)
    constants = {to: source[1:] for to, source in mapping.items() if source.startswith("=")}
    for number, record in records:
        if is_wrapped and not isinstance(record, InvalidEvent):
            record = _unwrapped(record, delimiter)
        if isinstance(record, InvalidEvent):
            yield number, record
        elif len(record) != len(columns):
            yield (
                number,
                InvalidEvent(f"found {len(record)} columns, the header has {len(columns)}"),
            )
        else:
            call: dict[str, Any] = {}
            for target, constant in constants.items():
                _put(call, target, constant)
            for place, target in targets:
                if record[place] != "":
                    _put(call, target, record[place])
            yield number, _typed(call, declared)


def _records(
    lines: Iterator[tuple[int, str | InvalidEvent]], delimiter: str
) -> Iterator[tuple[int, list[str] | InvalidEvent]]:
    """CSV records with the line each begins in.

    A record over several lines counts only if it closes well and has the header's width; if not,
    the quote in its first line was never meant to be closed, and the other lines are read anew.
    """
    width = 0
    ahead: deque[tuple[int, str | InvalidEvent]] = deque()
    while True:
        number, line = ahead.popleft() if ahead else next(lines, (0, ""))
        if number == 0:
            return
        if isinstance(line, InvalidEvent):
            yield number, line
            continue
        if not line.strip():
            continue
        text, taken = line, list[tuple[int, str | InvalidEvent]]()
        while text.count('"') % 2 and len(taken) < QUOTED_LINES_MAX:
            following = ahead.popleft() if ahead else next(lines, None)
            if following is None:
                break
            taken.append(following)
            if isinstance(following[1], InvalidEvent):
                break
            text += following[1]
        record = _parsed(text, delimiter)
        is_bad = isinstance(record, InvalidEvent) or (width and len(record) != width)
        if taken and is_bad:
            ahead.extendleft(reversed(taken))
            record = InvalidEvent("a quote is opened and never closed")
        if not isinstance(record, InvalidEvent):
            width = width or len(record)
        yield number, record


def _parsed(text: str, delimiter: str) -> list[str] | InvalidEvent:
    if text.count('"') % 2:
        return InvalidEvent("a quote is opened and never closed")
    try:
        return next(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        return InvalidEvent(f"broken quotes: {error}")


def _unwrapped(record: list[str], delimiter: str) -> list[str] | InvalidEvent:
    if len(record) != 1:
        return InvalidEvent("every other line is wrapped in quotes as a whole, this one is not")
    return next(csv.reader(record, delimiter=delimiter), [])


def _targets(
    columns: list[str], mapping: Mapping[str, str], *, where: str
) -> list[tuple[int, str]]:
    """(place of the column, field of the call it fills)."""
    if not mapping:
        return [(place, _own_target(name)) for place, name in enumerate(columns)]
    targets = []
    for target, source in mapping.items():
        if source.startswith("="):
            continue
        if source not in columns:
            raise UsageError(
                f'{where}: --map {target}={source}: there is no column "{source}"; columns are '
                f"{', '.join(columns)[:300]}"
            )
        targets.append((columns.index(source), target))
    return targets


def _own_target(column: str) -> str:
    is_field = column in _SCALARS or column.partition(".")[0] in _OBJECTS
    return column if is_field else f"properties.{column}"


def _typed(call: dict[str, Any], declared: Declared) -> dict[str, Any]:
    """CSV holds only text: give declared values their type, and numbers theirs elsewhere."""
    for name, fields in (
        ("properties", declared.events.get(str(call.get("event")), {})),
        ("traits", declared.traits),
        ("context", {}),
    ):
        values = call.get(name)
        if isinstance(values, dict):
            call[name] = {key: _value(it, fields.get(key)) for key, it in values.items()}
    return call


def _value(text: Any, field: Field | None) -> Any:
    if isinstance(text, dict):
        inside = field.inside if field is not None else {}
        return {key: _value(it, inside.get(key)) for key, it in text.items()}
    kind = field.type if field is not None else ""
    if kind in ("boolean", "") and text in ("true", "false"):
        return text == "true"
    if kind in ("number", "integer", "") and _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


# --- Parquet ------------------------------------------------------------------------------------


def _parquet_rows(path: str, mapping: Mapping[str, str], declared: Declared) -> Iterator[Row]:
    import duckdb

    try:
        with duckdb.connect() as connection:
            escaped = re.sub(r"([*?\[])", r"[\1]", path)  # a path, not a pattern
            found = connection.execute("SELECT * FROM read_parquet(?)", [escaped])
            columns = [item[0] for item in found.description or []]
            targets = _targets(columns, mapping, where=path)
            constants = {to: it[1:] for to, it in mapping.items() if it.startswith("=")}
            number = 0
            while rows := found.fetchmany(1_000):
                for row in rows:
                    number += 1
                    call: dict[str, Any] = {}
                    for target, constant in constants.items():
                        _put(call, target, constant)
                    for place, target in targets:
                        if row[place] is not None:
                            _put(call, target, _plain(row[place]))
                    yield number, call
    except duckdb.Error as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}") from None


def _plain(value: Any) -> Any:
    """A value of DuckDB as JSON has it: times as ISO text in UTC, decimals as numbers."""
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(it) for it in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "as_integer_ratio"):
        return float(value)
    return str(value)
