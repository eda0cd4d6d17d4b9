"""Every answer has the fields and types that OFREP's schemas ask for, in each of its outcomes.

Written from the protocol's description (open-feature/protocol, service/openapi.yaml 0.1.0, whose
required fields 0.3.0 keeps); `cacheable` and /ofrep/v1/configuration are extensions that need not
be there, and are not.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store import migrate
from engine.store.database import Database
from engine.web import flags_stream
from tests.engine.flag_stage import Flags, an_experiment, flags_of, with_experiments

ONE = "/ofrep/v1/evaluate/flags/"
ALL = "/ofrep/v1/evaluate/flags"
REASONS = {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN", "DEFAULT"}
"""`DEFAULT` is OpenFeature's own word; the protocol gives its list as examples."""
REFUSALS = {"PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"}


@pytest.fixture
def flags(tmp_path: Path) -> Iterator[Flags]:
    url = f"sqlite:///{tmp_path / 'antiphon.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    with flags_of(url, tmp_path) as opened:
        opened.house.apply(with_experiments(an_experiment()))
        yield opened


def assert_success(told: dict[str, Any], key: str) -> None:
    assert told["key"] == key
    assert told["reason"] in REASONS
    assert isinstance(told["variant"], str)
    assert isinstance(told["value"], bool | str | int | float | dict)
    assert all(isinstance(it, bool | str | int | float) for it in told["metadata"].values())


def assert_failure(told: dict[str, Any], key: str, codes: set[str]) -> None:
    assert told["key"] == key
    assert told["errorCode"] in codes
    assert isinstance(told["errorDetails"], str)


def a_name(flags: Flags) -> str:
    answer = flags.post(ALL, {"context": {"targetingKey": "a"}})
    return str(answer.json()["flags"][0]["key"])


def test_one_flag_is_told_or_refused_in_the_shapes_of_the_protocol(flags: Flags) -> None:
    name = a_name(flags)

    found = flags.post(ONE + name, {"context": {"targetingKey": "a"}})
    nobody = flags.post(ONE + name, {"context": {}})
    odd = flags.post(ONE + name, {"context": "a"})
    unknown = flags.post(ONE + "no-such", {"context": {"targetingKey": "a"}})

    assert [it.status_code for it in (found, nobody, odd, unknown)] == [200, 400, 400, 404]
    assert_success(found.json(), name)
    assert_failure(nobody.json(), name, REFUSALS)
    assert_failure(odd.json(), name, REFUSALS)
    assert_failure(unknown.json(), "no-such", {"FLAG_NOT_FOUND"})


def test_all_flags_are_told_each_in_a_shape_of_its_own(flags: Flags) -> None:
    answer = flags.post(ALL, {"context": {"targetingKey": "a"}})
    nobody = flags.post(ALL, {"context": {}})
    odd = flags.post(ALL, {"context": "a"})

    assert answer.headers["etag"]
    for told in answer.json()["flags"]:
        assert_success(told, told["key"])
    for told in nobody.json()["flags"]:
        assert_failure(told, told["key"], REFUSALS)
    assert odd.status_code == 400
    assert odd.json()["errorCode"] in REFUSALS
    for stream in answer.json()["eventStreams"]:
        assert stream["type"] == "sse"
        assert ("url" in stream) != ("endpoint" in stream)


def test_one_flag_too_waits_for_a_change_that_was_announced(
    flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, body = a_name(flags), {"context": {"targetingKey": "a"}}
    monkeypatch.setattr(flags_stream, "REACH_SECONDS_MAX", 0.4)
    known = flags.post(ALL, body).json()["metadata"]["config"]

    took = []
    for mark in (known, "never-heard-of"):
        began = time.monotonic()
        answer = flags.post(f"{ONE}{name}?flagConfigEtag={mark}", body)
        took.append(time.monotonic() - began)
        assert_success(answer.json(), name)

    assert took[0] < 0.3 <= took[1]
