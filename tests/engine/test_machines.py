"""Which clicks are a machine's: by what a request says, and by what a message's clicks say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.tokens import TRAP
from engine.core.model.instants import SECOND
from engine.hearing.machines import BURST, Click, reasons, sign_of

AT = 1_772_442_000_000_000  # 2026-03-02T09:00Z

PEOPLE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/126.0 Mobile",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Avast/126",
)


@pytest.mark.parametrize("agent", PEOPLE)
def test_what_people_use_shows_nothing(agent: str) -> None:
    assert sign_of("GET", agent) == ""


@pytest.mark.parametrize(
    ("agent", "who"),
    [
        ("Mozilla/5.0", "Apple Mail Privacy Protection"),
        ("", "no user agent"),
        ("BarracudaCentral/1.0", "Barracuda"),
        ("Mozilla/5.0 (compatible; Mimecast URL scanner)", "Mimecast"),
        ("Microsoft Office Existence Discovery", "Microsoft"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", "a bot"),
        ("python-requests/2.32", "a program"),
        ("WhatsApp/2.23.20 A", "a preview"),
    ],
)
def test_what_machines_say_gives_them_away(agent: str, who: str) -> None:
    assert sign_of("GET", agent) == who
    assert sign_of("HEAD", PEOPLE[0]) == "HEAD"


def test_three_links_in_two_seconds_are_a_machines_the_first_two_as_well() -> None:
    clicks = [Click(2, AT + BURST), Click(0, AT), Click(1, AT + SECOND), Click(0, AT + 9 * SECOND)]

    found = reasons(clicks, delivered_at=None)

    assert found == ["3 links within 2 s"] * 3 + [""]


@pytest.mark.parametrize(
    "clicks",
    [
        [Click(0, AT), Click(1, AT + SECOND)],
        [Click(0, AT), Click(0, AT + 1), Click(0, AT + 2), Click(1, AT + 3)],
        [Click(0, AT), Click(1, AT + SECOND), Click(2, AT + BURST + 1)],
    ],
    ids=["two links", "two links often", "a moment too slow"],
)
def test_people_click_twice(clicks: list[Click]) -> None:
    assert set(reasons(clicks, delivered_at=None)) == {""}


def test_within_ten_seconds_of_its_arrival_nobody_has_read_a_mail() -> None:
    soon, later = Click(0, AT + 9 * SECOND), Click(0, AT + 10 * SECOND)

    assert reasons([soon, later], delivered_at=AT) == ["less than 10 s after it arrived", ""]
    assert reasons([soon], delivered_at=None) == [""]


def test_whatever_follows_the_hidden_link_is_a_machine_and_so_is_what_it_does_beside() -> None:
    clicks = [Click(0, AT), Click(TRAP, AT + SECOND), Click(1, AT + 30 * SECOND)]

    found = reasons(clicks, delivered_at=None)

    assert found == [
        "beside it, a link that no reader sees was followed",
        "it followed a link that no reader sees",
        "",
    ]


@given(
    st.lists(
        st.builds(
            Click, st.integers(0, 4), st.integers(AT, AT + 8 * SECOND), st.sampled_from(["", "x"])
        ),
        max_size=12,
    ),
    st.randoms(),
)
def test_the_order_in_which_clicks_come_is_of_no_account(clicks: list[Click], rng: object) -> None:
    mixed = clicks.copy()
    rng.shuffle(mixed)  # type: ignore[attr-defined]

    by_click = dict(zip(clicks, reasons(clicks, delivered_at=None), strict=True))
    again = dict(zip(mixed, reasons(mixed, delivered_at=None), strict=True))

    assert by_click == again
