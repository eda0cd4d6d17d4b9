"""What a recommender shows one person now: asked by journeys, by messages, and by `recommend`.

The champion's arrays are kept in the process until another run is champion. Everything that may
have changed since it was trained is read at the moment: what the person did and bought, the
catalog of the live release, lists, the word on profiling. Without a champion, or with one that is
stale, the declared chain answers; each pick says what it came from.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from campaigns.learning_facts import learning_of
from campaigns.model_compile import models_of
from campaigns.models import Exclusions, Learning, RecommenderModel
from engine.core.errors import StoreError
from engine.core.model.effects import PickAsk
from engine.core.model.instants import Instant
from engine.core.profiling import may_be_profiled
from engine.learning.recommenders.exclusions import Exclusion, exclusion
from engine.learning.recommenders.keeping import recommender_of
from engine.learning.recommenders.recommender import Pick, Recommender
from engine.learning.remembering import deeds, purchased
from engine.learning.serving import Serving
from engine.release.playbook import Playbook
from engine.store import models
from engine.store.connection import Connection

Row = Mapping[str, Any]

log = logging.getLogger("antiphon.learning")

FOR_EVERYBODY: Final = ("popular", "new", "editorial")
"""Sources that know nothing of whoever is shown the item."""

_traits: Final = msgspec.json.Decoder(dict[str, Any])
_CHAMPION: Final = (
    "SELECT run, as_of, created_at FROM model_run WHERE model = ? AND status = 'champion'"
)


class Shown(NamedTuple):
    """An answer, and what it was made of.

    Attributes:
        rows: The items, the best first: `id`, what the catalog knows, `source`, `reason`, `score`.
        run: The champion's number, 0 for none; `is_stale`: it is too old to be believed.
        is_personal: Whether what the person did was read.
        why_not: By item that was left out, why, in words; of those that were asked about.
        fault: Why the champion could not be asked although there is one, in words; "" as a rule.
    """

    rows: list[dict[str, Any]]
    run: int
    is_stale: bool
    is_personal: bool
    why_not: Mapping[str, str]
    fault: str = ""


@dataclass
class Picker:
    """Answers for one process; safe to share between threads."""

    _known: dict[str, tuple[int, Recommender | None, Mapping[str, Row] | None, str]] = field(
        default_factory=dict
    )
    _catalogs: dict[str, tuple[object, Mapping[str, Row]]] = field(default_factory=dict)
    _serving: Serving = field(default_factory=Serving)
    _lock: Lock = field(default_factory=Lock)

    def pick(
        self, connection: Connection, playbook: Playbook, ask: PickAsk
    ) -> list[dict[str, Any]]:
        """The items for one person, the best first, at most n + n_spare."""
        return self.shown(connection, playbook, ask).rows

    def shown(
        self,
        connection: Connection,
        playbook: Playbook,
        ask: PickAsk,
        *,
        is_mixed: bool = True,
    ) -> Shown:
        """The same, with what the answer was made of; an unknown model shows nothing.

        Args:
            is_mixed: False for the list as it were if nothing moved for variety's sake.
        """
        model = models_of(playbook.workspace).get(ask.model)
        if not isinstance(model, RecommenderModel):
            return Shown([], 0, False, False, {})
        learning = learning_of(playbook.workspace)
        run, is_stale, known, told = self._champion(connection, model, now=ask.at)
        rows = self._rows(playbook, model, told)
        may = _may_be_profiled(connection, int(ask.profile_id), learning)
        # All that was ever bought, whatever the window that hides: reasons tell it by its name.
        bought = purchased(connection, int(ask.profile_id), learning=learning, since=0, now=ask.at)
        why_not = _exclusion(playbook, model, ask, rows, bought)
        left_out: dict[str, str] = {}

        def is_excluded(item: str) -> str:
            why = why_not(item)
            if why:
                left_out.setdefault(item, why)
            return why

        editorial = _ids_of_feed(playbook, model.editorial)
        n = ask.n + ask.n_spare
        is_personal = may and not is_stale
        if known is None:
            asked = self._serving.untrained(connection, model, learning, rows, now=ask.at)
        else:
            asked = self._serving.trained(known, model, learning, rows)
        # Of a category that they liked the chain asks, too, before anything was learnt.
        history = (
            deeds(connection, int(ask.profile_id), model=model, learning=learning, now=ask.at)
            if is_personal
            else []
        )
        chosen = (asked if is_mixed else asked.unmixed()).recommend(
            history,
            n=n,
            exclude=is_excluded,
            now=ask.at,
            context=ask.items,
            segment=_segment(connection, model, int(ask.profile_id)),
            editorial=editorial,
            is_personal=is_personal,
        )
        shown = [_row(it, rows, bought, run) for it in chosen]
        kept = self._known.get(model.name)
        fault = kept[3] if kept is not None and kept[0] == run else ""
        return Shown(shown, run, is_stale, is_personal, left_out, fault)

    def still(
        self, connection: Connection, playbook: Playbook, ask: PickAsk, picks: Collection[Row]
    ) -> dict[str, str]:
        """Of rows that were picked before, those not to be shown any more, and why, by id."""
        model = models_of(playbook.workspace).get(ask.model)
        if not isinstance(model, RecommenderModel):
            return {}
        learning = learning_of(playbook.workspace)
        _, _, _, told = self._champion(connection, model, now=ask.at)
        rows = self._rows(playbook, model, told)
        bought = self._bought(connection, model, learning, ask)
        why_not = _exclusion(playbook, model, ask, rows, bought)
        gone = {item: why for it in picks if (why := why_not(item := str(it["id"])))}
        if not _may_be_profiled(connection, int(ask.profile_id), learning):
            personal = [str(it["id"]) for it in picks if it.get("source") not in FOR_EVERYBODY]
            gone |= dict.fromkeys(personal, "picked from what they did, which they refused since")
        return gone

    def hidden(
        self, connection: Connection, playbook: Playbook, ask: PickAsk, feed: str
    ) -> list[str]:
        """Of the products that a block may fill up from, the ids that may not be shown.

        What the model's own catalog says of one of them counts before what the feed says.
        """
        model = models_of(playbook.workspace).get(ask.model)
        found = playbook.feeds.get(feed)
        if not isinstance(model, RecommenderModel) or found is None:
            return []
        learning = learning_of(playbook.workspace)
        _, _, _, told = self._champion(connection, model, now=ask.at)
        known = self._rows(playbook, model, told) or {}
        offered = {str(row["id"]): row for row in found.in_stock()}
        rows = {item: {**row, **known.get(item, {})} for item, row in offered.items()}
        bought = self._bought(connection, model, learning, ask)
        why_not = _exclusion(playbook, model, ask, rows, bought)
        return [item for item in offered if why_not(item)]

    def forget(self) -> None:
        """Start anew from what is kept."""
        with self._lock:
            self._known.clear()
            self._catalogs.clear()
        self._serving.forget()

    def _champion(
        self, connection: Connection, model: RecommenderModel, *, now: Instant
    ) -> tuple[int, bool, Recommender | None, Mapping[str, Row] | None]:
        found = connection.execute(_CHAMPION, (model.name,))
        if not found:
            return 0, False, None, None
        run, as_of, created_at = (int(it) for it in found[0])
        is_stale = now - (as_of or created_at) > model.refresh.stale_after
        with self._lock:
            kept = self._known.get(model.name)
            if kept is None or kept[0] != run:
                kept = self._known[model.name] = _load(connection, model.name, run)
        return run, is_stale, kept[1], kept[2]

    def _rows(
        self, playbook: Playbook, model: RecommenderModel, told: Mapping[str, Row] | None
    ) -> Mapping[str, Row] | None:
        """The items by id: of the catalog as it is live, or as events told of them."""
        if not model.catalog:
            return told
        file = playbook.workspace.catalog.get(model.catalog)
        if file is None:
            return told
        with self._lock:
            kept = self._catalogs.get(model.catalog)
            if kept is None or kept[0] is not file:
                kept = (file, {str(row["id"]): row for row in file.rows})
                self._catalogs[model.catalog] = kept
        return kept[1]

    def _bought(
        self, connection: Connection, model: RecommenderModel, learning: Learning, ask: PickAsk
    ) -> dict[str, Instant]:
        window = _rules(model.exclude, ask).purchased
        if window is None:
            return {}
        since = ask.at - window if window else 0
        return purchased(
            connection, int(ask.profile_id), learning=learning, since=since, now=ask.at
        )


def _load(
    connection: Connection, model: str, run: int
) -> tuple[int, Recommender | None, Mapping[str, Row] | None, str]:
    """(run, what it has learnt, what events told of items, why it cannot be read or "")."""
    from engine.learning.artifact import DAMAGED, unpack
    from engine.learning.training_recommenders import ROWS

    rows = connection.execute(
        "SELECT 1 FROM model_artifact WHERE model = ? AND run = ? LIMIT 1", (model, run)
    )
    if not rows:
        return run, None, None, ""
    data = models.artifact(connection, model, run)
    try:
        artifact = unpack(data)
        return run, recommender_of(artifact), artifact.schema.get(ROWS), ""
    except (StoreError, *DAMAGED) as error:
        # Said once and not tried again before another run is champion: it will not mend itself.
        why = f"what run {run} has learnt cannot be read: {error}"
        log.warning("%s: %s. Its fallbacks answer: antiphon model train %s", model, why, model)
        return run, None, None, why


def _exclusion(
    playbook: Playbook,
    model: RecommenderModel,
    ask: PickAsk,
    rows: Mapping[str, Row] | None,
    bought: Mapping[str, Instant],
) -> Exclusion:
    rules = _rules(model.exclude, ask)
    return exclusion(
        rules,
        rows=rows,
        purchased=bought,
        now=ask.at,
        allow=_listed(playbook, rules.allow) if rules.allow else None,
        deny=_listed(playbook, rules.deny) if rules.deny else (),
        trigger=ask.items,
        sensitive=learning_of(playbook.workspace).sensitive,
    )


def _rules(rules: Exclusions, ask: PickAsk) -> Exclusions:
    """A model's rules, and those that the question adds."""
    if "purchased" in ask.exclude and rules.purchased is None:
        rules = replace(rules, purchased=0)
    if "out_of_stock" in ask.exclude:
        rules = replace(rules, is_out_of_stock_hidden=True)
    return rules


