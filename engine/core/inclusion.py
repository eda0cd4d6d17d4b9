"""Which files a template is put together from: `{% include "footer" %}` and `layout: shop`.

Pure text, before anything is parsed. `plan` asks what a template's hash covers and `check` what no
template uses; `channels.content.partials` puts the texts together and says what is wrong.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

PARTIALS: Final = "_partials"
LAYOUTS: Final = "_layouts"
"""Folders beside the templates of a channel: `templates/email/_partials/footer.de.html`."""

INCLUDE: Final = re.compile(
    r"\{%\s*include\s+\\?([\"'])(?P<name>[a-z0-9][a-z0-9_-]{0,63})\\?\1\s*%\}"
)
"""In the JSON of a push the quotes may have a backslash."""

PIECE_PATH: Final = re.compile(
    r"(?P<home>(?:.*/)?templates/[^/]+)/(?P<folder>_partials|_layouts)/"
    r"(?P<name>[a-z0-9][a-z0-9_-]{0,63})(?:\.(?P<locale>[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?))?"
    r"\.(?P<extension>[a-z]+)"
)
_LAYOUT: Final = re.compile(r"^layout\s*:\s*[\"']?([a-z0-9][a-z0-9_-]{0,63})[\"']?\s*$", re.M)
_FRONT: Final = re.compile(r"\A---[ \t\r]*\n.*?^---[ \t\r]*$", re.M | re.S)


def piece_extension(extension: str) -> str:
    """A piece has its template's extension; the texts of a push in JSON are plain ones."""
    return "txt" if extension == "json" else extension


def find_piece(
    files: Mapping[str, object], folder: str, name: str, *, locale: str, extension: str
) -> str | None:
    """The path of a partial or layout in the closest language there is, or None.

    Args:
        folder: As in `templates/email/_partials`.
        locale: Of the file that asks; "" has only the file without a locale.
    """
    start = f"{folder}/{name}."
    there = {path[len(start) :].lower(): path for path in files if path.startswith(start)}
    tag, end = locale.lower(), piece_extension(extension)
    for language in (tag, tag.split("-")[0]):
        if language and f"{language}.{end}" in there:
            return there[f"{language}.{end}"]
    return there.get(end)


def pieces_of(path: str, files: Mapping[str, bytes], *, locale: str) -> tuple[str, ...]:
    """Every partial and layout that a template's file is put together from, sorted.

    What is missing is left out and a circle ends: both are errors elsewhere.
    """
    home, _, file = path.rpartition("/")
    extension = file.rpartition(".")[2]
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for folder, name in _wanted(files[waiting.pop()]):
            piece = find_piece(files, f"{home}/{folder}", name, locale=locale, extension=extension)
            if piece is not None and piece not in found:
                found.add(piece)
                waiting.append(piece)
    return tuple(sorted(found))


def _wanted(content: bytes) -> Iterator[tuple[str, str]]:
    if b"include" not in content and b"layout" not in content:
        return
    text = content.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    for include in INCLUDE.finditer(text):
        yield PARTIALS, include["name"]
    front = _FRONT.match(text)
    layout = _LAYOUT.search(front.group()) if front else None
    if layout is not None:
        yield LAYOUTS, layout[1]
