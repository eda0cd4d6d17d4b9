"""`antiphon suppressions`: by hand and by file, with and without a server; no address is kept."""

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.core.model.instants import DAY
from engine.store.database import Database
from engine.store.suppressions import Suppression, lift, listed, suppress
from engine.suppression_file import FORMULA, harmless
from tests.engine.serving import Served, command

ADA = "ada@example.com"
NOW = 1_772_442_000_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    assert command("init", folder).returncode == 0
    return folder


def told(shop: Path, *words: Any) -> dict[str, Any]:
    done = command("suppressions", words[0], shop, *words[1:], "--json")
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def everything_stored(shop: Path) -> str:
    files = [it for it in (shop / ".antiphon").rglob("*") if it.is_file()]
    return "".join(it.read_bytes().decode("latin-1") for it in files)


def test_an_address_is_added_listed_and_removed_and_stands_nowhere(shop: Path) -> None:
    added = told(shop, "add", f" {ADA.upper()} ", "--channel", "email", "--reason", "by letter")
    rows = told(shop, "list")["suppressions"]
    again = told(shop, "list", "--channel", "sms")["suppressions"]
    stored = everything_stored(shop)
    removed = [told(shop, "remove", ADA, "--channel", "email") for _ in range(2)]

    assert added == {"added": 1}
    (row,) = rows
    assert (row["channel"], row["reason"], row["source"]) == ("email", "by letter", "operator")
    assert row["until"] is None
    assert again == []
    assert ADA not in stored.lower()
    assert removed == [{"removed": 1}, {"removed": 0}]
    assert told(shop, "list")["suppressions"] == []


def test_a_file_goes_in_and_out_and_in_again(shop: Path, tmp_path: Path) -> None:
    given = tmp_path / "old.csv"
    given.write_text(
        "\ufeffAddress,Reason,until\n"
        f"{ADA},=cmd|' /C calc'!A0,\n"
        "bob@example.com,bounced,2030-01-01\n"
        "no address,x,\n"
        "eve@example.com,x,tomorrow\n"
        f"{ADA},again,\n"
    )

    done = command("suppressions", "import", shop, given, "--channel", "email")
    told(shop, "export", tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    for row in rows:
        command_done = told(shop, "list")
        assert row["address_hash"] in {it["address_hash"] for it in command_done["suppressions"]}
    (shop / "again.csv").write_text((tmp_path / "out.csv").read_text())
    again = told(shop, "import", shop / "again.csv")

    assert done.returncode == 1
    assert "3 suppressed, 2 refused" in done.stdout
    assert "line 4: this is no e-mail address" in done.stderr
    assert "line 5" in done.stderr
    assert ADA not in done.stderr
    assert [row["until"][:4] for row in sorted(rows, key=lambda it: it["until"])] == ["", "2030"]
    assert not any(cell.startswith(FORMULA) for row in rows for cell in row.values())
    assert again == {"added": 2, "refused": 0}
    assert len(told(shop, "list")["suppressions"]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "nobody", "--channel", "email"), "no e-mail address"),
        (("add", "0151 123", "--channel", "sms"), "+4915112345678"),
        (("add", ADA, "--channel", "email", "--until", "soon"), "soon"),
        (("add", ADA), "--channel"),
        (("import", "missing.csv"), "missing.csv"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    shop: Path, words: tuple[str, ...], said: str
) -> None:
    done = command("suppressions", words[0], shop, *words[1:])

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_list_without_a_header_is_refused(shop: Path, tmp_path: Path) -> None:
    given = tmp_path / "bare.csv"
    given.write_text(f"{ADA}\n")

    done = command("suppressions", "import", shop, given, "--channel", "email")

    assert done.returncode == 2
    assert "the first line names the columns" in done.stderr


def test_a_running_server_does_it_and_is_told_no_address(shop: Path) -> None:
    served = Served(shop)
    try:
        told(shop, "add", ADA, "--channel", "email")
        rows = told(shop, "list")["suppressions"]
    finally:
        served.terminate()

    assert [row["reason"] for row in rows] == ["by hand"]
    assert ADA not in "".join(served.log)
    with sqlite3.connect(shop / ".antiphon" / "antiphon.db") as database:
        assert database.execute("SELECT count(*) FROM contact").fetchone() == (1,)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_begins_a_formula(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert harmless(f"a{cell}") == f"a{cell}"


def test_what_lasts_wins_whatever_the_order(database: Database) -> None:
    key = "ab" * 16
    reasons = [
        Suppression(key, "email", "soft bounces", "p", NOW, NOW + DAY),
        Suppression(key, "email", "soft bounces", "p", NOW, NOW + 2 * DAY),
        Suppression(key, "email", "complaint", "p", NOW + 2),
        Suppression(key, "email", "hard bounce", "p", NOW + 1),
    ]
    ends = set()

    for order in (reasons, reasons[::-1], [reasons[2], *reasons[:2], reasons[3]]):
        with database.write() as connection:
            for each in order:
                suppress(connection, [each], now=NOW)
            ends.add(tuple(listed(connection, limit=10)))
            assert lift(connection, [key], now=NOW) == 1

    assert ends == {(reasons[3],)}


def test_a_longer_rest_replaces_a_shorter_one(database: Database) -> None:
    short, long = (
        Suppression("ab" * 16, "email", "soft bounces", "p", NOW, NOW + n * DAY) for n in (1, 2)
    )

    with database.write() as connection:
        suppress(connection, [long], now=NOW)
        suppress(connection, [short], now=NOW)
        found = listed(connection, limit=10)

    assert found == [long]
