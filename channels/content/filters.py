"""The filters a template may use: every one is listed in FILTERS, and none is Jinja's own.

A missing value passes only through `default`; anywhere else it raises MissingValue. What a filter
returns is bounded by what it was given.
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from msgspec import Struct

from channels.content.limits import TEXT_CHARS, RenderError, TooCostly
from channels.content.locales import DIGITS, LOCALES, SYMBOLS, locale_of
from engine.core.model.instants import SECOND


class Manner(Struct, frozen=True):
    """How values are written for one reader: language tag, IANA zone, ISO 4217 currency."""

    locale: str | None = None
    zone: str = "UTC"
    currency: str = ""


def _manner(context: Context) -> Manner:
    manner: Manner = context["_manner"]
    return manner


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | Undefined):
        return str(value)
    raise RenderError(f"this filter takes a text, not {_kind(value)}")


def _number(value: Any) -> float:
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise RenderError(f"this filter takes a number, not {_kind(value)}")


def _kind(value: Any) -> str:
    names: dict[type, str] = {str: "a text", bool: "true or false", list: "a list", dict: "a map"}
    return "null" if value is None else names.get(type(value), "that")


# --- missing values -----------------------------------------------------------------------------


def default(value: Any, instead: Any = "", _boolean: bool = True) -> Any:
    """`instead` where the value is missing, null or blank."""
    is_absent = isinstance(value, Undefined) or value is None
    return instead if is_absent or (isinstance(value, str) and not value.strip()) else value


# --- numbers ------------------------------------------------------------------------------------


@pass_context
def number(context: Context, value: Any, digits: int = 0) -> str:
    """1234.5 as the reader's language writes it."""
    return _grouped(_number(value), digits, _manner(context).locale)


@pass_context
def money(context: Context, value: Any, currency: str = "") -> str:
    """An amount with its currency; the workspace's where none is given."""
    manner: Manner = context["_manner"]
    amount = _number(value)
    before, after, digits = _around(str(currency or manner.currency).upper(), manner.locale)
    written = _grouped(abs(amount), digits, manner.locale)
    return f"-{before}{written}{after}" if amount < 0 else f"{before}{written}{after}"


@lru_cache(maxsize=256)
def _around(code: str, tag: str | None) -> tuple[str, str, int]:
    """What stands before and after an amount, and how many digits it has."""
    if not code:
        raise RenderError('money needs a currency: money("EUR"), or `currency:` in antiphon.yaml')
    pattern, symbol = locale_of(tag).amount, SYMBOLS.get(code)
    if symbol is None and pattern == "{symbol}{number}":
        pattern = "{symbol}\u00a0{number}"  # CHF 5.00, but €5.00
    before, after = pattern.replace("{symbol}", symbol or code).split("{number}")
    return before, after, DIGITS.get(code, 2)


def _grouped(value: float, digits: Any, tag: str | None) -> str:
    if type(digits) is not int or not 0 <= digits <= 6:
        raise RenderError("a number has 0 to 6 digits after its point")
    locale = locale_of(tag)
    english = f"{value:,.{digits}f}"
    if locale is LOCALES["en"]:
        return english
    return english.translate({ord(","): locale.group, ord("."): locale.decimal})


def rounded(value: Any, digits: int = 0) -> float:
    if type(digits) is not int or not 0 <= digits <= 6:
        raise RenderError("round takes 0 to 6 digits")
    return round(_number(value), digits) if digits else round(_number(value))


def plural(value: Any, one: str, many: str) -> str:
    """`one` for exactly 1, else `many`: {{ n }} {{ n | plural("item", "items") }}."""
    return str(one if _number(value) == 1 else many)


# --- dates --------------------------------------------------------------------------------------

_TOKENS: Final[dict[str, Callable[[datetime, str | None], str]]] = {
    "%d": lambda at, tag: f"{at.day:02}",
    "%e": lambda at, tag: str(at.day),
    "%m": lambda at, tag: f"{at.month:02}",
    "%B": lambda at, tag: locale_of(tag).months[at.month - 1],
    "%A": lambda at, tag: locale_of(tag).weekdays[at.weekday()],
    "%Y": lambda at, tag: f"{at.year:04}",
    "%H": lambda at, tag: f"{at.hour:02}",
    "%I": lambda at, tag: f"{(at.hour - 1) % 12 + 1:02}",
    "%M": lambda at, tag: f"{at.minute:02}",
    "%p": lambda at, tag: "AM" if at.hour < 12 else "PM",
}


