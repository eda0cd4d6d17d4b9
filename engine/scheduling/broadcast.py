"""Start a campaign of the API for everyone in a segment: by chunks of people, each once.

A trigger's event is unique by schedule, instant and person, so a chunk that is begun again starts
nobody twice. Read next: `engine.intake.triggering`, which does it for one caller.
"""

import secrets
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from engine.core.errors import UsageError
from engine.core.journeys.entry import CAMPAIGN_TRIGGERED
from engine.core.model.instants import Instant
from engine.intake.calls import CarefulCall, from_values
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Prepared, Terms, prepare_items
from engine.intake.triggering import refusal_of
from engine.membership import member_ids
from engine.release.playbook import Playbook
from engine.scheduling.rows import Run
from engine.store.connection import Connection
from engine.store.events import EventLog, message_hash

if TYPE_CHECKING:
    from engine.scheduling.means import Means

CHUNK: Final = 5_000
"""People a task: a Prefect task costs milliseconds, a flow run seconds."""
COMMIT: Final = 1_000
"""People a transaction: who waits for the writer waits no longer than for a batch of events."""


def broadcast(means: "Means", run: Run) -> str:
    """Start the campaign for all of them, chunk by chunk; says how many."""
    return said([broadcast_chunk(means, run, *chunk) for chunk in broadcast_chunks(means, run)])


def said(counts: list[int]) -> str:
    """What a broadcast did, in words."""
    return f"started for {sum(counts):,} people in {len(counts)} chunks"


def broadcast_chunks(means: "Means", run: Run) -> list[tuple[int, int]]:
    """Ranges (above, up to) of profiles with `CHUNK` members of the audience each, in order.

    Raises:
        UsageError: If the campaign cannot be started.
    """
    playbook = _startable(means, run)
    with means.database.read() as connection:
        ids = member_ids(connection, playbook.segments, run.plan.audience, now=means.now())
    ends = [ids[min(at, len(ids)) - 1] for at in range(CHUNK, len(ids) + CHUNK, CHUNK)]
    return list(pairwise([-1, *ends])) if ids else []


def broadcast_chunk(means: "Means", run: Run, above: int, up_to: int) -> int:
    """Start the campaign for the members in one range; how many were not started before."""
    playbook = _startable(means, run)
    with means.database.read() as connection:
        ids = member_ids(
            connection, playbook.segments, run.plan.audience,
            now=means.now(), above=above, up_to=up_to,
        )  # fmt: skip
    started = 0
    for at in range(0, len(ids), COMMIT):
        part, now = ids[at : at + COMMIT], means.now()

        def commit(connection: Connection, part: list[int] = part, now: Instant = now) -> int:
            prepared = _prepared(connection, playbook, run, part, now=now)
            # An intake of its own: what it learns of identities is forgotten if this fails.
            ingest = Ingest(
                vault=means.vault, log=EventLog(), zone=str(playbook.workspace.settings.zone)
            )
            (answers,) = ingest.commit(connection, [prepared], now=now)
            return sum(it.status == "accepted" for it in answers)

        started += means.write(commit)
    return started


def _startable(means: "Means", run: Run) -> Playbook:
    playbook = means.live()
    _, why = refusal_of(run.plan.campaign, playbook.program)
    if why:
        raise UsageError(why.rstrip("."))
    return playbook


def _prepared(
    connection: Connection, playbook: Playbook, run: Run, ids: list[int], *, now: Instant
) -> Prepared:
    """A trigger for each of these people who can be named; who was erased has no id any more."""
    terms = Terms(
        declared=declared(playbook.workspace), entropy=secrets.token_bytes, source="schedule"
    )
    named = _ids_of(connection, ids)
    prepared = prepare_items(
        [_call(run, kind, value) for kind, value in named.values()], terms=terms, received_at=now
    )
    people = list(named)
    for place, fact in prepared.facts:
        fact.is_ours, fact.trigger_age_max, fact.at = True, None, now
        fact.hash = message_hash(f"trigger:{run.plan.campaign}", f"{run.key}:{people[place]}")
    return prepared


def _call(run: Run, kind: str, value: str) -> CarefulCall:
    call = from_values(
        {
            "userId" if kind == "user" else "anonymousId": value,
            "messageId": secrets.token_hex(16),
            "properties": {"campaign": run.plan.campaign, "properties": {}},
        }
    )
    call.type, call.event = "track", CAMPAIGN_TRIGGERED
    return call


def _ids_of(connection: Connection, ids: list[int]) -> dict[int, tuple[str, str]]:
    """An id that leads to each profile, the user's rather than a device's."""
    rows = connection.select_in(
        "SELECT profile_id, kind, value FROM identity WHERE profile_id IN (?)", ids
    )
    # "user" sorts after "anonymous", and so is what remains.
    return {int(row[0]): (str(row[1]), str(row[2])) for row in sorted(rows)}
