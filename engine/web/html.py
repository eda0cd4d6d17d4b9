"""Turns a template into a page that loads nothing from anywhere and runs no script."""

import base64
import hashlib
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from engine.core.clocktime import to_datetime
from engine.core.model.instants import NEVER, Instant

_FOLDER: Final = Path(__file__).parent / "templates"
STYLE: Final = (_FOLDER / "style.css").read_text()
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page made from `templates/{template}` with these values, all of them escaped."""
    text = _environment.get_template(template).render(style=_STYLE, **values)
    return HTMLResponse(text, status, HEADERS)


def shown_instant(instant: Instant | None) -> str:
    """An instant as people read it: `2026-03-02 09:00 UTC`."""
    if instant is None:
        return "–"
    if instant >= NEVER:
        return "never"
    return f"{to_datetime(instant):%Y-%m-%d %H:%M} UTC"


def shown_count(n: int) -> str:
    """A count with thin thousands separators: `1 234 567`."""
    return f"{n:,}".replace(",", "\u202f")


class _Trusted(str):
    """Text of our own that goes into the page as it is (the style sheet holds no `<`)."""

    def __html__(self) -> str:
        return str(self)


_STYLE: Final = _Trusted(STYLE)
_environment: Final = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["instant"] = shown_instant
_environment.filters["count"] = shown_count
