"""What is wrong with models that no file of theirs can see alone: names that lead nowhere, circles,
features that nobody may read, a refresh that never comes, one kind taken for another.

Read next: `model_compile`; `checks`, which calls this; `model_mentions`, for those that use them.
"""

from collections.abc import Collection
from typing import Final

from campaigns.conditions import Conditions
from campaigns.lists import ITEM
from campaigns.metric_forms import NOT_OF_ONE_UNIT
from campaigns.model_compile import arms_of, compile_model, longest_gap
from campaigns.model_forms import ClusterFile, ModelFile, ScoreFile, UpliftFile
from campaigns.models import FEATURES, RecommenderModel, Refresh
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.recommender_forms import RecommenderFile
from campaigns.workspace import SETTINGS_FILE
from engine.schedule import check_times

TRAITS: Final = "traits."


def check_models(conditions: Conditions) -> None:
    """Report what is wrong with any model, and with `learning`."""
    _check_learning(conditions)
    for form in conditions.workspace.models.values():
        model = compile_model(conditions, form)
        _check_refresh(conditions, form, model.refresh)
        if isinstance(form, ClusterFile | ScoreFile | UpliftFile):
            _check_features(conditions, form)
        if isinstance(form, ClusterFile | ScoreFile) and form.among is not None:
            conditions.segment(form.among, form.file)
        if isinstance(form, ScoreFile) and form.algorithm == "lifetime":
            _check_is_bought(conditions, form)
        if isinstance(form, RecommenderFile):
            assert isinstance(model, RecommenderModel)
            _check_recommender(conditions, form, model)
        if isinstance(form, UpliftFile):
            _check_uplift(conditions, form)


def _check_learning(conditions: Conditions) -> None:
    """What is said of purchases must be declared; what is not said need not be."""
    form = conditions.workspace.settings.learning
    bought = form.purchases
    said = bought.model_fields_set
    if "event" in said:
        conditions.match(bought.event, {}, SETTINGS_FILE)
        for key in ("value", "items"):
            path = getattr(bought, key)
            if key in said and path:
                is_number = key == "value"
                conditions.check_path(bought.event, path, SETTINGS_FILE, numeric=is_number)
    if "returned" in said and bought.returned:
        conditions.match(bought.returned, {}, SETTINGS_FILE)
    trait = form.profiling.trait
    if "trait" in form.profiling.model_fields_set:
        _check_trait(conditions, trait, str(trait), SETTINGS_FILE)


# --- when ---------------------------------------------------------------------------------------


def _check_refresh(conditions: Conditions, form: ModelFile, refresh: Refresh) -> None:
    zone = str(conditions.workspace.settings.zone)
    written = None if form.refresh is None else form.refresh.cron or form.refresh.rrule
    line = form.name.line if form.refresh is None else form.refresh.line
    line = written.line if isinstance(written, Text) else line
    try:
        check_times(refresh.times, zone)
        gap = longest_gap(refresh.times, zone)
    except ValueError as error:
        message = f'the refresh of "{form.name}": {error}'
        conditions.report(form.file, line, str(written or ""), message)
        return
    if form.stale_after is not None and gap is not None and form.stale_after < gap:
        message = (
            f'"{form.name}" would be stale before it is refreshed: stale_after is shorter than the '
            "time from one refresh to the next. Refresh more often, or let it count for longer."
        )
        conditions.report(form.file, line, str(written or "stale_after"), message)


# --- what from ----------------------------------------------------------------------------------


def _check_features(conditions: Conditions, form: ClusterFile | ScoreFile | UpliftFile) -> None:
    sensitive = {str(name) for name in conditions.workspace.settings.learning.sensitive}
    for name in form.features or ():
        trait = name.removeprefix(TRAITS)
        if {str(name), trait} & sensitive:
            message = (
                f'no model reads "{name}": antiphon.yaml names it under learning.sensitive. Delete '
                "it here."
            )
            conditions.report(form.file, name.line, str(name), message)
        elif name.startswith(TRAITS):
            _check_trait(conditions, name, trait, form.file)
        elif name not in FEATURES:
            hint = advice(name, (*FEATURES, "traits.NAME"))
            message = f'there is no feature "{name}".{hint}'
            conditions.report(form.file, name.line, str(name), message)


def _check_trait(conditions: Conditions, written: Text, trait: str, file: str) -> None:
    top = trait.split(".")[0]
    if top in conditions.pii:
        message = (
            f'the trait "{top}" is pii: no model reads it. Keep what it tells in a trait of its '
            f"own, such as {top}_{'domain' if top == 'email' else 'kind'}."
        )
        conditions.report(file, written.line, str(written), message)
    elif conditions.traits and not _is_declared(trait, conditions.traits):
        hint = advice(trait, conditions.traits)
        message = f'the trait "{trait}" is not declared in antiphon.yaml.{hint}'
        conditions.report(file, written.line, str(written), message)


def _is_declared(trait: str, traits: Collection[str]) -> bool:
    return any(trait == known or trait.startswith(f"{known}.") for known in traits)


