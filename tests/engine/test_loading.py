"""Files: every format ends in the same rows, a broken line is named and costs only itself."""

import gzip
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard

from engine.core.errors import UsageError
from engine.core.model.instants import DAY
from engine.intake.declared import Declared, Field
from engine.intake.loading import Report, RowError, ingest_file
from engine.intake.prepare import Answer, Prepared
from engine.store.database import Database
from tests.engine.ingesting import NOW, Intake, a_track

ORDERS = [
    {"userId": f"u{i}", "event": "Order Completed", "timestamp": "2026-03-01T10:00:00Z",
     "properties": {"revenue": 10.5 + i, "items": i, "gift": i == 1}}
    for i in range(3)
]  # fmt: skip
CSV = "userId,event,timestamp,revenue,properties.items,gift\n" + "".join(
    f"u{i},Order Completed,2026-03-01T10:00:00Z,{10.5 + i},{i},{str(i == 1).lower()}\n"
    for i in range(3)
)


class Loader:
    def __init__(self, database: Database) -> None:
        self.intake = Intake(database)

    def load(self, path: Path | str, **options: Any) -> Report:
        options.setdefault("declared", Declared())
        return ingest_file(str(path), write=self._write, now=lambda: NOW, **options)

    def _write(self, prepared: Prepared) -> list[Answer]:
        with self.intake.database.write() as connection:
            return self.intake.ingest.commit(connection, [prepared], now=NOW)[0]

    def properties(self) -> list[dict[str, Any]]:
        return [
            json.loads(row[0])
            for row in self.intake.rows("SELECT properties FROM event ORDER BY seq")
        ]


@pytest.fixture
def loader(database: Database) -> Loader:
    return Loader(database)


def json_lines(items: list[Any]) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in items).encode()


def write_orders(path: Path) -> Path:
    name = path.name
    if name.endswith(".parquet"):
        source = path.with_suffix(".csv")
        source.write_text(CSV)
        duckdb.sql(f"COPY (SELECT * FROM read_csv('{source}')) TO '{path}' (FORMAT parquet)")
        return path
    data = CSV.encode() if ".csv" in name else json_lines(ORDERS)
    data = data.replace(b",", b"\t") if ".tsv" in name else data
    if name.endswith(".gz"):
        data = gzip.compress(data)
    elif name.endswith(".zst"):
        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.ndjson.zst", "a.csv", "a.csv.gz", "a.csv.zst", "a.parquet"]
)
def test_every_format_ends_in_the_same_rows(loader: Loader, tmp_path: Path, name: str) -> None:
    path = write_orders(tmp_path / name)

    report = loader.load(path)

    assert (report.accepted, report.duplicates, report.rejected) == (3, 0, 0)
    assert loader.properties() == [item["properties"] for item in ORDERS]
    assert {name for _, name in loader.intake.events()} == {"Order Completed"}


def test_loading_a_file_again_adds_nothing(loader: Loader, tmp_path: Path) -> None:
    path = write_orders(tmp_path / "a.jsonl")
    loader.load(path)

    again = loader.load(path)

    assert (again.accepted, again.duplicates) == (0, 3)


