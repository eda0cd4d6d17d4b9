"""The blocks `{% picks … %}` and `{% feed … %}`: products in a message, and what to do if few.

    {% picks 4 if_fewer="fill" fallback="bestsellers" as pick %} … {% endpicks %}
    {% feed "new-in" 4 category="tea" in_stock=true if_fewer="skip" as item %} … {% endfeed %}

Each becomes a loop over at most that many rows, so that the bounds on loops hold for it. The rows
are chosen when the message is rendered, which is when it is sent: a price that changed while it
waited is the new one. `{% else %}` prints something where there are none. What fills picks up obeys
the exclusions of the recommender that made them (`engine.sending.repicking`).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from msgspec import Struct

from channels.content.feeds import ITEMS_MAX, Feed, Row
from channels.content.limits import RenderError, TooFew

IF_FEWER: Final = ("hide", "fill", "skip")
_OPTIONS: Final = ("if_fewer", "fallback")

HIDDEN: Final = "hidden"
"""Of the note that a journey keeps beside its picks: by feed, ids that must not fill them up."""

_SEEN_PER_ROW: Final = 10
"""Products that may be looked at for the work of one row of a loop: they cost so much less."""


class FeedUse(Struct, frozen=True):
    """A block that reads a feed: its name, the columns it asks about, and `file:line`.

    `fills_picks` where it takes the places that picks leave open.
    """

    name: str
    columns: tuple[str, ...]
    where: str
    fills_picks: bool = False


class Blocks(Extension):
    """Reads both blocks into a `for` over a call that no author can write."""

    tags = {"picks", "feed"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        token = next(parser.stream)
        kind, line = str(token.value), token.lineno
        feed = str(parser.stream.expect("string").value) if kind == "feed" else ""
        count = parser.stream.expect("integer").value
        if not 1 <= int(count) <= ITEMS_MAX:
            parser.fail(f"{kind} takes 1 to {ITEMS_MAX} products, not {count}", line)
        options, filters = self._arguments(parser, kind, line)
        if options["if_fewer"] == "fill" and kind == "picks" and not options["fallback"]:
            message = 'picks filled up need a feed to take from: fallback="bestsellers"'
            parser.fail(message, line)
        target = self._target(parser, kind, line)
        body = parser.parse_statements(("name:else", f"name:end{kind}"))
        otherwise: list[nodes.Node] = []
        if next(parser.stream).value == "else":
            otherwise = parser.parse_statements((f"name:end{kind}",), drop_needle=True)
        chosen = nodes.Call(
            nodes.EnvironmentAttribute("products"),
            [
                nodes.ContextReference(),
                *(nodes.Const(it) for it in (feed, count, options["if_fewer"])),
                nodes.Const(options["fallback"]),
            ],
            filters,
            None,
            None,
        )
        return nodes.For(target, chosen, body, otherwise, None, False).set_lineno(line)

    def _arguments(
        self, parser: Parser, kind: str, line: int
    ) -> tuple[dict[str, str], list[nodes.Keyword]]:
        options = {"if_fewer": "hide", "fallback": ""}
        filters: list[nodes.Keyword] = []
        given: set[str] = set()
        while parser.stream.current.test_any("name", "comma"):
            if parser.stream.skip_if("comma"):
                continue
            if parser.stream.current.test("name:as"):
                break
            key = str(next(parser.stream).value)
            parser.stream.expect("assign")
            value = parser.parse_unary()
            if key in given:
                parser.fail(f'{kind}: "{key}" is there twice', line)
            given.add(key)
            if key not in _OPTIONS:
                if kind == "picks":
                    parser.fail(f'picks takes if_fewer and fallback, not "{key}"', line)
                filters.append(nodes.Keyword(key, value))
            elif not isinstance(value, nodes.Const) or not isinstance(value.value, str):
                parser.fail(f"{kind}: {key} is a text in quotes", line)
            else:
                options[key] = value.value
        if options["if_fewer"] not in IF_FEWER:
            found = options["if_fewer"]
            parser.fail(f'if_fewer is one of {", ".join(IF_FEWER)}, not "{found}"', line)
        return options, filters

    def _target(self, parser: Parser, kind: str, line: int) -> nodes.Expr:
        if not parser.stream.skip_if("name:as"):
            parser.fail(f'{kind} ends in "as" and a name, as in {{% {kind} … as item %}}', line)
        return parser.parse_assign_target(name_only=True)


def is_block_call(node: nodes.Call) -> bool:
    """Whether a call was made by a block."""
    return isinstance(node.node, nodes.EnvironmentAttribute)


def reads_picks(tree: nodes.Template) -> bool:
    """Whether a template has the block of picks."""
    for call in tree.find_all(nodes.Call):
        if is_block_call(call):
            name = call.args[1]
            assert isinstance(name, nodes.Const)
            if not name.value:
                return True
    return False


def feed_uses(tree: nodes.Template, place: Callable[[int], str]) -> Iterator[FeedUse]:
    """Every feed that a template reads."""
    for call in tree.find_all(nodes.Call):
        if not is_block_call(call):
            continue
        name, fallback = call.args[1], call.args[4]
        assert isinstance(name, nodes.Const)
        assert isinstance(fallback, nodes.Const)
        if name.value:
            columns = tuple(str(it.key) for it in call.kwargs if isinstance(it, nodes.Keyword))
            yield FeedUse(str(name.value), columns, place(call.lineno))
        if fallback.value:
            yield FeedUse(str(fallback.value), (), place(call.lineno), not name.value)


# --- at render ----------------------------------------------------------------------------------


def products(
    context: Context, feed: str, count: int, if_fewer: str, fallback: str, /, **filters: Any
) -> list[Row]:
    """The rows of one block.

    Raises:
        TooFew: There are not enough and the block says `skip`.
    """
    found = _of_feed(context, feed, filters) if feed else _picks(context)
    if len(found) >= count:
        return found[:count]
    if if_fewer == "fill":
        return _filled(context, found, count, feed=feed, fallback=fallback)
    if if_fewer == "skip":
        one = "" if count == 1 else "s"
        what = f"product{one} of {feed}" if feed else f"pick{one}"
        raise TooFew(f"fewer than {count} {what}")
    return []


def _picks(context: Context) -> list[Row]:
    """What a recommendation left for this person; none is none, not a missing value."""
    picks = context.get("picks")
    return [pick for pick in picks if type(pick) is dict] if type(picks) is list else []


def _of_feed(context: Context, name: str, filters: dict[str, Any]) -> list[Row]:
    for column, value in filters.items():
        str(value)  # a missing value is named here
        if not isinstance(value, str | bool | int | float):
            raise RenderError(f"feed: {column} is compared with a text, a number, true or false")
    found, n_seen = _feed(context, name).chosen(tuple(sorted(filters.items())))
    context["_work"].spend(n_seen // _SEEN_PER_ROW)
    return found


def _feed(context: Context, name: str) -> Feed:
    feed = context.get("_feeds", {}).get(name)
    if not isinstance(feed, Feed):
        raise RenderError(f'there is no feed "{name}" in catalog/')
    return feed


def _filled(
    context: Context, found: list[Row], count: int, *, feed: str, fallback: str
) -> list[Row]:
    """Topped up in the feed's order, nothing twice, nothing that is out of stock.

    What fills up picks is a pick, too: what its recommender hides from this person is passed over.
    Without a fallback a feed fills up from itself: the other filters are let go.
    """
    unseen = {str(row.get("id")) for row in found}
    if not feed:
        unseen |= _hidden(context, fallback)
    more = _feed(context, fallback or feed).in_stock()
    return [*found, *(row for row in more if str(row["id"]) not in unseen)][:count]


def _hidden(context: Context, feed: str) -> set[str]:
    """Ids of a feed that were found, as the message was made, not to be shown to this person."""
    note = context.get("_picks", {}).get("picks", {})
    return set(note.get(HIDDEN, {}).get(feed, ()))
