"""Values of YAML that are computed: `"{{ profile.points + 10 }}"`.

The same rules as templates, with one difference: a string that is one whole expression keeps its
type, and null is a value. Text around an expression makes a string.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import nodes

from channels.content.filters import Manner
from channels.content.limits import RenderError
from channels.content.template_checks import (
    CALLS,
    Checked,
    check_expression,
    compiled,
    names_read,
    parse,
)
from channels.content.templating import VALUE, result_of, run
from channels.content.values import call_names, iso_now
from engine.core.errors import CampaignError
from engine.core.model.steps import Expression


def compile_expression(text: str, *, where: str = "expression") -> Expression | str:
    """A text of YAML as a checked Expression, or as itself where nothing in it is computed.

    Raises:
        CampaignError: It is not an expression we allow.
    """
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return text
    return Expression(text, _compiled(text, where)[0].reads)


def evaluate(expression: Expression, context: Mapping[str, Any]) -> Any:
    """The value of an expression over plain data; the core's `Evaluate`.

    Args:
        context: profile, event, campaign, variants (experiment to variant), now, and what the
            campaign saved. `now` is an instant or ISO text, and read as ISO text. `locale`,
            `zone` and `currency`, if there, say how money and dates are written.
    Raises:
        LookupError: A value it reads is missing.
        RenderError: A value does not fit what is done with it.
    """
    checked, is_whole = _compiled(expression.source, "expression", False)
    manner = Manner(
        context.get("locale"), context.get("zone") or "UTC", context.get("currency") or ""
    )
    values = {**context, "_manner": manner, **call_names(context, link=_no_link)}
    values["now"] = iso_now(context)
    return result_of(checked.template, values) if is_whole else run(checked.template, values)


def _no_link(url: str) -> str:
    raise RenderError("link() belongs in templates, not in values of YAML")


@lru_cache(maxsize=4096)
def _compiled(source: str, where: str, is_strict: bool = True) -> tuple[Checked, bool]:
    """The expression compiled, and whether it is one whole expression.

    Args:
        is_strict: Refuse unknown names. A campaign's are known to its check (a webhook's answer
            has the name its step gave it): there an unknown one is a value that is missing.
    """
    tree = parse(source, VALUE, where=where)
    saved = () if is_strict else names_read(tree) - {*CALLS, "loop"}
    check_expression(tree, where=where, saved=saved)
    whole = _whole(tree)
    if whole is None:
        if any(True for _ in tree.find_all((nodes.For, nodes.Assign))):
            raise CampaignError(f"{where}: a value of YAML is an expression, without for and set")
        return compiled(tree, VALUE), False
    # One whole expression: assign it instead of printing it, so that it keeps its type.
    assignment = nodes.Assign(nodes.Name("result", "store"), whole)
    return compiled(nodes.Template([assignment]), VALUE), True


def _whole(tree: nodes.Template) -> nodes.Expr | None:
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return None
    printed = [
        node
        for node in tree.body[0].nodes
        if not (isinstance(node, nodes.TemplateData) and not node.data.strip())
    ]
    if len(printed) != 1 or isinstance(printed[0], nodes.TemplateData):
        return None
    return printed[0]
