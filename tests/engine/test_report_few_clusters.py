"""An experiment whose unit is an account: a handful of accounts is assigned anew, not trusted."""

import random

import pytest

from engine.core.model.instants import DAY
from engine.readout.findings import Findings, read_out
from engine.store import bulk
from engine.store.database import Database
from tests.engine.test_readout import AS_OF, START, a_metric, a_study, keep_events

COLUMNS = (
    "experiment", "phase", "profile_id", "variant", "at", "probability", "campaign",
    "enrollment_id", "would_allow", "unit",
)  # fmt: skip


def accounts(database: Database, *, n: int, people: int = 6) -> None:
    """Accounts of some people each; in those with the mail everybody orders twice."""
    rng = random.Random(2)
    rows, events = [], []
    for i in range(n * people):
        account, profile = i // people, i + 1
        variant = "email" if account % 2 else "control"
        rows.append(("nudge", 1, profile, variant, START + i, 0.5, "", 0, "{}", f"a{account}"))
        for _ in range(2 if variant == "email" else rng.randrange(2)):
            events.append((profile, "Order Completed", START + i + DAY, {}))
    with database.write() as connection:
        bulk.insert(connection, "exposure", COLUMNS, rows)
    keep_events(database, events)


def read(database: Database, *, method: str = "fixed") -> Findings:
    study = a_study(a_metric(), unit="traits.account_id", method=method)
    with database.read() as connection:
        return read_out(connection, study, as_of=AS_OF)


def test_six_accounts_cannot_decide_however_clear_it_looks(database: Database) -> None:
    accounts(database, n=6)

    found = read(database)

    assert found.readout is not None, found.why_not
    (it,) = found.readout.comparisons
    assert it.randomization_pvalue == pytest.approx(2 / 20)
    assert it.effect.pvalue is not None
    assert it.effect.pvalue >= 0.1
    assert it.verdict.word != "effect detected"
    assert any("3 against 3 clusters" in note for note in it.notes)


def test_many_accounts_are_compared_as_ever(database: Database) -> None:
    accounts(database, n=60, people=2)

    found = read(database)

    assert found.readout is not None, found.why_not
    (it,) = found.readout.comparisons
    assert it.randomization_pvalue is None
    assert it.verdict.word == "effect detected"
