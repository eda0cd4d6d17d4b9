"""What lint says, and that it says nothing about what is good."""

import email
import email.policy

import pytest

from channels.content.lint import lint
from channels.content.spam import read_score, sample_of
from channels.content.templates import compile_template
from channels.content.web_addresses import disguise_of

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
        ("we kept", "we kept" + " very" * 18_500, "too-large"),
        ("we kept", "we kept" + " very" * 21_000, "clipped"),
        ('"https://shop.example"', '"https://10.0.0.1/x"', "link-private"),
        ('"https://shop.example"', '"https://sh\u043ep.example/x"', "link-disguised"),
        ('"https://shop.example"', '"https://xn--shp-ted.example/x"', "link-disguised"),
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
        ("https://xn--pypal-4ve.example STOP", "link-disguised"),
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


def test_a_warning_names_the_file_and_line_of_what_it_is_about_in_partials_too() -> None:
    files = {
        "templates/email/x.html": GOOD.replace("<img", '{% include "card" %}\n<img').encode(),
        "templates/email/_partials/card.html": b'<b>x</b>\n<img src="http://shop.example/a.png">\n',
    }

    found = lint(compile_template("email", "x", files))

    assert [(it.where, it.rule) for it in found] == [
        ("templates/email/_partials/card.html:2", "image-alt"),
        ("templates/email/_partials/card.html:2", "link-https"),
    ]


def test_what_forced_the_expensive_encoding_is_named() -> None:
    files = {"templates/sms/x.txt": "Ça coûte 5 € – STOP".encode()}

    (found,) = lint(compile_template("sms", "x", files))

    assert found.message.endswith("70 instead of 160: û –")


def test_a_push_near_its_bytes_is_warned_of_with_its_keys_counted() -> None:
    small, near, over = (
        compile_template(
            "push",
            "x",
            {"templates/push/x.json": b'{"title": "T", "data": {"%s": "v"}}' % (b"k" * n)},
        )
        for n in (3_000, 3_600, 4_100)
    )

    assert lint(small) == []
    assert "it may have 4,096 in all" in lint(near)[0].message
    assert "more than 4,096 are not sent" in lint(over)[0].message


@pytest.mark.parametrize(
    ("host", "is_disguised"),
    [
        ("shop.example", False),
        ("bücher.example", False),
        ("xn--bcher-kva.example", False),
        ("почта.рф", False),
        ("日本カタカナabc.example", False),
        ("p\u0430ypal.example", True),
        ("xn--pypal-4ve.example", True),
        ("\u0430\u0440\u0440\u04cf\u0435.example", True),
        ("g\u03bf\u03bfgle.example", True),
        ("xn--zzzzzzzzzzzz.example", False),
    ],
)
def test_names_that_only_look_like_others_are_told_from_honest_foreign_ones(
    host: str, is_disguised: bool
) -> None:
    assert bool(disguise_of(host)) is is_disguised


# --- SpamAssassin -------------------------------------------------------------------------------

# What SpamAssassin 4.0.1 printed for such a sample; the copy of the mail that follows is left out.
ANSWER = """X-Spam-Checker-Version: SpamAssassin 4.0.1 (2024-03-25) on vm
X-Spam-Level: **
X-Spam-Status: No, score=2.4 required=5.0 tests=DRUGS_ERECTILE,MSGID_SHORT,
\tNO_RECEIVED,NO_RELAYS,SUBJ_BUY autolearn=no autolearn_force=no
\tversion=4.0.1

Content analysis details:   (2.4 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
-0.0 NO_RECEIVED            Informational: message has no Received headers
 0.0 MSGID_SHORT            Message-ID is unusually short
 0.6 SUBJ_BUY               Subject line starts with Buy or Buying
 1.8 DRUGS_ERECTILE         Refers to an erectile drug
"""


def test_the_answer_of_spamassassin_is_read_with_the_rules_that_gave_points() -> None:
    score = read_score(ANSWER)

    assert score is not None
    assert score.points == 2.4
    assert [(points, name) for points, name, _ in score.rules] == [
        (1.8, "DRUGS_ERECTILE"),
        (0.6, "SUBJ_BUY"),
    ]
    assert read_score("not what we asked for") is None


def test_a_sample_is_a_whole_mail_without_our_syntax() -> None:
    files = {"templates/email/x.html": GOOD.encode()}
    version = compile_template("email", "x", files).locales[""]

    sample = sample_of(version, sender="Shop <shop@shop.example>", at=1_772_445_600_000_000)

    mail = email.message_from_bytes(sample, policy=email.policy.default)
    html = mail.get_body(("html",)).get_content()
    assert mail["Subject"] == "Xxxxxxxx, your cart is waiting"
    assert mail["From"] == "Shop <shop@shop.example>"
    assert 'href="https://shop.example"' in html
    assert "{{" not in html + mail.get_body(("plain",)).get_content()
