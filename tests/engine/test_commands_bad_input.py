"""What is wrong gets one clear line, exit code 2 and no traceback, whichever command is asked."""

import sqlite3
from pathlib import Path

import pytest

from tests.engine.commanding import Antiphon, Said, events_file
from tests.engine.commanding import _no_database_of_the_developer as _no_database
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import live as live
from tests.engine.commanding import shop as shop

_ = _no_database

READING = (
    "messages DIR", "explain 1 DIR", "profile show u1 DIR", "parked list DIR",
    "segment list --dir DIR", "segment members cart-started --dir DIR", "experiment list DIR",
    "segment explain cart-started --profile u1 --dir DIR", "releases DIR",
    "campaign list --dir DIR", "rollback DIR --dry-run",
)  # fmt: skip
WRITING = (
    "apply DIR", "plan DIR", "rollback DIR", "campaign pause cart-reminder --dir DIR",
    "migrate DIR", "tick DIR", "keys create DIR",
)  # fmt: skip
FILES = ("check DIR", "test DIR", "simulate DIR --events x.jsonl", "preview email/x DIR")


def refused(said: Said) -> str:
    """The one line of a refusal."""
    assert said.code == 2, said
    assert said.out == ""
    assert len(said.error.splitlines()) == 1, said.error
    return said.error


def words(command: str, directory: Path) -> list[str]:
    return [str(directory) if word == "DIR" else word for word in command.split()]


@pytest.mark.parametrize("command", [*READING, *WRITING, *FILES])
def test_a_folder_that_is_not_there_is_named(
    command: str, antiphon: Antiphon, tmp_path: Path
) -> None:
    line = refused(antiphon(*words(command, tmp_path / "nowhere")))

    assert "nowhere" in line
    assert "antiphon init" in line
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("command", [*READING, *WRITING[:-1], *FILES])
def test_a_folder_that_is_no_workspace_is_refused_and_stays_empty(
    command: str, antiphon: Antiphon, tmp_path: Path
) -> None:
    line = refused(antiphon(*words(command, tmp_path)))

    assert "antiphon.yaml" in line
    assert "antiphon init DIR" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", READING)
def test_reading_before_anything_is_applied_says_what_to_run(
    command: str, antiphon: Antiphon, shop: Path
) -> None:
    line = refused(antiphon(*words(command, shop)))

    assert "antiphon apply" in line


def test_loading_before_anything_is_applied_says_what_to_run(
    antiphon: Antiphon, shop: Path
) -> None:
    line = refused(antiphon("ingest", shop, events_file(shop)))

    assert "antiphon apply" in line


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("segment members cart-startd --dir DIR", 'Did you mean "cart-started"?'),
        ("segment preview cart-startd --dir DIR", 'Did you mean "cart-started"?'),
        ("messages DIR --campaign cart-remindr", 'Did you mean "cart-reminder"?'),
        ("messages DIR --status sentt", 'Did you mean "sent"?'),
        ("preview email/cart_remindr DIR", 'Did you mean "email/cart_reminder"?'),
        ("segment lst --dir DIR", 'Did you mean "list"?'),
        ("simulate DIR cart-remindr --events FILE", 'Did you mean "cart-reminder"?'),
        ("experiment size DIR --metric x --campaign cart-reminder", "ordered-7d"),
        ("segment explain cart-started --profile nobody --dir DIR", '"nobody"'),
        ("preview email/cart_reminder DIR --profile nobody", '"nobody"'),
        ("profile show nobody DIR", '"nobody"'),
        ("explain 4711 DIR", "antiphon messages"),
        ("explain 99999999999999999999999 DIR", "antiphon messages"),
        ("explain first DIR", "first"),
        ("keys revoke nothing DIR", "antiphon keys list"),
        ("tick DIR --until yesterday", "2026-03-02T09:00:00Z"),
        ("segment members cart-started --at 2026-13-01 --dir DIR", "2026-13-01"),
        ("simulate DIR --events FILE --until soon", '"soon"'),
        ("experiment report all DIR --as-of soon", '"soon"'),
        ("messages DIR --limit 0", "--limit"),
        ("preview email/cart_reminder DIR --traits {x", "--traits"),
        ("preview email/cart_reminder DIR --event [1]", "--event"),
        ("ingest DIR", "FILE"),
        ("ingest DIR absent.jsonl", "absent.jsonl"),
        ("ingest DIR DIR/antiphon.yaml", ".jsonl"),
        ("ingest DIR FILE --map userId", "FIELD=COLUMN"),
        ("ingest DIR FILE --jsn", "--json"),
    ],
)
def test_what_is_not_known_or_not_readable_is_named_with_what_is(
    command: str, expected: str, antiphon: Antiphon, live: Path
) -> None:
    file = events_file(live)
    given = command.replace("DIR", str(live)).replace("FILE", str(file)).split()

    line = refused(antiphon(*given))

    assert expected in line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.jsonl.gz", b"\x1f\x8bxx"),
        ("cut.jsonl.zst", b"\x28\xb5\x2f\xfdxx"),
        ("none.parquet", b"PAR1"),
        ("empty.csv", b""),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes, antiphon: Antiphon, live: Path
) -> None:
    (live / name).write_bytes(content)

    line = refused(antiphon("ingest", live, live / name))

    assert name in line


