"""`antiphon model`: train, judge, list, and go back to an older run."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.commands.where import add_directory
from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.learning.refreshing import Learner
    from engine.opened import Opened

HELP: Final = "train, evaluate and list models; go back to an older run"
EXAMPLE: Final = """\
example: antiphon model list shop
example: antiphon model train churn shop
example: antiphon model train churn --as-of 2026-03-01T00:00:00Z --dry-run shop
example: antiphon model evaluate churn --html churn.html shop
example: antiphon model rollback churn --to 3 shop"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser(
        "list", help="each model: what is read, how old, how good, when next"
    )
    train = actions.add_parser("train", help="train one now; its run is read if it is better")
    judged = actions.add_parser("evaluate", help="how good the run is that is read, and its report")
    back = actions.add_parser("rollback", help="read an older run again")
    for each in (train, judged, back):
        each.add_argument("name", metavar="NAME", help="a model of models/*.yaml")
    train.add_argument(
        "--as-of", metavar="TIME", help="know nothing later than this (ISO 8601); default: now"
    )
    train.add_argument(
        "--dry-run", action="store_true", help="show what it would say; keep nothing"
    )
    judged.add_argument("--html", type=Path, metavar="FILE", help="write its report there")
    back.add_argument("--to", type=int, metavar="RUN", help="its number; default: the one before")
    for each in (listed, judged):
        each.add_argument(
            "--as-of", metavar="TIME", help="tell ages as of this instant (ISO 8601); default: now"
        )
    for each in (listed, train, judged, back):
        add_directory(each)
        each.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when done. train: 1 when nothing could be learnt."""
    return {"list": _list, "train": _train, "evaluate": _evaluate, "rollback": _rollback}[
        arguments.action
    ](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from engine.learning.shown import plain, table
    from engine.learning.watching import standings
    from engine.opened import instant, opened
    from engine.steady import present

    now = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        found = standings(connection, it.playbook().workspace, now=now, is_opened=True)
    if arguments.json:
        print(json.dumps({"models": [plain(each) for each in found]}))
    else:
        print(table(found, now=now))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    import msgspec

    from engine.learning.refreshing import Refreshed, rehearse
    from engine.learning.shown import as_markdown, said
    from engine.opened import instant, opened
    from engine.steady import present

    now = present()
    as_of = instant(arguments.as_of, default=now)
    if arguments.dry_run:
        with opened(arguments.directory, read_only=True) as it:
            done = rehearse(_learner(it), arguments.name, as_of=as_of, now=now)
    else:
        payload = {"model": arguments.name, "as_of": None if arguments.as_of is None else as_of}
        answer = _order(arguments.directory, "model_train", payload)
        done = msgspec.convert(answer, Refreshed)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(done)))
    else:
        print(said(done))
        print("\n".join(as_markdown(done).splitlines()[4:]).strip())
    return int(done.status == "refused")


def _evaluate(arguments: argparse.Namespace) -> int:
    from engine.learning.refreshing import known, page_of
    from engine.learning.shown import metric_words, plain, table
    from engine.learning.watching import standings
    from engine.opened import instant, opened
    from engine.settings import DIRECTORY
    from engine.steady import present

    now = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        playbook = it.playbook()
        known(playbook, arguments.name)
        found = standings(connection, playbook.workspace, now=now, is_opened=True)
        (standing,) = [each for each in found if each.model == arguments.name]
        runs = _runs(connection, arguments.name)
        page = page_of(it.settings.directory / DIRECTORY, arguments.name)
    if arguments.html is not None:
        if not page.exists():
            raise UsageError(
                f'"{arguments.name}" has no page: clusters, scores and recommenders have one once '
                f"they were trained (antiphon model train {arguments.name}). What is known of its "
                "runs is shown without --html"
            )
        arguments.html.write_text(page.read_text("utf-8"), "utf-8")
    if arguments.json:
        print(json.dumps({**plain(standing), "runs": runs}))
        return 0
    print(table([standing], now=now))
    for each in runs:
        metric = metric_words(each["metrics"].get("primary") or {})
        print(f"run {each['run']} {each['status']} ({each['as_of'][:16]}Z) {metric}".rstrip())
        print(f"  {each['verdict']}")
    if arguments.html is not None:
        print(f"report: {arguments.html}")
    return 0


def _runs(connection: Any, name: str) -> list[dict[str, Any]]:
    from engine.core.clocktime import iso
    from engine.learning.watching import known_until
    from engine.store import models

    return [
        {
            "run": it.run,
            "status": it.status,
            "as_of": iso(known_until(it)),
            "config_hash": it.about.config_hash,
            "data_hash": it.about.data_hash,
            "code_version": it.about.code_version,
            "seed": it.about.seed,
            "parent": it.about.parent,
            "verdict": it.about.verdict,
            "metrics": dict(it.about.metrics),
        }
        for it in models.runs_of(connection, name)
    ]


def _rollback(arguments: argparse.Namespace) -> int:
    payload = {"model": arguments.name, "to": arguments.to}
    done = _order(arguments.directory, "model_rollback", payload)
    if arguments.json:
        print(json.dumps(done))
        return 0
    print(f"{done['model']}: run {done['run']} is what is read now: {done['verdict']}")
    print(f"people in it: {done['n_scored']:,}; asked again at once: {done['n_woken']:,}")
    return 0


def _order(directory: Path, name: str, payload: dict[str, Any]) -> Any:
    """Have the running server do it, or do it here when none runs."""
    from engine.local import call

    done = call(directory, name, payload)
    if done is not None:
        return done
    from engine.learning.ordering import OPERATIONS
    from engine.opened import opened
    from engine.steady import present

    with opened(directory) as it:
        return OPERATIONS[name](_learner(it), payload, now=present())


def _learner(it: "Opened") -> "Learner":
    from engine.learning.refreshing import Learner
    from engine.settings import DIRECTORY
    from engine.steady import elapsed

    folder = it.settings.directory / DIRECTORY
    return Learner(it.database, it.playbook(), it.write, elapsed, folder)
