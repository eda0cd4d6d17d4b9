"""How a language writes numbers, amounts and dates: only what templates print, as a table.

Source: Unicode CLDR 46, the rows we use. Another language is another row; unknown ones read as
English. babel is not used: 30 MB for seven rows.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct


class Locale(Struct, frozen=True):
    """`date` is a pattern of {d}, {month} and {y}; `amount` one of {number} and {symbol}."""

    decimal: str
    group: str
    amount: str
    date: str
    months: tuple[str, ...]
    weekdays: tuple[str, ...]


def _row(decimal: str, group: str, amount: str, date: str, months: str, weekdays: str) -> Locale:
    return Locale(decimal, group, amount, date, tuple(months.split()), tuple(weekdays.split()))


_AFTER: Final = "{number}\u00a0{symbol}"

LOCALES: Final[dict[str, Locale]] = {
    "en": _row(
        ".", ",", "{symbol}{number}", "{d} {month} {y}",
        "January February March April May June July August September October November December",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    ),
    "de": _row(
        ",", ".", _AFTER, "{d}. {month} {y}",
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    ),
    "fr": _row(
        ",", "\u202f", _AFTER, "{d} {month} {y}",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
    ),
    "es": _row(
        ",", ".", _AFTER, "{d} de {month} de {y}",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "lunes martes miércoles jueves viernes sábado domingo",
    ),
    "it": _row(
        ",", ".", _AFTER, "{d} {month} {y}",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    ),
    "nl": _row(
        ",", ".", "{symbol}\u00a0{number}", "{d} {month} {y}",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    ),
    "pt": _row(
        ",", ".", "{symbol}\u00a0{number}", "{d} de {month} de {y}",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    ),
}  # fmt: skip

SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "BRL": "R$", "INR": "₹"}
"""Other currencies are written with their ISO 4217 code."""

DIGITS: Final = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "KWD": 3, "BHD": 3, "TND": 3}
"""Minor units where they are not two (ISO 4217)."""


@lru_cache(maxsize=256)
def locale_of(tag: str | None) -> Locale:
    """The row of a tag such as "de-AT"; English where we have none."""
    return LOCALES.get((tag or "en").replace("_", "-").split("-")[0].lower(), LOCALES["en"])
