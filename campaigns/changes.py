"""One change of a plan, and how two trees of YAML differ, in words. Read next: `plan`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, ndiff
from typing import Any, Final, Literal

from campaigns.metric_forms import MetricFile
from campaigns.reading import shorten
from campaigns.step_forms import STEPS

Kind = Literal["+", "~", "-"]

QUERY_LINES_MAX: Final = 8
"""Of one query; a plan is read by people."""


@dataclass(frozen=True)
class Change:
    """One construct that comes, changes or goes.

    Attributes:
        construct: settings, event, segment, metric, template, list, campaign, experiment or
            test.
        details: What changed, one sentence each.
        opens_phase: An experiment's design changed: only units never exposed see the new one.
        version: A campaign's new version; "" where its people stay on the one they have.
    """

    kind: Kind
    construct: str
    name: str
    details: tuple[str, ...] = ()
    opens_phase: bool = False
    version: str = ""

    @property
    def detail(self) -> str:
        return "; ".join(self.details)


def trees_changed(old: Mapping[str, Any], new: Mapping[str, Any], named: str) -> tuple[str, ...]:
    """One sentence for each difference of two files, but for the key that names them."""
    details: list[str] = []
    for key in (*old, *(key for key in new if key not in old)):
        if key != named:
            details += changed(key, old.get(key), new.get(key))
    return tuple(details)


def changed(path: str, old: Any, new: Any) -> Iterator[str]:
    """One sentence for each smallest part that differs."""
    if old == new:
        return
    if old is None:
        yield f"{path}: {_shown(new)} is new"
    elif new is None:
        yield f"{path}: {_shown(old)} is gone"
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            yield from changed(f"{path}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changed(path, old, new)
    else:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def query_changed(
    before: MetricFile, old: Mapping[str, bytes], after: MetricFile, new: Mapping[str, bytes]
) -> tuple[str, ...]:
    """The lines of a metric's query that come and go, where it is another text under one name."""
    if before.source is None or after.source is None or before.source.query != after.source.query:
        return ()
    path = str(after.source.query)
    was, now = (
        files.get(path, b"").decode("utf-8", "replace").splitlines() for files in (old, new)
    )
    lines = [line for line in ndiff(was, now) if line[0] in "+-"]
    shown = [f"{path}: {line[0]} {shorten(line[2:].strip(), 80)}" for line in lines]
    if len(shown) > QUERY_LINES_MAX:
        left = len(shown) - QUERY_LINES_MAX
        shown[QUERY_LINES_MAX:] = [f"{path}: {left:,} more lines differ"]
    return tuple(shown)


def _list_changed(path: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    """Entries are matched by their id, or by what kind of step they are and their place."""
    labels_old, labels_new = _labels(old), _labels(new)
    matcher = SequenceMatcher(a=labels_old, b=labels_new, autojunk=False)
    for word, a0, a1, b0, b1 in matcher.get_opcodes():
        if word == "equal":
            for a, b in zip(range(a0, a1), range(b0, b1), strict=True):
                yield from changed(f"{path}.{labels_new[b]}", old[a], new[b])
            continue
        for a in range(a0, a1):
            yield f"{path}.{labels_old[a]}: {_shown(old[a])} is gone"
        for b in range(b0, b1):
            yield f"{path}.{labels_new[b]}: {_shown(new[b])} is new"


def _labels(items: list[Any]) -> list[str]:
    labels: list[str] = []
    for item in items:
        if not isinstance(item, dict):
            labels.append(str(item))
            continue
        kind = next((key for key in STEPS if key in item), None) or next(iter(item), "")
        labels.append(str(item.get("id") or kind))
    return labels


def keys_changed(place: str, old: Any, new: Any) -> Iterator[str]:
    """Only which settings differ: their values may be secrets that someone wrote out."""
    was, now = (dict(each) if isinstance(each, dict) else {} for each in (old, new))
    for name in (*was, *(name for name in now if name not in was)):
        if name not in was:
            yield f"{place}.{name} is new"
        elif name not in now:
            yield f"{place}.{name} is gone"
        elif was[name] != now[name]:
            a, b = was[name], now[name]
            if isinstance(a, dict) and isinstance(b, dict):
                keys = sorted(key for key in {*a, *b} if a.get(key) != b.get(key))
                yield f"{place}.{name}: {', '.join(keys)} changed"
            else:
                yield f"{place}.{name} changed"


def _shown(tree: Any) -> str:
    return shorten(_flow(tree), 80)


def _flow(tree: Any) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key}: {_flow(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(_flow(value) for value in tree) + "]"
    return str(tree)
