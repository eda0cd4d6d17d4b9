"""`simulate --keep`: a folder that every command can look at, and from which nothing is sent."""

import json
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.core.clocktime import iso
from engine.core.errors import UsageError
from engine.core.model.instants import DAY
from engine.opened import opened
from engine.rehearsed import mark_of, require_in_earnest
from engine.simulation.counts import Counts
from engine.steady import present
from engine.store.database import Database
from tests.engine.commanding import Antiphon, Said
from tests.engine.commanding import antiphon as antiphon
from tests.engine.test_simulate import START
from tests.engine.test_simulate_schedules import events as events
from tests.engine.test_simulate_schedules import shop as shop

ENDS = START + 10 * DAY
REAL = """\
channels:
  email: {provider: smtp, url: "smtp://127.0.0.1:1", from: shop@example.com}
"""


@pytest.fixture
def kept(shop: Path, events: Path, tmp_path: Path, antiphon: Antiphon) -> Path:
    folder = tmp_path / "kept"
    said = antiphon(
        "simulate", shop, "--events", events, "--until", iso(ENDS), "--keep", folder, "--json"
    )
    assert said.code == 0, said.error
    assert said.json()["kept"] == str(folder)
    return folder


def told(said: Said) -> Any:
    """The JSON of a command that has said on stderr what it looked at."""
    assert said.code == 0, said.error
    assert "nothing in it was sent to anybody" in said.error
    return json.loads(said.out)


def test_every_command_looks_at_what_was_kept_as_of_its_end(kept: Path, antiphon: Antiphon) -> None:
    models = told(antiphon("model", "list", "--dir", kept, "--json"))
    schedules = told(antiphon("scheduler", kept, "--list", "--json"))
    messages = told(antiphon("messages", kept, "--json"))
    explained = antiphon("explain", "1", kept)
    trained = told(antiphon("model", "train", "kinds", "--dir", kept, "--json"))

    (kinds,) = models["models"]
    assert kinds["model"] == "kinds"
    assert kinds["run"] == 10
    assert {it["name"] for it in schedules["schedules"]} >= {"letter", "refresh-kinds"}
    assert all(it["next"] is None or it["next"] >= iso(ENDS) for it in schedules["schedules"])
    assert len(messages["messages"]) > 10
    assert explained.code == 0
    assert trained["run"] == 11
    with sqlite3.connect(kept / ".antiphon" / "antiphon.db") as database:
        ((as_of,),) = database.execute("SELECT as_of FROM model_run WHERE run = 11")
    assert as_of == ENDS
    assert present() > ENDS


def test_its_pages_say_that_they_are_of_a_rehearsal_also_when_written_anew(
    kept: Path, antiphon: Antiphon
) -> None:
    def counted() -> dict[str, int]:
        pages = sorted((kept / ".antiphon" / "reports").glob("*.html"))
        return {it.name: it.read_text().count("<strong>Rehearsal.</strong>") for it in pages}

    before = counted()
    antiphon("model", "train", "kinds", "--dir", kept)

    assert {"models.html", "model-kinds.html"} <= before.keys()
    assert set(before.values()) == {1}
    assert counted() == before


