"""`antiphon segment cluster`: the groups that a `cluster:` model found, and who moved."""

import argparse
import json
from pathlib import Path
from typing import Any

from engine.commands.where import add_directory
from engine.core.errors import UsageError


def add_cluster(actions: Any) -> None:
    """Declare it."""
    parser = actions.add_parser("cluster", help="the groups a cluster model found; who moved")
    parser.add_argument("name", metavar="NAME", help="a cluster of models/*.yaml")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write its report there")
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def show(arguments: argparse.Namespace) -> int:
    """0 when there are groups, 1 when none was found yet; the last refusal is said."""
    from campaigns.models import ClusterModel, kind_of
    from engine.learning.clusters import Clusters
    from engine.learning.clusters.report import text
    from engine.learning.refreshing import known, page_of
    from engine.learning.registry import learnt
    from engine.opened import opened
    from engine.settings import DIRECTORY
    from engine.store import models

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        model, _ = known(it.playbook(), arguments.name)
        if not isinstance(model, ClusterModel):
            raise UsageError(f'"{model.name}" is a {kind_of(model)}, not a cluster')
        champion = models.champion_of(connection, model.name)
        if champion is None:
            newest = next(iter(models.runs_of(connection, model.name)), None)
            print(_nothing(model.name, "" if newest is None else newest.about.verdict))
            return 1
        metrics = dict(champion.about.metrics)
        found = Clusters.of(learnt(connection, model.name, champion.run))
        page = page_of(it.settings.directory / DIRECTORY, model.name)
    if arguments.html is not None:
        if not page.exists():
            raise UsageError(f'"{model.name}" has no report yet: antiphon model train {model.name}')
        arguments.html.write_text(page.read_text("utf-8"), "utf-8")
    if arguments.json:
        plain = {
            "cluster": model.name,
            "run": champion.run,
            "groups": metrics.get("groups", []),
            "outside": metrics.get("outside", 0),
            "transitions": metrics.get("transitions", []),
        }
        print(json.dumps(plain))
        return 0
    print(text(found, title=model.title or model.name))
    for start, end, n in metrics.get("transitions", []):
        if start != end:
            print(f"moved: {n:,} from {start} to {end}")
    if arguments.html is not None:
        print(f"report: {arguments.html}")
    return 0


def _nothing(name: str, why: str) -> str:
    if why:
        return f"{name} found no groups yet: {why}"
    return f"{name} was never trained; train it: antiphon model train {name}"