def _listed(playbook: Playbook, name: str) -> tuple[str, ...]:
    found = playbook.workspace.lists.get(name)
    return () if found is None else found.values


def _ids_of_feed(playbook: Playbook, name: str) -> list[str]:
    file = playbook.workspace.catalog.get(name) if name else None
    return [] if file is None else [str(row["id"]) for row in file.rows[:FEED_MAX]]


FEED_MAX: Final = 500


def _row(
    pick: Pick, rows: Mapping[str, Row] | None, bought: Mapping[str, Instant], run: int
) -> dict[str, Any]:
    known = rows or {}
    return {
        **known.get(pick.item, {}),
        "id": pick.item,
        "source": pick.source,
        "reason": _reason(pick, known, bought),
        "because": [it.item for it in pick.reason],
        "score": round(pick.score, 6),
        "run": run,
    }


def _reason(pick: Pick, rows: Mapping[str, Row], bought: Mapping[str, Instant]) -> str:
    """Why, in words: `because you bought Tea`; "" for what everybody is shown, and where it
    is in the catalog no more: an article's number is no reason to anybody."""
    item = pick.reason[0].item if pick.reason else ""
    row = rows.get(item)
    if row is None:
        return ""
    title = row.get("title") or item
    return f"because you {'bought' if item in bought else 'looked at'} {title}"


def _segment(connection: Connection, model: RecommenderModel, profile_id: int) -> str:
    if not model.segment or "segment_popular" not in model.fallback:
        return ""
    rows = connection.execute(
        "SELECT 1 FROM membership WHERE segment = ? AND profile_id = ?",
        (model.segment, profile_id),
    )
    return model.segment if rows else ""


def _may_be_profiled(connection: Connection, profile_id: int, learning: Learning) -> bool:
    rows = connection.execute("SELECT traits FROM profile WHERE id = ?", (profile_id,))
    said = _traits.decode(rows[0][0]).get(learning.profiling.trait) if rows else None
    return may_be_profiled(said, learning.profiling)
