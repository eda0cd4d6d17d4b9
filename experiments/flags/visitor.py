"""Whom a payload is evaluated for: their attributes, and what is forced upon the answer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

StickyDocuments = Mapping[str, Mapping[str, Any]]
"""By "attribute||value": {"attributeName", "attributeValue", "assignments": {"exp__0": "key"}}."""


class Visitor(NamedTuple):
    """One visitor, as the SDKs' user context.

    Attributes:
        attributes: Plain JSON; what conditions and hashes read.
        url: The page, for variations forced in the query and for URL targeting.
        forced_variations: Position by experiment key: no exposure.
        forced_features: Value by feature key: no evaluation.
        sticky: Stored documents; None switches sticky buckets off. Never changed in place.
        enabled: False assigns nobody; forced values of features still apply.
        qa_mode: Assigns nobody, but whoever is forced.
        overrides: By experiment key: `weights`, `coverage`, `status`, `url`, `groups`, `force`.
        groups: The legacy groups the visitor is in.
        skip_experiments: Assigns nobody, but whoever is forced.
    """

    attributes: Mapping[str, Any] = {}
    url: str = ""
    forced_variations: Mapping[str, int] = {}
    forced_features: Mapping[str, Any] = {}
    sticky: StickyDocuments | None = None
    enabled: bool = True
    qa_mode: bool = False
    overrides: Mapping[str, Mapping[str, Any]] = {}
    groups: Mapping[str, bool] = {}
    skip_experiments: bool = False
