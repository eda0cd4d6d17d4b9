"""How long commands that people wait for may take, in processor time of a whole process.

The aims are 0.3 s for `--help` and 2 s for `check` of 200 campaigns; the bounds leave room for
machines that are slower or busy. What must hold everywhere is what is not imported.
"""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import COMMANDS

CAMPAIGNS = 200
CHECK_SECONDS_MAX = 4.0
HEAVY = ("sqlalchemy", "duckdb", "fastapi", "numpy", "scipy", "pandas", "cryptography", "jinja2")

CAMPAIGN = """\
campaign: campaign-{n}
trigger:
  event: Product Added
  where: {{properties.cart_value: {{gte: {n}}}}}
  key: properties.cart_id
exit_when: {{event: Order Completed}}
holdout: 10%
goal: {{metric: ordered-7d}}
topic: offers
journey:
  - delay: 30m
    id: settle
  - branch:
      - if: {{segment: shoppers-{n}}}
        do: [{{send: {{channel: email, template: cart_reminder}}}}]
    else:
      - wait_for: {{event: Checkout Started, counting_from: entry, timeout: 24h}}
        id: checkout
        then: [exit: true]
        on_timeout: [{{send: {{channel: email, template: cart_reminder}}}}]
"""
SEGMENT = """\
segment: shoppers-{n}
when:
  all:
    - event: Product Viewed
      where: {{properties.price: {{gte: {n}}}}}
      count: {{gte: 3}}
      within: 7d
    - none: [{{event: Order Completed, within: 30d}}]
"""


def antiphon(*words: object) -> tuple[float, str]:
    """(seconds of processor time, what was printed) of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", *map(str, words)], capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def imported(*words: object) -> set[str]:
    """The packages that a command had in memory when it ended."""
    script = (
        "import sys\nfrom engine.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_two_hundred_campaigns_are_checked_quickly(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    antiphon("init", shop)
    (shop / "segments").mkdir()
    for n in range(CAMPAIGNS - 1):
        (shop / "campaigns" / f"c{n}.yaml").write_text(CAMPAIGN.format(n=n))
        (shop / "segments" / f"s{n}.yaml").write_text(SEGMENT.format(n=n))

    seconds, said = antiphon("check", shop)

    assert f"{CAMPAIGNS} campaigns, {CAMPAIGNS - 1} segments" in said
    assert seconds < CHECK_SECONDS_MAX


def test_check_waits_for_no_database_and_no_statistics(tmp_path: Path) -> None:
    antiphon("init", tmp_path / "shop")

    found = imported("check", tmp_path / "shop")

    assert {"engine", "campaigns"} <= found
    assert found.isdisjoint({"sqlalchemy", "duckdb", "fastapi", "scipy", "pandas"})


def test_the_overview_imports_nothing_heavy() -> None:
    assert imported("--help").isdisjoint(HEAVY)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "schema"])
def test_the_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    assert imported(name, "--help").isdisjoint(HEAVY)
