"""Jinja in a cage: plain data in, bounded text out, and a name for every value that is missing.

Three environments share one rule book (`template_checks`): `html` escapes, `plain` does not, and
`value` evaluates expressions of YAML. In the first two a null or blank value counts as missing,
so that nobody is greeted "Hi ,"; in the third null is a value.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from jinja2 import Environment, Undefined, nodes
from jinja2 import Template as JinjaTemplate
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import missing
from markupsafe import Markup, escape

from channels.content.blocks import Blocks, products
from channels.content.filters import FILTERS
from channels.content.limits import (
    LOOP_WORK,
    NUMBER_MAX,
    OUTPUT_CHARS,
    TEXT_CHARS,
    MissingValue,
    RenderError,
    TooCostly,
)


class Missing(Undefined):
    """A value that is not there. It is false and equals nothing but null; all else raises."""

    __slots__ = ()

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = None
    ) -> None:
        super().__init__(hint, obj, name)

    def fail(self, *_: Any, **__: Any) -> Any:
        raise MissingValue(str(self._undefined_name))

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Missing)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(Missing)

    # mypy: Undefined types these as always raising, and so does `fail`.
    __str__ = __iter__ = __len__ = __contains__ = fail
    __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = fail
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = fail
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = fail
    __neg__ = __pos__ = __call__ = __getitem__ = fail


class _Generator(CodeGenerator):
    """Compiles reads so that they know their whole path, and `~` so that it is bounded."""

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802
        self._read(node, node.node, frame)
        self.write(f", {node.attr!r}, {dotted(node)!r})")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        self._read(node, node.node, frame)
        self.write(", ")
        self.visit(node.arg, frame)
        self.write(f", {dotted(node)!r})")

    def _read(self, node: nodes.Expr, inner: nodes.Expr, frame: Frame) -> None:
        self.write("environment.read(")
        self.visit(inner, frame)

    def visit_Call(  # noqa: N802
        self, node: nodes.Call, frame: Frame, forward_caller: bool = False
    ) -> None:
        # Only our own functions can be called (`template_checks`), so nothing has to ask at each
        # call, as the sandbox does, whether this one may.
        self.visit(node.node, frame)
        self.write("(")
        for argument in node.args:
            self.visit(argument, frame)
            self.write(", ")
        if node.kwargs:
            self.write("**{")
            for keyword in node.kwargs:
                self.write(f"{keyword.key!r}: ")
                self.visit(keyword.value, frame)
                self.write(", ")
            self.write("}")
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.concatenate((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


def dotted(node: nodes.Node) -> str:
    """A read as its author would write it: `event.items.0.name`."""
    match node:
        case nodes.Name():
            return str(node.name)
        case nodes.Getattr():
            return f"{dotted(node.node)}.{node.attr}"
        case nodes.Getitem():
            key = node.arg.value if isinstance(node.arg, nodes.Const) else "*"
            return f"{dotted(node.node)}.{key}"
        case nodes.Filter() if node.node is not None:
            return dotted(node.node)
    return "(…)"


class Cage(SandboxedEnvironment):
    """One environment. `is_blank_missing`: null and blank texts count as missing."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    products = staticmethod(products)

    def __init__(self, *, escapes: bool, is_blank_missing: bool) -> None:
        super().__init__(
            autoescape=escapes,
            undefined=Missing,
            finalize=shown,
            auto_reload=False,
            cache_size=0,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[Blocks],
        )
        self.is_blank_missing = is_blank_missing
        self.escapes = escapes
        self.filters = dict(FILTERS)
        self.tests = {name: self.tests[name] for name in TESTS}
        self.globals = {}

    def read(self, obj: Any, key: Any, path: str) -> Any:
        """One step into plain data; anything that is not plain data has nothing inside."""
        value: Any = None
        if type(obj) is dict:
            value = obj.get(key, missing)
        elif type(obj) is list and type(key) is int and -len(obj) <= key < len(obj):
            value = obj[key]
        elif isinstance(obj, LoopContext) and key in LOOP_FIELDS:
            return getattr(obj, key)
        else:
            return Missing(name=path)
        if value is missing:
            return Missing(name=path)
        if self.is_blank_missing and (value is None or (type(value) is str and not value.strip())):
            return Missing(name=path)
        return value

    def concatenate(self, parts: Iterable[Any]) -> str:
        shown_parts = [shown(part) for part in parts]
        text = (
            Markup("").join(map(escape, shown_parts))
            if self.escapes
            else "".join(map(str, shown_parts))
        )
        if len(text) > TEXT_CHARS:
            raise TooCostly(f"a text put together has more than {TEXT_CHARS:,} characters")
        return text

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers, and + on texts: nothing that grows without bound."""
        for operand in (left, right):
            if isinstance(operand, Missing):
                operand.fail()
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return self.concatenate((left, right))
        if not (_is_number(left) and _is_number(right)) or operator == "**":
            raise RenderError(f"{operator} works on two numbers here")
        try:
            result = self.binop_table[operator](left, right)
        except ArithmeticError as error:
            raise RenderError(f"{operator} cannot be computed: {error}") from None
        if not abs(result) < NUMBER_MAX:
            raise TooCostly("a number is larger than 2**63")
        return result

    def getattr(self, obj: Any, attribute: str) -> Any:
        raise RenderError("attributes are read by `read` alone")

    def getitem(self, obj: Any, argument: Any) -> Any:
        raise RenderError("items are read by `read` alone")


TESTS: Final = (
    "defined", "undefined", "none", "in", "even", "odd", "divisibleby", "string", "number",
    "eq", "ne", "lt", "le", "gt", "ge",
)  # fmt: skip
LOOP_FIELDS: Final = frozenset({"index", "index0", "revindex", "first", "last", "length"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> Any:
    """How a value is printed; a list, a map or null is not."""
    kind = type(value)
    if kind is str or kind is Markup or kind is int:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, Missing):
        return value.fail()
    words = {list: "a list", dict: "a map", type(None): "null"}
    raise RenderError(f"{words.get(kind, 'this')} cannot be printed")


class LoopWork:
    """Counts what the loops of one rendering cost, before they run."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = LOOP_WORK

    def rows(self, values: Any, weight: int) -> list[Any]:
        if isinstance(values, Missing):
            values.fail()
        if type(values) is not list:
            raise RenderError("a loop goes over a list")
        self.spend(len(values) * weight)
        return values

    def spend(self, n_rows: int) -> None:
        """Count work that is no loop's as so many rows."""
        self.left -= n_rows
        if self.left < 0:
            raise TooCostly("the template's loops have too many rows")


