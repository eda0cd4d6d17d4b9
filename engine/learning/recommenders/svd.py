"""Stars, by scikit-surprise's SVD: a thin adapter around four traps of that library.

1. Ids are texts before it sees them: asked for "1" where it knows 1 it would answer with averages
   and say nothing. 2. It is never asked to predict: its answers are cut off at five stars, so that
   the top of a list is all ties, and a million users would take an hour; we score from its arrays.
3. What it would fill for "everything not rated" is never built. 4. Its random state is always set.

Of people nothing is kept: whoever asks is folded in from their own stars by one ridge regression
against the items' factors, which is also how a rating given a minute ago counts.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.recommenders.likings import Likings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N_FACTORS: Final = 100
N_EPOCHS: Final = 20
RIDGE: Final = 10.0
"""Of folding in: RMSE 0.927 on ML-100k, where training anew gives 0.929."""


@dataclass(frozen=True, eq=False)
class Factors:
    """What was learnt of items: a star is `mean + user bias + item bias + p . q`.

    Attributes:
        mean: Of all stars.
        bias: By item; shape (n,).
        items: q; shape (n, f).
    """

    mean: float
    bias: "NDArray[np.float64]"
    items: "NDArray[np.float64]"


@dataclass(frozen=True, eq=False)
class Fitted:
    """The library's arrays by its own inner ids, and what those stand for."""

    factors: Factors
    user_bias: "NDArray[np.float64]"
    users: "NDArray[np.float64]"
    user_places: dict[str, int]
    item_places: dict[str, int]


def fit_library(
    rows: Iterable[tuple[object, object, float]], *, scale: tuple[float, float], **settings: Any
) -> Fitted:
    """Train on (user, item, stars) as the library does, in the order given.

    Args:
        settings: Of surprise.SVD; `random_state` must be among them.
    """
    import numpy as np
    from surprise import SVD

    model = SVD(**settings)
    known = library_trainset(rows, scale)
    model.fit(known)
    return Fitted(
        Factors(float(known.global_mean), np.asarray(model.bi), np.asarray(model.qi)),
        np.asarray(model.bu),
        np.asarray(model.pu),
        known._raw2inner_id_users,
        known._raw2inner_id_items,
    )


def fit_factors(given: Likings, *, seed: int) -> Factors:
    """Items' factors in the order of `given.items`."""
    import numpy as np

    sizes = np.diff(given.starts)
    users = np.repeat(np.arange(len(given.users)), sizes)
    rows = zip(users.tolist(), given.codes.tolist(), given.values.tolist(), strict=True)
    scale = (float(given.values.min()), float(given.values.max()))
    found = fit_library(
        rows, scale=scale, n_factors=N_FACTORS, n_epochs=N_EPOCHS, random_state=seed
    )
    places = np.asarray([found.item_places[str(it)] for it in range(len(given.items))])
    return Factors(found.factors.mean, found.factors.bias[places], found.factors.items[places])


def predict(fitted: Fitted, user: object, item: object) -> float:
    """Stars, not cut off; an unknown user or item leaves the averages of the other."""
    u, i = fitted.user_places.get(str(user)), fitted.item_places.get(str(item))
    told = fitted.factors.mean
    if u is not None:
        told += float(fitted.user_bias[u])
    if i is not None:
        told += float(fitted.factors.bias[i])
    if u is not None and i is not None:
        told += float(fitted.factors.items[i] @ fitted.users[u])
    return told


@dataclass(frozen=True, eq=False)
class Folded:
    """Somebody against the frozen items: factors, own bias, and what each of their stars does.

    `pulls` has a row for each rating: the change of (factors, bias) by it. They sum to the person.
    """

    factors: "NDArray[np.float64]"
    bias: float
    pulls: "NDArray[np.float64]"


def fold_in(
    factors: Factors,
    rated: "NDArray[np.int64]",
    given: "NDArray[np.float64]",
    *,
    ridge: float = RIDGE,
) -> Folded:
    """The person whose stars these are, by ridge regression on the items' factors and a one.

    Minimises `|Z v - r|^2 + ridge |v|^2` with `Z = [q, 1]` and r the stars less mean and item bias.
    """
    import numpy as np

    rest = given - factors.mean - factors.bias[rated]
    z = np.column_stack([factors.items[rated], np.ones(len(rated))])
    width = z.shape[1]
    if len(z) < width:  # The same by the smaller system: Z'(ZZ' + ridge I)^-1.
        solved = np.linalg.solve(z @ z.T + ridge * np.eye(len(z)), z)
    else:
        solved = np.linalg.solve(z.T @ z + ridge * np.eye(width), z.T).T
    pulls = solved * rest[:, None]
    person = pulls.sum(axis=0)
    return Folded(person[:-1], float(person[-1]), pulls)


def library_trainset(
    rows: Iterable[tuple[object, object, float]], scale: tuple[float, float]
) -> Any:
    """The library's own form of ratings, without the data frame it is usually read from.

    Inner ids count up in the order of first sight, as the library gives them.
    """
    from surprise import Trainset

    users: dict[str, int] = {}
    items: dict[str, int] = {}
    by_user: dict[int, list[tuple[int, float]]] = defaultdict(list)
    by_item: dict[int, list[tuple[int, float]]] = defaultdict(list)
    n = 0
    for user, item, value in rows:
        u = users.setdefault(str(user), len(users))
        i = items.setdefault(str(item), len(items))
        by_user[u].append((i, value))
        by_item[i].append((u, value))
        n += 1
    return Trainset(by_user, by_item, len(users), len(items), n, scale, users, items)
