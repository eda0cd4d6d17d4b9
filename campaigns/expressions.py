"""Values of `update` and `track`: literals as written, `"{{ … }}"` as expressions with their reads.

Only what an expression reads is found here, by its syntax; running it is the shell's business.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final

from jinja2 import Environment, TemplateSyntaxError, nodes

from campaigns.problems import advice
from campaigns.reading import Text, scalar
from engine.core.model.steps import Expression, Value

ROOTS: Final = ("profile", "event", "campaign", "now", "variant", "picks")
_DATA: Final = ("profile", "event", "picks")
_MARKS: Final = ("{{", "{%", "{#")
_SYNTAX: Final = Environment(autoescape=False)


def compile_value(tree: Any, *, saved: Collection[str] = ()) -> Value:
    """A value of YAML: maps and lists are kept, each text in them may be an expression.

    Args:
        saved: Names of webhooks' answers that it may read besides ROOTS.
    Raises:
        ValueError: If an expression is not one, or reads a name that does not exist.
    """
    if isinstance(tree, dict):
        return {str(key): compile_value(value, saved=saved) for key, value in tree.items()}
    if isinstance(tree, list):
        return [compile_value(value, saved=saved) for value in tree]
    if isinstance(tree, Text) and any(mark in tree for mark in _MARKS):
        return Expression(str(tree), reads(str(tree), saved=saved))
    return scalar(tree) if isinstance(tree, Text) else tree


def expressions_in(value: Value) -> Iterator[Expression]:
    """Every expression of a compiled value."""
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from expressions_in(inner)


def reads(source: str, *, saved: Collection[str] = ()) -> tuple[str, ...]:
    """The dotted paths of profile, event, picks and answers that it cannot do without.

    >>> reads("{{ profile.first_name | default('you') }} {{ event.cart_value * 2 }}")
    ('event.cart_value',)
    """
    tree = _parsed(source)
    for name in tree.find_all(nodes.Name):
        if name.name not in ROOTS and name.name not in saved:
            hint = advice(name.name, (*ROOTS, *saved))
            raise ValueError(f'"{name.name}" is not a name here.{hint}')
    return tuple(dict.fromkeys(_needed(tree, frozenset((*_DATA, *saved)))))


def variants_read(source: str) -> tuple[str, ...]:
    """The experiments whose variant an expression asks for: `variant('cart-nudge')`."""
    return tuple(
        str(call.args[0].value)
        for call in _parsed(source).find_all(nodes.Call)
        if isinstance(call.node, nodes.Name)
        and call.node.name == "variant"
        and len(call.args) == 1
        and isinstance(call.args[0], nodes.Const)
    )


def _parsed(source: str) -> nodes.Template:
    try:
        return _SYNTAX.parse(source)
    except (TemplateSyntaxError, RecursionError) as error:
        reason = error.message if isinstance(error, TemplateSyntaxError) else "too deeply nested"
        raise ValueError(f"this expression cannot be read: {reason}") from None


def _needed(node: nodes.Node, data: frozenset[str]) -> Iterator[str]:
    if isinstance(node, nodes.Filter) and node.name in ("default", "d"):
        for argument in node.args:
            yield from _needed(argument, data)
        return
    if isinstance(node, nodes.Test) and node.name in ("defined", "undefined"):
        return
    if isinstance(node, nodes.CondExpr | nodes.If):
        yield from _needed(node.test, data)
        return
    if path := _dotted(node):
        if path[0] in data:
            yield ".".join(path)
        return
    for child in node.iter_child_nodes():
        yield from _needed(child, data)


def _dotted(node: nodes.Node) -> tuple[str, ...] | None:
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        inner = _dotted(node.node)
        return (*inner, node.attr) if inner else None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        inner = _dotted(node.node)
        return (*inner, str(node.arg.value)) if inner else None
    return None
