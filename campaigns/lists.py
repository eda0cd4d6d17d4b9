"""lists/NAME.csv -> the values on the list, or every row that is wrong with its line.

One column; its header is `user_id` or the name of a trait, and `item` where products are listed.
Nothing is guessed: a second column, an empty or an over-long value is an error, because who is on a
list is nobody's to guess.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from campaigns.problems import Problem
from campaigns.reading import Text, shorten

LIST_FOLDER: Final = "lists"
LIST_EXTENSION: Final = ".csv"
LIST_BYTES_MAX: Final = 10_000_000
ROWS_MAX: Final = 200_000
VALUE_LENGTH_MAX: Final = 512
PROBLEMS_MAX: Final = 20
USER_ID: Final = "user_id"
ITEM: Final = "item"
"""The header of a list of products, which recommenders allow or deny."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class ListFile:
    """One list as read. `column` is its header, with its line; `values` keep their order."""

    file: str
    column: Text
    values: tuple[str, ...]


def read_list(path: str, data: bytes) -> tuple[str, ListFile | None, list[Problem]]:
    """(name, list, problems): the list is None if anything is wrong with it."""
    name = PurePosixPath(path).name.removesuffix(LIST_EXTENSION)
    problems = _misplaced(path, name)
    if len(data) > LIST_BYTES_MAX:
        message = f"the list has {len(data):,} bytes; at most {LIST_BYTES_MAX:,} are read."
        problems.append(Problem(path, 0, f"{len(data):,} bytes", message))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(path, line, "", "the list is not UTF-8. Save it as UTF-8."))
    if problems:
        return name, None, problems
    return (name, *_rows(path, text))


def _misplaced(path: str, name: str) -> list[Problem]:
    if len(PurePosixPath(path).parts) == 2 and _NAME.fullmatch(name):
        return []
    message = "a list is lists/NAME.csv, its name of a-z, 0-9, - and _, at most 64."
    return [Problem(path, 0, name, message)]


def _rows(path: str, text: str) -> tuple[ListFile | None, list[Problem]]:
    column: Text | None = None
    values: dict[str, None] = {}
    problems: list[Problem] = []
    # A quoted value may hold a line break: the reader's own count of lines is the true one.
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        for row in reader:
            line = reader.line_num
            if not row or row == [""]:
                continue
            why = _refusal(row)
            if why:
                problems.append(Problem(path, line, shorten(",".join(row)), why))
                if len(problems) >= PROBLEMS_MAX:
                    problems.append(Problem(path, line, "", "…and the rest is not read."))
                    break
            elif column is None:
                column = Text(row[0].strip(), line=line)
            else:
                values[row[0].strip()] = None
                if len(values) > ROWS_MAX:
                    message = (
                        f"a list has at most {ROWS_MAX:,} values. Use a trait for more people."
                    )
                    problems.append(Problem(path, line, "", message))
                    break
    except csv.Error as error:
        problems.append(Problem(path, reader.line_num, "", f"the row cannot be read: {error}."))
    if column is None and not problems:
        message = "the list is empty. Its first line is user_id or the name of a trait."
        problems.append(Problem(path, 1, "", message))
    if problems or column is None:
        return None, problems
    return ListFile(path, column, tuple(values)), []


def _refusal(row: list[str]) -> str:
    """What is wrong with a row, or nothing."""
    if len(row) > 1:
        return f"a list has one column, and here are {len(row)}. Quote a value that holds a comma."
    value = row[0].strip()
    if not value:
        return "the value is empty. Take the line out."
    if len(value) > VALUE_LENGTH_MAX:
        return f"the value has {len(value):,} characters; at most {VALUE_LENGTH_MAX} are read."
    if _UNPRINTABLE.search(value):
        return "the value holds a control character. Write plain text."
    return ""
