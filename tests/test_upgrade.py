"""P17: a workspace that an earlier release left behind goes on where it stood.

`fixtures/release_0_1.tar.gz` is the whole folder of a workspace that version 0.1.0 played until
2026-11-26: 40 people signed up, five of them ordered and left, 35 stand in `long-way` at the wait
`looking`, three of these held out. Version 0.1.0 itself, asked to go on until February, let every
wait run out, held everyone for 30 days more and then wrote 32 goodbyes and three ghosts.

`fixtures/release_0_2.tar.gz` is one that version 0.2.0 played until 2026-11-22T22:30Z: 30 people
in three zones, 35 messages held by quiet hours, nine in a repeat. Version 0.2.0 itself, asked
to go on until February, decided 120 messages; their digest is DECIDED.

`fixtures/release_0_3.tar.gz` is one that version 0.3.0 played until 2026-11-22T12:00Z: a test
in three arms with a holdout, 40 carts before the upgrade and 20 in `later.jsonl`, and an address
beyond ASCII that is suppressed. Version 0.3.0 itself, given the rest and asked to go on until
January, exposed 61 times and decided 34 messages; their digests are EXPOSED and SENT.

`fixtures/release_0_4.tar.gz` is one that version 0.4.0 played until 2026-11-19T12:00Z: 80 people
with scores and clusters loaded from files, 24 at the hour drawn for them, 40 who saw a served test.
Version 0.4.0 itself, given `churn2.csv` and `later.jsonl` and asked to go on until January, exposed
80 times and decided 80 messages; their digests are SEEN and SAVED.

`fixtures/release_0_5.tar.gz` is one that version 0.5.0 played until 2026-11-19T18:00Z: 160 people
with five months of orders, four models trained by 0.5.0 itself (a score, a clustering, hours and a
recommender), and 16 people who wait for their hour, three products chosen for each. Version 0.5.0
itself, given `later.jsonl` on the 20th and asked to go on until 2026-12-05, exposed 112 times and
decided 108 messages; their digests are TOLD and STAYED.
"""

import hashlib
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine

from engine.cli import main

FIXTURES = Path(__file__).parent / "fixtures"
GOODBYE = "2026-12-30T12:50:46"
"""When 0.1.0 says goodbye: seven days for the wait and thirty more, to the second."""
DECIDED = "8f33fcc28ec9d070"
"""Over (profile, campaign, step, visit, status, at, due) of every message, as 0.2.0 has them."""
EXPOSED, SENT = "404a17eaf7420f29", "64b24dedd456bfb8"
"""Over (experiment, phase, profile, variant, at), and over messages as above, as 0.3.0 has them."""
SEEN, SAVED = "3d921efadc3ce3d4", "95d67f73acfcd2b9"
"""The same, as 0.4.0 has them."""
TOLD, STAYED = "2715a50744f9d4d4", "41c00846ef1c634b"
"""The same, as 0.5.0 has them."""


