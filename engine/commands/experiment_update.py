"""`antiphon experiment update`: let bandits learn now what they would learn by themselves."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_update(actions: Any) -> None:
    """Declare it."""
    parser = actions.add_parser(
        "update", help="let bandits whose time has come learn new weights; show those in force"
    )
    parser.add_argument(
        "name", nargs="?", default="all", metavar="NAME", help="a bandit; default all of them"
    )
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_update(arguments: argparse.Namespace) -> int:
    """Print each bandit's weights and why they are what they are."""
    from engine.local import call

    payload = {"name": arguments.name}
    done: dict[str, Any] | None = call(arguments.directory, "experiment_update", payload)
    if done is None:
        done = _here(arguments.directory, payload)
    if arguments.json:
        print(json.dumps(done))
        return 0
    for it in done["bandits"]:
        print("\n".join(_lines(it)))
    if not done["bandits"]:
        print("no experiment has `allocation: {bandit: …}`; all keep their planned weights")
    return 0


def _here(directory: Path, payload: dict[str, Any]) -> dict[str, Any]:
    from engine.bandits.updating import update_payload
    from engine.opened import opened
    from engine.steady import present

    with opened(directory) as it:
        return update_payload(
            it.database, payload, playbook=it.playbook(), write=it.write, now=present()
        )


def _lines(it: dict[str, Any]) -> list[str]:
    shares = _shares(it["weights"])
    version = f"version {it['version']}" if it["version"] else "the planned weights"
    lines = [f"{it['experiment']}: {version}{' (new)' if it['is_new'] else ''}: {shares}"]
    lines += [f"  {name}: {_shares(weights)}" for name, weights in it["contexts"].items()]
    if it["why"]:
        lines.append(f"  {it['why']}")
    if it["units"]:
        counts = ", ".join(f"{arm} {n:,}" for arm, n in it["units"].items())
        lines.append(f"  units learnt from: {counts}")
    return lines


def _shares(weights: dict[str, int]) -> str:
    total = sum(weights.values())
    return ", ".join(f"{arm} {weight / total:.1%}" for arm, weight in weights.items())
