"""`experiment report --explore`: a tree among the traits of those who were exposed."""

import random

import pytest

from engine.core.errors import UsageError
from engine.core.model.instants import DAY
from engine.readout.findings import Findings, read_out
from engine.store.database import Database
from tests.engine.test_readout import (
    AS_OF,
    START,
    Unit,
    a_metric,
    a_study,
    keep_events,
    keep_exposures,
)
from tests.engine.test_reports import keep_profiles

TRAITS = ("traits.country", "traits.age", "traits.secret", "traits.none")


def a_shop(database: Database, *, n: int = 1_600) -> None:
    """Orders after a mail that works in France alone; some people tell no country."""
    rng = random.Random(7)
    units, traits, events = [], {}, []
    for i in range(1, n + 1):
        country = rng.choice(["FR", "DE", None])
        traits[i] = {"age": rng.randint(18, 80), "secret": f"blind:{i:08x}"}
        if country is not None:
            traits[i]["country"] = country
        unit = Unit(i, "email" if i % 2 else "control", START + i)
        units.append(unit)
        rate = 0.2 + (0.5 if country == "FR" and unit.variant == "email" else 0.0)
        if rng.random() < rate:
            events.append((i, "Order Completed", unit.at + DAY, {}))
    keep_profiles(database, traits)
    keep_exposures(database, units)
    keep_events(database, events)


def read(database: Database, *, explore: tuple[str, ...] = TRAITS, **changes: object) -> Findings:
    study = a_study(a_metric(), **changes)
    with database.read() as connection:
        return read_out(connection, study, as_of=AS_OF, explore=explore)


def test_people_among_whom_it_works_are_found_and_marked_as_exploratory(
    database: Database,
) -> None:
    a_shop(database)

    one, again, plain = read(database), read(database), read(database, explore=())

    assert one.readout is not None
    (part,) = one.readout.segments
    (dimension,) = part.dimensions
    words = [it.level for it in dimension.levels]
    assert any(it.startswith("traits.country is FR") for it in words)
    assert dimension.pvalue < 1e-6
    assert not dimension.differs
    assert "exploratory" in dimension.watermark
    assert one.readout == again.readout
    assert plain.readout is not None
    assert plain.readout.segments == ()
    assert plain.readout.comparisons == one.readout.comparisons


def test_sealed_and_unknown_traits_tell_nobody_apart(database: Database) -> None:
    a_shop(database)

    found = read(database, explore=("traits.secret", "traits.none"))

    assert found.readout is not None
    assert found.readout.segments == ()
    assert any("no split of the units was worth making" in it for it in found.readout.notes)


def test_before_the_end_of_a_fixed_test_nothing_is_shown_of_a_tree(database: Database) -> None:
    a_shop(database)

    found = read(database, analysis={"planned_sample": 50_000})

    assert found.readout is not None
    assert found.readout.awaited
    assert found.readout.segments == ()


def test_what_is_no_trait_cannot_be_explored(database: Database) -> None:
    a_shop(database, n=40)

    with pytest.raises(UsageError, match=r"write traits\.NAME"):
        read(database, explore=("country",))
    found = read(database)
    assert found.readout is not None
    assert any("Explored, email: an arm has 20 units" in it for it in found.readout.notes)
