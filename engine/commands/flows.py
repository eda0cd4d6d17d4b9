"""`antiphon flows`: the flows that a Prefect server runs for us."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from engine.scheduling.deploying import Shared

HELP: Final = "serve our flows to a Prefect server, or deploy them to a work pool of it"
EXAMPLE: Final = """\
examples: antiphon flows deploy shop --pool antiphon
          antiphon flows serve shop"""
POOL: Final = "antiphon"
NAME: Final = "antiphon"
VARIABLE: Final = "PREFECT_API_URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    served = actions.add_parser("serve", help="run the flows by this process, without a work pool")
    deployed = actions.add_parser("deploy", help="create or update their deployments, and end")
    for each in (served, deployed):
        each.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
        each.add_argument(
            "--name", default=NAME, help=f"of the deployments, one a workspace; default {NAME}"
        )
        each.add_argument(
            "--no-prefect-clock", action="store_true",
            help="give Prefect no schedules: every run is started by our leader",
        )  # fmt: skip
    deployed.add_argument("--pool", default=POOL, help=f"a work pool of processes; default {POOL}")
    deployed.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when deployed, or after a clean stop."""
    if not os.environ.get(VARIABLE, "").strip():
        raise UsageError(
            f"{VARIABLE} is not set: there is no Prefect server to give flows to. Start one "
            f"(prefect server start) and export {VARIABLE}=http://127.0.0.1:4200/api. Without "
            "it `antiphon serve` runs all schedules by itself"
        )
    # Nothing of ours is told to anybody, and a lost address starts no server of its own.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
    try:
        asyncio.run(_deploy(arguments) if arguments.action == "deploy" else _serve(arguments))
    except (OSError, RuntimeError, _unreachable()) as error:
        raise StoreError(f"Prefect at {os.environ[VARIABLE]}: {error}") from error
    return 0


def _unreachable() -> type[Exception]:
    import httpx

    return httpx.HTTPError


async def _deploy(arguments: argparse.Namespace) -> None:
    from engine.scheduling.deploying import deploy

    shared = await deploy(
        arguments.directory,
        name=arguments.name,
        pool=arguments.pool,
        owns_clock=not arguments.no_prefect_clock,
    )
    if arguments.json:
        print(json.dumps({"prefect_clock": sorted(shared.native), "leader": shared.led}))
        return
    _tell(shared)
    print(f"Start a worker: prefect worker start --pool {arguments.pool} --type process")


async def _serve(arguments: argparse.Namespace) -> None:
    from engine.scheduling.deploying import serve

    await serve(
        arguments.directory,
        name=arguments.name,
        owns_clock=not arguments.no_prefect_clock,
        announce=_tell,
    )


def _tell(shared: "Shared") -> Any:
    for name in sorted(shared.native):
        print(f"{name}: by Prefect's clock, which agrees with ours for a year")
    for name, why in sorted(shared.led.items()):
        print(f"{name}: started by our leader ({why})")
    sys.stdout.flush()
