"""`antiphon demo`: play a year of real shop orders and open the report."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.demo.year import Played

HELP: Final = "play a year of real shop orders through the example shop, to a report"
EXAMPLE: Final = "example: antiphon demo --serve"
SEED: Final = 1
PORT: Final = 8321


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("--fast", action="store_true", help="a tenth of the households, for a look")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="play in this new or empty folder")
    parser.add_argument(
        "--serve", action="store_true",
        help="then leave the server running to look around; dates are moved to end today",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=PORT, help=f"for --serve; default {PORT}")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed, other people")


def run(arguments: argparse.Namespace) -> int:
    """0 when the year was played; 2 when the folder or the orders cannot be used."""
    from engine.demo.page import write_page
    from engine.demo.year import FAST_SHARE, Year, play_year
    from engine.progress import Stages
    from engine.steady import present

    directory = _folder(arguments.keep)
    year = Year.ending_before(present()) if arguments.serve else Year.starting()
    with Stages() as stages:
        played = play_year(
            directory,
            share=FAST_SHARE if arguments.fast else 1.0,
            seed=arguments.seed,
            year=year,
            progress=stages.begin,
        )
    report = write_page(played)
    print("\n".join(_summary(played)))
    print()
    print(f"The report:      {report.resolve()}")
    print(f"What was sent:   {(directory / '.antiphon' / 'outbox').resolve()}")
    print(f"The workspace:   {directory.resolve()}")
    then = "" if arguments.serve else f" --as-of {_end(played)}"
    print(f"The models:      antiphon model list {directory}{then}")
    if not arguments.serve:
        print(f"Look around:     antiphon serve {directory}    (or: antiphon demo --serve)")
        print(f"Ask:             antiphon experiment report all {directory} --as-of {_end(played)}")
        return 0
    from engine.serve import serve

    print()
    return serve(
        directory,
        host="127.0.0.1",
        port=arguments.port,
        is_open=True,
        announce=lambda text: print(text, flush=True),
    )


def _folder(given: Path | None) -> Path:
    if given is None:
        return Path(tempfile.mkdtemp(prefix="antiphon-demo-"))
    if given.exists() and (not given.is_dir() or any(given.iterdir())):
        raise UsageError(f'"{given}" exists and is not empty. Name a new folder')
    return given


def _end(played: "Played") -> str:
    from engine.core.clocktime import iso

    return iso(played.year.ends)


def _summary(played: "Played") -> list[str]:
    from engine.demo.learnt import lines as learnt_lines
    from engine.demo.page import lines_of, truth_rows, verdicts

    statuses = [it for it in ("sent", "ghost", "dropped") if _total(played, it)]
    channels = sorted({channel for channel, _ in played.messages if channel})
    table = [("", *statuses)] + [
        (channel, *(f"{played.messages.get((channel, it), 0):,}" for it in statuses))
        for channel in channels
    ]
    truths = [("", "variant", "planted", "found", "95 % interval", "holds it"), *truth_rows(played)]
    held = [f"{n:>7,}  {reason}" for reason, n in played.counts.held.most_common(8)]
    return [
        "",
        f"{played.n_orders:,} real orders of {played.n_people:,} households, and "
        f"{played.n_carts:,} invented carts, in {played.seconds:.0f} s.",
        "",
        "HOW MUCH IS PLANTED, AND WHY",
        *(f"  {line}" for line in played.planned.lines()),
        "",
        "MESSAGES (a ghost is one that a holdout did not hear)",
        *(f"  {line}" for line in lines_of(table)),
        "",
        "HELD OR DROPPED, MOST OFTEN BY",
        *held,
        "",
        "WHAT THE CAMPAIGNS WERE WORTH",
        *(f"  {line}" for line in verdicts(played)),
        "",
        "WHAT THE MODELS LEARNT",
        *(f"  {line}" for line in learnt_lines(played.learnt)),
        "",
        "PLANTED AGAINST FOUND (orders per person within 14 days)",
        *(f"  {line}" for line in lines_of(truths)),
    ]


def _total(played: "Played", status: str) -> int:
    return sum(n for (_, it), n in played.messages.items() if it == status)
