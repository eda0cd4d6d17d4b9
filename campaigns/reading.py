"""YAML text -> a tree of text, lists and maps that know their lines, or problems.

libyaml finds the tokens; what they mean is decided by the schema, never by YAML: every scalar
stays the text that was written, with a flag whether it was quoted, so `NO`, `10:30` and `0123`
surprise nobody. Refused: aliases, anchors, tags, duplicate keys, several documents, more than
1 MB, 32 levels or 10,000 values. Nothing is expanded, so no file costs more than its size.
"""

import re
from typing import Any, TypeAlias

from yaml import events as yaml_events
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from campaigns.problems import Problem

BYTES_MAX = 1_000_000
DEPTH_MAX = 32
VALUES_MAX = 10_000

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""RFC 8259, section 6: no leading zero, no plus sign, no `.5`, no NaN."""

INTEGER_MAX = 2**53
"""Beyond it a double, and so most of the world's JSON, no longer holds every integer."""


class Text(str):
    """A scalar as written. `line` counts from 1."""

    __slots__ = ("line", "quoted")
    line: int
    quoted: bool

    def __new__(cls, text: str, *, line: int = 0, quoted: bool = False) -> "Text":
        new = super().__new__(cls, text)
        new.line = line
        new.quoted = quoted
        return new


