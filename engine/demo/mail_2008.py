"""A real randomised mailing as a workspace and its past: whom did a mail make come to the shop?

The e-mail experiment of 2008 (MineThatData, 64,000 customers: a mail about men's clothes, one about
women's, or none, drawn by lot; did they visit within two weeks?). Its file has no dates and no
names, so both are ours: everyone is known a month before the mail, and people are numbered so that
our own draw gives each the mail that the lot of 2008 gave. Nothing else is changed or invented; the
few for whom no number is left (each number has one arm) are left out.

    python -m engine.demo.mail_2008 hillstrom.csv.gz mail
"""

import csv
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from engine.core.clocktime import iso, parse_instant
from engine.core.errors import UsageError
from engine.core.model.instants import DAY, HOUR, SECOND, Instant
from engine.release.checking import check
from experiments.assignment import assign

EXPERIMENT: Final = "mail-2008"
ARMS: Final = {"No E-Mail": "none", "Mens E-Mail": "mens", "Womens E-Mail": "womens"}
KNOWN: Final = parse_instant("2008-02-11T00:00:00Z")
MAILED: Final = parse_instant("2008-03-18T09:00:00Z")
VISITED_AFTER: Final = 3 * DAY
NUMBERS: Final = ("recency", "history", "mens", "womens", "newbie")
WORDS: Final = ("zip_code", "channel")
PAST: Final = "past.jsonl.gz"

_UPLIFT: Final = """\
uplift: {arm}-gain
title: Whom the mail about {arm} clothes makes visit
experiment: mail-2008
arm: {arm}
control: none
metric: visited-14d
features: [traits.recency, traits.history, traits.mens, traits.womens, traits.newbie,
           traits.zip_code, traits.channel]
budget: 50%
"""
FILES: Final = {
    "antiphon.yaml": """\
zone: UTC
consent: {unknown: refuse}
traits:
  recency: {type: integer}      # months since the last purchase
  history: {type: number}       # dollars spent in the last year
  mens: {type: integer}         # 1 if men's clothes were bought
  womens: {type: integer}
  newbie: {type: integer}       # 1 if a customer for less than a year
  zip_code: {type: string}
  channel: {type: string}
channels:
  email: {provider: sandbox}
""",
    "experiments/mail_2008.yaml": """\
experiment: mail-2008
title: A mail about men's clothes, about women's, or none
unit: profile
variants: {none: {value: none}, mens: {value: mens}, womens: {value: womens}}
control: none
metrics: {primary: visited-14d}
""",
    "metrics/visited_14d.yaml": """\
metric: visited-14d
title: Came to the shop within 14 days
event: Visited
measure: happened
within: 14d
""",
    "models/womens_gain.yaml": _UPLIFT.format(arm="womens"),
    "models/mens_gain.yaml": _UPLIFT.format(arm="mens"),
}


def write_workspace(source: Path, folder: Path, *, n_max: int | None = None) -> int:
    """Write the workspace and its past into a folder; how many customers are in it.

    Args:
        source: The file of the experiment, packed by gzip or not.
        n_max: Only so many of its first customers.
    Raises:
        UsageError: If the folder is not empty, or the file is another one.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f'"{folder}" exists and is not empty. Name a new folder')
    pools = _pools(source, n_max)
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    n = 0
    with gzip.open(folder / PAST, "wt", encoding="utf-8") as file:
        for n, (arm, row) in enumerate(_numbered(folder, pools), start=1):
            for call in _calls(n, arm, row):
                file.write(json.dumps(call) + "\n")
    return n


def _pools(source: Path, n_max: int | None) -> dict[str, list[dict[str, str]]]:
    """The customers of each arm, in the file's order."""
    pools: dict[str, list[dict[str, str]]] = {arm: [] for arm in ARMS.values()}
    with _opened(source) as file:
        for place, row in enumerate(csv.DictReader(file)):
            if n_max is not None and place >= n_max:
                break
            if row.get("segment") not in ARMS or not {*NUMBERS, *WORDS, "visit"} <= row.keys():
                raise UsageError(f"{source}: line {place + 2} is no row of the experiment of 2008")
            pools[ARMS[row["segment"]]].append(row)
    return pools


def _opened(source: Path) -> IO[str]:
    if source.suffix == ".gz":
        return gzip.open(source, "rt", encoding="utf-8", newline="")
    return source.open(encoding="utf-8", newline="")


def _numbered(
    folder: Path, pools: dict[str, list[dict[str, str]]]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Customers in an order in which the draw for profile 1, 2, 3, … is what each of them got."""
    ((_, drawn),) = check(folder).program.experiments.items()
    names = tuple(it.name for it in drawn.variants)
    weights = tuple(it.weight for it in drawn.variants)
    waiting = {arm: iter(rows) for arm, rows in pools.items()}
    number = 0
    while True:
        number += 1
        arm = assign(str(number), seed=drawn.seed, variants=names, weights=weights).variant
        row = next(waiting[str(arm)], None)
        if row is None:
            return
        yield str(arm), row


def _calls(number: int, arm: str, row: dict[str, str]) -> Iterator[dict[str, Any]]:
    user = f"customer-{number}"
    traits: dict[str, Any] = {name: float(row[name]) for name in NUMBERS}
    traits = {name: int(value) if value.is_integer() else value for name, value in traits.items()}
    yield _call(
        "identify", user, KNOWN, traits={**traits, **{name: row[name] for name in WORDS}}
    )  # fmt: skip
    mailed = MAILED + number % (4 * HOUR // SECOND) * SECOND
    shown = {"experiment_id": EXPERIMENT, "variation_name": arm}
    yield _call("track", user, mailed, event="Experiment Viewed", properties=shown)
    if row["visit"] == "1":
        yield _call("track", user, mailed + VISITED_AFTER, event="Visited", properties={})


def _call(kind: str, user: str, at: Instant, **told: Any) -> dict[str, Any]:
    return {"type": kind, "userId": user, "timestamp": iso(at), **told}


def main(arguments: list[str]) -> int:
    """What `python -m engine.demo.mail_2008 FILE FOLDER` does."""
    if len(arguments) != 2:
        print("usage: python -m engine.demo.mail_2008 FILE FOLDER", file=sys.stderr)
        return 2
    source, folder = map(Path, arguments)
    try:
        n = write_workspace(source, folder)
    except (UsageError, OSError) as error:
        print(f"mail_2008: {error}", file=sys.stderr)
        return 2
    print(f"{n:,} customers. Now: antiphon simulate {folder} --events {folder / PAST} --keep seen")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
