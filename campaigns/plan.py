"""Two workspaces -> what changed, in words. Pure: whom it touches is the publisher's business.

Read the result as Terraform's: `+` comes, `~` changes, `-` goes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Any, Final, Literal

from campaigns.compile import campaign_versions, designs
from campaigns.experiment_plans import located
from campaigns.migrate_forms import NONE, MigrateForm
from campaigns.reading import shorten
from campaigns.step_forms import STEPS
from campaigns.workspace import SETTINGS_FILE, Workspace

Kind = Literal["+", "~", "-"]

_SECRET_PLACES: Final = ("channels", "connections")
_FOLDERS: Final = ("segments", "metrics", "campaigns", "events", "tests")


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


def difference(old: Workspace | None, new: Workspace, *, may_move: bool = True) -> list[Change]:
    """Every construct that differs, settings first, in a fixed order; empty if none does.

    Args:
        may_move: Whether `migrate:` is followed; a rollback moves nobody.
    """
    changes = [*_settings(old, new)]
    for folder in ("events", "segments", "metrics"):
        changes += _constructs(folder, old, new)
    changes += _templates(old, new)
    changes += _lists(old, new)
    changes += _catalog(old, new)
    changes += _campaigns(old, new, may_move=may_move)
    changes += _experiments(old, new)
    changes += _constructs("tests", old, new)
    return changes


Notes = Mapping[tuple[str, str], Sequence[str]]
"""What else is to be said of a change, by (construct, name): whom it touches."""


def render_plan(changes: Sequence[Change], notes: Notes = MappingProxyType({})) -> str:
    """The plan as text; the last line is `Plan: 1 to add, 2 to change, 0 to remove.`"""
    lines: list[str] = []
    for change in changes:
        head = f'{change.kind} {change.construct} "{change.name}"'
        if change.version:
            head += f" (version {change.version})"
        lines.append(head)
        said = (*change.details, *notes.get((change.construct, change.name), ()))
        lines += [f"    {detail}" for detail in said]
    counts = [sum(change.kind == kind for change in changes) for kind in ("+", "~", "-")]
    lines.append(f"Plan: {counts[0]} to add, {counts[1]} to change, {counts[2]} to remove.")
    return "\n".join(lines)


# --- constructs ---------------------------------------------------------------------------------


def _settings(old: Workspace | None, new: Workspace) -> Iterator[Change]:
    after = new.trees[SETTINGS_FILE]
    if old is None:
        yield Change("+", "settings", SETTINGS_FILE)
        return
    before = old.trees[SETTINGS_FILE]
    details: list[str] = []
    for key in (*before, *(key for key in after if key not in before)):
        if key in _SECRET_PLACES:
            details += _keys_changed(key, before.get(key), after.get(key))
        else:
            details += _changed(key, before.get(key), after.get(key))
    if details:
        yield Change("~", "settings", SETTINGS_FILE, tuple(details))


def _constructs(folder: str, old: Workspace | None, new: Workspace) -> Iterator[Change]:
    construct = folder.removesuffix("s")
    before = {} if old is None else getattr(old, folder)
    after = getattr(new, folder)
    for name in sorted({*before, *after}):
        if name not in before:
            yield Change("+", construct, name)
        elif name not in after:
            yield Change("-", construct, name)
        else:
            assert old is not None
            details = _trees_changed(
                old.trees[before[name].file], new.trees[after[name].file], construct
            )
            if details:
                yield Change("~", construct, name, details)


def _templates(old: Workspace | None, new: Workspace) -> Iterator[Change]:
    before = {} if old is None else old.templates
    for key in sorted({*before, *new.templates}):
        name = "/".join(key)
        if key not in before:
            yield Change("+", "template", name)
        elif key not in new.templates:
            yield Change("-", "template", name)
        elif old is not None and old.template_hash(*key) != new.template_hash(*key):
            paths = old.template_files(*key) | new.template_files(*key)
            differing = sorted(path for path in paths if old.files.get(path) != new.files.get(path))
            yield Change("~", "template", name, tuple(f"{path} changed" for path in differing))


def _lists(old: Workspace | None, new: Workspace) -> Iterator[Change]:
    before = {} if old is None else old.lists
    for name in sorted({*before, *new.lists}):
        if name not in before:
            yield Change("+", "list", name, (f"{len(new.lists[name].values):,} values",))
        elif name not in new.lists:
            yield Change("-", "list", name)
        elif before[name].column != new.lists[name].column:
            column = new.lists[name].column
            yield Change("~", "list", name, (f"{before[name].column} -> {column}",))
        else:
            left, here = set(before[name].values), set(new.lists[name].values)
            if left != here:
                detail = f"{len(here - left):,} values come, {len(left - here):,} go"
                yield Change("~", "list", name, (detail,))


def _catalog(old: Workspace | None, new: Workspace) -> Iterator[Change]:
    before = {} if old is None else old.catalog
    for name in sorted({*before, *new.catalog}):
        if name not in before:
            yield Change("+", "feed", name, (f"{len(new.catalog[name].rows):,} products",))
        elif name not in new.catalog:
            yield Change("-", "feed", name)
        elif before[name].rows != new.catalog[name].rows:
            left = {str(row["id"]): row for row in before[name].rows}
            here = {str(row["id"]): row for row in new.catalog[name].rows}
            n_changed = sum(left[key] != row for key, row in here.items() if key in left)
            detail = (
                f"products: {len(here.keys() - left.keys()):,} new, "
                f"{len(left.keys() - here.keys()):,} gone, {n_changed:,} changed"
            )
            yield Change("~", "feed", name, (detail,))


def _campaigns(old: Workspace | None, new: Workspace, *, may_move: bool) -> Iterator[Change]:
    before = {} if old is None else campaign_versions(old)
    after = campaign_versions(new)
    for name in sorted({*before, *after}):
        if name not in before:
            state = new.campaigns[name].state
            detail = () if state == "live" else (f"state: {state}",)
            yield Change("+", "campaign", name, detail, version=after[name])
        elif name not in after:
            detail = ("nobody enters any more; whoever is inside finishes",)
            yield Change("-", "campaign", name, detail)
        else:
            assert old is not None
            details = _trees_changed(
                old.trees[old.campaigns[name].file],
                new.trees[new.campaigns[name].file],
                "campaign",
            )
            is_new = before[name] != after[name]
            if is_new:
                migrate = new.campaigns[name].migrate if may_move else None
                details += (_fate(migrate, before[name]),)
            if details:
                yield Change("~", "campaign", name, details, version=after[name] if is_new else "")


def _fate(migrate: MigrateForm | None, version: str) -> str:
    """What becomes of the people inside, as far as the file says."""
    if migrate is None or migrate.from_ == NONE:
        return f"whoever is inside finishes on version {version}"
    return f"whoever is inside moves to this version (migrate: from {migrate.from_})"


def _experiments(old: Workspace | None, new: Workspace) -> Iterator[Change]:
    before = {} if old is None else designs(old)
    after = designs(new)
    coverage_before = {} if old is None else _plans(old)
    coverage_after = _plans(new)
    for name in sorted({*before, *after}):
        if name not in before:
            weights = ", ".join(f"{arm} {share}" for arm, share in _shares(after[name]))
            yield Change("+", "experiment", name, (weights,), opens_phase=True)
        elif name not in after:
            yield Change("-", "experiment", name, ("its phase ends; what it gathered stays",))
        else:
            reasons = _design_changes(before[name], after[name])
            was, now = coverage_before[name], coverage_after[name]
            if now["coverage"] < was["coverage"]:
                reasons.append(
                    f"coverage shrinks from {was['coverage']:.0%} to {now['coverage']:.0%}"
                )
            if reasons:
                reasons.append("a new phase opens: only profiles never exposed will see it")
                yield Change("~", "experiment", name, tuple(reasons), opens_phase=True)
                continue
            kept: list[str] = []
            if now["coverage"] > was["coverage"]:
                kept.append(f"coverage grows from {was['coverage']:.0%} to {now['coverage']:.0%}")
            for key in ("metrics", "analysis"):
                if now[key] != was[key]:
                    kept.append(f"{key} changed while it runs: the report will say so")
            if kept:
                yield Change(
                    "~", "experiment", name, (*kept, "the phase and everyone's variant stay")
                )


def phase_reasons(old: Workspace, new: Workspace, experiment: str) -> tuple[str, ...]:
    """Why applying `new` opens a new phase of an experiment; empty if its phase stays."""
    return next(
        (
            change.details
            for change in _experiments(old, new)
            if change.name == experiment and change.opens_phase
        ),
        (),
    )


def _plans(workspace: Workspace) -> dict[str, dict[str, Any]]:
    return {
        str(found.step.experiment): {
            "coverage": found.coverage,
            "metrics": found.metrics.model_dump() if found.metrics else None,
            "analysis": found.analysis.model_dump(),
        }
        for found in located(workspace)
    }


def _shares(design: Mapping[str, Any]) -> list[tuple[str, str]]:
    total = sum(design["weights"].values())
    return [(name, f"{weight / total:.0%}") for name, weight in design["weights"].items()]


def _design_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    reasons: list[str] = []
    was, now = before["weights"], after["weights"]
    reasons += [f'variant "{name}" is new' for name in now if name not in was]
    reasons += [f'variant "{name}" is gone' for name in was if name not in now]
    both = [name for name in now if name in was]
    reasons += [
        f'the weight of "{name}" changes from {was[name]} to {now[name]}'
        for name in both
        if was[name] != now[name]
    ]
    reasons += [
        f'the steps of "{name}" changed'
        for name in both
        if before["arms"][name] != after["arms"][name]
    ]
    reasons += [
        f"the template {name} changed"
        for name, hashed in after["templates"].items()
        if name in before["templates"] and before["templates"][name] != hashed
    ]
    if before["control"] != after["control"]:
        reasons.append(f'the control is "{after["control"]}", no longer "{before["control"]}"')
    if before["layer"] != after["layer"]:
        reasons.append("its place in a layer changed")
    if not reasons and list(was) != list(now):
        reasons.append("the order of the variants changed, and with it who gets which")
    return reasons


# --- trees --------------------------------------------------------------------------------------


def _trees_changed(old: Mapping[str, Any], new: Mapping[str, Any], named: str) -> tuple[str, ...]:
    details: list[str] = []
    for key in (*old, *(key for key in new if key not in old)):
        if key != named:
            details += _changed(key, old.get(key), new.get(key))
    return tuple(details)


def _changed(path: str, old: Any, new: Any) -> Iterator[str]:
    """One sentence for each smallest part that differs."""
    if old == new:
        return
    if old is None:
        yield f"{path}: {_shown(new)} is new"
    elif new is None:
        yield f"{path}: {_shown(old)} is gone"
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            yield from _changed(f"{path}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changed(path, old, new)
    else:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _list_changed(path: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    """Entries are matched by their id, or by what kind of step they are and their place."""
    labels_old, labels_new = _labels(old), _labels(new)
    matcher = SequenceMatcher(a=labels_old, b=labels_new, autojunk=False)
    for word, a0, a1, b0, b1 in matcher.get_opcodes():
        if word == "equal":
            for a, b in zip(range(a0, a1), range(b0, b1), strict=True):
                yield from _changed(f"{path}.{labels_new[b]}", old[a], new[b])
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


def _keys_changed(place: str, old: Any, new: Any) -> Iterator[str]:
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
