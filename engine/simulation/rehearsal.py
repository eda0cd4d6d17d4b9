"""A simulation from a file of events: who would get what, when, and what would hold it back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from campaigns.problems import advice
from campaigns.workspace import Workspace
from engine.core.clocktime import iso, parse_instant
from engine.core.errors import UsageError
from engine.core.model.campaigns import Program
from engine.core.model.instants import DAY, Instant
from engine.intake.declared import declared
from engine.intake.loading import ingest_file
from engine.intake.prepare import Answer, Fact, Prepared
from engine.simulation.counts import Counts
from engine.simulation.replay import Replay, applied, simulated_links, throwaway
from engine.simulation.standing_in import stand_in

AFTERWARDS: Final = 30 * DAY
UNDATED: Final = parse_instant("9999-01-01T00:00:00Z")
"""Received then, a call keeps whatever time it names; one that names none shows as this."""


@dataclass(frozen=True)
class Rehearsed:
    """What was played and what came of it."""

    counts: Counts
    start: Instant
    end: Instant
    n_events: int
    n_people: int
    n_rejected: int
    first_error: str

    def as_json(self) -> dict[str, Any]:
        """The object that `antiphon simulate --json` prints."""
        return {
            **self.counts.as_json(),
            "from": iso(self.start),
            "to": iso(self.end),
            "events": self.n_events,
            "people": self.n_people,
            "rejected": self.n_rejected,
        }


def rehearse(
    workspace: Workspace,
    *,
    events: str,
    mapping: Mapping[str, str],
    campaign: str | None,
    until: Instant | None,
    seed: str,
    progress: Callable[[float, str], None],
    alter: Callable[[Program], Program] = lambda program: program,
) -> Rehearsed:
    """Play a file of events through a workspace, on a database that is thrown away.

    Args:
        campaign: Play only this one, as if it were live.
        progress: Told the share done, in [0, 1], and the day reached.
        alter: Changes the compiled program: what if its caps were others?
    Raises:
        UsageError: If there is no such campaign, or nothing in the file that can be played.
    """
    if campaign is not None and campaign not in workspace.campaigns:
        raise UsageError(
            f'there is no campaign "{campaign}".{advice(campaign, workspace.campaigns)}'
        )
    facts: list[Fact] = []

    def collect(prepared: Prepared) -> list[Answer]:
        facts.extend(fact for _, fact in prepared.facts)
        return prepared.answers

    report = ingest_file(
        events,
        write=collect,
        declared=declared(workspace),
        now=lambda: UNDATED,
        mapping=mapping,
        live=True,
        accepted_at="event",
    )
    first_error = f"row {report.errors[0].row}: {report.errors[0].message}" if report.errors else ""
    dated = [fact.at for fact in facts if fact.at < UNDATED]
    if not dated:
        why = first_error or "no row has a timestamp; name its column with --map timestamp=COLUMN"
        raise UsageError(f"{events}: there is nothing to play ({why})")
    start, last = min(dated), max(dated)
    end = last + AFTERWARDS if until is None else until
    if end <= start:
        raise UsageError(f"--until {iso(end)} lies before the first event, {iso(start)}")
    for fact in facts:
        if fact.at >= UNDATED:  # people without a date are known from the start
            fact.at = fact.accepted_at = start
    counts = Counts(zone=str(workspace.settings.zone))
    with throwaway() as (database, vault, folder):
        playbook = applied(
            database, workspace, vault=vault, at=start, alter=lambda it: alter(_only(it, campaign))
        )
        replay = Replay(
            database, playbook, vault=vault, links=simulated_links(), directory=folder,
            observe=counts.observe, seed=seed, picks=stand_in,
        )  # fmt: skip
        replay.add(facts)
        replay.run(
            start=start,
            end=end,
            after_window=lambda _, closes: progress(
                (closes - start) / (end - start), iso(closes)[:10]
            ),
        )
        replay.close()
        with database.read() as connection:
            counts.finish(connection)
            n_people = int(connection.execute("SELECT count(*) FROM profile")[0][0])
    return Rehearsed(counts, start, end, len(facts), n_people, report.rejected, first_error)


def _only(program: Program, campaign: str | None) -> Program:
    if campaign is None:
        return program
    chosen = msgspec.structs.replace(program.campaigns[campaign], state="live")
    return msgspec.structs.replace(program, campaigns={campaign: chosen})
