"""What the web app needs of the engine it is part of: one plain object, made by `serve`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from engine.core.errors import DiskFull
from engine.core.model.campaigns import Program
from engine.core.model.instants import Instant
from engine.core.segments import Segments
from engine.intake.prepare import Answer, Prepared, Terms
from engine.intake.triggering import TriggerCall, Triggered
from engine.sending.lanes import PaceState
from engine.settings import Settings
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.store.keys import KeyKind
from engine.vault import Vault
from engine.web.bridge import Bridge
from engine.web.gauges import Gauges
from engine.web.keyring import Budget, KeyRing
from engine.web.readers import Readers

T = TypeVar("T")


@dataclass(kw_only=True)
class Services:
    """Everything a request may reach.

    `terms` says on which terms the holder of a key sends events; `accept` takes checked facts and
    gives a future of their answers, done when they are durable;
    `trigger` takes a call that starts a campaign, and gives what became of it, once committed;
    `write` runs a change in the one writer and gives what it returned, once committed.
    `not_ready` says why the engine cannot work yet, or "". `local` are the operations that
    commands of this machine may ask for by name, with `local_token`; `page_token` opens the pages.
    `make_room` frees what is kept on a full disk for opt-outs; `lanes` says how channels are doing.
    `destination` gives where a link of a message leads, by its position.
    `kinds` are those of the workspace's channels, empty for any.
    `public_url` is where providers reach us; `readers` understand their callbacks; `address_hash`
    gives the key of a contact row for a (channel, address). `vault` opens what is kept for
    visitors. `is_stopping` ends what would else go on for ever, such as streams.
    """

    settings: Settings
    database: Database
    log: EventLog
    clock: Callable[[], Instant]
    terms: Callable[[KeyKind], Terms]
    accept: Callable[[Prepared], Future[list[Answer]]]
    trigger: Callable[[TriggerCall], Future[Triggered]]
    write: Callable[[Callable[[Connection], Any]], Future[Any]]
    reads: Executor
    gauges: Gauges
    keys: KeyRing
    budget: Budget
    link_keys: Mapping[int, bytes] = field(repr=False)
    waiting: Callable[[], int]
    program: Callable[[], Program | None]
    not_ready: Callable[[], str]
    tick_lag_seconds: Callable[[], float]
    destination: Callable[[int, int], str | None]
    local_token: str = field(repr=False)
    page_token: str = field(repr=False)
    local: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    is_open: bool = False
    make_room: Callable[[], bool] = lambda: False
    lanes: Callable[[], Sequence[PaceState]] = lambda: ()
    segments: Callable[[], Segments | None] = lambda: None
    kinds: Callable[[], frozenset[str]] = frozenset
    public_url: str = ""
    readers: Readers | None = None
    address_hash: Callable[[str, str], bytes] = lambda channel, address: b""
    vault: Vault | None = field(default=None, repr=False)
    is_stopping: Callable[[], bool] = lambda: False


def services_of(request: Request) -> Services:
    """The services of the app that answers this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


async def committed(request: Request, future: Future[T]) -> T:
    """What a future of the writer gives or raises."""
    state = request.app.state
    bridge: Bridge | None = getattr(state, "bridge", None)
    if bridge is None:
        bridge = state.bridge = Bridge()
    return await bridge.result(future)


async def written_with_reserve(
    request: Request, services: Services, change: Callable[[Connection], T]
) -> T:
    """Commit an opt-out, if need be with the room that is kept for opt-outs on a full disk."""
    try:
        return await committed(request, services.write(change))
    except DiskFull:
        if not services.make_room():
            raise
        return await committed(request, services.write(change))


async def in_reader(services: Services, work: Callable[[], T]) -> T:
    """Run a blocking read beside the event loop, on one of the few reading threads."""
    return await asyncio.get_running_loop().run_in_executor(services.reads, work)
