"""Brings our flows to a Prefect server: deployments, their limits, and clocks of Prefect's own.

Prefect gets a schedule of its own where it reads it as we do for a year ahead; every other run the
leader starts (`ticking`). Imported by `antiphon flows` alone.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prefect import aserve
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.types.entrypoint import EntrypointType

from engine.flows import CHUNK_TAG, CHUNKS_AT_ONCE, FLOWS
from engine.scheduling.native import disagreement, prefect_schedule
from engine.scheduling.plans import decode
from engine.scheduling.reaching import ask


class Shared(NamedTuple):
    """Who starts which schedule: `native` by Prefect's clock, `led` by our leader, and why."""

    native: dict[str, str]
    led: dict[str, str]


async def deploy(directory: Path, *, name: str, pool: str, owns_clock: bool) -> Shared:
    """Create or update one deployment for each flow in a work pool of processes.

    Args:
        name: Of the deployments: two workspaces on one server have two.
        owns_clock: Give Prefect schedules of its own where it agrees with ours.
    """
    shared, deployments = await _deployments(directory, name=name, owns_clock=owns_clock)
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        await client.create_concurrency_limit(tag=CHUNK_TAG, concurrency_limit=CHUNKS_AT_ONCE)
        for it in deployments:
            await it.aapply(work_pool_name=pool)
    _remember(directory, name, shared)
    return shared


async def serve(
    directory: Path, *, name: str, owns_clock: bool, announce: Callable[[Shared], None]
) -> None:
    """Run our flows by this process alone, without a work pool, until it is stopped."""
    shared, deployments = await _deployments(directory, name=name, owns_clock=owns_clock)
    async with get_client() as client:
        await client.create_concurrency_limit(tag=CHUNK_TAG, concurrency_limit=CHUNKS_AT_ONCE)
    _remember(directory, name, shared)
    announce(shared)
    # Paused clocks would miss runs that another process could start.
    await aserve(*deployments, pause_on_shutdown=False, print_starting_message=False)


async def _deployments(
    directory: Path, *, name: str, owns_clock: bool
) -> tuple[Shared, list[RunnerDeployment]]:
    asked = ask(directory, {"do": "plans"})
    shared = Shared({}, {})
    schedules: dict[str, list[DeploymentScheduleCreate]] = {job: [] for job in FLOWS}
    for schedule, definition in asked["plans"].items():
        why = "as asked" if not owns_clock else await disagreement(definition, now=asked["now"])
        if why:
            shared.led[schedule] = why
            continue
        shared.native[schedule] = definition
        plan = decode(definition)
        schedules[plan.job].append(
            DeploymentScheduleCreate(
                schedule=prefect_schedule(plan),
                parameters={"schedule": schedule},
                slug=schedule,
            )
        )
    return shared, [
        await flow.ato_deployment(
            name,
            parameters={"directory": str(directory.resolve())},
            schedules=schedules[job],
            concurrency_limit=ConcurrencyLimitConfig(limit=1),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for job, flow in FLOWS.items()
    ]


def _remember(directory: Path, name: str, shared: Shared) -> None:
    ask(directory, {"do": "deployed", "name": name, "native": shared.native})
