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
    if arguments.action == "acknowledge":
        _require_mismatch(arguments.directory, arguments.name, arguments.why)
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


def _require_mismatch(directory: Path, name: str, cause: str) -> None:
    """Refuse a cause of nothing: kept, it would switch off the veto of a mismatch yet to come.

    Read here and not within the order: a read-out may take long, and the order holds the writer.
    """
    from engine.core.errors import UsageError
    from engine.opened import opened
    from engine.readout.findings import read_out
    from engine.readout.studies import studies
    from engine.release.experiment_orders import require_cause
    from engine.steady import present

    require_cause(cause)
    with opened(directory, read_only=True) as it:
        playbook = it.playbook()
        program = playbook.program
        if all(each != name for each, _ in program.experiments):
            return  # The order refuses it, and knows the names.
        found = [each for each in studies(program, playbook.workspace) if each.name == name]
        if not found:
            raise UsageError(
                f'experiment "{name}" has no metrics, so no numbers of it are withheld and there'
                " is nothing to acknowledge. Give it metrics, then run: antiphon apply"
            )
        (study,) = found
        phase = program.experiments.get((name, study.phase))
        with it.database.read() as connection:
            read = read_out(connection, study, as_of=present(), experiment=phase)
    if read.readout is not None and not read.readout.srm.passed:
        return
    if read.readout is None:
        why = f"there is no read-out to compare with the planned shares: {read.why_not}"
    else:
        srm = read.readout.srm
        units = " / ".join(f"{n:,}" for n in srm.observed.values())
        why = (
            f"its sample ratio is as planned ({units} units, p = {srm.deciding_pvalue:.2g}): there"
            " is no mismatch to explain"
        )
    raise UsageError(
        f'experiment "{name}", phase {study.phase}: {why}. A cause kept now would hide a mismatch'
        f" that comes later. Run: antiphon experiment report {name}; once it withholds its numbers"
        " for a sample ratio mismatch, acknowledge that one with its cause"
    )


def _order_here(directory: Path, order: dict[str, Any]) -> dict[str, Any]:
    from engine.opened import nothing_applied, opened
    from engine.release import releases
    from engine.release.experiment_orders import order_payload
    from engine.steady import present

    with opened(directory) as it:
        with it.database.read() as connection:
            live = releases.live(connection)
            if live is None:
                raise nothing_applied(directory)
            workspace = releases.workspace_of(connection, live.digest)
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
    else:
        assert found.plan is not None
        where = found.plan.file
        lines = [f"experiment: {name}", "state: stopped", f"winner: {winner}"]
    return {"file": str(where), "yaml": "\n".join(f"    {line}" for line in lines)}


def _said(action: str, name: str, done: dict[str, Any]) -> str:
    if action == "acknowledge":
        return f'"{name}", phase {done["phase"]}: the cause is kept; its numbers are shown again.'
    given = f', everybody gets "{done["winner"]}"' if done["winner"] else ""
    if not done["release"]:
        return f'"{name}" is {done["state"]} already{given}.'
    return f'"{name}" is {done["state"]} now{given}.'
