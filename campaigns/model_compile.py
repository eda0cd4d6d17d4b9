"""models/*.yaml -> the frozen definitions that training reads, and their hashes.

Defaults are the definitions' own: what a file does not say is not repeated here. Read next:
`models`, the definitions; `model_checks`; `engine.learning.refreshing`, which trains.
"""

from collections.abc import Mapping
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec

from campaigns.compile import names_of
from campaigns.conditions import Conditions
from campaigns.experiment_plans import planned
from campaigns.learning_facts import item_path
from campaigns.learning_facts import learning_of as learning_of
from campaigns.model_forms import (
    ClusterFile,
    ModelFile,
    ScoreFile,
    SendTimeFile,
    TargetForm,
    UpliftFile,
)
from campaigns.models import (
    ClusterModel,
    Exclusions,
    ItemEvent,
    Model,
    Rating,
    RecommenderModel,
    Refresh,
    ScoreModel,
    SendTimeModel,
    Signal,
    Target,
    UpliftModel,
    hashed,
)
from campaigns.problems import InvalidWorkspace, Problem
from campaigns.recommender_forms import ExcludeForm, RecommenderFile
from campaigns.refresh_forms import PREFIX
from campaigns.remembered import remembered
from campaigns.workspace import Workspace
from engine.schedule import Every, Times, next_fire

_FIRES_ASKED: Final = 60
_FROM: Final = 1_767_225_600_000_000
"""2026-01-01: where the longest gap between two fires is looked for; any year would do."""

_UNSAID: Final[Mapping[str, Refresh]] = {
    ClusterFile.KIND: ClusterModel("").refresh,
    ScoreFile.KIND: ScoreModel("", Target("", 0)).refresh,
    RecommenderFile.KIND: RecommenderModel("").refresh,
    SendTimeFile.KIND: SendTimeModel("").refresh,
    UpliftFile.KIND: UpliftModel("", "").refresh,
}
"""When a kind of model is learnt anew where its file does not say."""

_encode: Final = msgspec.json.Encoder(order="sorted").encode


@remembered
def models_of(workspace: Workspace) -> dict[str, Model]:
    """Every model of a checked workspace, by name.

    Raises:
        InvalidWorkspace: If the workspace was not checked.
    """
    problems: list[Problem] = []
    conditions = Conditions(
        workspace, names=names_of(workspace), blind=lambda *_: "", problems=problems
    )
    models = {name: compile_model(conditions, form) for name, form in workspace.models.items()}
    if problems:
        raise InvalidWorkspace(problems)
    return models


def model_hash(model: Model) -> str:
    """12 hex digits over all that a model's training depends on; its title is not part of it."""
    return sha256(_encode(hashed(msgspec.structs.replace(model, title="")))).hexdigest()[:12]


class Refreshing(NamedTuple):
    """The schedule of a model."""

    model: str
    times: Times


def refreshes_of(workspace: Workspace) -> dict[str, Refreshing]:
    """The schedule `refresh-NAME` of every model."""
    return {
        f"{PREFIX}{name}": Refreshing(
            name, _UNSAID[form.KIND].times if form.refresh is None else form.refresh.times
        )
        for name, form in workspace.models.items()
    }


def compile_model(conditions: Conditions, form: ModelFile) -> Model:
    """One model; what is wrong is reported to the conditions' problems."""
    match form:
        case ClusterFile():
            return _cluster(conditions, form)
        case ScoreFile():
            return _score(conditions, form)
        case RecommenderFile():
            return _recommender(conditions, form)
        case SendTimeFile():
            return _send_time(conditions, form)
        case UpliftFile():
            return _uplift(conditions, form)
        case _:
            raise AssertionError(type(form))


def longest_gap(times: Times, zone: str) -> int | None:
    """The most microseconds between two refreshes; None if there are no two."""
    if isinstance(times, Every):
        return times.span
    fires: list[int] = []
    after: int | None = _FROM
    while after is not None and len(fires) < _FIRES_ASKED:
        after = next_fire(times, after, zone)
        fires += [] if after is None else [after]
    return max((later - earlier for earlier, later in pairwise(fires)), default=None)