def _check_is_bought(conditions: Conditions, form: ScoreFile) -> None:
    """Lifetime counts purchases: another event would get their forecast under its name."""
    bought = conditions.workspace.settings.learning.purchases.event
    event = form.target.event
    if event is not None and event != bought:
        message = (
            f'lifetime foretells purchases, which here are "{bought}", not "{event}". Write '
            f"event: {bought}, or algorithm: auto."
        )
        conditions.report(form.file, event.line, str(event), message)


# --- recommenders -------------------------------------------------------------------------------


def _check_recommender(
    conditions: Conditions, form: RecommenderFile, model: RecommenderModel
) -> None:
    catalog = conditions.workspace.catalog
    items = form.items
    named = items.catalog if items is not None else None
    for feed in (named, form.editorial):
        # One that is there but broken has a problem of its own.
        is_written = feed in conditions.names.get("catalog", ())
        if feed is not None and feed not in catalog and not is_written:
            hint = advice(feed, catalog) or f" Write catalog/{feed}.csv."
            message = f'there is no feed "{feed}" in catalog/.{hint}'
            conditions.report(form.file, feed.line, str(feed), message)
    if form.segment is not None:
        conditions.segment(form.segment, form.file)
    for given in (form.exclude.allow, form.exclude.deny):
        if given is not None:
            _check_item_list(conditions, given, form.file)
    columns = _columns(conditions, form)
    for name in (*(form.text or ()), *(form.attributes or ())):
        if columns and name not in columns:
            message = f'items have no "{name}".{advice(name, columns)}'
            conditions.report(form.file, name.line, str(name), message)
    if items is None and (form.exclude.category or model.max_per_category is not None):
        message = (
            f'"{form.name}" asks for the category of items, and says nowhere what they are. Write '
            "items: NAME, a feed of catalog/, or items: {event: …, id: …, category: …}."
        )
        conditions.report(form.file, form.exclude.line or form.name.line, "category", message)


def _columns(conditions: Conditions, form: RecommenderFile) -> set[str]:
    """What is known of items, by name; none where nobody says."""
    items = form.items
    if items is None:
        return set()
    if items.event is not None:
        return {"id", *map(str, items.attributes)}
    feed = conditions.workspace.catalog.get(str(items.catalog))
    return set().union(*feed.rows) if feed is not None else set()


def _check_item_list(conditions: Conditions, name: Text, file: str) -> None:
    """A list of items says so in its first line."""
    lists = conditions.workspace.lists
    if name not in lists:
        if name in conditions.names.get("lists", ()):
            return  # it has a problem of its own
        items = [it for it, one in lists.items() if one.column == ITEM]
        hint = advice(name, items) or f" Its first line is {ITEM}."
        message = f'there is no list "{name}": lists/{name}.csv is missing.{hint}'
    elif lists[name].column != ITEM:
        message = (
            f'the list "{name}" holds people, by {lists[name].column}. A list of items has the '
            f"first line {ITEM}."
        )
    else:
        return
    conditions.report(file, name.line, str(name), message)


# --- uplift -------------------------------------------------------------------------------------


def _check_uplift(conditions: Conditions, form: UpliftFile) -> None:
    workspace = conditions.workspace
    if conditions.known("metric", form.metric, conditions.names["metrics"], form.file):
        metric = workspace.metrics.get(str(form.metric))
        why = ""
        if metric is not None and metric.measure in NOT_OF_ONE_UNIT:
            why = f"is measured as {metric.measure}, which only many people have together"
        elif metric is not None and metric.source is not None:
            why = "lies in a warehouse, where nobody is known one by one"
        if why:
            message = f'an uplift needs one number for each person, but "{form.metric}" {why}.'
            conditions.report(form.file, form.metric.line, str(form.metric), message)
    if form.campaign is not None:
        _check_holdout(conditions, form, form.campaign)
    if form.experiment is not None and conditions.known(
        "experiment", form.experiment, conditions.names["experiments"], form.file
    ):
        _check_arms(conditions, form, form.experiment)


def _check_holdout(conditions: Conditions, form: UpliftFile, name: Text) -> None:
    if not conditions.known("campaign", name, conditions.names["campaigns"], form.file):
        return
    campaign = conditions.workspace.campaigns.get(str(name))
    if campaign is not None and campaign.holdout is None:
        message = (
            f'the campaign "{name}" holds nobody out, so nothing can be compared with those it '
            "sends to. Write there holdout: 10%."
        )
        conditions.report(form.file, name.line, str(name), message)


def _check_arms(conditions: Conditions, form: UpliftFile, experiment: Text) -> None:
    arms, control = arms_of(conditions.workspace, str(experiment))
    if not arms:
        return  # its own file is broken, and says so
    control = str(form.control or control)
    for given in (form.arm, form.control):
        if given is not None and given not in arms:
            message = f'the experiment "{experiment}" has no variant "{given}".'
            conditions.report(form.file, given.line, str(given), message + advice(given, arms))
    if form.arm is None and len(arms) > 2:
        others = ", ".join(name for name in arms if name != control)
        message = (
            f'"{experiment}" has several arms: say which is learnt from, arm: one of {others}.'
        )
        conditions.report(form.file, experiment.line, str(experiment), message)
    elif form.arm is not None and form.arm == control:
        message = f'"{control}" is the control; an uplift compares another arm with it.'
        conditions.report(form.file, form.arm.line, str(form.arm), message)
