"""What templates and expressions may call, and how they read the present instant."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from channels.content.templating import Missing
from engine.core.model.instants import SECOND


def call_names(context: Mapping[str, Any], *, link: Callable[[str], str]) -> dict[str, Any]:
    """The functions `variant(experiment)` and `link(url)` for one rendering."""
    variants = context.get("variants") or {}

    def variant(experiment: Any) -> Any:
        found = variants.get(experiment) if isinstance(experiment, str) else None
        return Missing(name=f"variant('{experiment}')") if found is None else found

    return {"variant": variant, "link": link}


def iso_now(context: Mapping[str, Any]) -> Any:
    """`now` as ISO 8601 text, whether the core gave an instant or a text."""
    now = context.get("now")
    if type(now) is not int:
        return Missing(name="now") if now is None else now
    at = datetime.fromtimestamp(now // SECOND, UTC)
    micros = f".{now % SECOND:06}" if now % SECOND else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{micros}Z"
