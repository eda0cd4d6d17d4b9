"""What must not be shown to somebody, asked of every item whatever it comes from.

One predicate, made when a message is made: of the catalog as it is now, of what was bought until
now. Sources never look at stock or price themselves, so that none can forget to.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from campaigns.models import Exclusions
from engine.core.model.instants import Instant
from engine.learning.recommenders.likings import item_id

Exclusion = Callable[[str], str]
"""An item's id -> why it is not shown, in words; "" if it may be."""


def exclusion(
    rules: Exclusions,
    *,
    rows: Mapping[str, Mapping[str, Any]] | None,
    purchased: Mapping[str, Instant],
    now: Instant,
    allow: Collection[str] | None = None,
    deny: Collection[str] = (),
    trigger: Collection[str] = (),
    sensitive: Collection[str] = (),
) -> Exclusion:
    """The predicate for one person at one instant.

    Args:
        rows: The catalog as it is, by id; None where there is none, and nothing is known of items.
        purchased: When each item was last bought.
        allow: The only items that may be shown; None: any.
        deny: Items that may not.
        trigger: What set the campaign off, which nobody needs to be shown again.
        sensitive: Categories that no model may read, and that nobody is shown by one.
    """
    bought = {item_id(key): at for key, at in purchased.items()}
    only = None if allow is None else {item_id(it) for it in allow}
    denied, own = {item_id(it) for it in deny}, {item_id(it) for it in trigger}
    categories = {it.casefold() for it in rules.categories}
    unread = {it.casefold() for it in sensitive}
    least, most = rules.price
    has_price_rule = least is not None or most is not None

    def why_not(item: str) -> str:
        if item in own:
            return "what the campaign is about"
        if item in denied:
            return "on the deny list"
        if only is not None and item not in only:
            return "not on the allow list"
        at = bought.get(item)
        if at is not None and rules.purchased is not None:
            if not rules.purchased:
                return "bought before"
            if now - at < rules.purchased:
                return "bought lately"
        if rows is None:
            return ""
        row = rows.get(item)
        if row is None:
            return "not in the catalog"
        of_row = {it.casefold() for it in categories_of(row)} if categories or unread else ()
        if unread.intersection(of_row):
            return "of a sensitive category"
        if rules.is_out_of_stock_hidden and row.get("in_stock") is False:
            return "out of stock"
        if categories.intersection(of_row):
            return "of an excluded category"
        return _price(row.get("price"), least, most) if has_price_rule else ""

    return why_not


def categories_of(row: Mapping[str, Any]) -> list[str]:
    """The categories of an item as texts; the first is the one lists are kept mixed by."""
    value = row.get("category")
    several = value if isinstance(value, list | tuple) else (value,)
    return [str(it).strip() for it in several if it not in (None, "")]


def _price(price: object, least: float | None, most: float | None) -> str:
    # A price that is missing or no number satisfies no rule about prices: better hidden than wrong.
    if isinstance(price, bool) or not isinstance(price, int | float) or price != price:
        return "without a price"
    if least is not None and price < least:
        return "too cheap"
    if most is not None and price > most:
        return "too dear"
    return ""
