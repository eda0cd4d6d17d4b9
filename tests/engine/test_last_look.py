"""Planned looks end with the planned sample: whoever comes later changes nothing that is read."""

from dataclasses import replace

import pytest

from engine.core.model.instants import DAY
from engine.store.database import Database
from tests.engine.test_readout import AS_OF, START, a_metric, a_study
from tests.engine.test_reports import a_shop, read

LOOKS = {"planned_sample": 200, "looks": [0.25, 0.5, 0.75, 1]}
WHEN_FULL = START + (23 + 14) * DAY + DAY // 2
"""The 200th unit of `a_shop` in order of coming is of its 24th day; its window takes 14."""


@pytest.mark.parametrize("within", [14 * DAY, None], ids=["by days", "without a window"])
def test_once_the_last_look_is_reached_later_units_and_later_readings_change_no_number(
    database: Database, within: int | None
) -> None:
    a_shop(database)
    # Opens the report's segments too, which are read of the same units.
    study = replace(
        a_study(a_metric(within=within), method="group_sequential"),
        analysis={**LOOKS, "dimensions": ["traits.country"]},
    )

    due = read(database, study, as_of=WHEN_FULL if within else AS_OF - DAY)
    later = read(database, study, as_of=AS_OF)

    assert due.readout is not None
    assert later.readout is not None
    assert sum(later.n.values()) == sum(due.n.values()) == LOOKS["planned_sample"]
    assert later.readout.comparisons == due.readout.comparisons != ()
    for part in ("srm", "segments", "over_time", "wear", "decision"):
        assert getattr(later.readout, part) == getattr(due.readout, part), part
    assert later.readout.segments
    assert later.readout.provenance.snapshot == due.readout.provenance.snapshot
    left = {it.why: it.n for it in later.readout.quality.excluded}
    assert left == {"came after the planned sample was full": 40}
    said = "The last of 4 looks." if within else "read as look 4 of 4"
    assert any(said in note for note in later.readout.notes)


def test_before_the_last_look_all_who_are_there_are_counted(database: Database) -> None:
    a_shop(database)
    study = a_study(a_metric(), method="group_sequential", analysis=LOOKS)

    found = read(database, study, as_of=WHEN_FULL - 8 * DAY)

    n = sum(found.n.values())
    assert 100 < n < 200
    assert found.readout is not None
    assert any(note.startswith("Look ") for note in found.readout.notes)
