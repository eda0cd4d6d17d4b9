"""What people did with items, become one number for each person and item.

A liking is the sum of the weights of what a person did with an item, each halved for every
half-life that has passed, at most `cap`. What was given back takes away; machines, which act more
in a day than anyone can, are left out; so is what lies in the future or is no number. Stars are no
likings: of them the last word counts, as it was given.

Rows are put in one order first, so that the same events in any order make the same bytes.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Protocol

from engine.core.model.instants import DAY, Instant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PER_DAY_MAX: Final = 2_000
"""Events in one day past which a profile is no person."""


class Interactions(Protocol):
    """Events about items, one a row in any order; read by `engine.learning.history`.

    Attributes:
        user_ids: Profiles, int64.
        items: What the event is about, as text.
        weights: Of the signal, negative where it was given back; stars where it is a rating.
        times: Microseconds UTC.
    """

    @property
    def user_ids(self) -> "NDArray[np.int64]": ...
    @property
    def items(self) -> "NDArray[Any]": ...
    @property
    def weights(self) -> "NDArray[np.float64]": ...
    @property
    def times(self) -> "NDArray[np.int64]": ...


@dataclass(frozen=True, eq=False)
class Shifted:
    """Stars as weights: above the middle of the scale they speak for an item, below against."""

    given: Interactions
    middle: float

    @property
    def user_ids(self) -> "NDArray[np.int64]":
        """As given."""
        return self.given.user_ids

    @property
    def items(self) -> "NDArray[Any]":
        """As given."""
        return self.given.items

    @property
    def times(self) -> "NDArray[np.int64]":
        """As given."""
        return self.given.times

    @property
    def weights(self) -> "NDArray[np.float64]":
        """Less the middle."""
        import numpy as np

        return np.asarray(self.given.weights, dtype=np.float64) - self.middle


@dataclass(frozen=True, eq=False)
class Likings:
    """A sparse table of people by items, in rows.

    Attributes:
        users: Profiles, ascending, int64; each has at least one item.
        items: Ids as text, ascending.
        starts: Where each person's row begins in `codes`, and the end; shape (n_users + 1,).
        codes: Places in `items`, ascending in each row.
        values: Above zero; stars where it was made of ratings.
        first_seen: When each item was first acted on; shape (n_items,).
        n_dropped: How many events were left out, by the reason in words.
    """

    users: "NDArray[np.int64]"
    items: "NDArray[np.str_]"
    starts: "NDArray[np.int64]"
    codes: "NDArray[np.int32]"
    values: "NDArray[np.float64]"
    first_seen: "NDArray[np.int64]"
    n_dropped: dict[str, int] = field(default_factory=dict)

    def table(self) -> Any:
        """The same as a scipy.sparse.csr_array of float64."""
        from scipy.sparse import csr_array

        shape = (len(self.users), len(self.items))
        return csr_array((self.values, self.codes, self.starts), shape=shape)


def item_id(value: object) -> str:
    """An item's id as text: 1, 1.0 and " 1 " are the same item "1"; "" where there is none.

    A shop that once sent numbers and now sends texts has not changed its products.
    """
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float):
        if not isfinite(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    return str(value).strip()


def likings(
    given: Interactions,
    *,
    half_life: int,
    cap: float,
    now: Instant,
    unread: Collection[str] = (),
    per_day_max: int | None = PER_DAY_MAX,
) -> Likings:
    """How much everybody likes what they acted on.

    Args:
        half_life: Microseconds after which an event counts half.
        cap: The most that one person may like one item.
        unread: Items that must not be learnt from.
        per_day_max: Events of one day past which it is a machine; None: nobody is one.
    """
    import numpy as np

    rows = _rows(given, now=now, unread=unread, per_day_max=per_day_max)
    worth = rows.weights * np.exp2(-(now - rows.times) / half_life)
    begins = rows.pair_starts()
    sums = np.add.reduceat(worth, begins) if len(begins) else worth
    sums = np.minimum(sums, cap)
    return _table(rows, begins, sums, is_kept=sums > 0)


def stars(
    given: Interactions, *, scale: tuple[float, float], now: Instant, unread: Collection[str] = ()
) -> Likings:
    """What everybody gave each item last, of the stars that are on the scale."""
    import numpy as np

    # Nobody is a machine here: people rate hundreds of films in an evening.
    rows = _rows(given, now=now, unread=unread, per_day_max=None, scale=scale)
    begins = rows.pair_starts()
    ends = np.append(begins[1:], len(rows.times)) - 1 if len(begins) else begins
    last = rows.weights[ends]
    return _table(rows, begins, last, is_kept=np.ones(len(last), dtype=bool))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Events in order of person, item, time and weight, with what was left out of them."""

    users: "NDArray[np.int64]"
    codes: "NDArray[np.int64]"
    names: "NDArray[np.str_]"
    times: "NDArray[np.int64]"
    weights: "NDArray[np.float64]"
    dropped: dict[str, int]

    def pair_starts(self) -> "NDArray[np.int64]":
        """Where each pair of person and item begins."""
        import numpy as np

        if not len(self.users):
            return np.zeros(0, dtype=np.int64)
        is_new = (np.diff(self.users) != 0) | (np.diff(self.codes) != 0)
        return np.concatenate(([0], np.flatnonzero(is_new) + 1))