def test_columns_can_be_named_and_constants_given(loader: Loader, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("customer,when,amount,secret\n7,2026-03-01 10:00:00,9.90,x\n")

    report = loader.load(
        path,
        mapping={
            "userId": "customer",
            "timestamp": "when",
            "event": "=Order Completed",
            "properties.revenue": "amount",
        },
    )

    assert report.accepted == 1
    assert loader.properties() == [{"revenue": 9.9}]
    assert loader.intake.profile_of("user", "7") == 1


def test_declared_types_decide_how_text_is_read(loader: Loader, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("userId,event,sku,zip,n\nann,Bought,0123,04103,7\n")
    declared = Declared(events={"Bought": {"sku": Field("string"), "n": Field("string")}})

    loader.load(path, declared=declared)

    assert loader.properties() == [{"sku": "0123", "zip": "04103", "n": "7"}]


def test_rows_without_an_event_are_profiles(loader: Loader, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("userId,traits.plan,traits.email\nann,gold,ann@example.com\nbob,gold,nobody\n")

    report = loader.load(path)

    assert (report.accepted, report.rejected) == (1, 1)
    assert report.errors[0].field == "traits.email"
    assert loader.intake.traits()[0]["plan"] == "gold"


def test_broken_lines_are_named_and_cost_only_themselves(loader: Loader, tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(
        "userId,event,note\n"
        "u1,E,fine\n"
        'u2,E,"opened and never closed\n'
        "u3,E,fine\n"
        "u4,E\n"
        'u5,E,"two\nlines"\n'
        'u6,E,"closed" and more\n'
        "\n"
        "u7,E,fine\n"
    )

    report = loader.load(path)

    users = {row[0] for row in loader.intake.rows("SELECT value FROM identity")}
    assert users == {"u1", "u3", "u5", "u7"}
    assert [(error.row, error.message.split(":")[0]) for error in report.errors] == [
        (3, "a quote is opened and never closed"),
        (5, "found 2 columns, the header has 3"),
        (8, "broken quotes"),
    ]


def test_broken_json_lines_are_named_too(loader: Loader, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(
        json_lines([a_track(messageId="1")])
        + b'{"userId": \n'
        + b"\xff\xfe\n"
        + b"[1]\n"
        + b"\n"
        + json_lines([a_track(properties={"a": float("nan")}), a_track(messageId="2")])
        + b"[" * 5_000
    )

    report = loader.load(path)

    assert (report.accepted, report.rejected) == (2, 5)
    assert [error.row for error in report.errors] == [2, 3, 4, 6, 8]
    assert report.errors[3] == RowError(
        6, "properties.a", "properties.a: found nan, only finite numbers are allowed"
    )


def test_lines_wrapped_in_quotes_are_unwrapped(loader: Loader, tmp_path: Path) -> None:
    # The shape of landing_page_ab_prefix_malformed.csv: whole lines in quotes, the last one cut.
    rng = random.Random(3)
    lines = ['"user_id,timestamp,group,landing_page,converted"'] + [
        f'"{rng.randrange(10**6)},2026-01-{1 + i % 28:02} 22:11:48.556739,control,old_page,0"'
        for i in range(200)
    ]
    path = tmp_path / "wrapped.csv"
    path.write_text("\n".join([*lines, '"684106,2026-01-11 16:52:26.485396,treatment"']))

    report = loader.load(path, mapping=LANDING)

    assert (report.accepted, report.rejected) == (200, 1)
    assert report.errors == [RowError(202, "", "found 3 columns, the header has 5")]


LANDING = {
    "userId": "user_id",
    "timestamp": "timestamp",
    "event": "=Page Viewed",
    "properties.group": "group",
}


def test_the_real_malformed_file_loads_but_for_its_cut_line(
    tmp_path_factory: pytest.TempPathFactory, sqlite_database: Database
) -> None:
    folder = Path(os.environ.get("ANTIPHON_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
    path = folder / "landing_page_ab_prefix_malformed.csv.gz"
    if not path.exists():
        pytest.skip("the example data is not beside the repository (set ANTIPHON_TEST_DATA)")

    report = Loader(sqlite_database).load(path, mapping=LANDING)

    assert (report.accepted, report.duplicates, report.rejected) == (57_828, 0, 1)
    assert report.errors[0].row == 57_830


def test_only_the_first_hundred_errors_are_kept(loader: Loader, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("{\n" * 250)

    report = loader.load(path)

    assert (report.rejected, len(report.errors)) == (250, 100)


def test_old_rows_start_no_journey_unless_live(loader: Loader, tmp_path: Path) -> None:
    path = write_orders(tmp_path / "a.jsonl")

    loader.load(path)
    live = tmp_path / "live.jsonl"
    live.write_bytes(json_lines([{**ORDERS[0], "messageId": "live"}]))
    loader.load(live, live=True)

    assert [row[0] for row in loader.intake.rows("SELECT flags FROM event ORDER BY seq")] == [
        1, 1, 1, 0,
    ]  # fmt: skip
    assert NOW - loader.intake.rows("SELECT min(at) FROM event")[0][0] < 2 * DAY


@pytest.mark.parametrize("data", [json_lines(ORDERS), CSV.encode(), gzip.compress(CSV.encode())])
def test_stdin_is_read_whatever_it_is(
    loader: Loader, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    assert loader.load("-").accepted == 3


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("absent.csv", None, "no such file"),
        ("a.xlsx", b"x", "allowed are"),
        ("empty.csv", b"", "empty"),
        ("twice.csv", b"a,a\n1,2\n", "repeated"),
        ("cut.csv.gz", gzip.compress(CSV.encode() * 50)[:-20], "unpacked"),
        ("no.parquet", b"not parquet", "no.parquet"),
    ],
)
def test_a_file_of_no_use_is_refused_in_one_line(
    sqlite_database: Database, tmp_path: Path, name: str, data: bytes | None, word: str
) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(UsageError, match=word) as caught:
        Loader(sqlite_database).load(path)

    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_is_named(sqlite_database: Database, tmp_path: Path) -> None:
    path = write_orders(tmp_path / "a.csv")

    with pytest.raises(UsageError, match='no column "customer"; columns are userId, event'):
        Loader(sqlite_database).load(path, mapping={"userId": "customer"})


def test_a_column_that_no_line_has_is_named(loader: Loader, tmp_path: Path) -> None:
    """Lines may be sparse: one that lacks a column is fine as long as another has it."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"who": "u1", "what": "A", "price": 3}\n{"who": "u2", "what": "A"}\n', encoding="utf-8"
    )
    names = {"userId": "who", "event": "what", "properties.price": "price"}

    whole = loader.load(path, mapping=names)
    misspelled = loader.load(path, mapping={**names, "properties.price": "prize"})

    assert whole.errors == []
    assert [str(each.message) for each in misspelled.errors] == [
        '--map properties.price=prize: no line has "prize"'
    ]
