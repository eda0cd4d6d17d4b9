"""Two workspaces -> what changed, in words. Pure: whom it touches is the publisher's business.

Read the result as Terraform's: `+` comes, `~` changes, `-` goes.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from campaigns.changes import Change, changed, keys_changed, query_changed, trees_changed
from campaigns.compile import campaign_versions
from campaigns.experiment_changes import experiments_changed, phase_reasons
from campaigns.migrate_forms import NONE, MigrateForm
from campaigns.workspace import SETTINGS_FILE, Workspace

__all__ = ["Change", "Notes", "difference", "phase_reasons", "render_plan"]

_SECRET_PLACES: Final = ("channels", "connections")


def difference(old: Workspace | None, new: Workspace, *, may_move: bool = True) -> list[Change]:
    """Every construct that differs, settings first, in a fixed order; empty if none does.

    Args:
        may_move: Whether `migrate:` is followed; a rollback moves nobody.
    """
    changes = [*_settings(old, new)]
    for folder in ("events", "segments", "metrics", "models"):
        changes += _constructs(folder, old, new)
    changes += _templates(old, new)
    changes += _lists(old, new)
    changes += _catalog(old, new)
    changes += _campaigns(old, new, may_move=may_move)
    changes += experiments_changed(old, new)
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
            details += keys_changed(key, before.get(key), after.get(key))
        else:
            details += changed(key, before.get(key), after.get(key))
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
            details = trees_changed(
                old.trees[before[name].file], new.trees[after[name].file], construct
            )
            if folder == "metrics":
                details += query_changed(before[name], old.files, after[name], new.files)
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
            details = trees_changed(
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
