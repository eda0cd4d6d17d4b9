"""A recommender at rest: arrays by name and a schema, and back again to the same answers."""

from dataclasses import asdict
from typing import Any, Final

from engine.core.errors import StoreError
from engine.learning.artifact import Artifact
from engine.learning.recommenders.content import Content, Vocabulary
from engine.learning.recommenders.engines import ByContent, Ease, Svd
from engine.learning.recommenders.recommender import Recommender
from engine.learning.recommenders.settings import Settings
from engine.learning.recommenders.svd import Factors

FORM: Final = "recommender/1"


def artifact_of(known: Recommender) -> Artifact:
    """What `recommender_of` reads. There is no row of any person in it."""
    import numpy as np

    arrays: dict[str, Any] = {
        "items": known.items,
        "category": known.category,
        "popularity": known.popularity,
        "first_seen": known.first_seen,
        "by_segment": known.by_segment,
    }
    match known.collaborative:
        case Ease(learnt=learnt, packed=packed):
            arrays |= {"ease_items": learnt, "ease": packed}
        case Svd(learnt=learnt, factors=found):
            arrays |= {
                "svd_items": learnt,
                "svd_mean": np.asarray([found.mean]), "svd_bias": found.bias, "svd": found.items,
            }  # fmt: skip
        case None:
            pass
    if known.content is not None:
        told = known.content.content
        arrays |= {
            "content_starts": told.starts, "content_codes": told.codes,
            "content_values": told.values, "content_terms": np.asarray([told.n_terms]),
        }  # fmt: skip
    vocabulary = None if known.content is None else known.content.content.vocabulary
    if vocabulary is not None:
        arrays["content_idf"] = vocabulary.idf
    schema = {
        "form": FORM,
        "settings": asdict(known.settings),
        "trained_at": known.trained_at,
        "categories": list(known.categories),
        "segments": list(known.segments),
        "notes": list(known.notes),
        "vocabulary": None if vocabulary is None else {
            "text": list(vocabulary.text), "attributes": list(vocabulary.attributes),
            "words": list(vocabulary.words), "marks": list(vocabulary.marks),
        },
    }  # fmt: skip
    return Artifact(arrays, schema)


def recommender_of(artifact: Artifact) -> Recommender:
    """The recommender that was kept.

    Raises:
        StoreError: If it is of another form.
    """
    arrays, schema = artifact.arrays, artifact.schema
    if schema.get("form") != FORM:
        found = schema.get("form", "no form")
        raise StoreError(f"a stored recommender is {found}, not {FORM}. Train it again")
    settings = dict(schema["settings"])
    if settings["scale"] is not None:
        settings["scale"] = tuple(settings["scale"])
    collaborative: Ease | Svd | None = None
    if "ease" in arrays:
        collaborative = Ease(arrays["ease_items"], arrays["ease"], len(arrays["items"]))
    elif "svd" in arrays:
        factors = Factors(float(arrays["svd_mean"][0]), arrays["svd_bias"], arrays["svd"])
        collaborative = Svd(arrays["svd_items"], factors, len(arrays["items"]))
    content = None
    if "content_values" in arrays:
        content = ByContent(
            Content(
                starts=arrays["content_starts"],
                codes=arrays["content_codes"],
                values=arrays["content_values"],
                n_terms=int(arrays["content_terms"][0]),
                vocabulary=_vocabulary(artifact),
            )
        )
    return Recommender(
        settings=Settings(**settings | {"fallback": tuple(settings["fallback"])}),
        trained_at=int(schema["trained_at"]),
        items=arrays["items"],
        categories=tuple(schema["categories"]),
        category=arrays["category"],
        popularity=arrays["popularity"],
        first_seen=arrays["first_seen"],
        segments=tuple(schema["segments"]),
        by_segment=arrays["by_segment"],
        collaborative=collaborative,
        content=content,
        notes=tuple(schema["notes"]),
    )


def _vocabulary(artifact: Artifact) -> Vocabulary | None:
    """None of an artifact that was kept before there was one to keep."""
    told = artifact.schema.get("vocabulary")
    if told is None:
        return None
    columns = {name: tuple(map(str, told[name])) for name in told}
    return Vocabulary(**columns, idf=artifact.arrays["content_idf"])
