"""Orders of an operator reach a running server, and it plays by them from then on."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.local import call
from engine.steady import present
from tests.engine.commanding import events_file
from tests.engine.serving import Served, command

SECONDS_MAX = 40.0


@pytest.fixture
def served(tmp_path: Path, database_url: str) -> Iterator[Served]:
    folder = tmp_path / "shop"
    environ = {**os.environ, "ANTIPHON_DATABASE_URL": database_url}
    assert command("init", str(folder)).returncode == 0
    campaign = folder / "campaigns" / "cart_reminder.yaml"
    campaign.write_text(campaign.read_text().replace("delay: 30m", "delay: 1s"))
    applied = command("apply", str(folder), environ=environ)
    assert applied.returncode == 0, applied.stderr
    server = Served(folder, environ=environ)
    yield server
    server.terminate()


def awaited(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"it did not happen within {SECONDS_MAX:.0f} s")


def test_a_running_server_pauses_resumes_and_rolls_back(served: Served, database_url: str) -> None:
    folder = served.directory
    environ = {**os.environ, "ANTIPHON_DATABASE_URL": database_url}

    def say(*words: str) -> Any:
        done = command(*words, "--json", environ=environ)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    paused = say("campaign", "pause", "cart-reminder", "--why", "no stock", "--dir", str(folder))
    call(folder, "ingest", {"path": str(events_file(folder)), "live": True})
    call(folder, "tick", {"until": present()})
    outside = say("campaign", "list", "--dir", str(folder))["campaigns"]
    home = served.get("/")[0]
    resumed = say("campaign", "resume", "cart-reminder", "--dir", str(folder))
    file = folder / "campaigns" / "cart_reminder.yaml"
    file.write_text(file.read_text().replace("delay: 1s", "delay: 5h"))
    applied = say("apply", str(folder))
    more = events_file(folder)
    more.write_text(more.read_text().replace('"messageId": "', '"messageId": "x'))
    call(folder, "ingest", {"path": str(more), "live": True})
    inside = awaited(
        lambda: [
            it
            for it in say("campaign", "list", "--dir", str(folder))["campaigns"]
            if it["n_inside"] == 1
        ]
    )
    back = say("rollback", str(folder))
    gone = say("campaign", "unenrol", "cart-reminder", "--dir", str(folder))
    empty = awaited(
        lambda: [
            it
            for it in say("campaign", "list", "--dir", str(folder))["campaigns"]
            if it["n_inside"] == 0
        ]
    )

    assert (paused["release"], paused["held"]) == (2, "paused")
    assert [(it["state"], it["why"], it["n_inside"]) for it in outside] == [
        ("paused", "no stock", 0)
    ]
    assert home == 401, "the page asks for its token"
    assert resumed["release"] == 3
    assert applied["release"] == 4
    assert inside[0]["state"] == "live"
    assert (back["release"], back["to"]) == (5, 3)
    assert gone["n_people"] == 1
    assert empty[0]["n_older"] == 0
    assert "Traceback" not in "".join(served.log)
