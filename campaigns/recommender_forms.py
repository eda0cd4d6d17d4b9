"""models/*.yaml of recommenders as written: which events tell of a liking, and what is never shown.

Read next: `model_compile`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from campaigns.forms import (
    LIST_SHORTHAND,
    EventName,
    Flag,
    Form,
    Key,
    Path,
    Shorthand,
    Slug,
    Span,
    Words,
    one_of,
)
from campaigns.model_forms import ModelFile
from campaigns.model_scalars import (
    EVER,
    Diversity,
    LikingWeight,
    Money,
    Number,
    PerCategory,
    PopularityDamping,
    Purchased,
)
from campaigns.reading import Map, Text, shorten

KINDS: Final = ("collaborative", "content", "hybrid", "popular")
FALLBACKS: Final = ("segment_popular", "category_popular", "popular", "new", "editorial")
NEEDS_ITEMS: Final = ("content", "hybrid")

Columns: TypeAlias = Annotated[list[Key] | None, LIST_SHORTHAND]
FallbackWord: TypeAlias = Annotated[
    Literal["segment_popular", "category_popular", "popular", "new", "editorial"],
    BeforeValidator(one_of(*FALLBACKS)),
]


def _under(key: str) -> Any:
    """A reader by which one value stands for a mapping that has it under a key."""

    def expand(value: Any) -> Any:
        if not isinstance(value, Text):
            return value
        found = Map(line=value.line)
        found[key] = value
        found.key_lines[key] = value.line
        return found

    return expand


class SignalForm(Form):
    """How strongly an event tells of a liking, and where in it the item stands."""

    weight: LikingWeight
    item: Path | None = None


class RatingForm(Form):
    """The event by which people give stars, and between which numbers."""

    event: EventName
    value: Path
    item: Path | None = None
    scale: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _has_a_scale(self) -> "RatingForm":
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError("scale is the least and the most that can be given: scale: [1, 5]")
        return self


class ItemsForm(Form):
    """What there is to recommend: a feed of catalog/, or what an event tells, path by path."""

    model_config = ConfigDict(extra="allow")

    catalog: Slug | None = None
    event: EventName | None = None
    id: Path | None = None

    @model_validator(mode="after")
    def _is_one_source(self) -> "ItemsForm":
        if (self.catalog is None) == (self.event is None):
            raise ValueError(
                "items are a feed, items: products, or an event's: {event: Product Viewed, "
                "id: properties.product_id, title: properties.title}"
            )
        if self.event is not None and self.id is None:
            raise ValueError("items of an event need their id: id: properties.product_id")
        if self.catalog is not None and (self.attributes or self.id is not None):
            raise ValueError("a feed has its columns already. Write items: NAME alone")
        for name, path in self.attributes.items():
            if not isinstance(path, Text):
                raise ValueError(f"{shorten(name)} is a path: {shorten(name)}: properties.title")
        return self

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Paths by attribute, beside the id."""
        return self.model_extra or {}


class PriceForm(Form):
    """What an item may cost."""

    gte: Money | None = None
    lte: Money | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> "PriceForm":
        if self.gte is None and self.lte is None:
            raise ValueError("a price has a limit: price: {gte: 5}, {lte: 100}, or both")
        if self.gte is not None and self.lte is not None and self.gte > self.lte:
            raise ValueError(f"nothing costs at least {self.gte:g} and at most {self.lte:g}")
        return self


class ExcludeForm(Form):
    """What is never shown, whatever it comes from. `price` says what is left, `category` what goes.

    `allow` and `deny` are lists of items: lists/NAME.csv under the header `item`.
    """

    purchased: Purchased = EVER
    out_of_stock: Flag = True
    price: PriceForm | None = None
    category: Annotated[list[Words], LIST_SHORTHAND] = Field(default_factory=list)
    allow: Slug | None = None
    deny: Slug | None = None


class RecommenderFile(ModelFile):
    """Items for people, by what they and others like them have liked."""

    KIND: ClassVar = "recommender"

    recommender: Slug
    kind: Annotated[
        Literal["collaborative", "content", "hybrid", "popular"], BeforeValidator(one_of(*KINDS))
    ] = "collaborative"
    algorithm: Annotated[Literal["ease", "svd"], BeforeValidator(one_of("ease", "svd"))] | None = (
        None
    )
    events: dict[
        EventName, Annotated[SignalForm, Shorthand(_under("weight"), {"type": "number"})]
    ] = Field(default_factory=dict)
    ratings: RatingForm | None = None
    items: Annotated[ItemsForm | None, Shorthand(_under("catalog"), {"type": "string"})] = None
    text: Columns = None
    attributes: Columns = None
    half_life: Span | None = None
    cap: LikingWeight | None = None
    exclude: ExcludeForm = Field(default_factory=ExcludeForm)
    max_per_category: PerCategory | None = None
    diversity: Diversity | None = None
    popularity_damping: PopularityDamping | None = None
    fallback: Annotated[list[FallbackWord] | None, LIST_SHORTHAND] = None
    segment: Slug | None = None
    editorial: Slug | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "RecommenderFile":
        if self.events and self.ratings is not None:
            raise ValueError("events tell of likings and ratings give stars; keep one")
        if self.algorithm == "svd" and self.ratings is None:
            raise ValueError(
                "svd learns from stars: ratings: {event: Product Rated, value: properties.stars}. "
                "For events write algorithm: ease"
            )
        if self.algorithm is not None and self.kind in ("content", "popular"):
            raise ValueError(f"kind: {self.kind} has no algorithm to choose. Delete it")
        if self.kind in NEEDS_ITEMS and self.items is None:
            raise ValueError(
                f"kind: {self.kind} reads what items are. Write items: products, a feed of catalog/"
            )
        if self.diversity and self.items is None:
            raise ValueError(
                "diversity compares what items are, which this file says nowhere. Write "
                "items: products, a feed of catalog/"
            )
        if self.popularity_damping and self.kind == "popular":
            raise ValueError(
                "kind: popular shows what is popular, and popularity_damping shows less of it. "
                "Delete one"
            )
        if self.popularity_damping and self.algorithm == "svd":
            raise ValueError("stars are not damped by popularity. Delete popularity_damping")
        fallback = self.fallback or []
        if len(set(fallback)) < len(fallback):
            raise ValueError("a fallback stands twice; each is gone through once")
        for word, key in (("segment_popular", "segment"), ("editorial", "editorial")):
            given = getattr(self, key)
            if word in fallback and given is None:
                raise ValueError(f"the fallback {word} needs to know which: {key}: NAME")
            if given is not None and word not in fallback:
                raise ValueError(f"{key} belongs to the fallback {word}. Add it, or delete {key}")
        return self
