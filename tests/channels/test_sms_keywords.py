"""What people mean who answer a text message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.delivery import DeliveryEvent
from channels.sms.keywords import WORDS, Intent, intent_of, intent_of_event

FCC = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
"""47 CFR 64.1200(a)(10), as amended 2025."""
TWILIO = ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT")
"""https://help.twilio.com/articles/223134027"""
AWS = ("ARRET", "CANCEL", "END", "OPT-OUT", "OPTOUT", "QUIT", "REMOVE", "STOP", "TD", "UNSUBSCRIBE")
"""https://docs.aws.amazon.com/sms-voice/latest/userguide/keywords.html"""


@pytest.mark.parametrize("word", sorted({*FCC, *TWILIO, *AWS, "STOP ALL"}))
@pytest.mark.parametrize("shape", ["{}", " {} \n", "{}!", "“{}”", "{}.", "{} please", "{}, thanks"])
def test_every_word_that_law_and_vendors_name_stops(word: str, shape: str) -> None:
    for written in (word.upper(), word.lower(), word.title()):
        assert intent_of(shape.format(written)) == Intent("stop"), written


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("START", "start"), ("unstop", "start"), ("Yes", "start"), ("yes!", "start"),
        ("HELP", "help"), ("Help me please", "help"), ("info", "help"),
        ("STOPP", "stop"), ("Abmelden bitte", "stop"), ("Kündigen", "stop"), ("ANMELDEN", "start"),
        ("Hilfe", "help"), ("Arrêt", "stop"), ("ARRÊTER", "stop"), ("Désabonner", "stop"),
        ("aide", "help"), ("BAJA", "stop"), ("Baja por favor", "stop"), ("AYUDA", "help"),
        ("ＳＴＯＰ", "stop"), ("sToP", "stop"),
    ],
)  # fmt: skip
def test_a_word_counts_in_any_case_with_any_marks_and_in_four_languages(
    text: str, word: str
) -> None:
    found = intent_of(text)

    assert found is not None
    assert (found.word, found.is_free_text) == (word, False)


@pytest.mark.parametrize(
    "text",
    [
        "please stop texting me",
        "Don't text me again.",
        "pls don’t send me any more messages",
        "No more texts!!",
        "take me off your list",
        "I want to unsubscribe",
        "opt me out",
        "leave me alone",
        "never contact me again",
        "Bitte keine SMS mehr",
        "ich möchte mich abmelden",
        "Hören Sie auf damit",
        "Je ne veux plus recevoir de SMS",
        "arrêtez vos messages",
        "merci de me désabonner",
        "no quiero más mensajes",
        "dejen de enviarme publicidad",
        "quiero darme de baja",
    ],
)
def test_a_refusal_in_own_words_stops_and_is_flagged(text: str) -> None:
    assert intent_of(text) == Intent("stop", is_free_text=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "When does my order arrive?",
        "Yes, it arrived, thank you",  # no consent
        "please don't stop texting me",
        "never stop, I love these texts",
        "I stopped by your shop, nice!",
        "The bus stop is at the corner",
        "Ende Mai bin ich da",
        "the weekend is fine",
        "nonstop fun",
        "helpful people you are",
        "😀",
        "\0\0",
    ],
)
def test_what_people_write_otherwise_asks_for_nothing(text: str) -> None:
    assert intent_of(text) is None


def test_every_word_of_the_table_means_what_its_row_says() -> None:
    for meaning, languages in WORDS.items():
        for words in languages.values():
            for word in words:
                assert intent_of(word.upper()) == Intent(meaning), word


def test_no_word_has_two_meanings() -> None:
    every = [(word, meaning) for meaning, languages in WORDS.items()
             for words in languages.values() for word in words]  # fmt: skip

    assert len(dict(every)) == len(set(every))


def test_only_what_people_wrote_asks_for_anything() -> None:
    written = DeliveryEvent("inbound", None, "1", 0, text="stop")
    understood = DeliveryEvent("inbound", None, "1", 0, text="basta", code="STOP")
    told = DeliveryEvent("delivered", 7, "1", 0, text="stop")

    assert intent_of_event(written) == Intent("stop")
    assert intent_of_event(understood) == Intent("stop")
    assert intent_of_event(told) is None


@given(st.text(max_size=2_000))
def test_no_text_is_too_odd_to_be_read(text: str) -> None:
    found = intent_of(text)

    assert found is None or found.word in WORDS


def test_a_long_hostile_text_costs_next_to_nothing() -> None:
    # Each alternative is bounded: what repeats its beginnings does not multiply.
    for text in ("stop " * 200_000, "no more " * 200_000, "keine " * 200_000, "ne pas " * 200_000):
        intent_of(text)
