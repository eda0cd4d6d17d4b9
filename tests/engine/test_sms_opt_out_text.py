"""What the law adds to a marketing text is composed with it, for the country of each number."""

from collections.abc import Iterator

import pytest

from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


def test_a_marketing_text_says_how_to_stop_it_where_its_reader_lives(stage: Stage) -> None:
    numbers = {
        "u1": {"phone": "+4915100000001"},
        "u2": {"phone": "212 555-0123", "country": "US"},
        "u3": {"phone": "0046 70 123 45 67"},
    }
    for user, traits in numbers.items():
        stage.identify(user, plan="gold", **traits)
        stage.track(user, "Product Viewed")
        stage.track(user, "Product Viewed")
    stage.settle()

    stage.drain("sms")

    assert {call.to: call.text for call in stage.sms.calls} == {
        "+4915100000001": "Hello gold.\nSTOPP antworten zum Abmelden",
        "+12125550123": "Hello gold.\nReply STOP to opt out",
        "+46701234567": "Hello gold.",
    }
