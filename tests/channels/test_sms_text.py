"""Encoding and parts of text messages, against the gsm0338 codec and by law."""

import gsm0338
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.content.lint import lint
from channels.content.render import Setting, render
from channels.content.templates import CompiledTemplate, compile_template
from channels.sms.text import measure
from engine.core.errors import CampaignError

CODEC = gsm0338.Codec()
GSM = "".join(
    chr(code) for code in range(0x20AD) if len(measure(chr(code)).forced_by) == 0
)  # fmt: skip


def septets(character: str) -> int:
    """What the codec makes of it, 0 if nothing; ESC alone is no character."""
    try:
        return 0 if character == "\x1b" else len(CODEC.encode(character)[0])
    except UnicodeError:
        return 0


def test_the_alphabet_is_that_of_the_codec() -> None:
    characters = [chr(code) for code in range(0xD800)]

    found = {character: measure(character) for character in characters}

    for character, text in found.items():
        assert (text.units if text.encoding == "gsm" else 0) == septets(character), character


@given(st.text(alphabet=GSM, max_size=700))
def test_septets_and_parts_agree_with_the_codec(text: str) -> None:
    found = measure(text)

    sizes = [len(CODEC.encode(part)[0]) for part in found.parts]
    assert found.encoding == "gsm"
    assert found.units == len(CODEC.encode(text)[0])
    assert "".join(found.parts) == text
    assert sizes == [found.units] if found.units <= 160 else all(n <= 153 for n in sizes)
    # Greedy: no part could have taken the first character of the next.
    if len(sizes) > 1:
        for size, following in zip(sizes, found.parts[1:], strict=False):
            assert size + len(CODEC.encode(following[0])[0]) > 153


@given(st.text(max_size=300))
def test_a_part_is_never_longer_than_the_carrier_takes_and_never_cuts_a_pair(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()

    found = measure(text)

    assert "".join(found.parts) == text
    if found.encoding == "ucs2":
        sizes = [len(part.encode("utf-16-be")) // 2 for part in found.parts]
        assert sum(sizes) == found.units
        assert sizes == [found.units] if found.units <= 70 else all(n <= 67 for n in sizes)


@pytest.mark.parametrize(
    ("text", "encoding", "parts"),
    [
        ("a" * 160, "gsm", [160]),
        ("a" * 161, "gsm", [153, 8]),
        ("a" * 152 + "€" + "b" * 100, "gsm", [152, 101]),  # the pair would be cut: it moves on
        ("ж" * 70, "ucs2", [70]),
        ("ж" * 71, "ucs2", [67, 4]),
        ("ж" * 66 + "😀" + "ж" * 10, "ucs2", [66, 11]),
        ("", "gsm", [0]),
        ("§ ç", "ucs2", [3]),
    ],
)
def test_known_texts_are_cut_where_the_standard_says(
    text: str, encoding: str, parts: list[int]
) -> None:
    found = measure(text)

    assert found.encoding == encoding
    assert [len(part) for part in found.parts] == parts


def test_what_forces_the_dearer_encoding_is_named_and_can_be_replaced() -> None:
    text = "Don’t miss it – 20 % off…"

    assert measure(text).forced_by == "’–…"
    assert measure(text, transliterate=True).text == "Don't miss it - 20 % off..."
    assert measure("Привет – ok", transliterate=True).text == "Привет – ok"


def a_template(text: str) -> CompiledTemplate:
    return compile_template("sms", "sale", {"templates/sms/sale.txt": text.encode()})


def test_a_template_may_ask_for_plain_signs() -> None:
    body = "Don’t miss it – {{ profile.what }}…"
    asked = a_template(f"---\ntransliterate: true\n---\n{body}")
    plain = a_template(f"---\ntransliterate: false\n---\n{body}")

    def text(template: CompiledTemplate, what: str) -> str:
        return render(template, {"profile": {"what": what}}, setting=Setting()).text

    assert text(asked, "20 % “off”") == 'Don\'t miss it - 20 % "off"...'
    assert text(plain, "20 % off") == "Don’t miss it – 20 % off…"
    assert text(a_template(body), "x") == "Don’t miss it – x…"
    # Letters carry meaning: where they force UCS-2 anyway, nothing is gained by plain quotes.
    assert text(asked, "Привет") == "Don’t miss it – Привет…"
    # What costs nothing any more is not warned of.
    assert [it.rule for it in lint(asked, is_marketing=False)] == []
    assert [it.rule for it in lint(plain, is_marketing=False)] == ["sms-encoding"]


@pytest.mark.parametrize("value", ["yes", "True", "", "1"])
def test_what_is_neither_true_nor_false_is_refused_on_its_line(value: str) -> None:
    with pytest.raises(CampaignError, match=r"sale\.txt:2: transliterate is true or false"):
        a_template(f"---\ntransliterate: {value}\n---\nHi")