# --- kinds --------------------------------------------------------------------------------------


def _cluster(conditions: Conditions, form: ClusterFile) -> ClusterModel:
    unsaid = ClusterModel(str(form.cluster))
    given = {
        "k": None if form.k is None else (form.k.from_, form.k.to),
        "features": _features(conditions, form.features, unsaid.features),
        "min_share": form.min_share,
        "min_stability": form.min_stability,
        "hysteresis": form.hysteresis,
        "impute": form.impute,
    }
    return msgspec.structs.replace(
        unsaid,
        title=str(form.title or ""),
        algorithm=form.algorithm,
        among=str(form.among or ""),
        refresh=refresh_of(conditions, form),
        **_said(given),
    )


def _score(conditions: Conditions, form: ScoreFile) -> ScoreModel:
    unsaid = ScoreModel(str(form.score), _target(conditions, form.target, form.file))
    given = {
        "features": _features(conditions, form.features, unsaid.features),
        "gap": form.gap,
        "folds": form.folds,
        "budget": form.budget,
        "impute": form.impute,
    }
    return msgspec.structs.replace(
        unsaid,
        title=str(form.title or ""),
        algorithm=form.algorithm,
        among=str(form.among or ""),
        refresh=refresh_of(conditions, form),
        **_said(given),
    )


def _target(conditions: Conditions, form: TargetForm, file: str) -> Target:
    if form.not_ is not None:
        return msgspec.structs.replace(_target(conditions, form.not_, file), is_negated=True)
    assert form.event is not None
    assert form.within is not None
    match = conditions.match(form.event, form.where, file)
    if form.sum is not None:
        conditions.check_path(form.event, form.sum, file, numeric=True)
        return Target(str(form.event), form.within, match.where, "sum", str(form.sum))
    return Target(str(form.event), form.within, match.where, "count" if form.count else "happens")


def _recommender(conditions: Conditions, form: RecommenderFile) -> RecommenderModel:
    unsaid = RecommenderModel(str(form.recommender))
    given = {
        "algorithm": form.algorithm,
        "text": _names(form.text),
        "attributes": _names(form.attributes),
        "half_life": form.half_life,
        "cap": form.cap,
        "max_per_category": form.max_per_category,
        "fallback": None if form.fallback is None else tuple(form.fallback),
        "diversity": form.diversity,
        "popularity_damping": form.popularity_damping,
    }
    return msgspec.structs.replace(
        unsaid,
        title=str(form.title or ""),
        kind=form.kind,
        signals=_signals(conditions, form),
        rating=_rating(conditions, form),
        catalog=str((form.items and form.items.catalog) or ""),
        items=_items(conditions, form),
        exclude=_exclusions(form.exclude),
        segment=str(form.segment or ""),
        editorial=str(form.editorial or ""),
        refresh=refresh_of(conditions, form),
        **_said(given),
    )


def _signals(conditions: Conditions, form: RecommenderFile) -> tuple[Signal, ...]:
    """The events that tell of likings; without any, nor stars, what people have bought."""
    bought = learning_of(conditions.workspace).purchases
    if not form.events and form.ratings is None:
        return (Signal(bought.event, 1.0, item_path(bought)),)
    found = []
    for event, signal in form.events.items():
        conditions.match(event, {}, form.file)
        if signal.item is not None:
            conditions.check_path(event, signal.item, form.file)
            path = str(signal.item)
        else:
            path = item_path(bought) if event == bought.event else Signal("", 1.0).item
        found.append(Signal(str(event), signal.weight, path))
    return tuple(found)


def _rating(conditions: Conditions, form: RecommenderFile) -> Rating | None:
    given = form.ratings
    if given is None:
        return None
    conditions.match(given.event, {}, form.file)
    conditions.check_path(given.event, given.value, form.file, numeric=True)
    unsaid = Rating(str(given.event), str(given.value))
    if given.item is not None:
        conditions.check_path(given.event, given.item, form.file)
    item = str(given.item) if given.item is not None else unsaid.item
    scale = unsaid.scale if given.scale is None else (given.scale[0], given.scale[1])
    return msgspec.structs.replace(unsaid, item=item, scale=scale)