@pass_context
def date_filter(context: Context, value: Any, pattern: str | None = None) -> str:
    """A day in the reader's zone and language, or by a pattern of %d %e %m %B %A %Y."""
    manner = _manner(context)
    at = _moment(value, manner.zone)
    if pattern is not None:
        return _patterned(at, str(pattern), manner.locale)
    locale = locale_of(manner.locale)
    return locale.date.format(d=at.day, month=locale.months[at.month - 1], y=at.year)


@pass_context
def time_filter(context: Context, value: Any, pattern: str = "%H:%M") -> str:
    """A wall time in the reader's zone, or by a pattern of %H %I %M %p."""
    manner = _manner(context)
    return _patterned(_moment(value, manner.zone), str(pattern), manner.locale)


def _moment(value: Any, zone: str) -> datetime:
    """ISO 8601 text (a day, or an instant; without offset it is UTC) or an instant."""
    if isinstance(value, Undefined):
        str(value)
    try:
        if type(value) is int:
            return datetime.fromtimestamp(value / SECOND, UTC).astimezone(ZoneInfo(zone))
        if isinstance(value, str) and len(value) == 10:
            day = date.fromisoformat(value)
            return datetime(day.year, day.month, day.day)  # a day has no zone to be moved to
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError, OSError):
        pass
    raise RenderError("date and time take an ISO 8601 text such as 2026-03-02 or an instant")


def _patterned(at: datetime, pattern: str, tag: str | None) -> str:
    written, index = [], 0
    while index < len(pattern):
        token = pattern[index : index + 2]
        if token[0] != "%":
            written.append(token[0])
            index += 1
            continue
        if token not in _TOKENS:
            raise RenderError(f'"{token}" is not part of a date; these are: {" ".join(_TOKENS)}')
        written.append(_TOKENS[token](at, tag))
        index += 2
    return "".join(written)


# --- texts and lists ----------------------------------------------------------------------------


def truncate(value: Any, length: int = 80, end: str = "…") -> str:
    """At most `length` characters, cut at a word where there is one."""
    text = _text(value)
    if type(length) is not int or length < 1:
        raise RenderError("truncate takes a length of at least 1")
    if len(text) <= length:
        return text
    kept = str(text)[: max(length - len(str(end)), 0)]
    return (kept.rsplit(" ", 1)[0] if " " in kept else kept).rstrip() + str(end)


def title(value: Any) -> str:
    """Each word with a capital: "mary o'neil" becomes "Mary O'neil"."""
    return " ".join(word[:1].upper() + word[1:].lower() for word in _text(value).split(" "))


def _bounded(text: str) -> str:
    if len(text) > TEXT_CHARS:
        raise TooCostly(f"a text put together has more than {TEXT_CHARS:,} characters")
    return text


def join(values: Any, by: str = ", ") -> str:
    """The texts of a list with `by` between them."""
    if isinstance(values, Undefined):
        str(values)
    if type(values) is not list:
        raise RenderError(f"join takes a list, not {_kind(values)}")
    if len(values) * (len(by) + 1) > TEXT_CHARS:
        raise TooCostly(f"a text put together has more than {TEXT_CHARS:,} characters")
    return _bounded(str(by).join(map(_text, values)))


def length(value: Any) -> int:
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, str | list | dict):
        return len(value)
    raise RenderError(f"length takes a text or a list, not {_kind(value)}")


def first(values: Any) -> Any:
    return _element(values, 0)


def last(values: Any) -> Any:
    return _element(values, -1)


def _element(values: Any, index: int) -> Any:
    if isinstance(values, Undefined):
        str(values)
    if type(values) is not list:
        raise RenderError(f"first and last take a list, not {_kind(values)}")
    if not values:
        raise RenderError("first and last found an empty list")
    return values[index]


def urlencode(value: Any) -> str:
    return quote(_text(value), safe="")


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "date": date_filter,
    "default": default,
    "first": first,
    "join": join,
    "last": last,
    "length": length,
    "lower": lambda value: _plain(value).lower(),
    "money": money,
    "number": number,
    "plural": plural,
    "round": rounded,
    "time": time_filter,
    "title": title,
    "trim": lambda value: _plain(value).strip(),
    "truncate": truncate,
    "upper": lambda value: _plain(value).upper(),
    "urlencode": urlencode,
}


def _plain(value: Any) -> str:
    """As text that autoescaping still has to escape: Markup("&lt;").upper() would be wrong."""
    text = _text(value)
    return text.unescape() if isinstance(text, Markup) else text
