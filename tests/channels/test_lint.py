"""What lint says, and that it says nothing about what is good."""

import pytest

from channels.content.lint import lint
from channels.content.templates import compile_template

GOOD = """---
subject: "{{ profile.first_name }}, your cart is waiting"
---
<p>Hello, we kept your cart for you. <a href="https://shop.example">Open it</a></p>
<img src="https://shop.example/a.png" alt="A cart">
<a href="{{ unsubscribe_url }}">Unsubscribe</a>
"""


def rules(channel: str, source: str, end: str, *, is_marketing: bool = True) -> set[str]:
    files = {f"templates/{channel}/x.{end}": source.encode()}
    template = compile_template(channel, "x", files)  # type: ignore[arg-type]
    return {warning.rule for warning in lint(template, is_marketing=is_marketing)}


def test_a_good_email_has_no_warnings() -> None:
    assert rules("email", GOOD, "html") == set()
    assert rules("sms", "Hi, your cart waits: https://s.example. Reply STOP to end", "txt") == set()


@pytest.mark.parametrize(
    ("change", "to", "rule"),
    [
        ("{{ unsubscribe_url }}", "https://x.example", "no-unsubscribe"),
        (' alt="A cart"', "", "image-alt"),
        ("https://shop.example/a.png", "http://shop.example/a.png", "link-https"),
        ("your cart is", "your cart " + "is really " * 9, "subject-length"),
        ('"{{ profile.first_name }}, your cart is waiting"', "BUY NOW", "subject-capitals"),
        ("we kept", "we kept" + " very" * 20_000, "too-large"),
    ],
)
def test_each_fault_has_its_warning(change: str, to: str, rule: str) -> None:
    assert rules(
        "email", GOOD.replace(change, to, 1 if rule != "no-unsubscribe" else -1), "html"
    ) == {rule}


def test_an_email_of_images_or_of_text_alone_is_warned_of() -> None:
    images = '---\nsubject: a\n---\n<img src="https://x.example/a.png" alt="">'
    text = "---\nsubject: a\n---\nHello {{ profile.first_name }}, this is all."

    assert rules("email", images, "html", is_marketing=False) == {"no-text"}
    assert rules("email", text, "txt", is_marketing=False) == {"no-html"}


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("Hi – STOP", "sms-encoding"),
        ("a" * 170 + " STOP", "sms-parts"),
        ("a" * 600 + " STOP", "sms-long"),
        ("http://s.example STOP", "link-https"),
        ("Hi", "no-unsubscribe"),
    ],
)
def test_each_fault_of_a_text_message_has_its_warning(source: str, rule: str) -> None:
    assert rules("sms", source, "txt") == {rule}


def test_a_language_that_lacks_the_page_is_warned_of() -> None:
    files = {
        "templates/email/x.html": GOOD.encode(),
        "templates/email/x.de.txt": b"---\nsubject: a\n---\n{{ unsubscribe_url }}",
    }

    found = lint(compile_template("email", "x", files))

    assert {(warning.rule, warning.message.endswith("(de)")) for warning in found} == {
        ("html-missing", True),
        ("no-html", True),
    }
