"""How JavaScript sees the values of JSON: their kinds, their text, equality and order.

The specification is written in JavaScript's terms, and clients in twenty languages follow it; a
server that compared as Python does would give other answers (`True == 1`, `1 < "2"`).
Sources: ECMA-262 (Number::toString, IsLessThan); https://docs.growthbook.io/lib/build-your-own.
"""

import math
import re
from decimal import Decimal
from typing import Any

_NUMERIC_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_RADIX_TEXT = re.compile(r"0([xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)


def kind_of(value: Any) -> str:
    """null, boolean, number, string, array, object, or unknown for what JSON has not."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (list, tuple)):
        return "array"
    return "object" if isinstance(value, dict) else "unknown"


def is_truthy(value: Any) -> bool:
    """Whether JavaScript takes a value for true: an empty list or object is."""
    if isinstance(value, (list, tuple, dict)):
        return True
    return bool(value) and value == value  # Not a NaN.


def unit_text(value: Any) -> str | None:
    """The text by which a unit is hashed; None where the value identifies nobody.

    Empty text, 0, booleans, null, NaN, infinities, lists and objects identify nobody, as the SDKs
    of GrowthBook have it. Whoever else names units by a trait must keep to this rule.

    >>> unit_text(1), unit_text(1.0), unit_text("1"), unit_text(0), unit_text(True)
    ('1', '1', '1', None, None)
    """
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    number = _as_double(value)
    return number_text(number) if number and math.isfinite(number) else None


def number_text(value: float) -> str:
    """A number as JavaScript's String() writes it.

    >>> number_text(1.0), number_text(1e21), number_text(1.5e-7), number_text(0.1)
    ('1', '1e+21', '1.5e-7', '0.1')
    """
    number = _as_double(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number.is_integer() and abs(number) <= 1 << 53:
        return str(int(number))
    sign = "-" if number < 0 else ""
    _, found, exponent = Decimal(repr(abs(number))).as_tuple()
    assert isinstance(exponent, int)
    shown = "".join(map(str, found))
    point = len(shown) + exponent  # Where the decimal point stands, counted from the first digit.
    digits = shown.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # A whole number beyond a double's range.
        return math.inf if value > 0 else -math.inf


def is_same(left: Any, right: Any) -> bool:
    """The === of two values that were parsed apart: lists and objects are never the same one."""
    kind = kind_of(left)
    return kind not in ("array", "object") and kind == kind_of(right) and bool(left == right)


def is_equal_literally(expected: Any, value: Any) -> bool:
    """Whether two values are the same JSON text; kinds must agree, at every depth."""
    kind = kind_of(expected)
    if kind != kind_of(value):
        return False
    if kind == "array":
        return len(expected) == len(value) and all(
            is_equal_literally(_in_json(a), _in_json(b))
            for a, b in zip(expected, value, strict=True)
        )
    if kind == "object":
        return _keys_in_order(expected) == _keys_in_order(value) and all(
            is_equal_literally(_in_json(expected[key]), _in_json(value[key])) for key in expected
        )
    return bool(expected == value)


def _in_json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _keys_in_order(value: dict[str, Any]) -> list[str]:
    """JavaScript puts keys that are array indices first, by number; the others as inserted."""
    indices = [key for key in value if re.fullmatch(r"0|[1-9]\d{0,9}", key, re.ASCII)]
    indices = [key for key in indices if int(key) < 2**32 - 1]
    return sorted(indices, key=int) + [key for key in value if key not in set(indices)]


def compare(left: Any, right: Any) -> int | None:
    """Below, same or above as -1, 0, 1; None where there is no order.

    Two texts by their UTF-16 code units; otherwise both as numbers: null is 0, text is read as a
    number. Lists and objects have no order here (JavaScript would turn them into text).
    """
    if isinstance(left, str) and isinstance(right, str):
        return compare_texts(left, right)
    a, b = _to_number(left), _to_number(right)
    if a != a or b != b:
        return None
    return (a > b) - (a < b)


def compare_texts(left: str, right: str) -> int:
    """The order of two texts by UTF-16 code units."""
    if left.isascii() or right.isascii():
        return (left > right) - (left < right)
    # A pair of surrogates stands below U+E000..U+FFFF, unlike its code point.
    a, b = (each.encode("utf-16-be", "surrogatepass") for each in (left, right))
    return (a > b) - (a < b)


def _to_number(value: Any) -> float:
    if value is None:
        return 0
    if isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, str):
        return math.nan
    text = value.strip()
    if not text:
        return 0
    if _NUMERIC_TEXT.fullmatch(text):
        return float(text)
    if _RADIX_TEXT.fullmatch(text):
        return _as_double(int(text, 0))
    return {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}.get(text, math.nan)


def padded_version(value: Any) -> str:
    """A version as text whose order is the versions' order.

    Numeric parts are padded, build metadata and a leading v dropped, and "~", the last ASCII
    character, follows a release, which puts it after its pre-releases.

    >>> padded_version("v1.2.3-rc.1+build") < padded_version("1.2.3") < padded_version("1.10.0")
    True
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = number_text(value)
    if not value or not isinstance(value, str):
        value = "0"
    parts = re.split(r"[-.]", re.sub(r"(^v|\+.*$)", "", value))
    if len(parts) == 3:
        parts.append("~")
    return "-".join(part.rjust(5) if part.isascii() and part.isdigit() else part for part in parts)
