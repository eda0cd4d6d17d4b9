"""Who answers for a recommender while history is rehearsed: nothing is learnt in a rehearsal.

What is counted there is messages, not what they show, so a recommender always answers: with the
first products of its feed that are in stock, or with items that say what they stand for.
"""

from typing import Any, Final

from campaigns.recommender_forms import RecommenderFile
from engine.core.model.effects import PickAsk
from engine.release.playbook import Playbook
from engine.store.connection import Connection

SOURCE: Final = "rehearsal"


def stand_in(connection: Connection, playbook: Playbook, ask: PickAsk) -> list[dict[str, Any]]:
    """As many items as are asked for, those of the trigger left out; none of an unknown model."""
    form = playbook.workspace.models.get(ask.model)
    if not isinstance(form, RecommenderFile):
        return []
    n = ask.n + ask.n_spare
    name = form.items.catalog if form.items is not None else None
    feed = playbook.feeds.get(str(name)) if name is not None else None
    if feed is None:
        return [
            {"id": f"item-{number}", "title": f"Item {number}", "source": SOURCE}
            for number in range(1, n + 1)
        ]
    rows = (row for row in feed.in_stock() if str(row["id"]) not in ask.items)
    return [{**row, "source": SOURCE} for row, _ in zip(rows, range(n), strict=False)]
