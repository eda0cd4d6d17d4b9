"""`antiphon lint` from the command line, with the real SpamAssassin where it is installed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.commands import lint
from tests.engine.commanding import Antiphon
from tests.engine.commanding import _no_database_of_the_developer as _no_database
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import shop as shop

_ = _no_database

SPAMMY = """---
subject: BUY NOW cheap viagra for FREE
---
<p>Dear friend, buy cheap viagra and cialis now!!! 100% free money, click here to claim your
million dollars, no prescription needed, act now, limited time.</p>
<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
"""
needs_spamassassin = pytest.mark.skipif(
    shutil.which("spamassassin") is None, reason="SpamAssassin (Debian package) is not installed"
)


def with_program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program called spamassassin before all others."""

    def put(script: str) -> None:
        folder.mkdir(exist_ok=True)
        program = folder / "spamassassin"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return put


def test_a_workspace_that_is_good_has_no_warnings(shop: Path, antiphon: Antiphon) -> None:
    said = antiphon("lint", shop)

    assert (said.code, said.out.splitlines()[-1][:14]) == (0, "no warnings in")


def test_a_warning_says_where_and_strict_makes_it_count(shop: Path, antiphon: Antiphon) -> None:
    page = SPAMMY.replace("<p>Dear", '<img src="http://shop.example/a.png"><p>Dear')
    (shop / "templates/email/spam.html").write_text(page)

    said = antiphon("lint", shop, "--template", "email/spam")
    strict = antiphon("lint", shop, "--strict", "--json")

    assert said.code == 0
    assert "templates/email/spam.html:4: image-alt: " in said.out
    assert "templates/email/spam.html:4: link-https: " in said.out
    assert said.out.splitlines()[-1] == "2 warnings in 1 template"
    assert strict.code == 1
    assert {it["rule"] for it in strict.json()["warnings"]} == {"image-alt", "link-https"}


def test_a_template_that_is_only_sent_as_transactional_needs_no_way_out(
    shop: Path, antiphon: Antiphon
) -> None:
    (shop / "templates/email/receipt.html").write_text(
        "---\nsubject: Receipt\n---\n<p>Thank you for your order.</p>"
    )
    before = antiphon("lint", shop, "--template", "email/receipt")
    settings = (shop / "antiphon.yaml").read_text()
    topics = "topics:\n  orders: {transactional: true}\n"
    (shop / "antiphon.yaml").write_text(settings.replace("topics:", topics, 1))
    (shop / "campaigns/receipt.yaml").write_text(
        "campaign: receipt\ntrigger: {event: Order Completed}\ntopic: orders\njourney:\n"
        "  - send: {channel: email, template: receipt}\n    id: send\n"
    )

    after = antiphon("lint", shop, "--template", "email/receipt")

    assert "no-unsubscribe" in before.out
    assert "no-unsubscribe" not in after.out, after.error


def test_a_template_that_is_not_there_is_told_with_the_nearest(
    shop: Path, antiphon: Antiphon
) -> None:
    said = antiphon("lint", shop, "--template", "email/cart_remindr")

    assert said.code == 2
    assert 'Did you mean "email/cart_reminder"?' in said.error


# --- the spam score -----------------------------------------------------------------------------


@needs_spamassassin
@pytest.mark.slow
def test_spamassassin_tells_a_spammy_mail_from_a_good_one(shop: Path, antiphon: Antiphon) -> None:
    (shop / "templates/email/spam.html").write_text(SPAMMY)

    bad = antiphon("lint", shop, "--spam", "--template", "email/spam")
    good = antiphon("lint", shop, "--spam", "--template", "email/cart_reminder")

    assert "templates/email/spam.html:2: spam: SpamAssassin gives " in bad.out
    assert "DRUGS_ERECTILE" in bad.out
    assert "note: email/cart_reminder: SpamAssassin gives " in good.out
    assert good.out.splitlines()[-1] == "no warnings in 1 template"


