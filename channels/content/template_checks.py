"""Reads a template before it runs: what it may contain, which values it cannot do without.

An allow-list of nodes, names, filters and tests; what is not on it is refused with its line. The
checked tree then has its loops counted and is handed to Jinja's compiler.
"""

from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from typing import Final, NoReturn

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2 import Template as JinjaTemplate
from msgspec import Struct

from channels.content.blocks import FeedUse, feed_uses, is_block_call, reads_picks
from channels.content.filters import FILTERS
from channels.content.limits import DEPTH, LOOP_DEPTH, NODES, SOURCE_CHARS
from channels.content.partials import Composed
from channels.content.templating import LOOP_FIELDS, TESTS, dotted
from engine.core.errors import CampaignError

DATA: Final = ("profile", "event", "picks")
"""Roots that come from the person and their history: what `requires` is about."""

NAMES: Final = (*DATA, "campaign", "now", "unsubscribe_url", "preferences_url", "confirm_url")
INNER: Final = ("_open_url",)
"""Names that only the pages we complete ourselves may read."""

CALLS: Final = {"variant": 1, "link": 1}
"""Functions and how many values each takes."""

_ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr,
    nodes.Getitem, nodes.Filter, nodes.Test, nodes.Call, nodes.Keyword, nodes.If, nodes.For,
    nodes.Assign, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
    nodes.Concat, nodes.List, nodes.Tuple,
    nodes.EnvironmentAttribute, nodes.ContextReference,  # only `blocks` can write these two
)  # fmt: skip
_WORDS: Final[dict[type[nodes.Node], str]] = {
    nodes.Pow: "** (power)", nodes.Dict: "a map in braces", nodes.Slice: "a slice [a:b]",
    nodes.Macro: "macro", nodes.Import: "import",
    nodes.FromImport: "from ... import", nodes.Extends: "extends", nodes.Block: "block",
    nodes.AssignBlock: "set ... endset", nodes.CallBlock: "call", nodes.FilterBlock: "filter block",
    nodes.With: "with", nodes.NSRef: "namespace",
}  # fmt: skip


_INCLUDE: Final = (
    "include takes the name of a partial in quotes, in the body of a template: "
    '{% include "footer" %} is _partials/footer beside it'
)


class Checked(Struct, frozen=True):
    """A template that passed, compiled, the dotted paths it reads and requires, and its feeds.

    `shows` names what of a journey it prints: `picks`, and what steps have saved.
    """

    template: JinjaTemplate
    reads: tuple[str, ...]
    requires: tuple[str, ...]
    feeds: tuple[FeedUse, ...] = ()
    shows: tuple[str, ...] = ()


Place = Callable[[int], str]
"""The author's `file:line` of a line of the text that is read."""


def check_and_compile(
    source: Composed, environment: Environment, *, ours: bool = False, saved: Collection[str] = ()
) -> Checked:
    """Compile a template's text.

    Args:
        ours: We completed this text ourselves and it may read the names in INNER.
        saved: Names under which webhooks save their answers: data, as that of the person.
    Raises:
        CampaignError: `file:line: what was found and what is allowed`.
    """
    feeds: tuple[FeedUse, ...] = ()
    if len(source.stretches) > 1:
        # Jinja knows lines only: first with each stretch on its own, for the place of a fault.
        for alone in source.by_file():
            text, places = alone.parted()
            _parse(text, environment, _listed(places))
        text, places = source.parted()
        feeds = _checked_tree(text, environment, _listed(places), ours, saved)[1]
    tree, found = _checked_tree(source.text, environment, _place_of(source), ours, saved)
    return compiled(tree, environment, saved=saved, feeds=feeds or found)


def _checked_tree(
    text: str, environment: Environment, place: Place, ours: bool, saved: Collection[str]
) -> tuple[nodes.Template, tuple[FeedUse, ...]]:
    tree = _parse(text, environment, place)
    _Checker(place, ours, saved).check(tree)
    return tree, tuple(feed_uses(tree, place))


def _listed(places: tuple[str, ...]) -> Place:
    return lambda line: places[min(line, len(places)) - 1]


def _place_of(source: Composed) -> Place:
    stretch = source.stretches[0]
    return lambda line: f"{stretch.file}:{stretch.line + line - 1}"


