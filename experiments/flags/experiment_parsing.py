"""One experiment of a payload from its JSON, and the places that refusals name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.assignment import N_BUCKETS
from experiments.errors import DataError
from experiments.flags.conditions import compile_condition
from experiments.flags.payload import Experiment, Filter, Parent
from experiments.flags.shares import (
    Range,
    are_weights,
    buckets_of,
    chances_of,
    is_number,
    known_version,
    ranges_of,
)
from experiments.flags.urls import UrlPattern


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a payload we are, what conditions there refer to, and where repairs are noted."""

    path: str
    groups: Mapping[str, Any]
    warnings: list[str]

    def inside(self, step: str) -> "Place":
        return replace(self, path=f"{self.path}.{step}")

    def refuse(self, name: str, found: Any, needed: str) -> DataError:
        at = f"{self.path}.{name}" if name else self.path
        return DataError(f"{at}: found {found!r}; {needed} is needed")

    def range_of(self, name: str, found: Any) -> Range:
        if (
            not isinstance(found, (list, tuple))
            or len(found) != 2
            or not all(is_number(bound) for bound in found)
        ):
            raise self.refuse(name, found, "a pair of shares [start, end]")
        return found[0], found[1]


def parse_experiment(
    document: Any,
    place: Place,
    *,
    parents: Callable[[Any, Place], tuple[Parent, ...]] | None = None,
    is_rule: bool = False,
) -> Experiment:
    """An experiment from its JSON.

    Args:
        parents: Reads prerequisites; not given for a rule's experiment.
        is_rule: Whether a rule around it asks condition and filters already.
    Raises:
        DataError: If it is malformed.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("variations"), list):
        raise place.refuse("variations", document, "an object with key and a list of variations")
    values = tuple(document["variations"])
    version = known_version(document.get("hashVersion") or 1)
    ranges = _ranges(document, len(values), place)
    buckets = buckets_of(ranges, version or 2)
    meta = _meta(document, len(values), place)
    is_sticky = not document.get("disableStickyBucketing")
    key = str(document.get("key") or "")
    condition = document.get("condition")
    patterns = document.get("urlPatterns")
    return Experiment(
        key=key,
        document=document,
        values=values,
        seed=str(document.get("seed") or key),
        attribute=str(document.get("hashAttribute") or "id"),
        fallback=(document.get("fallbackAttribute") or None) if is_sticky else None,
        version=version,
        buckets=buckets,
        chances=chances_of(buckets, N_BUCKETS[version or 2]),
        keys=tuple(str(each.get("key") or index) for index, each in enumerate(meta)),
        names=tuple(str(each.get("name") or "") for each in meta),
        passthrough=tuple(bool(each.get("passthrough")) for each in meta),
        meta_keys={
            each["key"]: index for index, each in reversed(list(enumerate(meta))) if "key" in each
        },
        name=str(document.get("name") or ""),
        phase=str(document.get("phase") or ""),
        filters=() if is_rule else parse_filters(document.get("filters"), place),
        # Filters, even those a rule asks around the experiment, replace the older namespace.
        namespace=None if document.get("filters") else _namespace(document, place),
        condition=None if is_rule or not condition else compile_condition(condition, place.groups),
        parents=parents(document.get("parentConditions"), place) if parents else (),
        is_sticky=is_sticky,
        bucket_version=int(document.get("bucketVersion") or 0),
        bucket_version_min=int(document.get("minBucketVersion") or 0),
        force=document.get("force"),
        is_active=document.get("active") is not False and document.get("status") != "draft",
        is_stopped=document.get("status") == "stopped",
        groups=tuple(document.get("groups") or ()),
        url=document.get("url") or None,
        url_patterns=None if patterns is None else tuple(_pattern(each) for each in patterns),
    )


def parse_filters(found: Any, place: Place) -> tuple[Filter, ...]:
    """Slices of layers, all of which a unit must lie in."""
    if not isinstance(found or [], list):
        raise place.refuse("filters", found, "a list of filters")
    filters = []
    for index, each in enumerate(found or []):
        inside = place.inside(f"filters[{index}]")
        if not isinstance(each, Mapping) or not isinstance(each.get("ranges"), list):
            raise inside.refuse("", each, "an object with seed and ranges")
        version = known_version(each.get("hashVersion") or 2)
        ranges = [inside.range_of("ranges", pair) for pair in each["ranges"]]
        filters.append(
            Filter(
                seed=str(each.get("seed") or ""),
                attribute=str(each.get("attribute") or "id"),
                version=version,
                buckets=buckets_of(ranges, version or 2),
            )
        )
    return tuple(filters)


def _ranges(document: Mapping[str, Any], n: int, place: Place) -> list[Range]:
    if document.get("ranges"):
        if not isinstance(document["ranges"], list):
            raise place.refuse("ranges", document["ranges"], "a list of pairs")
        return [place.range_of("ranges", pair) for pair in document["ranges"]]
    coverage, weights = document.get("coverage"), document.get("weights")
    if coverage is None:
        coverage = 1
    elif not is_number(coverage):
        raise place.refuse("coverage", coverage, "a share in [0, 1]")
    elif not 0 <= coverage <= 1:
        place.warnings.append(f"{place.path}: coverage {coverage} is taken for the nearest share")
    if weights is not None and not are_weights(weights, n):
        place.warnings.append(
            f"{place.path}: weights {weights!r} are not {n} shares that add up to 1;"
            " equal weights are used, as the specification says"
        )
    return ranges_of(n, coverage, weights)


def _meta(document: Mapping[str, Any], n: int, place: Place) -> list[Mapping[str, Any]]:
    found = document.get("meta") or []
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise place.refuse("meta", found, "a list of objects, one per variation")
    return [*found[:n], *({} for _ in range(n - len(found)))]


def _namespace(document: Mapping[str, Any], place: Place) -> tuple[str, float, float] | None:
    found = document.get("namespace")
    if not found:
        return None
    if not isinstance(found, (list, tuple)) or len(found) != 3:
        raise place.refuse("namespace", found, "a triple [name, start, end]")
    start, end = place.range_of("namespace", found[1:])
    return str(found[0]), start, end


def _pattern(found: Any) -> UrlPattern:
    if not isinstance(found, Mapping):
        return UrlPattern("", "", True)
    return UrlPattern(
        kind=str(found.get("type") or ""),
        pattern=str(found.get("pattern") or ""),
        include=found.get("include") is not False,
    )
