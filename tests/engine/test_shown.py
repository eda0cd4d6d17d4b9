"""What commands print as JSON has times that people and programs can read."""

from engine.core.clocktime import parse_instant
from engine.core.model.instants import NEVER
from engine.reading import Moment
from engine.shown import plain
from engine.story import AttemptRow

NOON = parse_instant("2026-03-02T12:00:00Z")


def test_times_are_iso_8601_at_every_depth_and_null_where_there_is_none() -> None:
    attempt = AttemptRow(1, "smtp", NOON, None, "", "", "", "email")

    shown = plain({"attempts": [attempt], "expires_at": NEVER, "event": Moment(NOON, "event", "A")})

    assert shown["attempts"][0]["started_at"] == "2026-03-02T12:00:00Z"
    assert shown["attempts"][0]["finished_at"] is None
    assert shown["expires_at"] is None
    assert shown["event"]["at"] == "2026-03-02T12:00:00Z"


def test_what_people_sent_is_not_taken_for_a_time() -> None:
    shown = plain({"traits": {"born_at": 1990, "at": 7}, "at": NOON})

    assert shown == {"traits": {"born_at": 1990, "at": 7}, "at": "2026-03-02T12:00:00Z"}
