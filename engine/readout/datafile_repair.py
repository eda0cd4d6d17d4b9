"""A damaged text file read as far as it can be: what is mended or left out is counted and said.

Nothing is mended unless it was asked for. Two kinds of damage have one reading only: lines that are
each wrapped in quotes as a whole, and lines with other than the header's number of fields, such as
the cut last line of a download.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import UsageError
from engine.readout.datafile_format import delimiter_of, text_lines


@dataclass(frozen=True)
class Repaired:
    """A copy without the damage.

    Attributes:
        notes: What was done, with counts and the first line it was done to.
        n_left_out: Lines that are not in the copy.
        n_lines: Lines of the original, without its header.
    """

    path: Path
    notes: tuple[str, ...]
    n_left_out: int
    n_lines: int


def repair(path: Path, *, folder: Path) -> Repaired:
    """A CSV or TSV file's copy in `folder`, mended.

    Raises:
        UsageError: If it is no text file of rows, or its header cannot be read.
    """
    lines = text_lines(path)
    header = next(lines, "")
    is_wrapped = _is_wrapped(header)
    columns = _fields(_unwrapped(header) if is_wrapped else header, delimiter_of(header))
    if len(columns) < 2:
        raise UsageError(f"{path}: line 1 names a single column; there is nothing to mend it by")
    copy = folder / "repaired.csv"
    left_out: list[int] = []
    n_unwrapped = n_lines = 0
    with copy.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for number, line in enumerate(lines, start=2):
            n_lines += 1
            if is_wrapped and _is_wrapped(line):
                line = _unwrapped(line)
                n_unwrapped += 1
            fields = _fields(line, delimiter_of(header))
            if len(fields) != len(columns):
                left_out.append(number)
                continue
            writer.writerow(fields)
    notes = []
    if n_unwrapped:
        notes.append(f"{n_unwrapped:,} lines were wrapped in quotes as a whole and were unwrapped")
    if left_out:
        notes.append(
            f"{len(left_out):,} of {n_lines:,} lines have other than {len(columns)} fields and were"
            f" left out (first: line {left_out[0]:,})"
        )
    return Repaired(copy, tuple(notes), len(left_out), n_lines)


def _is_wrapped(line: str) -> bool:
    return line.startswith('"') and len(next(csv.reader([line]), [])) == 1 and len(line) > 1


def _unwrapped(line: str) -> str:
    return next(iter(csv.reader([line])), [""])[0]


def _fields(line: str, delimiter: str) -> list[str]:
    rows: Iterator[list[str]] = csv.reader([line], delimiter=delimiter)
    return next(rows, [])