def run(template: JinjaTemplate, values: Mapping[str, Any], *, limit: int = OUTPUT_CHARS) -> str:
    """Render a checked template.

    Raises:
        MissingValue: A value it needs is not there.
        TooCostly: It wants more than `channels.content.limits` allows.
        RenderError: A value does not fit, such as a text compared with a number.
    """
    pieces: list[str] = []
    append, size = pieces.append, 0
    try:
        for piece in template.root_render_func(_context(template, values)):
            size += len(piece)
            if size > limit:
                raise TooCostly(f"the message has more than {limit:,} characters")
            append(piece)
    except RenderError:
        raise
    except _COMPLAINTS as error:
        raise _in_our_words(error) from error
    return "".join(pieces)


def result_of(template: JinjaTemplate, values: Mapping[str, Any]) -> Any:
    """The value of a template that consists of one assignment to `result`."""
    context = _context(template, values)
    try:
        for _ in template.root_render_func(context):
            pass
    except RenderError:
        raise
    except _COMPLAINTS as error:
        raise _in_our_words(error) from error
    result = context.vars["result"]
    return result.fail() if isinstance(result, Missing) else result


def _context(template: JinjaTemplate, values: Mapping[str, Any]) -> Context:
    work = LoopWork()
    return template.new_context({**values, "_rows": work.rows, "_work": work})


_COMPLAINTS: Final = (
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
)


def _in_our_words(error: Exception) -> RenderError:
    if isinstance(error, RecursionError):
        return TooCostly("the template is nested too deeply")
    return RenderError(f"the template does not fit these values: {error}")


HTML: Final[Environment] = Cage(escapes=True, is_blank_missing=True)
PLAIN: Final[Environment] = Cage(escapes=False, is_blank_missing=True)
VALUE: Final[Environment] = Cage(escapes=False, is_blank_missing=False)
