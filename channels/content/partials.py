"""A template's text put together from its layout, its body and partials, before it is parsed.

Text in, text out: the sandbox, its bounds and MJML see one template as if its author had written
it in one file. Every stretch remembers the file and line it came from, for messages.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

from msgspec import Struct

from channels.content.limits import SOURCE_CHARS
from engine.core.errors import CampaignError
from engine.core.inclusion import INCLUDE, LAYOUTS, PARTIALS, find_piece, piece_extension

DEPTH: Final = 5
"""Partials inside partials."""

PIECES: Final = 2_000
"""Includes of one text, nested ones too."""

BLOCK: Final = re.compile(
    r"\{\{(?:[^\"'}]|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\}(?!\}))*\}\}"
    r"|\{%(?:[^\"'%]|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|%(?!\}))*%\}"
    r"|\{#.*?#\}",
    re.DOTALL,
)
"""An expression, a statement or a comment of a template."""

_CONTENT: Final = re.compile(r"\{\{\s*content\s*\}\}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Stretch(Struct, frozen=True):
    """From `start` (characters) on the text is that of `file`, beginning on `line`."""

    start: int
    file: str
    line: int


class Composed(Struct, frozen=True):
    """A whole text and where its stretches come from; the first one starts at 0."""

    text: str
    stretches: tuple[Stretch, ...]

    @classmethod
    def of(cls, text: str, *, file: str, line: int = 1) -> "Composed":
        """A text that stands in one file."""
        return cls(text, (Stretch(0, file, line),))

    @property
    def file(self) -> str:
        """Where the text begins."""
        return self.stretches[0].file

    def place(self, offset: int) -> str:
        """`file:line` of a character."""
        index = bisect_right(self.stretches, offset, key=lambda each: each.start) - 1
        stretch = self.stretches[index]
        return f"{stretch.file}:{stretch.line + self.text.count(chr(10), stretch.start, offset)}"

    def by_file(self) -> "Iterator[Composed]":
        """What each file says by itself: a partial is whole, no statement ends in another file."""
        texts: dict[str, list[str]] = {}
        own: dict[str, list[Stretch]] = {}
        sizes: dict[str, int] = {}
        for stretch, piece in self._pieces():
            file, start = stretch.file, sizes.get(stretch.file, 0)
            texts.setdefault(file, []).append(piece)
            own.setdefault(file, []).append(Stretch(start, file, stretch.line))
            sizes[file] = start + len(piece)
        for file, found in texts.items():
            yield Composed("".join(found), tuple(own[file]))

    def _pieces(self) -> "Iterator[tuple[Stretch, str]]":
        ends = [*(stretch.start for stretch in self.stretches[1:]), len(self.text)]
        for stretch, end in zip(self.stretches, ends, strict=True):
            yield stretch, self.text[stretch.start : end]

    def parted(self) -> tuple[str, tuple[str, ...]]:
        """The text with each stretch on lines of its own, and `file:line` of every line.

        Only for checking: what breaks the lines is a comment, which prints nothing.
        """
        pieces: list[str] = []
        places: list[str] = []
        for stretch, piece in self._pieces():
            pieces.append(piece)
            lines = range(stretch.line, stretch.line + piece.count("\n") + 1)
            places += [f"{stretch.file}:{line}" for line in lines]
        return "{#\n#}".join(pieces), tuple(places)


def read_text(files: Mapping[str, bytes], path: str) -> str:
    """A file as text.

    Raises:
        CampaignError: It is not UTF-8.
    """
    try:
        return files[path].decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = files[path].count(b"\n", 0, error.start) + 1
        raise CampaignError(f"{path}:{line}: this is not UTF-8 text") from None


def put_together(
    body: Composed,
    files: Mapping[str, bytes],
    *,
    path: str,
    locale: str,
    layout: str = "",
    layout_line: int = 1,
) -> Composed:
    """The body with its partials, inside its layout.

    Args:
        body: One stretch of the template's own file.
        path, locale: Of that file: they say which folder and which language is meant.
        layout: Its name in the front matter; "" for none.
    Raises:
        CampaignError: `file:line: …`: a piece is missing, goes in a circle or too deep.
    """
    if not layout and "include" not in body.text:
        return body
    return _Composer(body, files, path, locale).composed(layout, layout_line)


class _Composer:
    def __init__(self, body: Composed, files: Mapping[str, bytes], path: str, locale: str) -> None:
        self.body = body
        self.files = files
        self.home = path.rpartition("/")[0]
        self.path = path
        self.locale = locale
        self.extension = path.rpartition(".")[2]
        self.pieces: list[tuple[str, str, int]] = []
        self.size = 0
        self.n_includes = 0

    def composed(self, layout: str, layout_line: int) -> Composed:
        if layout:
            piece = self._piece(LAYOUTS, layout, f"{self.path}:{layout_line}")
            text = read_text(self.files, piece).removesuffix("\n")
            contents = [it for it in BLOCK.finditer(text) if _CONTENT.fullmatch(it.group())]
            if len(contents) != 1:
                raise CampaignError(
                    f"{piece}:1: a layout says {{{{ content }}}} once, where the body of its "
                    f"templates goes; here it is there {len(contents)} times"
                )
            self._add(text, piece, 1, (piece,), in_layout=True)
        else:
            self._add_body()
        if not self.pieces:
            return self.body
        stretches: list[Stretch] = []
        start = 0
        for text, file, line in self.pieces:
            stretches.append(Stretch(start, file, line))
            start += len(text)
        return Composed("".join(text for text, _, _ in self.pieces), tuple(stretches))

    def _add_body(self) -> None:
        self._add(self.body.text, self.body.file, self.body.stretches[0].line, ())

    def _add(
        self, text: str, file: str, line: int, inside: tuple[str, ...], in_layout: bool = False
    ) -> None:
        start = 0
        for found in BLOCK.finditer(text):
            include = INCLUDE.fullmatch(found.group())
            is_content = in_layout and _CONTENT.fullmatch(found.group()) is not None
            if include is None and not is_content:
                continue
            self._keep(text, start, found.start(), file, line)
            start = found.end()
            if include is None:
                self._add_body()
                continue
            place = f"{file}:{line + text.count(chr(10), 0, found.start())}"
            piece = self._piece(PARTIALS, include["name"], place)
            if piece in inside:
                circle = " -> ".join(_short(each) for each in (*inside, piece))
                raise CampaignError(f"{place}: partials include each other in a circle: {circle}")
            if sum(f"/{PARTIALS}/" in each for each in inside) >= DEPTH:
                raise CampaignError(f"{place}: partials may stand {DEPTH} deep in each other")
            self.n_includes += 1
            if self.n_includes > PIECES:
                raise CampaignError(f"{place}: a template has at most {PIECES:,} partials in all")
            # As in Jinja: the line break that ends a file is no part of it.
            inner = read_text(self.files, piece).removesuffix("\n")
            self._add(inner, piece, 1, (*inside, piece))
        self._keep(text, start, len(text), file, line)

    def _keep(self, text: str, start: int, end: int, file: str, line: int) -> None:
        self.size += end - start
        at = line + text.count("\n", 0, start)
        if self.size > SOURCE_CHARS:
            raise CampaignError(
                f"{file}:{at}: with its partials the template has more than "
                f"{SOURCE_CHARS:,} characters"
            )
        if end > start:
            self.pieces.append((text[start:end], file, at))

    def _piece(self, folder: str, name: str, place: str) -> str:
        where = f"{self.home}/{folder}"
        noun = "partial" if folder == PARTIALS else "layout"
        if _NAME.fullmatch(name) is None:
            self._refuse(place, f'"{name}" cannot be the name of a {noun}', where)
        found = find_piece(self.files, where, name, locale=self.locale, extension=self.extension)
        if found is None:
            self._refuse(place, f'there is no {noun} "{name}"', where)
        return found

    def _refuse(self, place: str, what: str, where: str) -> NoReturn:
        end = piece_extension(self.extension)
        known = ", ".join(sorted(set(_names(self.files, where, end)))) or "none"
        raise CampaignError(f"{place}: {what}; {where}/ has, for .{end}: {known}")


def _names(files: Mapping[str, bytes], where: str, extension: str) -> Iterator[str]:
    for path in files:
        if path.startswith(f"{where}/") and path.endswith(f".{extension}"):
            yield path[len(where) + 1 :].split(".")[0]


def _short(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".")[0]
