"""What a workspace says of learning that holds for all of its models, and what the core is told.

Forms alone are read here, so that compiling campaigns needs no model. Read next: `model_compile`.
"""

from campaigns.model_forms import SendTimeFile
from campaigns.models import Learning, Purchases, SendTimeModel, Signal
from campaigns.recommender_forms import RecommenderFile
from campaigns.workspace import Workspace
from engine.core.model.campaigns import Profiling

Paths = tuple[tuple[str, ...], ...]


def learning_of(workspace: Workspace) -> Learning:
    """What every model of the workspace keeps to."""
    form = workspace.settings.learning
    bought = form.purchases
    return Learning(
        Purchases(
            str(bought.event),
            str(bought.value),
            str(bought.items),
            str(bought.item),
            str(bought.category),
            str(bought.returned),
            str(bought.returned_value),
        ),
        Profiling(str(form.profiling.trait), form.profiling.unknown),
        tuple(dict.fromkeys(str(name) for name in form.sensitive)),
    )


def item_path(purchases: Purchases) -> str:
    """Where the items of a purchase stand: `properties.products.*.product_id`."""
    if not purchases.items:
        return f"properties.{purchases.item}"
    return f"{purchases.items}.*.{purchases.item}"


def explored_by(workspace: Workspace) -> dict[str, float]:
    """By model of send times, the share of sends that goes out at any hour."""
    unsaid = SendTimeModel("").explore
    return {
        name: unsaid if form.explore is None else form.explore
        for name, form in workspace.models.items()
        if isinstance(form, SendTimeFile)
    }


def item_paths(workspace: Workspace) -> dict[str, Paths]:
    """Where the items of a trigger stand in its properties: by event, and "" for any other.

    None without a recommender: nobody asks.
    """
    forms = [form for form in workspace.models.values() if isinstance(form, RecommenderFile)]
    if not forms:
        return {}
    bought = learning_of(workspace).purchases
    found = {"": [bought.item], bought.event: [item_path(bought)]}
    usual = Signal("", 1.0).item
    for form in forms:
        for event, signal in form.events.items():
            told = item_path(bought) if event == bought.event else usual
            found.setdefault(str(event), []).append(str(signal.item or told))
        if form.ratings is not None:
            found.setdefault(str(form.ratings.event), []).append(str(form.ratings.item or usual))
    return {event: tuple(dict.fromkeys(map(_keys, paths))) for event, paths in found.items()}


def _keys(path: str) -> tuple[str, ...]:
    """A path of an event's properties, from where those begin."""
    keys = tuple(path.split("."))
    return keys[1:] if keys[0] == "properties" else keys
