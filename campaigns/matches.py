"""Event matches as written -> the core's, each path checked against what the event's file declares.

An event that no file declares, a property it does not have and a `where` on what is pii are
reported at their lines; nothing is raised.
"""

from collections.abc import Mapping, Sequence

from campaigns.declarations import Declarations
from campaigns.event_forms import Where
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.schema import PropertyForm
from engine.core.model.conditions import EventMatch, Filter


def compile_match(declarations: Declarations, event: Text, where: Where, file: str) -> EventMatch:
    """Events of a name, with their filters."""
    if declarations.events and event not in declarations.events:
        hint = advice(event, declarations.events)
        declarations.report(
            file, event.line, str(event), f'the event "{event}" is not declared in events/.{hint}'
        )
    filters = []
    for path, asking in where.items():
        declared, is_pii = property_type(declarations, event, path, file)
        if is_pii and any(asked.operator != "exists" for asked in asking):
            declarations.report(
                file,
                path.line,
                str(path),
                f'"{path}" is pii: only `exists` can be asked of it. Send what you need to '
                "compare as a property of its own, such as email_domain.",
            )
            continue
        comparisons = declarations.asked(path, asking, declared, file)
        filters.append(Filter(tuple(path.split(".")), comparisons))
    return EventMatch(str(event), tuple(filters))


def check_path(
    declarations: Declarations, event: Text, path: Text, file: str, *, numeric: bool = False
) -> None:
    """Report a path that this event does not have, or that holds no number."""
    declared, _ = property_type(declarations, event, path, file)
    if numeric and declared not in (None, "number", "integer"):
        declarations.report(
            file, path.line, str(path), f'"{path}" is a {declared}; a number is needed.'
        )


def property_type(
    declarations: Declarations, event: Text, path: Text, file: str
) -> tuple[str | None, bool]:
    """The declared type of a path of an event, and whether it is pii."""
    root, *rest = path.split(".")
    declared = declarations.workspace.events.get(str(event))
    if root not in ("properties", "context") or not rest:
        meant = f"properties.{path}"
        declarations.report(
            file,
            path.line,
            str(path),
            f'the path "{path}" starts at neither properties nor context. Did you mean "{meant}"?',
        )
        return None, False
    if declared is None or root == "context":
        return None, False
    return _inside(declarations, declared.properties, rest, path, event, file)


def _inside(
    declarations: Declarations,
    properties: Mapping[Text, PropertyForm],
    parts: Sequence[str],
    path: Text,
    event: Text,
    file: str,
) -> tuple[str | None, bool]:
    known = {str(name): form for name, form in properties.items()}
    name, *rest = parts
    if name not in known:
        hint = advice(name, known)
        declarations.report(
            file,
            path.line,
            str(path),
            f'the event "{event}" declares no property "{name}".{hint}',
        )
        return None, False
    form = known[name]
    if form.type == "list" and rest and (rest[0] == "*" or rest[0].isdecimal()):
        rest = rest[1:]
        if not rest:
            return None, form.pii
    if not rest:
        return form.type, form.pii
    if form.type not in ("list", "object"):
        declarations.report(
            file,
            path.line,
            str(path),
            f'the property "{name}" of "{event}" is a {form.type}; it has nothing inside.',
        )
        return None, form.pii
    if not form.properties:
        return None, form.pii
    return _inside(declarations, form.properties, rest, path, event, file)
