"""A history opened as of an instant, and what may be asked of it. Begin here.

Nothing is read before it is asked for, and each table is poured once. The lake is one of the
segments' (`engine.segment_sql.lake`): of bounded memory, gone with the block.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.models import FEATURES, Learning, Rating, RecommenderModel, Signal, Target
from engine.core.model.instants import Instant
from engine.learning.features.table import FeatureTable
from engine.learning.history import (
    acts,
    buying,
    clocks,
    features,
    hours,
    labels,
    liking,
    people,
    sent,
    traits,
)
from engine.learning.history.findings import Hours, Interactions, Items, Orders
from engine.learning.history.known import Known
from engine.learning.history.measures import MEASURES, OF, TRADE
from engine.learning.history.reading import Reading
from engine.learning.refusals import Refused
from engine.store.connection import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.segment_sql.lake import Lake


class History:
    """What was known as of an instant. Only inside the block of `history`."""

    def __init__(
        self,
        connection: Connection,
        lake: "Lake",
        known: Known,
        learning: Learning,
        reading: Reading,
    ) -> None:
        self.as_of = known.as_of
        self._connection = connection
        self._lake = lake
        self._known = known
        self._learning = learning
        self._reading = reading
        self._acts_of_trade_only: bool | None = None
        self._is_sent_poured = False

    def people(self, among: Sequence[int] | None = None) -> "NDArray[np.int64]":
        """Everyone who was known and may be profiled, ascending; of `among` those who are."""
        import numpy as np

        rows = self._lake.select("SELECT profile_id FROM people ORDER BY profile_id", {})
        everyone = np.array([row[0] for row in rows], dtype=np.int64)
        if among is None:
            return everyone
        return np.intersect1d(everyone, np.asarray(among, dtype=np.int64))

    def features(
        self,
        names: Sequence[str] = FEATURES,
        *,
        among: Sequence[int] | None = None,
        zone: str,
    ) -> FeatureTable:
        """The features of these groups and traits; docs/learning.md has every column.

        Args:
            names: Of `campaigns.models.FEATURES`, or `traits.NAME`.
            among: Profiles; those who are unknown or may not be profiled are left out.
            zone: The workspace's, for people of whom none is known, and of its days.
        Raises:
            Refused: If a name is none, personal or sensitive; or if nobody was known at all.
        """
        asked = features.asked_for(names, self._reading, self._learning.sensitive)
        ids = self._somebody(among)
        needs = {
            table for group in asked.groups for name in OF[group] for table in MEASURES[name].needs
        }
        if asked.groups:
            self._pour_acts(only_trade=set(asked.groups) <= TRADE)
        self._pour_told(asked.traits)
        if "zones" in needs:
            self._pour_zones(zone)
        if "offsets" in needs:
            self._pour_offsets(zone)
        if "sent" in needs:
            self._pour_sent()
        return features.table_of(
            self._lake, asked, ids, as_of=self.as_of, own_zone=zone, reading=self._reading
        )

    def labels(
        self, target: Target, *, starts: Instant, among: Sequence[int] | None = None
    ) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
        """(ids, what happened to each from `starts` on, within the target's span).

        Raises:
            Refused: If the span ends after this history's instant, or nobody is known.
        """
        ids = self._somebody(among)
        found = labels.labels_of(
            self._connection, self._lake, self._known, target, starts=starts, ids=ids
        )
        return ids, found

    def purchases(self, *, zone: str = "UTC", among: Sequence[int] | None = None) -> Orders:
        """Occasions of purchase, those of one day of `zone` merged."""
        self._ask(among)
        self._pour_acts(only_trade=True)
        self._pour_offsets(zone)
        return buying.orders(self._lake, zone)

    def interactions(self, liking_: Sequence[Signal] | Rating) -> Interactions:
        """Who liked what: acts of the signals with their weights, or ratings with their stars."""
        return liking.interactions(
            self._connection, self._lake, self._known, self._learning, liking_
        )

    def items(self, model: RecommenderModel, catalog: Sequence[Mapping[str, Any]] = ()) -> Items:
        """What a model may recommend, outside of sensitive categories.

        Args:
            catalog: The rows of the file that the model names.
        """
        if model.items is None:
            found = liking.catalog_items(catalog)
        else:
            found = liking.told_items(self._connection, self._lake, self._known, model.items)
        category = self._learning.purchases.category
        return liking.without_sensitive(found, category, self._learning.sensitive)

    def hours(
        self,
        events: Sequence[str],
        *,
        has_sessions: bool,
        zone: str,
        among: Sequence[int] | None = None,
    ) -> Hours:
        """How often people acted and were sent to, by the hour of their own week.

        Args:
            events: That count as acting; what machines opened or clicked does not.
            has_sessions: Whether the beginning of a session counts, too.
        """
        self._ask(among)
        self._pour_acts(only_trade=False)
        self._pour_told(())
        self._pour_zones(zone)
        self._pour_sent()
        hours.pour_acted(self._connection, self._lake, self._known, events)
        if has_sessions:
            hours.add_visits(self._lake, self._reading.session_gap)
        self._pour_offsets(zone)
        return hours.counted(self._lake)

    def _somebody(self, among: Sequence[int] | None) -> "NDArray[np.int64]":
        ids = self.people(among)
        if len(ids) == 0 and (among is None or len(among) > 0) and len(self.people()) == 0:
            raise Refused(
                "nobody was known yet who may be profiled",
                "wait until there are people, or read the history as of a later instant",
            )
        return ids

    def _ask(self, among: Sequence[int] | None) -> None:
        self._lake.duck.execute("CREATE OR REPLACE TABLE asked (profile_id BIGINT)")
        self._lake.append("asked", [(it,) for it in self.people(among).tolist()])

    def _pour_acts(self, *, only_trade: bool) -> None:
        if self._acts_of_trade_only is None or (self._acts_of_trade_only and not only_trade):
            self._acts_of_trade_only = only_trade
            acts.pour_acts(
                self._connection, self._lake, self._known, self._learning, only_trade=only_trade
            )

    def _pour_told(self, names: Sequence[str]) -> None:
        wanted = sorted({*names, clocks.TRAIT} - self._reading.pii)
        traits.pour_told(self._connection, self._lake, self._known, wanted)

    def _pour_zones(self, own: str) -> None:
        clocks.pour_zones(self._lake, self._reading.zones, own)

    def _pour_sent(self) -> None:
        if not self._is_sent_poured:
            self._is_sent_poured = True
            sent.pour_sent(self._connection, self._lake, self._known)

    def _pour_offsets(self, own: str) -> None:
        tables = ["acts"] + ["sent"] * self._is_sent_poured
        rows = self._lake.select(
            " UNION ALL ".join(f"SELECT min(happened), max(happened) FROM {it}" for it in tables),
            {},
        )
        found = [it for row in rows for it in row if it is not None]
        zones = {own}
        if self._has_zones():
            zones |= {row[0] for row in self._lake.select("SELECT DISTINCT zone FROM zones", {})}
        first, last = min(found, default=0), max(found, default=0)
        clocks.pour_offsets(self._lake, sorted(zones), first, last)

    def _has_zones(self) -> bool:
        return bool(
            self._lake.select("SELECT 1 FROM duckdb_tables() WHERE table_name = 'zones'", {})
        )


@contextmanager
def history(
    connection: Connection,
    *,
    as_of: Instant,
    learning: Learning,
    reading: Reading | None = None,
    told_by: Instant | None = None,
    folder: Path | None = None,
) -> Iterator[History]:
    """What was known as of an instant: events that occurred and were accepted before it.

    Args:
        connection: One snapshot, for as long as the block lasts.
        reading: What the workspace says of its log (`reading_of`).
        told_by: Count events that were accepted later, up to then: for a history that was imported
            in one go, of which nothing was told at the time.
        folder: Where a question larger than memory spills to.
    """
    from engine.segment_sql.lake import open_lake

    known = Known(as_of, as_of if told_by is None else max(told_by, as_of))
    with open_lake(folder) as lake:
        for name, meaning in acts.MACROS.items():
            lake.duck.execute(f"CREATE MACRO {name} AS {meaning}")
        people.pour_people(connection, lake, known, learning.profiling)
        yield History(connection, lake, known, learning, reading or Reading())