def _items(conditions: Conditions, form: RecommenderFile) -> ItemEvent | None:
    given = form.items
    if given is None or given.event is None:
        return None
    assert given.id is not None
    conditions.match(given.event, {}, form.file)
    paths = {"id": given.id, **given.attributes}
    for path in paths.values():
        conditions.check_path(given.event, path, form.file)
    return ItemEvent(str(given.event), tuple((str(k), str(v)) for k, v in paths.items()))


def _exclusions(form: ExcludeForm) -> Exclusions:
    price = form.price
    return Exclusions(
        form.purchased,
        form.out_of_stock,
        (None, None) if price is None else (price.gte, price.lte),
        tuple(str(name) for name in form.category),
        str(form.allow or ""),
        str(form.deny or ""),
    )


def _send_time(conditions: Conditions, form: SendTimeFile) -> SendTimeModel:
    unsaid = SendTimeModel(str(form.send_time))
    for event in form.events or ():
        conditions.match(event, {}, form.file)
    given = {
        "events": _names(form.events),
        "explore": form.explore,
        "min_events": form.min_events,
    }
    return msgspec.structs.replace(
        unsaid,
        title=str(form.title or ""),
        has_sessions=form.sessions,
        refresh=refresh_of(conditions, form),
        **_said(given),
    )


def _uplift(conditions: Conditions, form: UpliftFile) -> UpliftModel:
    unsaid = UpliftModel(str(form.uplift), str(form.metric))
    given = {
        "budget": form.budget,
        "value": form.value,
        "cost": form.cost,
        "features": _features(conditions, form.features, unsaid.features),
    }
    arm, control = "sent", "held_out"
    if form.experiment is not None:
        arms, control = arms_of(conditions.workspace, str(form.experiment))
        control = str(form.control or control)
        arm = str(form.arm or _only_arm(arms, control))
    return msgspec.structs.replace(
        unsaid,
        title=str(form.title or ""),
        experiment=str(form.experiment or ""),
        campaign=str(form.campaign or ""),
        arm=arm,
        control=control,
        refresh=refresh_of(conditions, form),
        **_said(given),
    )


def _only_arm(arms: tuple[str, ...], control: str) -> str:
    """The arm that is compared with the control where there is only one; "" where there are more,
    which `model_checks` refuses."""
    others = [name for name in arms if name != control]
    return others[0] if len(others) == 1 else ""


def arms_of(workspace: Workspace, experiment: str) -> tuple[tuple[str, ...], str]:
    """The variants of an experiment and its control; none where there is no such experiment."""
    for found in planned(workspace):
        if str(found.name) == experiment:
            return tuple(str(name) for name in found.variants), found.control
    return (), UpliftModel("", "").control


# --- parts of all -------------------------------------------------------------------------------


def refresh_of(conditions: Conditions, form: ModelFile) -> Refresh:
    """When it is learnt anew; unsaid, a run counts for two refreshes, at least for a fortnight."""
    unsaid = _UNSAID[form.KIND]
    times = unsaid.times if form.refresh is None else form.refresh.times
    if form.stale_after is not None:
        return Refresh(times, form.stale_after)
    try:
        gap = longest_gap(times, str(conditions.workspace.settings.zone))
    except ValueError:
        gap = None  # `model_checks` has said that it never fires
    return Refresh(times, max(unsaid.stale_after, 2 * (gap or 0)))


def _features(
    conditions: Conditions, names: Any, unsaid: tuple[str, ...]
) -> tuple[str, ...] | None:
    """What is learnt from; unsaid, the usual without what is sensitive. `check` refuses a sensitive
    feature that is said."""
    if names is not None:
        return _names(names)
    sensitive = {str(name) for name in conditions.workspace.settings.learning.sensitive}
    return tuple(name for name in unsaid if name not in sensitive)


def _names(names: Any) -> tuple[str, ...] | None:
    return None if names is None else tuple(dict.fromkeys(str(name) for name in names))


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the file does not say."""
    return {key: value for key, value in given.items() if value is not None}