class Map(dict[str, Any]):
    """A mapping; its keys are `Text` too."""

    __slots__ = ("key_lines", "line")

    def __init__(self, *, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.key_lines: dict[str, int] = {}


class List(list[Any]):
    """A sequence."""

    __slots__ = ("line",)

    def __init__(self, *, line: int = 0) -> None:
        super().__init__()
        self.line = line


Tree: TypeAlias = Text | List | Map


class Unreadable(Exception):
    """The text is not YAML of the kind we read; holds the one problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_yaml(file: str, data: bytes) -> Map:
    """The file's one mapping.

    Raises:
        Unreadable: With the first reason why it cannot be read.
    """
    if len(data) > BYTES_MAX:
        raise Unreadable(
            Problem(
                file,
                0,
                f"{len(data):,} bytes",
                f"the file has {len(data):,} bytes; at most {BYTES_MAX:,} are read. "
                "Split it, or move long text into a template.",
            )
        )
    text = _decoded(file, data)
    try:
        root = _Composer(file, text).compose()
    except MarkedYAMLError as error:
        raise Unreadable(_syntax_problem(file, text, error)) from None
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        message = "a control character stands here; delete it, or write it as an escape in quotes."
        raise Unreadable(Problem(file, line, "", message)) from None
    if not isinstance(root, Map):
        found = "a list" if isinstance(root, List) else f'the text "{shorten(root)}"'
        raise Unreadable(
            Problem(file, root.line, found, f"found {found}; the file must hold `key: value` lines")
        )
    return root


def scalar(text: Text) -> str | int | float | bool | None:
    """What a scalar means where nothing declares its type: JSON's words, else text.

    Raises:
        ValueError: For a number that JSON's readers would not agree on.
    """
    if text.quoted:
        return str(text)
    if text == "true" or text == "false":
        return text == "true"
    if text == "null":
        return None
    if JSON_NUMBER.fullmatch(text):
        return number(text)
    return str(text)


def number(text: str) -> int | float:
    """A number by the JSON grammar.

    Raises:
        ValueError: If it is none, or too large for every reader to agree on it.
    """
    if not JSON_NUMBER.fullmatch(text):
        raise ValueError(f'"{shorten(text)}" is not a number. Write it as JSON does: 20, 0.5, -3')
    if len(text) > 32:
        raise ValueError(f'the number "{shorten(text)}" has more digits than can be kept')
    value = float(text)
    if abs(value) > 1e300:
        raise ValueError(f'the number "{shorten(text)}" is too large')
    if "." in text or "e" in text or "E" in text:
        return value
    if abs(int(text)) > INTEGER_MAX:
        raise ValueError(
            f'the integer "{text}" is beyond ±2^53 and would lose digits. Quote it to keep it as '
            "text"
        )
    return int(text)


def plain(tree: Any) -> Any:
    """The tree as JSON-like data, each scalar read by `scalar`."""
    if isinstance(tree, dict):
        return {str(key): plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return scalar(tree) if isinstance(tree, Text) else tree


def shorten(text: str, length: int = 60) -> str:
    """The text on one line, cut where it is too long to be shown in a message."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


class _Composer:
    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        self.parser: Any = CParser(text)
        self.n_values = 0

    def compose(self) -> Tree:
        self.parser.get_event()
        start = self.parser.get_event()
        if isinstance(start, yaml_events.StreamEndEvent):
            raise self._refuse(0, "", "the file is empty")
        if start.version or start.tags:
            raise self._refuse(1, "%", "YAML directives (`%YAML`, `%TAG`) are not read. Delete it")
        root = self._value(self.parser.get_event(), depth=1)
        self.parser.get_event()
        after = self.parser.get_event()
        if not isinstance(after, yaml_events.StreamEndEvent):
            raise self._refuse(
                after.start_mark.line + 1,
                "---",
                "a second document starts here; a file holds one. Move it to a file of its own",
            )
        return root

    def _value(self, event: Any, *, depth: int) -> Tree:
        line = event.start_mark.line + 1
        self._check_event(event, line, depth=depth)
        if isinstance(event, yaml_events.ScalarEvent):
            return self._text(event, line)
        if isinstance(event, yaml_events.SequenceStartEvent):
            items = List(line=line)
            while not isinstance(event := self.parser.get_event(), yaml_events.SequenceEndEvent):
                items.append(self._value(event, depth=depth + 1))
            return items
        return self._map(line, depth=depth)

    def _map(self, line: int, *, depth: int) -> Map:
        items = Map(line=line)
        get_event = self.parser.get_event
        while not isinstance(event := get_event(), yaml_events.MappingEndEvent):
            key_line = event.start_mark.line + 1
            if not isinstance(event, yaml_events.ScalarEvent):
                raise self._complex_key(event, key_line)
            self._check_event(event, key_line, depth=depth)
            key = self._text(event, key_line)
            if key in items:
                raise self._refuse(
                    key_line,
                    key,
                    f'the key "{shorten(key)}" stands twice; it is already on line '
                    f"{items.key_lines[key]}. Keep one",
                )
            items.key_lines[key] = key_line
            items[key] = self._value(get_event(), depth=depth + 1)
        return items

    def _check_event(self, event: Any, line: int, *, depth: int) -> None:
        self.n_values += 1
        if self.n_values > VALUES_MAX:
            raise self._refuse(line, "", f"the file holds more than {VALUES_MAX:,} values")
        if depth > DEPTH_MAX:
            raise self._refuse(line, "", f"this is nested deeper than {DEPTH_MAX} levels")
        if isinstance(event, yaml_events.AliasEvent):
            raise self._refuse(
                line,
                f"*{event.anchor}",
                f'the alias "*{shorten(str(event.anchor))}" is refused: YAML aliases are not part '
                "of the language. Write the value out; a text that starts with * must be quoted",
            )
        if event.anchor:
            raise self._refuse(
                line,
                f"&{event.anchor}",
                f'the anchor "&{shorten(str(event.anchor))}" is refused: YAML anchors are not part '
                "of the language. Delete it; a text that starts with & must be quoted",
            )
        if event.tag:
            raise self._refuse(
                line,
                event.tag,
                f'the tag "{shorten(event.tag)}" is refused: the schema decides types. Delete it; '
                "a text that starts with ! must be quoted",
            )

    def _text(self, event: Any, line: int) -> Text:
        quoted = bool(event.style)  # libyaml says "" for plain
        if "\0" in event.value:
            raise self._refuse(line, "", "the text holds a NUL character")
        if not quoted and "{{" in event.value:
            raise self._unquoted(line)
        return Text(event.value, line=line, quoted=quoted)

    def _complex_key(self, event: Any, line: int) -> Unreadable:
        if isinstance(event, yaml_events.MappingStartEvent) and _has_unquoted_braces(
            self.lines, line
        ):
            return self._unquoted(line)
        if isinstance(event, yaml_events.AliasEvent):
            self._check_event(event, line, depth=1)
        return self._refuse(line, "", "a key must be text, not a list or a map")

    def _unquoted(self, line: int) -> Unreadable:
        return Unreadable(_unquoted_problem(self.file, line))

    def _refuse(self, line: int, found: str, message: str) -> Unreadable:
        return Unreadable(Problem(self.file, line, shorten(found), message + "."))


def _unquoted_problem(file: str, line: int) -> Problem:
    return Problem(
        file,
        line,
        "{{",
        'an unquoted "{{" means something else in YAML. Quote the whole value: "{{ … }}".',
    )


def _decoded(file: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Unreadable(
            Problem(file, line, "", "this is not UTF-8 text. Save the file as UTF-8.")
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise Unreadable(Problem(file, line, "", "the file holds a NUL character."))
    return text


def _syntax_problem(file: str, text: str, error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    lines = text.split("\n")
    if any(_has_unquoted_braces(lines, near) for near in (line, line - 1)):
        return _unquoted_problem(file, line if _has_unquoted_braces(lines, line) else line - 1)
    found = shorten(lines[line - 1]) if 0 < line <= len(lines) else ""
    reason = error.problem or error.context or "it cannot be read"
    if "character that cannot start any token" in reason and "\t" in found.expandtabs(0):
        reason = "a tab; indent with spaces"
    return Problem(file, line, found, f"this is not YAML: {reason}.")


def _has_unquoted_braces(lines: list[str], line: int) -> bool:
    if not 0 < line <= len(lines):
        return False
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', "", lines[line - 1])
    return "{{" in bare.replace(" ", "")