def parse(source: str, environment: Environment, *, where: str) -> nodes.Template:
    """The tree of an expression, unchecked."""
    return _parse(source, environment, _place_of(Composed.of(source, file=where)))


def _parse(source: str, environment: Environment, place: Place) -> nodes.Template:
    if len(source) > SOURCE_CHARS:
        raise CampaignError(
            f"{place(1)}: the template has {len(source):,} characters; "
            f"at most {SOURCE_CHARS:,} are allowed"
        )
    try:
        return environment.parse(source)
    except TemplateSyntaxError as error:
        raise CampaignError(f"{place(error.lineno)}: {error.message}") from None
    except RecursionError:
        raise CampaignError(f"{place(1)}: the template is nested too deeply") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise CampaignError(f"{place(1)}: {error}") from None


def names_read(tree: nodes.Template) -> frozenset[str]:
    """Every name that a tree reads, whether we know it or not."""
    return frozenset(node.name for node in _names(tree) if node.ctx == "load")


def check_expression(tree: nodes.Template, *, where: str, saved: Collection[str] = ()) -> None:
    """Refuse what an expression of YAML may not contain."""
    _Checker(_place_of(Composed.of("", file=where)), False, saved).check(tree)


def compiled(
    tree: nodes.Template,
    environment: Environment,
    *,
    saved: Collection[str] = (),
    feeds: tuple[FeedUse, ...] = (),
) -> Checked:
    """Count the loops of a checked tree and compile it."""
    roots = frozenset((*DATA, "campaign", *saved))
    reads = tuple(dict.fromkeys(_reads(tree, roots)))
    requires = tuple(dict.fromkeys(_requires(tree, roots)))
    shows = tuple(sorted(_shown(tree, frozenset(("picks", *saved)))))
    for loop in tree.find_all(nodes.For):
        weight = sum(1 for part in loop.body for _ in _walk(part)) + 1
        loop.iter = nodes.Call(
            nodes.Name("_rows", "load"), [loop.iter, nodes.Const(weight)], [], None, None
        )
    tree.set_environment(environment)
    tree.set_lineno(1)
    return Checked(environment.from_string(tree), reads, requires, feeds, shows)


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)


class _Checker:
    def __init__(self, place: Place, ours: bool, saved: Collection[str]) -> None:
        self.place = place
        self.saved = tuple(sorted(saved))
        self.names = {*NAMES, *saved, *(INNER if ours else ())}
        self.count = 0

    def check(self, tree: nodes.Template) -> None:
        self.own = _own_names(tree)
        self._visit(tree, 0, 0)

    def refuse(self, node: nodes.Node, message: str) -> NoReturn:
        raise CampaignError(f"{self.place(node.lineno)}: {message}")

    def _visit(self, node: nodes.Node, depth: int, loops: int) -> None:
        self.count += 1
        if self.count > NODES or depth > DEPTH:
            self.refuse(node, "the template is nested too deeply or has too many parts")
        if isinstance(node, nodes.Include):
            self.refuse(node, _INCLUDE)
        if not isinstance(node, _ALLOWED):
            word = _WORDS.get(type(node), type(node).__name__.lower())
            self.refuse(node, f"{word} is not part of the template language")
        match node:
            case nodes.Name():
                self._name(node)
            case nodes.Getattr():
                self._attribute(node)
            case nodes.Filter():
                if node.name not in FILTERS:
                    self.refuse(node, self._unknown("filter", node.name, list(FILTERS)))
                self._no_unpacking(node)
            case nodes.Test():
                if node.name not in TESTS:
                    self.refuse(node, self._unknown("test", node.name, list(TESTS)))
            case nodes.Call():
                self._call(node)
            case nodes.For():
                loops += 1
                if loops > LOOP_DEPTH or node.recursive:
                    self.refuse(node, f"loops may be nested {LOOP_DEPTH} deep and not recursive")
            case nodes.List() | nodes.Tuple() if not _is_target(node):
                if not all(isinstance(item, nodes.Const | nodes.Neg) for item in node.items):
                    self.refuse(node, "a list written in a template holds plain values only")
        for child in node.iter_child_nodes():
            if isinstance(node, nodes.Call) and child is node.node:
                continue
            self._visit(child, depth + 1, loops)

    def _name(self, node: nodes.Name) -> None:
        if node.ctx == "store":
            if node.name.startswith("_") or node.name in (*self.names, *CALLS, "loop"):
                self.refuse(node, f'"{node.name}" cannot be set')
        elif node.name in CALLS:
            self.refuse(node, f"{node.name} is a function: write {node.name}(...)")
        elif node.name not in self.names and node.name not in self.own and node.name != "loop":
            known = [*NAMES, *self.saved, *CALLS, *self.own]
            self.refuse(node, self._unknown("name", node.name, known))

    def _attribute(self, node: nodes.Getattr) -> None:
        if node.attr.startswith("_"):
            self.refuse(node, f'"{node.attr}": names that begin with _ cannot be read')
        is_loop = isinstance(node.node, nodes.Name) and node.node.name == "loop"
        if is_loop and node.attr not in LOOP_FIELDS:
            self.refuse(node, self._unknown("field of loop", node.attr, sorted(LOOP_FIELDS)))
        if isinstance(node.node, nodes.Const):
            self.refuse(node, "a plain value has no fields")

    def _call(self, node: nodes.Call) -> None:
        if is_block_call(node):
            return
        if not isinstance(node.node, nodes.Name) or node.node.name not in CALLS:
            found = dotted(node.node)
            self.refuse(node, self._unknown("function", found, list(CALLS)))
        self._no_unpacking(node)
        if node.kwargs or len(node.args) != CALLS[node.node.name]:
            self.refuse(node, f"{node.node.name} takes one value, as in {node.node.name}('…')")

    def _no_unpacking(self, node: nodes.Call | nodes.Filter) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self.refuse(node, "* and ** are not part of the template language")

    def _unknown(self, what: str, found: str, known: list[str]) -> str:
        near = get_close_matches(found, known, n=1)
        end = f'. Did you mean "{near[0]}"?' if near else ""
        return f'"{found}" is not a {what} of templates; these are: {", ".join(known)}{end}'


