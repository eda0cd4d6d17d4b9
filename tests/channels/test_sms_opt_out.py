"""How a marketing text tells its reader to stop it, and to whom it need not."""

import pytest

from channels.sms.opt_out import TEXTS, says_how_to_stop, with_opt_out
from channels.sms.text import measure

US, DE, SE = "+12125550123", "+4915112345678", "+46701234567"
URL = "https://us.example/u/abc"


def test_it_is_said_once_where_the_law_asks() -> None:
    once = with_opt_out("Sale today!", to=US)

    assert once == "Sale today!\nReply STOP to opt out"
    assert with_opt_out(once, to=US) == once
    assert with_opt_out("Ausverkauf!", to=DE) == "Ausverkauf!\nSTOPP antworten zum Abmelden"
    assert with_opt_out("Rea!", to=SE) == "Rea!"


@pytest.mark.parametrize(
    "text",
    [
        "Sale! Reply STOP to end",
        "Sale! Text QUIT to leave",
        "Sale! Unsubscribe: https://a.example",
        "Sale! To opt-out call us",
        f"Sale! No more: {URL}",
        "Soldes ! ARRET au 36123",
        "Abmelden: https://a.example",
    ],
)
def test_a_text_that_says_it_already_is_left_alone(text: str) -> None:
    assert says_how_to_stop(text, unsubscribe_url=URL)
    assert with_opt_out(text, to=US, unsubscribe_url=URL) == text


@pytest.mark.parametrize(
    "text",
    ["Stop by our shop", "Never stop dancing", "Nonstop to Rome", "sortbaja", "A quit claim"],
)
def test_a_word_in_passing_says_nothing(text: str) -> None:
    assert not says_how_to_stop(text, unsubscribe_url=URL)


def test_the_operators_words_win_by_country_then_for_all_and_may_be_none() -> None:
    setting = {"US": "Txt STOP to end", "*": "STOP to 12345", "DE": ""}

    assert with_opt_out("Sale!", to=US, setting=setting) == "Sale!\nTxt STOP to end"
    assert with_opt_out("Rea!", to=SE, setting=setting) == "Rea!\nSTOP to 12345"
    assert with_opt_out("Ausverkauf!", to=DE, setting=setting) == "Ausverkauf!"
    assert with_opt_out("Soldes", to="+33612345678", setting={"US": "x"}).endswith(TEXTS["FR"])


def test_nobody_is_asked_to_answer_a_name() -> None:
    setting = {"DE": "Abmelden: shop.example/stop"}

    assert with_opt_out("Ausverkauf!", to=DE, sender="Shop") == "Ausverkauf!"
    assert with_opt_out("Ausverkauf!", to=DE, sender=["+4930123456", "Shop"]) == "Ausverkauf!"
    assert with_opt_out("Ausverkauf!", to=DE, sender="Shop", setting=setting).endswith("/stop")
    assert with_opt_out("Ausverkauf!", to=DE, sender="12345").endswith("Abmelden")


def test_the_words_never_make_a_text_dearer_than_their_own_length() -> None:
    # A single letter outside GSM 03.38 would halve the room of the whole message.
    for country, words in TEXTS.items():
        assert measure(words).encoding == "gsm", country
        assert says_how_to_stop(words), country
