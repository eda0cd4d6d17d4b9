"""`antiphon recommend`: what a recommender would show one person now, and why."""

import argparse
import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from engine.commands.where import add_directory
from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.learning.picking import Shown

HELP: Final = "what a recommender would show one person now, and why"
EXAMPLE: Final = """\
example: antiphon recommend also-bought u1 -n 4 shop
example: antiphon recommend also-bought u1 --explain shop"""

N_MAX: Final = 100

Moved: TypeAlias = dict[str, tuple[int | None, int | None]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("model", metavar="MODEL", help="a recommender of models/*.yaml")
    parser.add_argument("profile", metavar="ID", help="their user id or anonymous id")
    parser.add_argument("-n", type=int, default=10, metavar="N", help="so many; default: 10")
    parser.add_argument(
        "--exclude", action="append", default=[], choices=("purchased", "out_of_stock"),
        help="hide this, too, as a step may ask; may be given twice",
    )  # fmt: skip
    parser.add_argument(
        "--explain", action="store_true", help="show what was left out on the way, and why"
    )
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when something would be shown, 1 when nothing would."""
    from campaigns.models import RecommenderModel, kind_of
    from engine.core.model.effects import PickAsk
    from engine.core.model.instants import ProfileId
    from engine.learning.picking import Picker
    from engine.learning.refreshing import known
    from engine.opened import opened
    from engine.reading import find_profile
    from engine.steady import present

    if not 1 <= arguments.n <= N_MAX:
        raise UsageError(f"-n {arguments.n}: write a number from 1 to {N_MAX}")
    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        playbook = it.playbook()
        model, _ = known(playbook, arguments.model)
        if not isinstance(model, RecommenderModel):
            raise UsageError(f'"{model.name}" is a {kind_of(model)}, not a recommender')
        profile = find_profile(connection, arguments.profile, kinds=("user", "anonymous"))
        if profile is None:
            raise UsageError(f'there is no profile with the id "{arguments.profile}"')
        ask = PickAsk(
            ProfileId(profile), model.name, arguments.n, 0, tuple(arguments.exclude), (), present()
        )
        picker = Picker()
        found = picker.shown(connection, playbook, ask)
        plain = picker.shown(connection, playbook, ask, is_mixed=False)
    moved = _moved(found, plain)
    if arguments.json:
        print(json.dumps(_plain(arguments.profile, model.name, found, moved)))
    else:
        print("\n".join(_lines(arguments.profile, model.name, found, moved, arguments.explain)))
    return int(not found.rows)


def _moved(found: "Shown", plain: "Shown") -> Moved:
    """By item that variety moved: its place without and with it; None where it is not shown."""
    before = {str(row["id"]): place for place, row in enumerate(plain.rows, start=1)}
    now = {str(row["id"]): place for place, row in enumerate(found.rows, start=1)}
    return {
        item: (before.get(item), now.get(item))
        for item in {**now, **before}
        if before.get(item) != now.get(item)
    }


def _plain(profile: str, model: str, found: "Shown", moved: Moved) -> dict[str, Any]:
    return {
        "profile": profile,
        "model": model,
        "run": found.run or None,
        "is_stale": found.is_stale,
        "is_personal": found.is_personal,
        "fault": found.fault,
        "picks": found.rows,
        "left_out": dict(found.why_not),
        "moved": {item: {"from": was, "to": place} for item, (was, place) in moved.items()},
    }


def _lines(profile: str, model: str, found: "Shown", moved: Moved, is_explained: bool) -> list[str]:
    lines = []
    if not found.run:
        lines.append(
            f"{model} was never trained, its fallbacks answer: antiphon model train {model}"
        )
    elif found.fault:
        lines.append(f"{model}: {found.fault}. Its fallbacks answer; train it again")
    elif found.is_stale:
        lines.append(f"{model} is stale: run {found.run} is no longer asked, its fallbacks are")
    elif not found.is_personal:
        lines.append(f"{profile} may not be profiled: they are shown what everybody is")
    width = max((len(str(row["id"])) for row in found.rows), default=0)
    for rank, row in enumerate(found.rows, start=1):
        title = f"  {row['title']}" if row.get("title") else ""
        why = f"  {row['reason']}" if row["reason"] else ""
        lines.append(f"{rank:>3}  {row['id']:<{width}}{title}  [{row['source']}]{why}")
    if not found.rows:
        lines.append("nothing would be shown" + ("" if is_explained else "; --explain says why"))
    if is_explained:
        lines += [f"  moved for variety: {item} {_from_to(*it)}" for item, it in moved.items()]
        lines += [f"  left out: {item} ({why})" for item, why in sorted(found.why_not.items())]
    return lines


def _from_to(was: int | None, place: int | None) -> str:
    if was is None:
        return f"onto the list, {place}"
    return f"off the list, where it would be {was}" if place is None else f"from {was} to {place}"
