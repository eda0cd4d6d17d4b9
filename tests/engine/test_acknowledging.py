"""A cause is kept for a sample ratio mismatch that is there, and for none that may come."""

import sqlite3
from pathlib import Path

import pytest

from engine.core.model.instants import DAY
from engine.steady import present
from tests.engine.commanding import (  # noqa: F401
    Antiphon,
    _no_database_of_the_developer,
    antiphon,
    shop,
)
from tests.engine.test_reports import tested  # noqa: F401

CAUSE = ("--cause", "the green page was cached without its script")


def expose(workspace: Path, n_control: int, n_green: int) -> None:
    """Units whose week is over, one a second."""
    (path,) = workspace.glob(".antiphon/*.db")
    variants = ["control"] * n_control + ["green"] * n_green
    since = present() - 30 * DAY
    database = sqlite3.connect(path)
    with database:
        database.executemany(
            "INSERT INTO exposure (experiment, phase, profile_id, unit, variant, at, probability, "
            "campaign, enrollment_id, would_allow, source) "
            "VALUES ('button', 1, ?, ?, ?, ?, 0.5, '', 0, '', 'api')",
            [
                (number, f"v{number}", variant, since + number * 1_000_000)
                for number, variant in enumerate(variants, start=1)
            ],
        )
    database.close()


@pytest.mark.parametrize(
    ("units", "says"),
    [((0, 0), "there is no read-out to compare"), ((120, 118), "sample ratio is as planned")],
)
def test_without_a_mismatch_a_cause_is_refused_and_a_later_veto_stands(
    tested: Path,  # noqa: F811
    antiphon: Antiphon,  # noqa: F811
    units: tuple[int, int],
    says: str,
) -> None:
    expose(tested, *units)

    refused = antiphon("experiment", "acknowledge", "button", tested, *CAUSE)

    assert refused.code == 2
    assert says in refused.error
    assert "antiphon experiment report button" in refused.error


def test_the_cause_of_a_mismatch_that_is_there_is_kept_and_shown(
    tested: Path,  # noqa: F811
    antiphon: Antiphon,  # noqa: F811
) -> None:
    expose(tested, 300, 100)

    before = antiphon("experiment", "report", "button", tested)
    told = antiphon("experiment", "acknowledge", "button", tested, *CAUSE, "--json")
    again = antiphon("experiment", "acknowledge", "button", tested, *CAUSE)
    after = antiphon("experiment", "report", "button", tested)

    assert told.json()["phase"] == 1, told.error
    assert again.code == 0, "while it is there a better cause may be given"
    assert CAUSE[1] not in before.out
    assert CAUSE[1] in after.out


def test_one_way_in_that_lost_units_withholds_until_its_own_cause_is_given(
    tested: Path,  # noqa: F811
    antiphon: Antiphon,  # noqa: F811
) -> None:
    expose(tested, 300, 300)
    (path,) = tested.glob(".antiphon/*.db")
    database = sqlite3.connect(path)
    with database:
        lost = "variant = 'green' OR profile_id <= 100"
        database.execute(f"UPDATE exposure SET source = 'sdk' WHERE {lost}")
    database.close()

    before = antiphon("experiment", "report", "button", tested, "--json").json()
    antiphon("experiment", "acknowledge", "button", tested, *CAUSE)
    after = antiphon("experiment", "report", "button", tested, "--json").json()

    assert before["quality"]["off_plan"] == ["seen by api", "seen by sdk"]
    assert before["quality"]["acknowledged"] is None
    assert after["quality"]["acknowledged"] == CAUSE[1]


def test_a_slip_in_the_name_is_told_before_anything_is_read(
    tested: Path,  # noqa: F811
    antiphon: Antiphon,  # noqa: F811
) -> None:
    slipped = antiphon("experiment", "acknowledge", "buton", tested, *CAUSE)

    assert slipped.code == 2
    assert 'Did you mean "button"' in slipped.error