def _own_names(tree: nodes.Template) -> set[str]:
    """What it sets itself."""
    return {node.name for node in _names(tree) if node.ctx == "store"}


def _names(tree: nodes.Template) -> Iterator[nodes.Name]:
    """Every name in a tree. Without recursion: nothing has bounded its depth yet."""
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.Name):
            yield node
        waiting.extend(node.iter_child_nodes())


def _is_target(node: nodes.List | nodes.Tuple) -> bool:
    return isinstance(node, nodes.Tuple) and node.ctx == "store"


# --- what it reads ------------------------------------------------------------------------------


def _path(node: nodes.Node, roots: frozenset[str]) -> str | None:
    """The dotted path of a read that starts at the person's data, else None."""
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return None
    if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
        return None
    inner = node.node
    while isinstance(inner, nodes.Getattr | nodes.Getitem):
        inner = inner.node
    is_data = isinstance(inner, nodes.Name) and inner.name in roots
    return dotted(node) if is_data else None


def _reads(node: nodes.Node, roots: frozenset[str]) -> Iterator[str]:
    path = _path(node, roots)
    if path is not None:
        yield path
        return
    for child in node.iter_child_nodes():
        yield from _reads(child, roots)


def _shown(tree: nodes.Template, names: frozenset[str]) -> set[str]:
    """What steps have saved that is printed, by name or by the block of picks."""
    found = {node.name for node in _names(tree) if node.ctx == "load" and node.name in names}
    return found | ({"picks"} if reads_picks(tree) else set())


def _requires(node: nodes.Node, roots: frozenset[str]) -> Iterator[str]:
    """Paths that every rendering must have: outside conditions and without `default`."""
    match node:
        case nodes.If():
            return
        case nodes.For():
            yield from _requires(node.iter, roots)
            return
        case nodes.CondExpr():
            return
        case nodes.Or():
            yield from () if _path(node.left, roots) else _requires(node.left, roots)
            return
        case nodes.And():
            yield from _requires(node.left, roots)
            return
        case nodes.Not() | nodes.Test():
            return
        case nodes.Filter() if node.name == "default":
            return
    path = _path(node, roots)
    if path is not None:
        if not path.startswith("campaign"):
            yield path
        return
    for child in node.iter_child_nodes():
        yield from _requires(child, roots)