@pytest.fixture
def left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder, an hour after the old release last played it."""
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)
    with tarfile.open(FIXTURES / "release_0_1.tar.gz") as stored:
        stored.extractall(tmp_path, filter="data")
    with time_machine.travel("2026-11-26T01:00:00Z"):
        yield tmp_path


def antiphon(*words: str) -> None:
    assert main(list(words)) == 0


def rows(workspace: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(workspace / ".antiphon" / "antiphon.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_people_inside_a_journey_finish_it_after_the_upgrade(left_behind: Path) -> None:
    workspace = str(left_behind)
    before = rows(left_behind, "SELECT id, version, key, trigger_seq FROM enrollment ORDER BY id")

    antiphon("migrate", workspace)
    antiphon("tick", workspace, "--until", "2027-02-01T00:00Z")

    after = rows(left_behind, "SELECT id, version, key, trigger_seq FROM enrollment ORDER BY id")
    assert after == before
    assert rows(
        left_behind, "SELECT campaign, status, count(*) FROM enrollment GROUP BY 1, 2 ORDER BY 1, 2"
    ) == [
        ("cart-reminder", "done", 15),
        ("cart-reminder", "exited", 5),
        ("long-way", "done", 35),
        ("long-way", "exited", 5),
    ]
    goodbyes = rows(
        left_behind,
        "SELECT status, count(*), count(DISTINCT profile_id), "
        "strftime('%Y-%m-%dT%H:%M:%S', min(at) / 1000000, 'unixepoch'), "
        "strftime('%Y-%m-%dT%H:%M:%S', max(at) / 1000000, 'unixepoch') "
        "FROM message WHERE step = 'goodbye' GROUP BY status ORDER BY status",
    )
    assert goodbyes == [
        ("ghost", 3, 3, GOODBYE, GOODBYE),
        ("sent", 32, 32, GOODBYE, GOODBYE),
    ]


def test_what_was_sent_before_the_upgrade_is_not_sent_again(left_behind: Path) -> None:
    sent_before = rows(left_behind, "SELECT id, status, at FROM message ORDER BY id")
    attempts_before = rows(left_behind, "SELECT message_id, number, outcome FROM attempt")

    antiphon("migrate", str(left_behind))
    antiphon("tick", str(left_behind), "--until", "2026-11-27T00:00Z")

    assert rows(left_behind, "SELECT id, status, at FROM message ORDER BY id") == sent_before
    assert rows(left_behind, "SELECT message_id, number, outcome FROM attempt") == attempts_before


def test_applying_the_same_files_again_changes_nothing(left_behind: Path) -> None:
    antiphon("migrate", str(left_behind))

    antiphon("apply", str(left_behind))

    assert rows(left_behind, "SELECT count(*) FROM release") == [(1,)]
    standing = "SELECT count(*) FROM enrollment WHERE status = 'active' AND step = 'looking'"
    assert rows(left_behind, standing) == [(35,)]


def test_an_upgrade_is_no_edit_campaigns_keep_their_version_and_experiments_their_phase(
    left_behind: Path,
) -> None:
    antiphon("migrate", str(left_behind))
    campaign = left_behind / "campaigns" / "long.yaml"
    campaign.write_text(campaign.read_text().replace("title: A journey", "title: The journey"))

    antiphon("apply", str(left_behind))

    assert rows(left_behind, "SELECT count(*) FROM release") == [(2,)]
    assert rows(left_behind, "SELECT experiment, phase FROM experiment_phase") == [("words", 1)]
    versions = "SELECT count(DISTINCT version) FROM campaign_version WHERE campaign = 'long-way'"
    assert rows(left_behind, versions) == [(1,)]


def test_what_0_2_held_and_repeated_goes_on_to_the_same_messages_at_the_same_instants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)
    with tarfile.open(FIXTURES / "release_0_2.tar.gz") as stored:
        stored.extractall(tmp_path, filter="data")

    with time_machine.travel("2026-11-22T23:00:00Z"):
        antiphon("migrate", str(tmp_path))
        antiphon("tick", str(tmp_path), "--until", "2027-02-01T00:00Z")

    decided = rows(
        tmp_path,
        "SELECT profile_id, campaign, step, visit, status, at, due_at FROM message "
        "ORDER BY 1, 2, 3, 4",
    )
    assert len(decided) == 120
    assert hashlib.sha256(repr(decided).encode()).hexdigest()[:16] == DECIDED


def test_an_experiment_of_0_3_goes_on_in_its_phase_with_the_same_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)
    with tarfile.open(FIXTURES / "release_0_3.tar.gz") as stored:
        stored.extractall(tmp_path, filter="data")

    with time_machine.travel("2026-11-23T00:00:00Z", tick=False):
        antiphon("migrate", str(tmp_path))
        antiphon("apply", str(tmp_path))
        antiphon("ingest", str(tmp_path), str(tmp_path / "later.jsonl"), "--live")
        antiphon("tick", str(tmp_path), "--until", "2027-01-05T00:00Z")

    exposed = rows(
        tmp_path,
        "SELECT experiment, phase, profile_id, variant, at FROM exposure ORDER BY 1, 2, 3",
    )
    decided = rows(
        tmp_path,
        "SELECT profile_id, campaign, step, visit, status, at, due_at FROM message "
        "ORDER BY 1, 2, 3, 4",
    )
    assert rows(tmp_path, "SELECT experiment, phase FROM experiment_phase") == [("nudge", 1)]
    assert len(exposed) == 61
    assert hashlib.sha256(repr(exposed).encode()).hexdigest()[:16] == EXPOSED
    assert hashlib.sha256(repr(decided).encode()).hexdigest()[:16] == SENT
    refused = rows(tmp_path, "SELECT reason FROM message WHERE profile_id = 1")
    assert refused == [("suppressed: by letter",)]


def test_scores_and_drawn_hours_of_0_4_go_on_to_the_same_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)
    with tarfile.open(FIXTURES / "release_0_4.tar.gz") as stored:
        stored.extractall(tmp_path, filter="data")

    with time_machine.travel("2026-11-23T00:00:00Z", tick=False):
        antiphon("migrate", str(tmp_path))
        antiphon("apply", str(tmp_path))
        loaded = str(tmp_path / "churn2.csv")
        antiphon("scores", "load", "churn", loaded, "--dir", str(tmp_path))
        antiphon("ingest", str(tmp_path), str(tmp_path / "later.jsonl"), "--live")
        antiphon("tick", str(tmp_path), "--until", "2027-01-05T00:00Z")

    exposed = rows(
        tmp_path,
        "SELECT experiment, phase, profile_id, variant, at FROM exposure ORDER BY 1, 2, 3",
    )
    decided = rows(
        tmp_path,
        "SELECT profile_id, campaign, step, visit, status, at, due_at FROM message "
        "ORDER BY 1, 2, 3, 4, 6",
    )
    assert (len(exposed), len(decided)) == (80, 80)
    assert hashlib.sha256(repr(exposed).encode()).hexdigest()[:16] == SEEN
    assert hashlib.sha256(repr(decided).encode()).hexdigest()[:16] == SAVED
    runs = rows(tmp_path, "SELECT model, run, status FROM model_run ORDER BY 1, 2")
    assert runs == [("churn", 1, "retired"), ("churn", 2, "champion"), ("shoppers", 1, "champion")]


def test_models_that_0_5_trained_are_read_to_the_same_messages_and_may_learn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)
    with tarfile.open(FIXTURES / "release_0_5.tar.gz") as stored:
        stored.extractall(tmp_path, filter="data")
    at = ("--dir", str(tmp_path))

    with time_machine.travel("2026-11-20T12:00:00Z", tick=False):
        antiphon("migrate", str(tmp_path))
        antiphon("apply", str(tmp_path))
        antiphon("ingest", str(tmp_path), str(tmp_path / "later.jsonl"), "--live")
        capsys.readouterr()
        antiphon("recommend", "also-bought", "u1", "-n", "3", *at)
        recommended = capsys.readouterr().out
        antiphon("tick", str(tmp_path), "--until", "2026-12-05T00:00Z")
        antiphon("model", "train", "churn", *at)

    assert [line.split()[1] for line in recommended.splitlines()] == ["book6", "book4", "lamp0"]
    exposed = rows(
        tmp_path,
        "SELECT experiment, phase, profile_id, variant, at FROM exposure ORDER BY 1, 2, 3",
    )
    decided = rows(
        tmp_path,
        "SELECT profile_id, campaign, step, visit, status, at, due_at FROM message "
        "ORDER BY 1, 2, 3, 4, 6",
    )
    assert (len(exposed), len(decided)) == (112, 108)
    assert hashlib.sha256(repr(exposed).encode()).hexdigest()[:16] == TOLD
    assert hashlib.sha256(repr(decided).encode()).hexdigest()[:16] == STAYED
    runs = rows(tmp_path, "SELECT model, run, status FROM model_run ORDER BY 1, 2")
    assert runs == [
        ("also-bought", 1, "champion"),
        ("churn", 1, "retired"),
        ("churn", 2, "champion"),
        ("hour", 1, "champion"),
        ("shoppers", 1, "champion"),
    ]
