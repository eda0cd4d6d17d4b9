"""The run: two months of history, ten months on the virtual clock, then the readouts."""

import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.core.model.instants import DAY, Instant
from engine.demo.invented import as_facts, carts, people, purchase, purchases
from engine.demo.learning import School
from engine.demo.learnt import Learnt, learnt
from engine.demo.orders import SHOP, Order, household_sizes, local_midnight, read_orders
from engine.demo.planting import (
    CAMPAIGN,
    EXPERIMENT,
    METRIC,
    PLANTED,
    Planned,
    Truth,
    plan,
    planted_orders,
)
from engine.readout.findings import Findings, read_out
from engine.readout.metric_sums import Unit, outcomes
from engine.readout.studies import Study, studies
from engine.release.publish import check
from engine.sending.composing import Links
from engine.settings import Settings, link_key, read_settings
from engine.simulation.counts import Counts
from engine.simulation.replay import Replay, applied
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.migrate import upgrade
from engine.vault import Vault

WINDOW: Final = DAY
FAST_SHARE: Final = 0.1
PLANTED_PREFIX: Final = "planted-"
DAYS_A_WEEK: Final = 7

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Year:
    """When the shop's year begins, when its campaigns do, and when it ends."""

    begins: Instant
    live: Instant
    ends: Instant
    shift_days: int

    @classmethod
    def starting(cls, *, shift_days: int = 0) -> "Year":
        """2017, or a year of the same weekdays moved by so many days."""
        return cls(
            local_midnight(2017, 1, 1, shift_days=shift_days),
            local_midnight(2017, 3, 1, shift_days=shift_days),
            local_midnight(2018, 1, 1, shift_days=shift_days),
            shift_days,
        )

    @classmethod
    def ending_before(cls, now: Instant) -> "Year":
        """The year moved by whole weeks so that it ends within the last seven days."""
        ends = local_midnight(2018, 1, 1)
        weeks = (now - ends) // (DAYS_A_WEEK * DAY)
        return cls.starting(shift_days=weeks * DAYS_A_WEEK)


@dataclass
class Played:
    """What the year came to.

    Attributes:
        truths: By the name of a study: what was planted among its units.
        messages: (channel, status) -> how many.
    """

    directory: Path
    year: Year
    planned: Planned
    counts: Counts
    n_people: int
    n_orders: int
    n_carts: int
    n_planted: int
    messages: Mapping[tuple[str, str], int] = field(default_factory=dict)
    findings: list[Findings] = field(default_factory=list)
    truths: dict[str, Truth] = field(default_factory=dict)
    learnt: Learnt = field(default_factory=Learnt)
    seconds: float = 0.0


def play_year(
    directory: Path, *, share: float, seed: int, year: Year, progress: Callable[[str], Progress]
) -> Played:
    """Play the shop's year in a folder, which becomes a workspace with its database.

    Args:
        share: Of the households.
        progress: Given what begins now, gives what to tell how far it is.
    """
    started = time.monotonic()
    shutil.copytree(SHOP, directory, dirs_exist_ok=True)
    settings = read_settings(directory, environ={})
    tell = progress("Reading orders")
    orders = read_orders(share=share, shift_days=year.shift_days)
    orders = [order for order in orders if order.at < year.ends]
    tell(1.0, f"{len(orders):,} baskets")
    planned = plan(orders, since=year.live, until=year.ends)
    run = _Run(directory, settings, orders, planned, year=year, seed=seed)
    try:
        run.load_history(progress("Loading history"))
        run.play(progress("Playing the year"))
        played = run.read(progress("Reading out"))
    finally:
        run.close()
    played.seconds = time.monotonic() - started
    return played


