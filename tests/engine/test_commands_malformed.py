"""Files as they come in life, through `antiphon ingest`: what is broken is named, the rest is kept.

The formats themselves are tested in test_loading; here it is the command, and what it says.
"""

import gzip
import json
import os
import random
from pathlib import Path

import pytest

from engine.cli import main
from engine.store.database import Database

MAP = (
    "--map", "userId=user_id", "--map", "timestamp=timestamp", "--map", "event==Page Viewed",
    "--map", "properties.group=group",
)  # fmt: skip

BAD_CALLS = {
    "broken": ("{", ""),
    "a list": ("[]", ""),
    "no event": ('{"type": "track", "userId": "a"}', "event"),
    "no one": ('{"type": "track", "event": "A"}', "userId"),
    "NaN": ('{"type": "track", "userId": "a", "event": "A", "properties": {"p": NaN}}', ""),
    "beyond 2^53": (
        '{"type": "track", "userId": "a", "event": "A", "properties": {"p": 9007199254740993}}',
        "properties.p",
    ),
    "half a pair": (
        '{"type": "track", "userId": "a", "event": "A", "properties": {"p": "\\ud800"}}',
        "properties.p",
    ),
    "NUL": (
        '{"type": "track", "userId": "a", "event": "A", "properties": {"p": "\\u0000"}}',
        "properties.p",
    ),
    "wrong type": ('{"type": "track", "userId": "a", "event": ["A"]}', "event"),
    "no time": ('{"type": "track", "userId": "a", "event": "A", "timestamp": "soon"}', "timestamp"),
    "ancient": (
        '{"type": "track", "userId": "a", "event": "A", "timestamp": "0001-01-01T00:00:00Z"}',
        "timestamp",
    ),
    "no address": ('{"type": "identify", "userId": "a", "traits": {"email": "@"}}', "traits.email"),
}


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter workspace, applied, on SQLite."""
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)
    folder = tmp_path / "shop"
    assert main(["init", str(folder)]) == main(["apply", str(folder)]) == 0
    return folder


def events_kept(shop: Path) -> int:
    database = Database(f"sqlite:///{shop / '.antiphon' / 'antiphon.db'}", read_only=True)
    try:
        with database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM event")[0][0])
    finally:
        database.close()


def test_a_file_of_lines_in_quotes_loads_but_for_its_cut_line(
    live: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The shape of landing_page_ab_prefix_malformed.csv: whole lines in quotes, the last one cut.
    rng = random.Random(5)
    lines = ['"user_id,timestamp,group,landing_page,converted"'] + [
        f'"{rng.randrange(10**6)},2026-01-{1 + i % 28:02} 22:11:48.556739,control,old_page,0"'
        for i in range(300)
    ]
    file = live / "visits.csv.gz"
    file.write_bytes(gzip.compress("\n".join([*lines, '"68,2026-01-11 16:52:26.4,t"']).encode()))
    capsys.readouterr()

    code = main(["ingest", str(live), str(file), *MAP])

    printed = capsys.readouterr()
    assert code == 1
    assert printed.err == f"{file}:302: found 3 columns, the header has 5\n"
    assert "300 accepted, 0 duplicates, 1 rejected" in printed.out
    assert events_kept(live) == 300


def test_the_real_malformed_file_loads_but_for_its_cut_line(
    live: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(os.environ.get("ANTIPHON_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
    file = folder / "landing_page_ab_prefix_malformed.csv.gz"
    if not file.exists():
        pytest.skip("the example data is not beside the repository (set ANTIPHON_TEST_DATA)")
    capsys.readouterr()

    code = main(["ingest", str(live), str(file), *MAP, "--json"])

    found = json.loads(capsys.readouterr().out)
    assert (code, found["accepted"], found["rejected"]) == (1, 57_828, 1)
    assert [error["row"] for error in found["errors"]] == [57_830]
    assert events_kept(live) == 57_828


def test_each_bad_call_is_named_by_line_and_field_and_no_good_one_is_lost(
    live: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = '{"type": "track", "userId": "good", "event": "A"}'
    file = live / "calls.jsonl"
    file.write_text("".join(f"{bad}\n{good}\n" for bad, _ in BAD_CALLS.values()))
    capsys.readouterr()

    code = main(["ingest", str(live), str(file), "--json"])

    found = json.loads(capsys.readouterr().out)
    told = {error["row"]: error for error in found["errors"]}
    assert (code, found["accepted"], found["rejected"]) == (1, len(BAD_CALLS), len(BAD_CALLS))
    assert events_kept(live) == len(BAD_CALLS)
    for row, (what, (_, field)) in enumerate(BAD_CALLS.items()):
        error = told[2 * row + 1]
        assert field in error["field"], (what, error)
        assert error["message"], what
        assert "\n" not in error["message"], what