def _rows(
    given: Interactions,
    *,
    now: Instant,
    unread: Collection[str],
    per_day_max: int | None,
    scale: tuple[float, float] | None = None,
) -> _Rows:
    import numpy as np

    users, times = np.asarray(given.user_ids, np.int64), np.asarray(given.times, np.int64)
    weights = np.asarray(given.weights, dtype=np.float64)
    raw, names = _coded(np.asarray(given.items).tolist())
    dropped: dict[str, int] = {}
    kept = np.ones(len(users), dtype=bool)

    def leave_out(reason: str, is_out: "NDArray[np.bool_]") -> None:
        if n := int(np.count_nonzero(kept & is_out)):
            dropped[reason] = n
            kept[is_out] = False

    leave_out("weight is no number", ~np.isfinite(weights))
    leave_out("in the future", times > now)
    leave_out("without an item", np.asarray([not it for it in names], dtype=bool)[raw])
    is_unread = np.asarray([it in unread for it in names], dtype=bool)
    leave_out("about something sensitive", is_unread[raw])
    if scale is not None:
        leave_out("off the scale of stars", (weights < scale[0]) | (weights > scale[1]))
    if per_day_max is not None:
        leave_out("by machines", np.isin(users, _machines(users[kept], times[kept], per_day_max)))
    users, raw, times, weights = users[kept], raw[kept], times[kept], weights[kept]
    used, codes = np.unique(raw, return_inverse=True)
    told = np.asarray([names[it] for it in used], dtype=np.str_)
    by_name = np.argsort(told, kind="stable")
    place = np.empty(len(told), dtype=np.int64)
    place[by_name] = np.arange(len(told))
    codes = place[codes]
    order = np.lexsort((weights, times, codes, users))
    return _Rows(users[order], codes[order], told[by_name], times[order], weights[order], dropped)


def _coded(values: Iterable[object]) -> tuple["NDArray[np.int64]", list[str]]:
    """Each value as the place of its id in a list of ids; a dict is quicker than sorting texts."""
    import numpy as np

    places: dict[object, int] = {}
    ids: dict[str, int] = {}
    codes = []
    for value in values:
        code = places.get((type(value), value))
        if code is None:
            code = ids.setdefault(item_id(value), len(ids))
            places[(type(value), value)] = code
        codes.append(code)
    return np.asarray(codes, dtype=np.int64), list(ids)


def _machines(
    users: "NDArray[np.int64]", times: "NDArray[np.int64]", per_day_max: int
) -> "NDArray[np.int64]":
    """Profiles that acted more often in one day than a person can."""
    import numpy as np

    if not len(users):
        return users
    days = times // DAY
    order = np.lexsort((days, users))
    users, days = users[order], days[order]
    is_new = (np.diff(users) != 0) | (np.diff(days) != 0)
    begins = np.concatenate(([0], np.flatnonzero(is_new) + 1))
    counts = np.diff(np.append(begins, len(users)))
    return np.unique(users[begins[counts > per_day_max]])


def _table(
    rows: _Rows,
    begins: "NDArray[np.int64]",
    values: "NDArray[np.float64]",
    *,
    is_kept: "NDArray[np.bool_]",
) -> Likings:
    """Pairs as rows of people; items that nobody is left to like go too."""
    import numpy as np

    pair_users, pair_codes = rows.users[begins][is_kept], rows.codes[begins][is_kept]
    users, sizes = np.unique(pair_users, return_counts=True)
    used, codes = np.unique(pair_codes, return_inverse=True)
    first = np.full(len(rows.names), np.iinfo(np.int64).max)
    np.minimum.at(first, rows.codes, rows.times)
    return Likings(
        users=users,
        items=rows.names[used],
        starts=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        codes=codes.astype(np.int32),
        values=values[is_kept],
        first_seen=first[used],
        n_dropped=rows.dropped,
    )
