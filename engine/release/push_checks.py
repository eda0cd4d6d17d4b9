"""What a push template says that no vendor understands, told while the workspace is read.

Not when a template is compiled: one that has been live for years is played as it was.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from campaigns.problems import Problem
from channels.base import OutMessage
from channels.content.templates import CompiledTemplate, Part
from channels.push.content import key_problem, read_push


def push_problems(
    templates: Mapping[tuple[str, str], CompiledTemplate], files: Mapping[str, bytes]
) -> Iterator[Problem]:
    """Keys that are none, and values that cannot be what their key says; one a template's file."""
    for (channel, _), template in templates.items():
        if channel != "push":
            continue
        for version in template.locales.values():
            title = version.data.get("title")
            if isinstance(title, Part):
                yield from _in_file(version.data, title.where, files.get(title.where, b""))


def _in_file(data: Mapping[str, Any], file: str, source: bytes) -> Iterator[Problem]:
    unknown = key_problem(data)
    if unknown is not None:
        key, words = unknown
        yield Problem(file, _line(source, key), key, f"{words}.".replace("?.", "?"))
        return
    written = {key: value for key, value in data.items() if _is_literal(value)}
    texts = {key: each.source if isinstance(each, Part) else each for key, each in written.items()}
    try:
        read_push(OutMessage(0, "push", "", data={"title": "…", **texts}), now=0)
    except ValueError as error:
        key = str(error).split('"')[1]
        yield Problem(file, _line(source, key), key, f"{error}.")


def _is_literal(value: Any) -> bool:
    """Whether a value is the same for everybody. What `data` holds is anybody's."""
    if isinstance(value, Part):
        return "{{" not in value.source and "{%" not in value.source
    return not (isinstance(value, dict) and value)


def _line(source: bytes, key: str) -> int:
    at = source.decode("utf-8", "replace").find(json.dumps(key, ensure_ascii=False))
    return source[: max(at, 0)].count(b"\n") + 1
