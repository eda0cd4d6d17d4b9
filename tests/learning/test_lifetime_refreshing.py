"""Lifetime values, cells of RFM and send times, trained on a log as the engine keeps it."""

from engine.learning.refreshing import Learner, refresh
from tests.learning.shopping import SHOP, a_shop

VALUE = (
    "score: value\nalgorithm: lifetime\n"
    "target: {event: Order Completed, within: 60d, sum: properties.revenue}\n"
)


def test_lifetime_cells_and_hours_are_learnt_from_the_log(database_url: str) -> None:
    files = {
        **SHOP,
        "models/value.yaml": VALUE,
        "models/cells.yaml": "cluster: cells\nalgorithm: rfm\n",
    }
    stage = a_shop(database_url, n=100, files=files)
    it = stage.process
    learner = Learner(it.database, it.playbook, it.write, lambda: 0, None)

    value, cells, hour = (
        refresh(learner, name, as_of=stage.now, now=stage.now)
        for name in ("value", "cells", "hour")
    )

    # Half buys weekly for ever, half has stopped: nobody's own pace foretells that.
    assert value.status == "champion", value.verdict
    assert value.n_scored == 100
    assert value.metrics["unit"] == "money"
    assert cells.status == "champion", cells.verdict
    assert hour.status == "champion", hour.verdict
    assert "surely more than" in hour.verdict
