"""A simulation from a file of events: who would get what, when, and what would hold it back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from campaigns.problems import advice
from campaigns.workspace import Workspace
from engine.core.clocktime import iso, parse_instant
from engine.core.errors import UsageError
from engine.core.model.campaigns import Program
from engine.core.model.instants import DAY, Instant
from engine.intake.declared import declared
from engine.intake.loading import Report, ingest_file
from engine.intake.prepare import Answer, Fact, Prepared
from engine.learning.picking import Picker
from engine.rehearsed import Mark
from engine.simulation import ran
from engine.simulation.agenda import Agenda, Which
from engine.simulation.counts import Counts
from engine.simulation.keeping import Place, passing, require_room, staying
from engine.simulation.ran import Ran
from engine.simulation.replay import Replay, applied, simulated_links
from engine.simulation.standing_in import stand_in

AFTERWARDS: Final = 30 * DAY
UNDATED: Final = parse_instant("9999-01-01T00:00:00Z")
"""Received then, a call keeps whatever time it names; one that names none shows as this."""


@dataclass(frozen=True)
class Rehearsed:
    """What was played and what came of it.

    Attributes:
        ran: What schedules did, in their order; empty where none was to begin.
        kept: The folder that is left, if one is.
    """

    counts: Counts
    start: Instant
    end: Instant
    n_events: int
    n_people: int
    n_rejected: int
    first_error: str
    which: Which
    ran: tuple[Ran, ...] = ()
    kept: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `antiphon simulate --json` prints."""
        return {
            **self.counts.as_json(),
            "from": iso(self.start),
            "to": iso(self.end),
            "events": self.n_events,
            "people": self.n_people,
            "rejected": self.n_rejected,
            "begun": self.which,
            "schedules": ran.as_json(self.ran),
            "kept": None if self.kept is None else str(self.kept),
        }


def rehearse(
    workspace: Workspace,
    *,
    title: str,
    events: str,
    mapping: Mapping[str, str],
    campaign: str | None,
    until: Instant | None,
    seed: str,
    progress: Callable[[float, str], None],
    alter: Callable[[Program], Program] = lambda program: program,
    which: Which = "all",
    trains_every: int = 0,
    keep: Path | None = None,
    is_forced: bool = False,
) -> Rehearsed:
    """Play a file of events through a workspace, on a database that is thrown away or kept.

    Args:
        title: What the workspace is called, for the mark of what is kept.
        campaign: Play only this one, as if it were live.
        progress: Told the share done, in [0, 1], and the day reached.
        alter: Changes the compiled program: what if its caps were others?
        which: What begins of the schedules.
        trains_every: Train a model no more often than this, in microseconds.
        keep: The folder that is to be left, with the database.
        is_forced: An older rehearsal there may go.
    Raises:
        UsageError: If there is no such campaign, or nothing in the file that can be played, or the
            folder is taken.
    """
    if campaign is not None and campaign not in workspace.campaigns:
        raise UsageError(
            f'there is no campaign "{campaign}".{advice(campaign, workspace.campaigns)}'
        )
    if keep is not None:
        require_room(keep, is_forced=is_forced)
    facts, report = _read(workspace, events, mapping=mapping)
    first_error = f"row {report.errors[0].row}: {report.errors[0].message}" if report.errors else ""
    start, end = _span(facts, events, until=until, why=first_error)
    counts = Counts(zone=str(workspace.settings.zone))
    with passing() if keep is None else staying(keep, workspace, is_forced=is_forced) as place:
        playbook = applied(
            place.database, workspace, vault=place.vault, at=start,
            alter=lambda it: alter(_only(it, campaign)),
        )  # fmt: skip
        agenda = _agenda(place, which, until=end, trains_every=trains_every)
        picker = Picker()
        replay = Replay(
            place.database, playbook, vault=place.vault, links=simulated_links(),
            directory=place.folder, observe=counts.observe, seed=seed, agenda=agenda,
            picks=picker.pick if which == "all" else stand_in, picker=picker,
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
        with place.database.read() as connection:
            counts.finish(connection)
            n_people = int(connection.execute("SELECT count(*) FROM profile")[0][0])
        if place.is_kept:
            place.leave(Mark(title, Path(events).name, start, end, seed))
    return Rehearsed(
        counts, start, end, len(facts), n_people, report.rejected, first_error, which,
        () if agenda is None else tuple(agenda.ran.values()), keep,
    )  # fmt: skip


def _read(
    workspace: Workspace, events: str, *, mapping: Mapping[str, str]
) -> tuple[list[Fact], Report]:
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
    return facts, report


def _span(
    facts: Sequence[Fact], events: str, *, until: Instant | None, why: str
) -> tuple[Instant, Instant]:
    """From the first event to the end; what has no date is dated by the first."""
    dated = [fact.at for fact in facts if fact.at < UNDATED]
    if not dated:
        why = why or "no row has a timestamp; name its column with --map timestamp=COLUMN"
        raise UsageError(f"{events}: there is nothing to play ({why})")
    start, last = min(dated), max(dated)
    end = last + AFTERWARDS if until is None else until
    if end <= start:
        raise UsageError(f"--until {iso(end)} lies before the first event, {iso(start)}")
    for fact in facts:
        if fact.at >= UNDATED:  # people without a date are known from the start
            fact.at = fact.accepted_at = start
    return start, end


def _agenda(place: Place, which: Which, *, until: Instant, trains_every: int) -> Agenda | None:
    if which == "none":
        return None
    return Agenda(
        place.database, vault=place.vault, directory=place.folder if place.is_kept else None,
        until=until, trains=which == "all", trains_every=trains_every,
    )  # fmt: skip


def _only(program: Program, campaign: str | None) -> Program:
    if campaign is None:
        return program
    chosen = msgspec.structs.replace(program.campaigns[campaign], state="live")
    return msgspec.structs.replace(program, campaigns={campaign: chosen})