def test_a_line_that_is_no_json_costs_that_line_only(antiphon: Antiphon, live: Path) -> None:
    said = antiphon("ingest", live, events_file(live, "{broken", "[1]", "\x00"))

    assert said.code == 1
    assert [f"events.jsonl:{row}: " in said.error for row in (4, 5, 6)] == [True, True, True]
    assert "3 accepted, 0 duplicates, 3 rejected" in said.out


@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_a_database_that_is_none_is_named_and_left_alone(
    command: str, antiphon: Antiphon, shop: Path
) -> None:
    file = shop / ".antiphon" / "antiphon.db"
    file.parent.mkdir()
    file.write_text(
        "this is only text, but long enough to be looked at as a header of a file\n" * 9
    )
    before = file.read_bytes()

    line = refused(antiphon(*words(command, shop)))

    assert "is not a database" in line
    assert file.read_bytes() == before


@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_a_database_of_a_newer_version_is_refused(
    command: str, antiphon: Antiphon, live: Path
) -> None:
    raw = sqlite3.connect(live / ".antiphon" / "antiphon.db")
    raw.execute("UPDATE antiphon_version SET version_num = '9999'")
    raw.commit()
    raw.close()

    line = refused(antiphon(*words(command, live)))

    assert "9999" in line
    assert "newer Antiphon" in line


def test_a_database_elsewhere_that_nobody_serves_is_a_plain_line(
    antiphon: Antiphon, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", "mysql://localhost/shop")

    line = refused(antiphon("messages", shop))

    assert "postgresql://" in line


def test_an_empty_database_elsewhere_is_refused_until_something_is_applied(
    antiphon: Antiphon, shop: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", empty_url)

    absent = antiphon("messages", shop)
    antiphon("apply", shop)
    there = antiphon("messages", shop)

    assert "run `antiphon " in refused(absent)
    assert (there.code, there.out) == (0, "no message yet\n")


def test_no_antiphon_yaml_is_said_once(antiphon: Antiphon, tmp_path: Path) -> None:
    line = refused(antiphon("plan", tmp_path))

    assert line.count("antiphon.yaml") == 1


def test_plan_leaves_a_new_workspace_as_it_is(antiphon: Antiphon, tmp_path: Path) -> None:
    antiphon("init", tmp_path / "shop")
    shown = antiphon("plan", tmp_path / "shop")

    assert shown.code == 1
    assert "to add, 0 to change" in shown.out
    assert not (tmp_path / "shop" / ".antiphon").exists()
    plan_id = shown.out.split()[-1]
    assert antiphon("apply", tmp_path / "shop", "--plan", plan_id).code == 0
