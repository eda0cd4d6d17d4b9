"""What models/*.yaml says, compiled: which model learns what, from what, and how often.

Plain frozen data, hashed as it stands. Instants and spans are microseconds, paths are dotted from
the event (`properties.revenue`). Read next: `model_forms`, which reads the YAML into it;
`engine.learning`, which trains.
"""

from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, json

from engine.core.model.campaigns import Profiling
from engine.core.model.conditions import Filter
from engine.core.model.instants import DAY
from engine.schedule import Every, Times

DAILY: Final = Every(DAY)
WEEKLY: Final = Every(7 * DAY)


class Purchases(Struct, frozen=True):
    """What a purchase is in this shop, and what its lines look like.

    `items` leads to the list of lines (`properties.products`), empty where an event is about one
    product; the paths of a line are told from there. `returned` and its value take away.
    """

    event: str = "Order Completed"
    value: str = "properties.revenue"
    items: str = "properties.products"
    item: str = "product_id"
    category: str = "category"
    returned: str = "Order Refunded"
    returned_value: str = "properties.revenue"


class Learning(Struct, frozen=True):
    """`learning` of antiphon.yaml. `sensitive` are categories and features no model may read."""

    purchases: Purchases = Purchases()
    profiling: Profiling = Profiling()
    sensitive: tuple[str, ...] = ()


class Refresh(Struct, frozen=True):
    """When a model is trained anew, and the age past which its word no longer counts."""

    times: Times = DAILY
    stale_after: int = 14 * DAY


FEATURES: Final = (
    "recency", "frequency", "monetary", "tenure", "interactions", "sessions", "affinities",
    "device", "place", "hours", "engagement",
)  # fmt: skip
"""What can be learnt from; `traits.NAME` beside. Some stand for several columns."""


RFM_CELLS: Final = (
    "champions", "loyal", "potential loyal", "new", "promising", "need attention",
    "about to sleep", "at risk", "cannot lose", "hibernating", "lost", "never bought",
)  # fmt: skip
"""Every group of `algorithm: rfm`, best first: its names are fixed."""


class ClusterModel(Struct, frozen=True, tag="cluster"):
    """Groups found among people. `k` is (least, most); `among` a segment, "" everybody."""

    name: str
    title: str = ""
    algorithm: Literal["kmeans", "gmm", "dbscan", "hdbscan", "rfm"] = "kmeans"
    features: tuple[str, ...] = ("recency", "frequency", "monetary")
    k: tuple[int, int] = (2, 10)
    min_share: float = 0.02
    min_stability: float = 0.8
    hysteresis: int = 2
    impute: Literal["median", "iterative"] = "median"
    among: str = ""
    refresh: Refresh = Refresh()


class Target(Struct, frozen=True):
    """What is foretold: within a span after now, does it happen (not), how often, for how much.

    `value` is the path summed where `measure` is sum. `among` the events that count.
    """

    event: str
    within: int
    where: tuple[Filter, ...] = ()
    measure: Literal["happens", "count", "sum"] = "happens"
    value: str = ""
    is_negated: bool = False


class ScoreModel(Struct, frozen=True, tag="score"):
    """A prediction. `gap` is left out between what is known and what is foretold; `budget` bounds
    the search for hyperparameters; `lifetime` (BG/NBD, Gamma-Gamma) needs no features."""

    name: str
    target: Target
    title: str = ""
    algorithm: Literal["auto", "logistic", "forest", "boosting", "mlp", "lifetime"] = "auto"
    features: tuple[str, ...] = FEATURES
    gap: int = 0
    folds: int = 3
    budget: int = 60_000_000
    impute: Literal["median", "iterative"] = "median"
    among: str = ""
    refresh: Refresh = Refresh(WEEKLY)


class Signal(Struct, frozen=True):
    """An event that tells of a liking: its weight, and where in it the item stands."""

    event: str
    weight: float
    item: str = "properties.product_id"


