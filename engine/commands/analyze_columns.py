"""Which columns `antiphon analyze` may take as known beforehand, and which it must refuse."""

import argparse
from collections.abc import Mapping, Sequence

from engine.core.errors import UsageError
from engine.readout.metric_spec import nearest
from experiments.metrics import Metric


def explored_columns(arguments: argparse.Namespace, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Columns to explore, none of which may be a result of the experiment itself."""
    _refuse_results("--explore", arguments.explore, arguments, metrics)
    if arguments.explore and arguments.cluster:
        raise UsageError(
            "--explore divides units and --cluster compares clusters; give one of them"
        )
    return tuple(dict.fromkeys(arguments.explore))


def predicting_columns(arguments: argparse.Namespace, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Columns from which outcomes are predicted, none of which may be a result either."""
    if arguments.cupac is None:
        return ()
    named = [name.strip() for name in arguments.cupac.split(",")]
    if not all(named):
        raise UsageError(f'--cupac: "{arguments.cupac}" is not COLUMN,COLUMN,…')
    _refuse_results("--cupac", named, arguments, metrics)
    if arguments.cluster:
        raise UsageError("--cupac predicts units and --cluster compares clusters; give one of them")
    if arguments.adjust == "none":
        raise UsageError("--cupac makes a covariate, and --adjust none uses none; give one of them")
    if all(metric.kind == "quantile" for metric in metrics):
        raise UsageError("--cupac: a quantile is not adjusted; name a metric of another kind")
    return tuple(dict.fromkeys(named))


def measured_at(
    arguments: argparse.Namespace, metrics: Sequence[Metric], predicting: Sequence[str]
) -> Mapping[str, str]:
    """Covariate, or column to predict from -> column of its time."""
    names = [*(name for metric in metrics for name in metric.covariates), *predicting]
    known = list(dict.fromkeys(names))
    found: dict[str, str] = {}
    for given in arguments.measured_at:
        covariate, equals, column = (piece.strip() for piece in given.partition("="))
        if not equals or not column:
            raise UsageError(f'--measured-at: "{given}" is not COVARIATE=COLUMN')
        if covariate not in known:
            listed = ", ".join(f'"{name}"' for name in known) or "none"
            raise UsageError(
                f'--measured-at: "{covariate}" is no covariate of a metric; covariates are'
                f" {listed}.{nearest(covariate, known)}"
            )
        found[covariate] = column
    if found and arguments.exposed_at is None:
        raise UsageError("--measured-at needs --exposed-at, the column of the unit's exposure")
    return found


def named_weights(given: str | None) -> dict[str, int]:
    """`--weights V=N,…` as numbers; empty where it was not given."""
    weights: dict[str, int] = {}
    for part in given.split(",") if given is not None else ():
        name, equals, number = part.rpartition("=")
        if not equals or not number.strip().isdigit():
            raise UsageError(f'--weights: "{part}" is not VARIANT=WHOLE-NUMBER')
        weights[name.strip()] = int(number)
    return weights


def _refuse_results(
    option: str, named: Sequence[str], arguments: argparse.Namespace, metrics: Sequence[Metric]
) -> None:
    taken = {arguments.variant, arguments.unit, *(it for m in metrics for it in m.sources)}
    for column in named:
        if column in taken:
            raise UsageError(
                f'{option}: "{column}" is what the experiment is about; name columns that were'
                " known before it"
            )
