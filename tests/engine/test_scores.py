"""Scores: a run becomes champion as a whole, and exactly those it matters to are asked again."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.core.errors import StoreError, UsageError
from engine.core.model.instants import DAY, HOUR
from engine.core.model.people import Score
from engine.score_file import read_scores
from engine.scores import Published, cut_values, load_file, percentile_of, publish
from engine.store import scores
from engine.store.connection import Connection
from tests.engine.commanding import Antiphon
from tests.engine.commanding import _no_database_of_the_developer as _no_database
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import live as live
from tests.engine.commanding import shop as shop
from tests.engine.publishing import FILES
from tests.engine.publishing import Published as PublishedStage
from tests.engine.serving import Served

SEGMENTS = {
    "segments/top.yaml": "segment: top\nwhen: {score: {model: churn, percentile: {gte: 90}}}\n",
    "segments/safe.yaml": (
        "segment: safe\nwhen: {not: {score: {model: churn, value: {gte: 0.5}}}}\n"
    ),
    "segments/loyal.yaml": (
        "segment: loyal\nwhen: {cluster: {model: kinds, is: loyal, confidence: {gte: 0.7}}}\n"
    ),
}
N_PEOPLE = 20

_ = _no_database


@pytest.fixture
def stage(database_url: str) -> Iterator[PublishedStage]:
    opened = PublishedStage(database_url)
    opened.apply({**FILES, **SEGMENTS})
    for number in range(1, N_PEOPLE + 1):
        opened.identify(f"u{number}")
    opened.settle()
    yield opened
    opened.close()


def published(stage: PublishedStage, values: dict[int, float], model: str = "churn") -> Published:
    return publish(
        stage.process.database,
        {number: (value, "") for number, value in values.items()},
        model=model,
        kind="score",
        program=stage.process.playbook.program,
        write=stage.process.write,
        now=stage.now,
    )


def inside(stage: PublishedStage, segment: str) -> list[int]:
    rows = stage.rows(
        "SELECT profile_id FROM membership WHERE segment = ? ORDER BY profile_id", segment
    )
    return [row[0] for row in rows]


def crossings(stage: PublishedStage, name: str) -> list[tuple[int, int]]:
    rows = stage.rows(
        "SELECT profile_id, at FROM event WHERE name = ? AND properties LIKE '%\"top\"%' "
        "ORDER BY seq",
        name,
    )
    return [(row[0], row[1]) for row in rows]


def test_whoever_leaves_the_top_decile_at_the_nightly_refresh_leaves_it_then(
    stage: PublishedStage,
) -> None:
    ranks = {number: number / 100 for number in range(1, N_PEOPLE + 1)}
    published(stage, ranks)
    stage.settle()
    evening = stage.now
    stage.now += 10 * HOUR

    done = published(stage, {**ranks, N_PEOPLE: 0.005, 1: 0.9})
    stage.settle()

    assert inside(stage, "top") == [1, 19]
    assert crossings(stage, "Segment Entered") == [(19, evening), (20, evening), (1, stage.now)]
    assert crossings(stage, "Segment Exited") == [(20, stage.now)]
    # 20 fell out of the top; 1 came in, and is safe no more.
    assert (done.run, done.n_scored, done.n_woken) == (2, N_PEOPLE, 2)


def test_only_those_are_woken_whose_answer_changes(stage: PublishedStage) -> None:
    published(stage, dict.fromkeys(range(1, N_PEOPLE + 1), 0.1))
    stage.settle()
    untouched = stage.rows("SELECT profile_id, state FROM profile_state WHERE profile_id > 2")

    done = published(stage, {1: 0.6, 2: 0.7, **dict.fromkeys(range(3, N_PEOPLE + 1), 0.2)})
    due = stage.rows("SELECT profile_id FROM timer ORDER BY profile_id")
    stage.settle()

    assert done.n_woken == 2
    assert due == [(1,), (2,)]
    assert untouched == stage.rows(
        "SELECT profile_id, state FROM profile_state WHERE profile_id > 2"
    )


def test_whoever_is_not_in_the_run_has_no_score(stage: PublishedStage) -> None:
    published(stage, {1: 0.9, 2: 0.9})
    stage.settle()
    risky = set(range(1, N_PEOPLE + 1)) - set(inside(stage, "safe"))

    published(stage, {2: 0.9})
    stage.settle()

    assert risky == {1, 2}
    assert set(range(1, N_PEOPLE + 1)) - set(inside(stage, "safe")) == {2}


def test_someone_who_comes_with_an_event_meets_the_new_run_first(stage: PublishedStage) -> None:
    published(stage, {3: 0.1})
    stage.settle()

    published(stage, {3: 0.6, 4: 0.2})
    stage.track("u3", "Product Viewed")
    stage.track("u4", "Product Viewed")
    stage.settle()

    assert {3, 4} & set(inside(stage, "safe")) == {4}
    told = [stage.state(user).state.told for user in ("u3", "u4", "u5")]
    assert told == [{"score:churn": 2}, {"score:churn": 2}, {}]


def test_a_restart_between_champion_and_tick_loses_nobody(stage: PublishedStage) -> None:
    published(stage, {1: 0.9})

    stage.restart()
    stage.settle()

    assert 1 not in inside(stage, "safe")


def test_a_clustering_moves_people_by_label_and_confidence(stage: PublishedStage) -> None:
    def cluster(**values: tuple[float, str]) -> None:
        publish(
            stage.process.database,
            {int(user[1:]): value for user, value in values.items()},
            model="kinds",
            kind="cluster",
            program=stage.process.playbook.program,
            write=stage.process.write,
            now=stage.now,
        )
        stage.settle()

    cluster(u1=(0.9, "loyal"), u2=(0.6, "loyal"), u3=(0.9, "new"))
    before = inside(stage, "loyal")
    cluster(u1=(0.9, "new"), u2=(0.8, "loyal"), u3=(0.9, "new"))

    assert (before, inside(stage, "loyal")) == ([1], [2])


def test_of_two_runs_published_at_once_the_second_is_told(stage: PublishedStage) -> None:
    def meanwhile(change: Callable[[Connection], object]) -> object:
        if getattr(change, "__name__", "") == "crowned" and not stolen:
            stolen.append(published(stage, {2: 0.2}).run)
        return stage.process.write(change)

    stolen: list[int] = []
    with pytest.raises(StoreError, match='another run of "churn" was published meanwhile'):
        publish(
            stage.process.database,
            {1: (0.9, "")},
            model="churn",
            kind="score",
            program=None,
            write=meanwhile,
            now=stage.now,
        )

    with stage.process.database.read() as connection:
        assert scores.champion_of(connection, "churn") == stolen[0]
        assert list(scores.of_people(connection, [1, 2])) == [2]


def test_old_runs_are_swept_away_but_for_the_one_before(stage: PublishedStage) -> None:
    for value in (0.1, 0.2, 0.3, 0.4):
        stage.now += DAY
        published(stage, {1: value, 2: value})

    assert stage.rows("SELECT run, status FROM model_run ORDER BY run") == [
        (1, "swept"), (2, "swept"), (3, "retired"), (4, "champion"),
    ]  # fmt: skip
    assert stage.rows("SELECT DISTINCT run FROM model_score ORDER BY run") == [(3,), (4,)]


def test_what_a_champion_said_then_can_be_asked_later(stage: PublishedStage) -> None:
    published(stage, {1: 0.1})
    first_at, stage.now = stage.now, stage.now + DAY
    published(stage, {1: 0.9})

    with stage.process.database.read() as connection:
        then = scores.of_people_at(connection, [1], at=first_at + HOUR)
        now = scores.of_people_at(connection, [1], at=stage.now)
        never = scores.of_people_at(connection, [1], at=first_at - 1)

    assert (then[1]["churn"].value, now[1]["churn"].value, never) == (0.1, 0.9, {})


def test_a_program_that_asks_for_no_score_loads_none(stage: PublishedStage) -> None:
    published(stage, {1: 0.9})

    stage.apply(FILES)
    stage.settle()

    assert stage.process.playbook.segments.news.models == ()
    assert stage.state("u1").profile.scores == {}


@pytest.mark.parametrize("n_people", [1, 7, 10, 100, 999])
def test_the_top_decile_is_a_tenth_and_its_cut_is_its_least_value(n_people: int) -> None:
    ranked = [n * n / 7 for n in range(n_people)]

    top = [value for value in ranked if percentile_of(value, ranked) >= 90]

    assert len(top) == n_people // 10
    assert cut_values(ranked)[90] == (min(top) if top else None)


def test_every_cut_is_the_least_value_of_its_percentile_also_among_ties() -> None:
    ranked = sorted([0.1] * 40 + [0.2] * 35 + [0.7] * 24 + [0.9])

    for percent, cut in enumerate(cut_values(ranked)):
        reaching = [value for value in ranked if percentile_of(value, ranked) >= percent]
        assert cut == (min(reaching) if reaching else None)


def test_a_score_knows_its_run(stage: PublishedStage) -> None:
    published(stage, {1: 0.25, 2: 0.75})

    with stage.process.database.read() as connection:
        found = scores.of_people(connection, [1, 2, 3])

    assert found == {1: {"churn": Score(0.25, 0.0, "", 1)}, 2: {"churn": Score(0.75, 50.0, "", 1)}}


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("user,score\nu1,1\n", ":1: the header is user,score. Write user_id,value"),
        ("", ":1: the header is nothing."),
        ("user_id,value\n", ": it holds no row besides the header"),
        ("user_id,value\nu1\n", ":2: 2 columns are needed, and here are 1"),
        ("user_id,value\nu1,high\n", ':2: the value "high" is not a number'),
        ("user_id,value\nu1,nan\n", ':2: the value "nan" is not a number'),
        ("user_id,value\n,1\n", ":2: the user_id is empty"),
        ("user_id,value\nu1,1\nu2,2\nu1,3\n", ':4: "u1" stands in line 2 already'),
        ("user_id,value,label\nu1,2,a\n", ":2: the value of a clustering is how sure it is"),
        ("user_id,value,label\nu1,0.2,\n", ":2: the label is 1 to 64 characters"),
    ],
)
def test_a_bad_row_of_a_file_is_named_at_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)

    with pytest.raises(UsageError) as raised:
        read_scores(str(path))

    assert str(raised.value).startswith(f"{path}{problem}")


@pytest.mark.parametrize("text", ["user_id,value\nnobody,1\n", "user_id,value\nu1,1\nu2,much\n"])
def test_a_file_that_is_wrong_in_part_is_not_published_in_part(
    stage: PublishedStage, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)

    with pytest.raises(UsageError):
        load_file(
            stage.process.database, str(path), model="churn", program=None,
            write=stage.process.write, now=stage.now,
        )  # fmt: skip

    assert stage.rows("SELECT count(*) FROM model_run") == [(0,)]


def test_the_command_publishes_a_file_and_lists_it(
    antiphon: Antiphon, live: Path, tmp_path: Path
) -> None:
    (live / "segments" / "risky.yaml").write_text(
        "segment: risky\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n"
    )
    assert antiphon("apply", live).code == 0
    people = tmp_path / "people.jsonl"
    people.write_text(
        "\n".join(
            f'{{"type": "identify", "userId": "u{n}", "messageId": "{n}"}}' for n in (1, 2, 3)
        )
    )
    assert antiphon("ingest", live, people).code == 0
    assert antiphon("tick", live).code == 0
    file = tmp_path / "churn.csv"
    file.write_text("user_id,value\nu1,0.9\nu2,0.1\nstranger,0.4\n")

    done = antiphon("scores", "load", "churn", file, "--dir", live, "--json").json()
    listed = antiphon("scores", "list", "--dir", live).out
    assert antiphon("tick", live).code == 0

    assert (done["n_scored"], done["n_unknown"], done["n_woken"]) == (2, 1, 1)
    assert listed.splitlines()[1].split()[:5] == ["churn", "1", "score", "champion", "2"]
    members = antiphon("segment", "members", "risky", "--dir", live).out.split()
    assert members == ["u1"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("load", "churn", "nowhere.csv"), "No such file or directory"),
        (("load", "Churn!", "nowhere.csv"), "is no model's name"),
    ],
)
def test_the_command_says_what_is_wrong(
    antiphon: Antiphon, live: Path, words: tuple[str, ...], problem: str
) -> None:
    said = antiphon("scores", *words, "--dir", live)

    assert said.code == 2
    assert problem in said.error


def test_a_running_server_publishes_the_run_and_moves_people_at_once(
    antiphon: Antiphon, live: Path, tmp_path: Path
) -> None:
    (live / "segments" / "risky.yaml").write_text(
        "segment: risky\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n"
    )
    people = tmp_path / "people.jsonl"
    people.write_text('{"type": "identify", "userId": "u1", "messageId": "1"}\n')
    file = tmp_path / "churn.csv"
    file.write_text("user_id,value\nu1,0.9\n")
    assert antiphon("apply", live).code == 0
    assert antiphon("ingest", live, people).code == 0
    assert antiphon("tick", live).code == 0

    served = Served(live)
    try:
        done = antiphon("scores", "load", "churn", file, "--dir", live)
        deadline = time.monotonic() + 20
        members: list[str] = []
        while not members and time.monotonic() < deadline:
            members = antiphon("segment", "members", "risky", "--dir", live).out.split()
    finally:
        served.terminate()

    assert (done.code, members) == (0, ["u1"])
    assert "asked again at once: 1" in done.out
