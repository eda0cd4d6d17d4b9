"""When people bought and for how much, as models of lifetime value count it."""

from typing import TYPE_CHECKING, Final

from engine.core.model.instants import DAY
from engine.learning.history.acts import MILLION
from engine.learning.history.findings import Orders

if TYPE_CHECKING:
    from engine.segment_sql.lake import Lake

_DAYS: Final = (
    "SELECT profile_id, min(happened) AS happened, sum(coalesce(amount, 0)) AS paid "
    "FROM (SELECT a.*, $zone AS zone FROM acts a WHERE is_purchase) l "
    "ASOF JOIN offsets o ON l.zone = o.zone AND l.happened >= o.since "
    "GROUP BY profile_id, (happened + shift) // $day"
)

_BACK: Final = (
    "SELECT d.profile_id, d.happened, sum(r.amount) AS back FROM "
    "(SELECT profile_id, happened, amount FROM acts WHERE is_return AND amount IS NOT NULL) r "
    f"ASOF JOIN ({_DAYS}) d ON d.profile_id = r.profile_id AND r.happened >= d.happened "
    "GROUP BY ALL"
)


def orders(lake: "Lake", zone: str) -> Orders:
    """Every occasion of a purchase, by person and time; `acts` and `offsets` are poured.

    What was returned before anything was bought belongs to no occasion and is left out.
    """
    import numpy as np

    rows = lake.duck.execute(
        f"SELECT profile_id, happened, (paid + coalesce(back, 0)) / {MILLION}e0 AS amount "
        f"FROM ({_DAYS}) d LEFT JOIN ({_BACK}) b USING (profile_id, happened) "
        "SEMI JOIN asked USING (profile_id) ORDER BY profile_id, happened",
        {"zone": zone, "day": DAY},
    ).fetchnumpy()
    return Orders(
        np.asarray(rows["profile_id"], dtype=np.int64),
        np.asarray(rows["happened"], dtype=np.int64),
        np.asarray(rows["amount"], dtype=np.float64),
    )