class _Run:
    """One database being filled with one year."""

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        orders: list[Order],
        planned: Planned,
        *,
        year: Year,
        seed: int,
    ) -> None:
        self.directory, self.orders, self.planned = directory, orders, planned
        self.year, self.seed = year, seed
        # Until the year is played the file can be made again: it need not survive a power cut.
        self.database = Database(settings.database_url, is_throwaway=True)
        upgrade(self.database)
        vault = Vault({1: settings.secret_key}, entropy=secrets.token_bytes)
        workspace = check(directory).workspace
        self.counts = Counts(zone=str(workspace.settings.zone))
        self.school = School(self.database, year.live)
        self.replay = Replay(
            self.database,
            applied(self.database, workspace, vault=vault, at=year.begins),
            vault=vault,
            links=Links("http://127.0.0.1:8321", link_key(settings)),
            directory=settings.directory / ".antiphon",
            write=None,
            owner="demo",
            observe=self.counts.observe,
            picks=self.school.answer,
        )
        self.by_household: dict[int, list[Order]] = {}
        for order in orders:
            self.by_household.setdefault(order.household, []).append(order)
        self.answered: dict[int, int] = {}
        self.n_carts = 0

    def load_history(self, tell: Progress) -> None:
        """People, and the orders before March: known, but too old to start a journey."""
        declared, live = self.replay.declared, self.year.live
        households = people(
            self.by_household, sizes=household_sizes(), at=self.year.begins, seed=self.seed
        )
        old = purchases(order for order in self.orders if order.at < live)
        self.replay.load(
            as_facts([*households, *old], declared=declared, until=self.year.ends), at=live
        )
        tell(0.5, f"{len(self.by_household):,} people")
        new = purchases(order for order in self.orders if order.at >= live)
        self.replay.add(as_facts(new, declared=declared, until=self.year.ends))
        invented = list(carts(self.orders, since=live, seed=self.seed))
        self.n_carts = len(invented)
        self.replay.add(as_facts(invented, declared=declared, until=self.year.ends + 3 * DAY))
        tell(1.0, f"{len(self.orders):,} orders")

    def play(self, tell: Progress) -> None:
        """March to December, a day at a time, planting answers as messages go out."""
        whole = self.year.ends - self.year.live

        def after_window(replay: Replay, closes: Instant) -> None:
            self._plant(closes)
            self.school.teach(replay.playbook, opens=closes - WINDOW, closes=closes)
            tell((closes - self.year.live) / whole, f"{(closes - self.year.begins) // DAY:>3} days")

        self.replay.run(
            start=self.year.live, end=self.year.ends, window=WINDOW, after_window=after_window
        )

    def _plant(self, closes: Instant) -> None:
        """Let those whose e-mail of the experiment went out in this window answer it."""
        with self.database.read() as connection:
            rows = connection.execute(
                "SELECT m.profile_id, p.external_id, x.at FROM message m "
                "JOIN exposure x ON x.experiment = ? AND x.profile_id = m.profile_id "
                "JOIN profile p ON p.id = m.profile_id "
                "WHERE m.campaign = ? AND m.variant = ? AND x.variant = ? AND m.status = 'sent' "
                "AND m.due_at >= ? ORDER BY m.id",
                (EXPERIMENT, CAMPAIGN, PLANTED, PLANTED, closes - 2 * WINDOW),
            )
        calls = []
        for profile_id, external_id, exposed_at in rows:
            if profile_id in self.answered:
                continue
            household = int(external_id.rpartition("-")[2])
            answers = planted_orders(
                household,
                baskets=[it for it in self.by_household[household] if it.at < exposed_at],
                exposed_at=exposed_at,
                after=closes,
                per_message=self.planned.per_message,
                seed=self.seed,
            )
            self.answered[profile_id] = len(answers)
            calls += [
                purchase(copied, order_id=f"{PLANTED_PREFIX}{household}-{number}", at=at)
                for number, (copied, at) in enumerate(answers, start=1)
                if at < self.year.ends
            ]
        self.replay.add(as_facts(calls, declared=self.replay.declared, until=self.year.ends + DAY))

    def read(self, tell: Progress) -> Played:
        """Every study, with the truth beside it."""
        as_of = self.year.ends
        playbook = self.replay.playbook
        with self.database.read() as connection:
            self.counts.finish(connection)
            played = Played(
                self.directory,
                self.year,
                self.planned,
                self.counts,
                n_people=len(self.by_household),
                n_orders=len(self.orders),
                n_carts=self.n_carts,
                n_planted=sum(self.answered.values()),
                messages=_messages(connection),
                learnt=learnt(connection, self.school.taught),
            )
            found = studies(playbook.program, playbook.workspace)
            for place, study in enumerate(found):
                findings = read_out(connection, study, as_of=as_of)
                played.findings.append(findings)
                if study.campaign == CAMPAIGN and findings.readout is not None:
                    played.truths[study.name] = _truth(
                        connection, study, as_of=as_of, answered=self.answered
                    )
                tell((place + 1) / len(found), study.name)
        return played

    def close(self) -> None:
        """Close files and database."""
        self.replay.close()
        self.database.close()


def _messages(connection: Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        "SELECT channel, status, count(*) FROM message GROUP BY channel, status"
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _truth(
    connection: Connection, study: Study, *, as_of: Instant, answered: Mapping[int, int]
) -> Truth:
    """What was planted among the units that the study read, and what they did of themselves."""
    definition = next(it for it, _ in study.metrics if it.name == METRIC)
    window = max(it.within or 0 for it, _ in study.metrics)
    last = as_of - window
    if "runs" in study.analysis:  # Read once: those who came later are not in it.
        ((began,),) = connection.execute(
            "SELECT started_at FROM experiment_phase WHERE experiment = ? AND phase = ?",
            (study.name, study.phase),
        )
        last = min(last, began + study.analysis["runs"] - 1)
    rows = connection.execute(
        "SELECT profile_id, variant, at FROM exposure "
        "WHERE experiment = ? AND phase = ? AND at <= ? ORDER BY profile_id",
        (study.name, study.phase, last),
    )
    units = [Unit(*row) for row in rows]
    done = sum(value for value, _ in outcomes(connection, units, definition, as_of=as_of))
    planted: Counter[str] = Counter()
    for unit in units:
        planted[unit.variant] += answered.get(unit.profile_id, 0)
    n = Counter(unit.variant for unit in units)
    return Truth(n, planted, (done - sum(planted.values())) / len(units))