def test_without_spamassassin_one_line_says_so(
    shop: Path, antiphon: Antiphon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    said = antiphon("lint", shop, "--spam")

    assert said.code == 0
    assert said.out.count("SpamAssassin is not installed") == 1


def test_a_spamassassin_that_hangs_or_fails_is_not_waited_for(
    shop: Path, antiphon: Antiphon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint, "SPAM_SECONDS_MAX", 0.3)
    put = with_program(tmp_path / "bin", monkeypatch)

    put("exec sleep 30")
    hung = antiphon("lint", shop, "--spam", "--template", "email/cart_reminder")
    put("echo broken; exit 3")
    broken = antiphon("lint", shop, "--spam", "--template", "email/cart_reminder")

    assert "email/cart_reminder: SpamAssassin took too long; it was not scored" in hung.out
    assert "email/cart_reminder: SpamAssassin gave no score; it was not scored" in broken.out
    assert hung.code == broken.code == 0


# --- preview ------------------------------------------------------------------------------------


def with_german(shop: Path) -> str:
    page = "---\nsubject: {}\n---\n<p>{} {{{{ profile.first_name }}}}</p>"
    (shop / "templates/email/hello.html").write_text(page.format("Hello", "Hi"))
    (shop / "templates/email/hello.de.html").write_text(page.format("Hallo", "Guten Tag"))
    return "email/hello"


def test_a_preview_in_all_languages_says_which_is_which(shop: Path, antiphon: Antiphon) -> None:
    words = ("preview", with_german(shop), shop, "--all-locales", "--traits")

    text = antiphon(*words, '{"first_name": "Uma"}')
    whole = antiphon(*words, '{"first_name": "Uma"}', "--json")

    assert text.out.index("--- every other language ---") < text.out.index("Hi Uma")
    assert text.out.index("--- de ---") < text.out.index("Guten Tag Uma")
    assert [it["subject"] for it in whole.json().values()] == ["Hello", "Hallo"]


def test_a_preview_writes_pages_to_files_by_language(
    shop: Path, antiphon: Antiphon, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    words = ("preview", with_german(shop), shop, "--traits", '{"first_name": "Uma"}')

    said = antiphon(*words, "--html", page, "--all-locales")
    printed = antiphon(*words, "--locale", "de-AT", "--html")

    assert said.code == 0, said.error
    assert "Hi Uma" in page.read_text()
    assert "Guten Tag Uma" in (tmp_path / "page.de.html").read_text() == printed.out.rstrip("\n")
    assert f"{page}: " in said.out


def test_a_preview_takes_what_a_test_of_the_workspace_gives(shop: Path, antiphon: Antiphon) -> None:
    test = (shop / "tests/cart_reminder.yaml").read_text()
    (shop / "tests/cart_reminder.yaml").write_text(test.replace("first_name: ", "first_name: X"))
    words = ("preview", "email/cart_reminder", shop, "--fixture")

    inside = antiphon(*words, "tests/cart_reminder.yaml")
    whole_path = antiphon(*words, shop / "tests/cart_reminder.yaml", "--text")

    assert inside.code == 0, inside.error
    assert inside.out.startswith("Subject: ")
    assert inside.out.partition("\n")[2] == whole_path.out


def test_a_preview_takes_a_fixture_with_picks_and_the_command_line_wins(
    shop: Path, antiphon: Antiphon, tmp_path: Path
) -> None:
    (shop / "templates/sms").mkdir()
    (shop / "templates/sms/picks.txt").write_text(
        "{{ profile.first_name }}: {% picks 2 as it %}{{ it.title }} {% endpicks %}"
        "{{ event.n }} STOP"
    )
    fixture = tmp_path / "fixture.json"
    fixture.write_text(
        '{"profile": {"first_name": "Ann"}, "event": {"n": 1},'
        ' "picks": [{"id": "1", "title": "Tea"}, {"id": "2", "title": "Pot"}]}'
    )
    words = ("preview", "sms/picks", shop, "--fixture", fixture, "--text")

    assert antiphon(*words).out.strip() == "Ann: Tea Pot 1 STOP"
    assert antiphon(*words, "--traits", '{"first_name": "Bo"}').out.startswith("Bo: Tea Pot")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "--fixture"),
        ('{"profil": {}}', '"profil" is not a key of a fixture; these are: profile, event, picks'),
        ('{"picks": {}}', "picks is a list"),
        ('{"profile": []}', "profile is an object"),
        (None, "cannot be read"),
    ],
)
def test_a_fixture_that_is_wrong_is_told(
    shop: Path, antiphon: Antiphon, tmp_path: Path, text: str | None, says: str
) -> None:
    fixture = tmp_path / "fixture.json"
    if text is not None:
        fixture.write_text(text)

    said = antiphon("preview", "email/cart_reminder", shop, "--fixture", fixture)

    assert said.code == 2
    assert says in said.error


def test_a_test_that_is_not_in_the_workspace_is_told(shop: Path, antiphon: Antiphon) -> None:
    said = antiphon("preview", "email/cart_reminder", shop, "--fixture", "tests/nowhere.yaml")

    assert said.code == 2
    assert 'there is no test "tests/nowhere.yaml" in the workspace' in said.error


def test_the_html_of_what_has_none_is_told(shop: Path, antiphon: Antiphon) -> None:
    (shop / "templates/sms").mkdir()
    (shop / "templates/sms/hi.txt").write_text("Hi STOP")

    said = antiphon("preview", "sms/hi", shop, "--html")

    assert said.code == 2
    assert "sms/hi has no HTML part" in said.error