class Rating(Struct, frozen=True):
    """An event by which people give stars."""

    event: str
    value: str
    item: str = "properties.product_id"
    scale: tuple[float, float] = (1.0, 5.0)


class ItemEvent(Struct, frozen=True):
    """Where an event tells what an item is: paths by attribute, `id` among them."""

    event: str
    attributes: tuple[tuple[str, str], ...]


class Exclusions(Struct, frozen=True):
    """What is never shown. `purchased` is a span; None: never excluded; 0: whenever bought."""

    purchased: int | None = 0
    is_out_of_stock_hidden: bool = True
    price: tuple[float | None, float | None] = (None, None)
    categories: tuple[str, ...] = ()
    allow: str = ""
    deny: str = ""


Fallback: TypeAlias = Literal["segment_popular", "category_popular", "popular", "new", "editorial"]


class RecommenderModel(Struct, frozen=True, tag="recommender"):
    """Items for people. `catalog` names catalog/NAME, or `items` an event that tells of them.

    `max_per_category` keeps lists mixed, as do `diversity` (0 off, below 1) and
    `popularity_damping` (0 off; 0.5 divides scores by the root of popularity); `fallback` is gone
    through in order, and what each item came from is kept with it; `editorial` names the feed that
    the last of them takes from.
    """

    name: str
    title: str = ""
    kind: Literal["collaborative", "content", "hybrid", "popular"] = "collaborative"
    algorithm: Literal["ease", "svd"] = "ease"
    signals: tuple[Signal, ...] = ()
    rating: Rating | None = None
    catalog: str = ""
    items: ItemEvent | None = None
    text: tuple[str, ...] = ("title",)
    attributes: tuple[str, ...] = ("category",)
    half_life: int = 90 * DAY
    cap: float = 20.0
    exclude: Exclusions = Exclusions()
    max_per_category: int | None = None
    fallback: tuple[Fallback, ...] = ("popular",)
    segment: str = ""
    editorial: str = ""
    refresh: Refresh = Refresh()
    diversity: float = 0.0
    popularity_damping: float = 0.0


class SendTimeModel(Struct, frozen=True, tag="send_time"):
    """At which hour a person acts. `events` count as acting; `explore` is drawn uniformly.

    Who acted fewer than `min_events` times is sent to as if there were no model.
    """

    name: str
    title: str = ""
    events: tuple[str, ...] = ("Message Clicked",)
    has_sessions: bool = True
    explore: float = 0.1
    min_events: int = 6
    refresh: Refresh = Refresh(WEEKLY)


class UpliftModel(Struct, frozen=True, tag="uplift"):
    """Whom a message changes: learnt from an experiment, or from a campaign's holdout.

    `arm` and `control` are variants; of a holdout `sent` and `held_out`. `value` is the money one
    more of the outcome is worth, `cost` of one message. Published only if the policy pays.
    """

    name: str
    metric: str
    title: str = ""
    experiment: str = ""
    campaign: str = ""
    arm: str = ""
    control: str = "control"
    budget: float = 0.5
    value: float = 1.0
    cost: float = 0.0
    features: tuple[str, ...] = FEATURES
    refresh: Refresh = Refresh(WEEKLY)


Model: TypeAlias = ClusterModel | ScoreModel | RecommenderModel | SendTimeModel | UpliftModel
"""Any of them, by its `tag` the first key of its file."""


def kind_of(model: Model) -> str:
    """The word that begins a model's file."""
    return str(model.__struct_config__.tag)


_ADDED: Final = {"diversity": 0.0, "popularity_damping": 0.0}
"""Fields that came after 0.5 and what they say unset: so they are left out of hashes, or an upgrade
would look like an edit and draw every seed anew."""


def hashed(model: Model) -> dict[str, Any]:
    """A definition as hashes read it: plain data, without what came later and is not used."""
    plain: dict[str, Any] = json.decode(json.encode(model))
    return {key: value for key, value in plain.items() if _ADDED.get(key, ...) != value}
