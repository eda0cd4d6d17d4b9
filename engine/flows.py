"""Prefect flows: thin, no logic of their own; each carries out one run of our table of schedules.

Imported by Prefect and by `antiphon flows` alone: importing Prefect takes a second. A flow says
whose run it is (schedule and instant) before it works, so whichever engine begins a run, the other
finds it taken. Flows are async: Prefect's sync engine waits a second at the end of each.
Read next: `engine.scheduling.carrying_out`, which answers what is asked here.
"""

import asyncio
from pathlib import Path
from typing import Any, Final

from prefect import flow, task, unmapped
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.flows import Flow
from prefect.runtime import flow_run
from prefect.states import Completed

from engine.scheduling.native import instant_of
from engine.scheduling.reaching import ask

RETRIES: Final = 2
RETRY_SECONDS: Final = 30
CHUNK_TAG: Final = "antiphon-chunk"
"""What a limit of Prefect's on concurrent chunks goes by; `antiphon flows deploy` sets one."""
CHUNKS_AT_ONCE: Final = 4


@flow(name="bandit-updates", retries=RETRIES, retry_delay_seconds=RETRY_SECONDS)
async def bandit_updates(directory: str, schedule: str = "bandit-updates", fire_at: int = 0) -> Any:
    """Let every bandit whose time has come learn new weights."""
    return await _worked(_Asked(directory, schedule, fire_at))


@flow(name="experiment-reports", retries=RETRIES, retry_delay_seconds=RETRY_SECONDS)
async def experiment_reports(
    directory: str, schedule: str = "experiment-reports", fire_at: int = 0
) -> Any:
    """Read out all experiments and holdouts; each report is a Markdown artifact."""
    return await _worked(_Asked(directory, schedule, fire_at))


@flow(name="segment-backfill", retries=RETRIES, retry_delay_seconds=RETRY_SECONDS)
async def segment_backfill(
    directory: str, schedule: str = "segment-backfill", fire_at: int = 0
) -> Any:
    """Prepare the segments of a release that waits to go live."""
    return await _worked(_Asked(directory, schedule, fire_at))


@flow(name="retention", retries=RETRIES, retry_delay_seconds=RETRY_SECONDS)
async def retention(directory: str, schedule: str = "retention", fire_at: int = 0) -> Any:
    """Delete rows that nothing asks for any more."""
    return await _worked(_Asked(directory, schedule, fire_at))


@flow(name="model-refresh", retries=RETRIES, retry_delay_seconds=RETRY_SECONDS)
async def model_refresh(directory: str, schedule: str, fire_at: int = 0) -> Any:
    """Train one model anew; its run becomes what is read if it is better. Its figures are a
    Markdown artifact."""
    return await _worked(_Asked(directory, schedule, fire_at), about="model")


@flow(name="broadcast", retries=RETRIES, retry_delay_seconds=RETRY_SECONDS)
async def broadcast(directory: str, schedule: str, fire_at: int = 0) -> Any:
    """Start a campaign for everyone in a segment, a task for every 5,000 people."""
    run = _Asked(directory, schedule, fire_at)
    if (why := await run.begin()) or (why := (planned := await run.ask("chunks"))["why"]):
        return _nothing(why)
    chunks = planned["chunks"]
    started = start_chunk.map(
        [run.payload("chunk", above=above, up_to=up_to) for above, up_to in chunks],
        directory=unmapped(directory),
    )
    counts = await asyncio.to_thread(started.result)
    return Completed(message=(await run.ask("finish", counts=counts))["said"])


@task(name="start-chunk", tags=[CHUNK_TAG], retries=RETRIES, retry_delay_seconds=5)
def start_chunk(payload: dict[str, Any], directory: str) -> int:
    """Start a broadcast for the people of one range; a second time it starts nobody twice."""
    return int(ask(Path(directory), payload)["n"])


FLOWS: Final[dict[str, Flow[..., Any]]] = {
    it.name: it
    for it in (
        bandit_updates,
        experiment_reports,
        segment_backfill,
        retention,
        model_refresh,
        broadcast,
    )
}
"""Every flow by its name, which is that of its job."""


class _Asked:
    """One run as this flow asks about it: by its schedule, its instant and the flow run's id."""

    def __init__(self, directory: str, schedule: str, fire_at: int) -> None:
        self._directory = Path(directory)
        self._run = {
            "schedule": schedule,
            "fire_at": fire_at or _scheduled(),
            "owner": f"flow run {flow_run.id}",
        }

    def payload(self, do: str, **more: Any) -> dict[str, Any]:
        return {"do": do, **self._run, **more}

    async def begin(self) -> str:
        """Take the run when its time has come; why it is not ours to begin, or ""."""
        while (answered := await self.ask("begin"))["wait_seconds"]:
            await asyncio.sleep(answered["wait_seconds"])
        return str(answered["why"])

    async def ask(self, do: str, **more: Any) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self._directory, self.payload(do, **more))


async def _worked(run: _Asked, *, about: str = "experiment") -> State[Any]:
    if why := await run.begin():
        return _nothing(why)
    done = await run.ask("work")
    for name, markdown in done["documents"].items():
        key = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
        await acreate_markdown_artifact(markdown, key=f"{about}-{key}", description=name)
    return Completed(message=done["said"])


def _nothing(why: str) -> State[Any]:
    """The state of a flow that had nothing to do: the run is somebody else's, or is refused."""
    return Completed(name="Skipped", message=why)


def _scheduled() -> int:
    """The instant for which Prefect's own clock made this flow run."""
    return instant_of(flow_run.scheduled_start_time)
