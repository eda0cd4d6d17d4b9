"""How CSV, JSON lines and Parquet files are opened: by name, strictly, without sniffing the data.

DuckDB's own detection of a CSV's shape skips lines and guesses delimiters; on a broken file it
finds *some* reading. Here the header decides and every row must follow it.
"""

import csv
import glob
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb

from engine.core.errors import UsageError

FORMATS = ".csv, .tsv, .jsonl, .ndjson (each also .gz or .zst) and .parquet"
HEADER_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file as something DuckDB can select from.

    Attributes:
        sql: A table function call.
        types: DuckDB's type of each column, in the file's order.
        is_columnar: Whether a few columns can be read again cheaply.
    """

    path: Path
    sql: str
    types: dict[str, str]
    is_columnar: bool = False


def open_source(connection: duckdb.DuckDBPyConnection, path: Path) -> Source:
    """Find out a file's columns.

    Raises:
        UsageError: If the file is absent, empty, of an unknown kind, or has no usable header.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise UsageError(f"{path}: the file is empty")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1] if suffixes and suffixes[-1] in (".gz", ".zst") else ""
    kind = suffixes[-2] if packed and len(suffixes) > 1 else (suffixes[-1] if suffixes else "")
    # A path is not a pattern, though DuckDB would read it as one.
    name = _literal(glob.escape(str(path)))
    if kind in (".csv", ".tsv"):
        return _csv(path, name, packed)
    if kind in (".jsonl", ".ndjson"):
        how = {".gz": "gzip", ".zst": "zstd", "": "uncompressed"}[packed]
        options = f"format = 'newline_delimited', sample_size = -1, compression = '{how}'"
        return _described(connection, path, f"read_json({name}, {options})")
    if kind == ".parquet" and not packed:
        return _described(connection, path, f"read_parquet({name})", is_columnar=True)
    raise UsageError(f"{path}: files of this kind are not read; allowed are {FORMATS}")


def quoted(identifier: str) -> str:
    """An SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def explained(path: Path, error: duckdb.Error) -> str:
    """What DuckDB says of a broken file, in one line: where, what, what was expected."""
    said = str(error)
    line = re.search(r"CSV Error on Line: (\d+)", said)
    if not line:
        return f"{path}: {said.splitlines()[0]}"
    found = re.search(r"Original Line:\s*(.*)", said)
    what = re.search(
        r"Expected Number of Columns: \d+ Found: \d+|Value with unterminated quote|"
        r"Invalid unicode[^.\n]*|Maximum line size[^.\n]*",
        said,
        re.IGNORECASE,
    )
    problem = what.group(0) if what else said.splitlines()[0]
    quote = f": {found.group(1)[:80]!r}" if found and found.group(1) else ""
    return f"{path}:{line.group(1)}: {problem[0].lower()}{problem[1:]}{quote}"


def delimiter_of(header: str) -> str:
    """What separates the columns that a header names."""
    return max(",\t;|", key=header.count)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a CSV or TSV file, packed or not, without their ends.

    Raises:
        UsageError: If it is another kind of file, cannot be unpacked, or is not UTF-8.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1] if suffixes and suffixes[-1] in (".gz", ".zst") else ""
    if not {".csv", ".tsv"} & set(suffixes[-2:]):
        raise UsageError(f"{path}: only .csv and .tsv files (each also .gz or .zst) are mended")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    yield _first_line(path, packed)
    try:
        with _unpacked(path, packed) as stream:
            stream.readline(HEADER_BYTES_MAX)
            for line in io.TextIOWrapper(stream, encoding="utf-8", errors="replace"):
                yield line.rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: cannot be unpacked ({error})") from error


def _csv(path: Path, name: str, packed: str) -> Source:
    header = _first_line(path, packed)
    delimiter = delimiter_of(header)
    columns = next(csv.reader([header], delimiter=delimiter), [])
    if len(columns) == 1 and "," in columns[0]:
        raise UsageError(
            f"{path}: line 1 is one quoted field, {columns[0][:60]!r}: every line is wrapped in"
            " quotes, so the file has a single column. Remove the outer quotes, or say --repair"
        )
    if any(not column.strip() for column in columns) or len(set(columns)) != len(columns):
        raise UsageError(f"{path}: line 1 has empty or repeated column names: {', '.join(columns)}")
    types = ", ".join(f"{_literal(column)}: 'VARCHAR'" for column in columns)
    how = {".gz": "gzip", ".zst": "zstd", "": "none"}[packed]
    sql = (
        f"read_csv({name}, auto_detect = false, header = true, delim = {_literal(delimiter)},"
        f" quote = '\"', escape = '\"', nullstr = '', compression = '{how}',"
        f" columns = {{{types}}})"
    )
    return Source(path, sql, dict.fromkeys(columns, "VARCHAR"))


def _described(
    connection: duckdb.DuckDBPyConnection, path: Path, sql: str, *, is_columnar: bool = False
) -> Source:
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
    except duckdb.Error as error:
        raise UsageError(explained(path, error)) from error
    types = {name: re.sub(r"^DECIMAL\(.*\)$", "DOUBLE", kind) for name, kind, *_ in rows}
    return Source(path, sql, types, is_columnar)


def _first_line(path: Path, packed: str) -> str:
    import zstandard

    try:
        with _unpacked(path, packed) as stream:
            line = stream.readline(HEADER_BYTES_MAX)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise UsageError(f"{path}: cannot be unpacked ({error})") from error
    try:
        header = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: line 1 is not UTF-8 ({error.reason}); convert the file"
        ) from error
    if not header.strip():
        raise UsageError(f"{path}: line 1 is empty; it must name the columns")
    if "\x00" in header:
        raise UsageError(f"{path}: line 1 holds NUL bytes; this is not a text file")
    if "\r" in header:
        raise UsageError(
            f"{path}: line 1 holds a carriage return without a line feed, {header[:60]!r}; end"
            " lines with a line feed, and remove carriage returns from column names"
        )
    return header


def _unpacked(path: Path, packed: str) -> IO[bytes]:
    if packed == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if packed == ".zst":
        import zstandard

        return io.BufferedReader(zstandard.open(path, "rb"))
    return path.open("rb")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
