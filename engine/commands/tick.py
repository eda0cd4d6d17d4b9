"""`antiphon tick`: run the engine up to an instant, then stop."""

import argparse
import json
from pathlib import Path
from typing import Final

HELP: Final = "run the engine up to an instant: what has happened, what is due, what is queued"
EXAMPLE: Final = """\
example: antiphon tick shop --until now
example: antiphon tick shop --with-schedules"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--until", default="now", metavar="TIME",
        help="ISO 8601 with zone; default now. Beyond now only where every channel is a sandbox",
    )  # fmt: skip
    parser.add_argument(
        "--with-schedules", action="store_true",
        help="begin what schedules say, too: models are trained, bandits learn, newsletters start",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when everything up to then was played; 2 when it may not be."""
    from engine.core.clocktime import iso
    from engine.core.errors import NotOwner
    from engine.local import engine_lock
    from engine.opened import instant, opened
    from engine.simulation.ran import as_json, lines
    from engine.simulation.run_until import run_until
    from engine.steady import present

    now = present()
    until = instant(arguments.until, default=now)
    with opened(arguments.directory) as it:
        lock = engine_lock(it.settings.directory)
        if not lock.acquire():
            raise NotOwner(
                f"{arguments.directory}: `antiphon serve` is running on this workspace and plays "
                "everything by itself; there is nothing for `tick` to do"
            )
        try:
            done = run_until(it, now=now, until=until, has_schedules=arguments.with_schedules)
        finally:
            lock.release()
    if arguments.json:
        print(
            json.dumps(
                {"until": iso(until), "sends": done.n_sent, "messages": done.n_messages,
                 "waiting": done.n_waiting, "schedules": as_json(done.ran),
                 "ahead": iso(done.reached) if done.reached else None}
            )
        )  # fmt: skip
        return 0
    print(
        f"played up to {iso(until)}: {done.n_messages:,} new messages, {done.n_sent:,} sent, "
        f"{done.n_waiting:,} still wait"
    )
    for line in lines(done.ran):
        print(line)
    if done.reached:
        print(
            f"this database was played ahead, up to {iso(done.reached)}: what has come in since "
            f"and is due by then waits for a tick beyond it: antiphon tick {arguments.directory} "
            "--until TIME"
        )
    return 0
