"""`${env:NAME}` and `${file:/path}` in antiphon.yaml: found, filled in, never shown.

Only settings of channels and connections may hold them, and the url and headers of webhook steps
(`${env:…}` alone), which stay as written until the call. A filled value is a `Secret`, whose repr
hides it; messages name the variable or the file, never what it held.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from campaigns.problems import Problem
from campaigns.reading import List, Map, Text, scalar

PLACEHOLDER: Final = re.compile(r"\$\{(env|file):([^}:]+)(?::-([^}]*))?\}")
_ANY: Final = re.compile(r"\$\{")


class Secret(str):
    """A value from outside the workspace; printing its repr shows nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"


def fill_secrets(
    tree: Map, *, file: str, read: Callable[[str, str], str | None] | None
) -> tuple[Map, list[Problem]]:
    """A copy of antiphon.yaml's tree with its secrets filled in, and what is wrong with them.

    Args:
        read: Gives the value of ("env", NAME) or ("file", path), None if it is not there.
            Without it the placeholders stay as they are.
    """
    problems: list[Problem] = []
    filled = _copy(tree)
    for place, holder, key in _settings(filled):
        holder[key] = _filled(holder[key], place, file=file, read=read, problems=problems)
    allowed = {id(holder[key]) for _, holder, key in _settings(filled)}
    _refuse_elsewhere(filled, file=file, problems=problems, allowed=frozenset(allowed))
    return filled, problems


def refuse_secrets(
    tree: Map, *, file: str, read: Callable[[str, str], str | None] | None = None
) -> list[Problem]:
    """Placeholders in a file where none may stand, and those of webhooks that nothing fills.

    Args:
        read: As for `fill_secrets`; without it nobody asks whether the variables are set.
    """
    problems: list[Problem] = []
    texts = list(_webhook_texts(tree))
    for text in texts if read is not None else ():
        assert read is not None
        try:
            fill_text(text, read=read)
        except LookupError as missing:
            why = f"this webhook needs the variable {missing.args[0]}, which is not set."
            problems.append(Problem(file, text.line, str(missing.args[0]), why))
    _refuse_elsewhere(
        tree, file=file, problems=problems, allowed=frozenset(id(text) for text in texts)
    )
    return problems


def fill_text(text: str, *, read: Callable[[str, str], str | None]) -> Secret:
    """A text with its placeholders filled in.

    Raises:
        LookupError: Naming the variable that is not set and has no default.
    """

    def replace(match: re.Match[str]) -> str:
        kind, name, default = match.groups()
        found = read(kind, name)
        if found is None and default is None:
            raise LookupError(name)
        return default or "" if found is None else found

    return Secret(PLACEHOLDER.sub(replace, text))


def _webhook_texts(tree: Any) -> Iterator[Text]:
    """The url and headers of every webhook step: maps in a list under the key `webhook`."""
    for value in tree.values() if isinstance(tree, Map) else tree if isinstance(tree, List) else ():
        webhook = value.get("webhook") if isinstance(value, Map) else None
        if isinstance(tree, List) and isinstance(webhook, Map):
            headers = webhook.get("headers")
            parts = [webhook.get("url"), *(headers.values() if isinstance(headers, Map) else ())]
            yield from (part for part in parts if isinstance(part, Text))
        else:
            yield from _webhook_texts(value)


def _settings(tree: Map) -> list[tuple[str, Map, str]]:
    found: list[tuple[str, Map, str]] = []
    channels = tree.get("channels")
    if isinstance(channels, Map):
        for name, channel in channels.items():
            if isinstance(channel, Map):
                keys = [key for key in channel if key not in ("provider", "kind")]
                found += [(f"channels.{name}.{key}", channel, key) for key in keys]
    connections = tree.get("connections")
    if isinstance(connections, Map):
        found += [(f"connections.{name}", connections, name) for name in connections]
    return found


def _filled(
    value: Any,
    place: str,
    *,
    file: str,
    read: Callable[[str, str], str | None] | None,
    problems: list[Problem],
) -> Any:
    if isinstance(value, Map):
        for key in value:
            value[key] = _filled(
                value[key], f"{place}.{key}", file=file, read=read, problems=problems
            )
        return value
    if isinstance(value, List):
        value[:] = [_filled(item, place, file=file, read=read, problems=problems) for item in value]
        return value
    if not isinstance(value, Text) or not _ANY.search(value):
        return scalar(value) if isinstance(value, Text) else value
    line = value.line

    def replace(match: re.Match[str]) -> str:
        kind, name, default = match.groups()
        assert read is not None
        found = read(kind, name)
        if found is None and default is None:
            what = "variable" if kind == "env" else "file"
            problems.append(
                Problem(
                    file,
                    line,
                    match[0],
                    f"{place} needs the {what} {name}, which is not "
                    f"{'set' if kind == 'env' else 'readable'}.",
                )
            )
        return default or "" if found is None else found

    rest = PLACEHOLDER.sub("", value)
    if _ANY.search(rest):
        problems.append(
            Problem(
                file,
                line,
                "",
                f"{place}: this is not a placeholder that is known. Write ${{env:NAME}}, "
                "${env:NAME:-default} or ${file:/path}.",
            )
        )
        return value
    return value if read is None else Secret(PLACEHOLDER.sub(replace, value))


def _refuse_elsewhere(
    tree: Any, *, file: str, problems: list[Problem], allowed: frozenset[int] = frozenset()
) -> None:
    if id(tree) in allowed:
        return
    if isinstance(tree, Map | List):
        for value in tree.values() if isinstance(tree, Map) else tree:
            _refuse_elsewhere(value, file=file, problems=problems, allowed=allowed)
    elif isinstance(tree, Text) and (match := PLACEHOLDER.search(tree)):
        problems.append(
            Problem(
                file,
                tree.line,
                match[0],
                f"{match[0]} is read only in antiphon.yaml, in the settings of channels and "
                "connections, and in the url and headers of webhook steps.",
            )
        )


def _copy(tree: Any) -> Any:
    if isinstance(tree, Map):
        copied = Map(line=tree.line)
        copied.key_lines = tree.key_lines
        for key, value in tree.items():
            copied[key] = _copy(value)
        return copied
    if isinstance(tree, List):
        items = List(line=tree.line)
        items.extend(_copy(value) for value in tree)
        return items
    return tree
