"""The best items for everybody at once: one product of two tables, in blocks that fit a cache.

A person at a time in Python is what makes "recommend for all users" take hours. Here 256 people are
scored against all items by one multiplication, what they have is struck out, and only the best few
of each row are put in order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK: Final = 256
"""Rows a block: measured faster than 2,048 and 8,192, whose scores leave the cache."""


@dataclass(frozen=True, eq=False)
class Lists:
    """The best items by person.

    Attributes:
        items: Numbers of items, the best first; -1 where there is none. Shape (n_users, n), int32.
        scores: Of each; minus infinity where there is none.
    """

    items: "NDArray[np.int32]"
    scores: "NDArray[np.float32]"


def top_by_factors(
    users: "NDArray[np.floating]",
    items: "NDArray[np.floating]",
    bias: "NDArray[np.floating]",
    *,
    seen: Any,
    n: int,
) -> Lists:
    """The n items with the highest `p . q + bias` for each user, without what they have.

    What is the same for all items of a person (mean, own bias) moves no rank and is left out.

    Args:
        users: p, shape (n_users, f); `items` q, shape (n_items, f); `bias` shape (n_items,).
        seen: What each user has, scipy sparse rows.
    """
    import numpy as np

    p = np.ascontiguousarray(users, dtype=np.float32)
    q = np.ascontiguousarray(np.asarray(items, dtype=np.float32).T)
    b = np.asarray(bias, dtype=np.float32)

    def scored(begin: int, end: int, out: "NDArray[np.float32]") -> None:
        np.matmul(p[begin:end], q, out=out)
        out += b

    return _top(scored, seen=seen, n=n, shape=(len(p), q.shape[1]))


def top_by_weights(
    table: Any, weights: "NDArray[np.float32]", *, n: int, hides_seen: bool = True
) -> Lists:
    """The n items with the highest `x B` for each row x, above zero.

    Args:
        table: People by items, scipy sparse rows of damped likings.
        weights: B, `ease.weights_of`.
    """
    import numpy as np
    from scipy.sparse import csr_array

    x = csr_array(table, dtype=np.float32)

    def scored(begin: int, end: int, out: "NDArray[np.float32]") -> None:
        out[:] = x[begin:end] @ weights

    seen = x if hides_seen else csr_array(x.shape, dtype=np.float32)
    return _top(scored, seen=seen, n=n, shape=x.shape, floor=0.0)


def _top(
    scored: "Callable[[int, int, NDArray[np.float32]], None]",
    *,
    seen: Any,
    n: int,
    shape: tuple[int, int],
    floor: float | None = None,
) -> Lists:
    import numpy as np

    n_users, n_items = shape
    n = min(n, n_items)
    found = Lists(
        np.full((n_users, n), -1, dtype=np.int32), np.full((n_users, n), -np.inf, dtype=np.float32)
    )
    room = np.empty((min(BLOCK, n_users), n_items), dtype=np.float32)
    for begin in range(0, n_users, BLOCK):
        end = min(begin + BLOCK, n_users)
        block = room[: end - begin]
        scored(begin, end, block)
        starts = seen.indptr[begin : end + 1]
        rows = np.repeat(np.arange(end - begin), np.diff(starts))
        block[rows, seen.indices[starts[0] : starts[-1]]] = -np.inf
        if floor is not None:
            block[block <= floor] = -np.inf
        best = _best(block, n)
        scores = np.take_along_axis(block, best, axis=1)
        found.items[begin:end] = np.where(scores > -np.inf, best, -1)
        found.scores[begin:end] = scores
    return found


def _best(block: "NDArray[np.float32]", n: int) -> "NDArray[np.int64]":
    """Columns of the n highest of each row, the highest first, ties by column."""
    import numpy as np

    width = block.shape[1]
    if n < width:
        near = np.argpartition(block, width - n, axis=1)[:, width - n :]
    else:
        near = np.broadcast_to(np.arange(width), block.shape)
    near = np.sort(near, axis=1)
    order = np.argsort(-np.take_along_axis(block, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1)
