"""A file of scores, read whole and strictly: user_id,value or user_id,value,label.

With a label the run is a clustering and the value how sure the model is. A run that is wrong in
part is not published in part: every bad row is an error with its line.
"""

import csv
import math
from typing import Final, Literal, NamedTuple, TypeAlias

from engine.core.errors import UsageError

Kind: TypeAlias = Literal["score", "cluster"]

ROWS_MAX: Final = 2_000_000
PROBLEMS_MAX: Final = 20
LABEL_LENGTH_MAX: Final = 64
HEADERS: Final[dict[tuple[str, ...], Kind]] = {
    ("user_id", "value"): "score",
    ("user_id", "value", "label"): "cluster",
}


class Scored(NamedTuple):
    """One row."""

    user: str
    value: float
    label: str


def read_scores(path: str) -> tuple[Kind, list[Scored]]:
    """The kind of run that a file holds, and its rows in order.

    Raises:
        UsageError: If it cannot be read or a row is wrong; up to 20 of them are named.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _read(path, csv.reader(file, strict=True))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not UTF-8. Save it as UTF-8.") from error
    except csv.Error as error:
        raise UsageError(f"{path}: it cannot be read as CSV: {error}") from error


def _read(path: str, reader: "csv._reader") -> tuple[Kind, list[Scored]]:  # type: ignore[name-defined]
    header = tuple(word.strip() for word in next(reader, []))
    kind = HEADERS.get(header)
    if kind is None:
        found = ",".join(header) or "nothing"
        raise UsageError(
            f"{path}:1: the header is {found[:80]}. Write user_id,value, or for a clustering "
            "user_id,value,label"
        )
    rows: list[Scored] = []
    users: dict[str, int] = {}
    problems: list[str] = []
    for row in reader:
        if not row:
            continue
        why = _refusal(row, kind) or _repeated(row[0].strip(), users, reader.line_num)
        if why:
            problems.append(f"{path}:{reader.line_num}: {why}")
            if len(problems) >= PROBLEMS_MAX:
                problems.append(f"{path}: …and the rest is not read")
                break
            continue
        rows.append(Scored(row[0].strip(), float(row[1]), row[2].strip() if len(row) > 2 else ""))
        if len(rows) > ROWS_MAX:
            raise UsageError(f"{path}: a run has at most {ROWS_MAX:,} rows")
    if problems:
        raise UsageError("\n".join(problems))
    if not rows:
        raise UsageError(f"{path}: it holds no row besides the header")
    return kind, rows


def _refusal(row: list[str], kind: Kind) -> str:
    n_columns = 3 if kind == "cluster" else 2
    if len(row) != n_columns:
        return f"{n_columns} columns are needed, and here are {len(row)}"
    if not row[0].strip():
        return "the user_id is empty"
    try:
        value = float(row[1])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return f'the value "{row[1][:40]}" is not a number'
    if kind == "score":
        return ""
    if not 0 <= value <= 1:
        return f"the value of a clustering is how sure it is, 0 to 1, not {value:g}"
    if not 1 <= len(row[2].strip()) <= LABEL_LENGTH_MAX:
        return f"the label is 1 to {LABEL_LENGTH_MAX} characters"
    return ""


def _repeated(user: str, users: dict[str, int], line: int) -> str:
    first = users.setdefault(user, line)
    return "" if first == line else f'"{user[:40]}" stands in line {first} already'
