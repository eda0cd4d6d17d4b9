"""`antiphon experiment start`, `stop`, `conclude`, `acknowledge`: what operators do to one."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

_WHAT: Final = {
    "start": "let it run, whatever its file says",
    "stop": "nobody is exposed any more; everybody gets what the control gets",
    "conclude": "stop it and give everybody the winner; prints the edit that makes it permanent",
    "acknowledge": "give the cause of a sample ratio mismatch, so that its numbers are shown again",
}


def add_orders(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the four."""
    for name, what in _WHAT.items():
        action = actions.add_parser(name, help=what)
        action.add_argument("name", metavar="NAME", help="the experiment")
        action.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
        if name == "conclude":
            action.add_argument(
                "--winner", required=True, metavar="VARIANT", help="what everybody gets"
            )
        action.add_argument(
            "--cause" if name == "acknowledge" else "--why",
            dest="why",
            default="",
            required=name == "acknowledge",
            metavar="TEXT",
            help="kept and shown to all",
        )
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run_order(arguments: argparse.Namespace) -> int:
    """0 when it is so, whether or not anything had to change."""
    from engine.local import call

    order = {
        "action": arguments.action,
        "experiment": arguments.name,
        "winner": getattr(arguments, "winner", ""),
        "why": arguments.why,
    }
    done: dict[str, Any] | None = call(arguments.directory, "experiment", order)
    if done is None:
        done = _order_here(arguments.directory, order)
    edit = _edit(arguments.directory, arguments.name, arguments.winner) if order["winner"] else None
    if arguments.json:
        print(json.dumps({**done, "edit": edit} if edit else done))
        return 0
    print(_said(arguments.action, arguments.name, done))
    if edit:
        print(f"\nTo make it permanent, write in {edit['file']}:\n\n{edit['yaml']}")
    return 0


def _order_here(directory: Path, order: dict[str, Any]) -> dict[str, Any]:
    from engine.opened import opened
    from engine.readout.mismatches import explained
    from engine.release.experiment_orders import order_payload
    from engine.steady import present

    with opened(directory) as it:
        playbook = it.playbook()
        with it.database.read() as connection:
            order = explained(connection, playbook, order, as_of=present())
        workspace = playbook.workspace
        return it.write(
            lambda connection: order_payload(connection, order, workspace=workspace, now=present())
        )


def _edit(directory: Path, name: str, winner: str) -> dict[str, str]:
    """The edit of a YAML file that says the same as the order."""
    from campaigns.experiment_plans import Located, planned
    from engine.opened import opened

    with opened(directory, read_only=True) as it:
        workspace = it.playbook().workspace
    found = next(each for each in planned(workspace) if str(each.name) == name)
    if isinstance(found, Located) and found.plan is None:
        where = found.file
        lines = ["- experiment: " + name, "  state: stopped", f"  winner: {winner}"]
    else:  # of a cap the file may be yet to be written
        where = found.plan.file if found.plan is not None else f"experiments/{name}.yaml"
        lines = [f"experiment: {name}", "state: stopped", f"winner: {winner}"]
    return {"file": str(where), "yaml": "\n".join(f"    {line}" for line in lines)}


def _said(action: str, name: str, done: dict[str, Any]) -> str:
    if action == "acknowledge":
        return f'"{name}", phase {done["phase"]}: the cause is kept; its numbers are shown again.'
    given = f', everybody gets "{done["winner"]}"' if done["winner"] else ""
    if not done["release"]:
        return f'"{name}" is {done["state"]} already{given}.'
    return f'"{name}" is {done["state"]} now{given}.'