@pytest.mark.parametrize(
    "words",
    [
        ("serve",), ("web",), ("worker",), ("scheduler",), ("tick",),
        ("tick", "--until", "2030-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_nothing_that_plays_or_sends_runs_on_it(
    kept: Path, antiphon: Antiphon, words: tuple[str, ...]
) -> None:
    before = (kept / ".antiphon" / "antiphon.db").read_bytes()

    said = antiphon(words[0], kept, *words[1:])

    assert said.code == 2
    assert "is a rehearsal of" in said.error
    assert (kept / ".antiphon" / "antiphon.db").read_bytes() == before


def test_events_that_no_tick_would_ever_play_are_not_taken_into_it(
    kept: Path, antiphon: Antiphon
) -> None:
    def counted() -> int:
        with sqlite3.connect(kept / ".antiphon" / "antiphon.db") as database:
            return int(database.execute("SELECT count(*) FROM event").fetchone()[0])

    before = counted()
    other = kept.parent / "other.jsonl"
    row = {"type": "track", "userId": "u1", "event": "Order Completed", "messageId": "another"}
    other.write_text(json.dumps({**row, "timestamp": iso(ENDS - DAY)}))

    said = antiphon("ingest", kept, other)

    assert said.code == 2
    assert "is a rehearsal of" in said.error
    assert counted() == before > 0


def test_a_message_to_oneself_is_not_sent_from_it_either(kept: Path, antiphon: Antiphon) -> None:
    said = antiphon("send-test", "cart", "remind", kept, "--to", "me@example.com")

    assert said.code == 2
    assert "is a rehearsal of" in said.error


def test_its_database_is_refused_wherever_it_is_copied_to(
    kept: Path, shop: Path, antiphon: Antiphon
) -> None:
    (shop / ".antiphon").mkdir(exist_ok=True)
    for name in ("antiphon.db", "secret"):
        (shop / ".antiphon" / name).write_bytes((kept / ".antiphon" / name).read_bytes())

    ticked = antiphon("tick", shop)
    served = antiphon("serve", shop, "--port", "0")

    for said in (ticked, served):
        assert said.code == 2
        assert "this database is a rehearsal" in said.error
    database = Database(f"sqlite:///{shop / '.antiphon' / 'antiphon.db'}")
    with pytest.raises(UsageError, match="rehearsal"):
        require_in_earnest(database)
    database.close()


def test_a_real_provider_is_neither_called_nor_asked_for_its_secrets(
    shop: Path, events: Path, tmp_path: Path, antiphon: Antiphon
) -> None:
    settings = shop / "antiphon.yaml"
    lines = settings.read_text().splitlines(keepends=True)
    start = next(place for place, line in enumerate(lines) if line.startswith("channels:"))
    settings.write_text("".join([*lines[:start], REAL, *lines[start + 2 :]]))

    said = antiphon(
        "simulate", shop, "--events", events, "--until", iso(ENDS), "--schedules", "no-models",
        "--keep", tmp_path / "kept", "--json",
    )  # fmt: skip

    assert said.json()["sends"] > 10
    with opened(tmp_path / "kept", read_only=True) as it, it.database.read() as connection:
        rows = connection.execute("SELECT DISTINCT provider FROM attempt")
    assert [row[0] for row in rows] == ["email.sandbox"]


def test_it_has_a_database_and_a_secret_of_its_own_whatever_the_environment_says(
    kept: Path, tmp_path: Path, antiphon: Antiphon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", f"sqlite:///{tmp_path / 'in-earnest.db'}")
    monkeypatch.setenv("ANTIPHON_SECRET_KEY", "another secret of sixteen")

    profile = antiphon("profile", "show", "u1", kept)
    trained = antiphon("model", "train", "kinds", "--dir", kept)

    assert profile.code == 0, profile.error
    assert "u1" in profile.out
    assert trained.code in (0, 1)
    assert not (tmp_path / "in-earnest.db").exists()
    secret = kept / ".antiphon" / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert mark_of(kept) is not None


def test_a_kept_rehearsal_counts_what_a_passing_one_does(
    shop: Path, events: Path, tmp_path: Path, antiphon: Antiphon
) -> None:
    given = ("simulate", shop, "--events", events, "--until", iso(ENDS), "--json")

    passing = antiphon(*given).json()
    staying = antiphon(*given, "--keep", tmp_path / "kept").json()

    assert staying.pop("kept")
    assert passing.pop("kept") is None
    schedules = [{it["name"]: it for it in each.pop("schedules")} for each in (passing, staying)]
    assert passing == staying
    reports = [each.pop("experiment-reports") for each in schedules]
    assert [it["runs"] for it in reports] == [0, 1]
    assert schedules[0] == schedules[1]


def test_an_older_rehearsal_goes_only_by_force_and_nothing_else_ever(
    kept: Path, shop: Path, events: Path, antiphon: Antiphon
) -> None:
    given = ("simulate", shop, "--events", events, "--schedules", "none", "--until", iso(ENDS))
    before = (kept / ".antiphon" / "secret").read_text()

    refused = antiphon(*given, "--keep", kept)
    forced = antiphon(*given, "--keep", kept, "--force", "--seed", "7", "--json")
    workspace = antiphon(*given, "--keep", shop, "--force")

    assert refused.code == 2
    assert "replace it with --force" in refused.error
    assert forced.code == 0, forced.error
    mark = mark_of(kept)
    assert mark is not None
    assert mark.seed == "7"
    assert (kept / ".antiphon" / "secret").read_text() != before
    assert workspace.code == 2
    assert "exists and is not empty" in workspace.error
    assert (shop / "antiphon.yaml").exists()
    assert sorted(it.name for it in kept.parent.iterdir()) == ["events.jsonl", "kept", "shop"]


def test_a_run_that_fails_leaves_the_older_one_and_nothing_else(
    kept: Path, shop: Path, events: Path, antiphon: Antiphon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise OSError(28, "no space left", "somewhere")

    monkeypatch.setattr(Counts, "finish", dies)

    said = antiphon(
        "simulate", shop, "--events", events, "--schedules", "none", "--keep", kept, "--force"
    )

    assert said.code == 2
    assert mark_of(kept) is not None
    assert sorted(it.name for it in kept.parent.iterdir()) == ["events.jsonl", "kept", "shop"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--caps", "none"), "leave out CAMPAIGN, --against"),
        (("--against", "."), "leave out CAMPAIGN, --against"),
    ],
)
def test_only_one_whole_workspace_is_kept(
    shop: Path, events: Path, tmp_path: Path, antiphon: Antiphon, options: tuple[str, ...], why: str
) -> None:
    said = antiphon("simulate", shop, "--events", events, "--keep", tmp_path / "kept", *options)

    assert said.code == 2
    assert why in said.error
    assert not (tmp_path / "kept").exists()


def test_force_without_keep_is_refused(shop: Path, events: Path, antiphon: Antiphon) -> None:
    said = antiphon("simulate", shop, "--events", events, "--force")

    assert said.code == 2
    assert "it needs --keep DIR" in said.error


def test_a_damaged_mark_lets_nothing_run(kept: Path, antiphon: Antiphon) -> None:
    (kept / ".antiphon" / "rehearsal.json").write_text("{")

    said = antiphon("model", "list", "--dir", kept)

    assert said.code == 2
    assert "cannot be read" in said.error
