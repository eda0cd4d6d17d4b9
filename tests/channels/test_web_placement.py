"""The provider of stored web messages: what it keeps, what it cleans, what it refuses."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import open_provider
from channels.base import Accepted, OutMessage, RefusedBy
from channels.callbacks import Callback
from channels.content.lint import lint
from channels.content.render import Setting, render
from channels.content.templates import compile_template
from channels.web.place import KINDS, Place, read_place
from channels.web.placement import BYTES_MAX, cleaned
from engine.core.errors import CampaignError, Unreadable, UsageError
from engine.core.model.gates import Placement
from engine.core.model.instants import DAY, NEVER

NOW = 1_772_442_000_000_000  # 2026-03-02T09:00Z
BANNER = {"placement": "top", "kind": "banner", "priority": 70}


def a_provider(**settings: Any) -> Any:
    return open_provider(
        "web", "placement", settings, directory=Path("."), rng=Random(1), now=lambda: NOW
    )


def delivered(html: str = "<p>Hello</p>", *, settings: Any = None, **changes: Any) -> Any:
    message = OutMessage(7, "web", "1", html=html, **{"data": BANNER, **changes})
    return asyncio.run(a_provider(**(settings or {})).deliver(message))


def a_template(**files: str) -> Any:
    content = {name.replace("__", "."): text.encode() for name, text in files.items()}
    named = {f"templates/web/{name}": text for name, text in content.items()}
    return compile_template("web", "promo", named)


# --- what is kept -------------------------------------------------------------------------------


def test_a_message_is_accepted_with_the_row_that_will_show_it() -> None:
    receipt = delivered(expires_at=NOW + DAY)

    kept = Placement("top", "banner", 70, "<p>Hello</p>", NOW + DAY)
    assert receipt == Accepted("placement-7", placement=kept)


@pytest.mark.parametrize(
    ("settings", "expires_at", "days"),
    [({}, NEVER, 30), ({"keep_days": 2}, NEVER, 2), ({"keep_days": "2"}, NOW + DAY, 1)],
)
def test_a_message_without_an_end_waits_as_long_as_the_channel_says(
    settings: Any, expires_at: int, days: int
) -> None:
    receipt = delivered(settings=settings, expires_at=expires_at)

    assert receipt.placement.expires_at == NOW + days * DAY


@pytest.mark.parametrize("days", [0, -1, 366])
def test_a_span_that_nobody_can_mean_is_refused_with_what_is_allowed(days: int) -> None:
    with pytest.raises(UsageError, match=r"keep_days: found -?\d+, allowed are 1 to 365"):
        a_provider(keep_days=days)


def test_it_takes_no_callbacks_and_says_where_visitors_report() -> None:
    with pytest.raises(Unreadable, match="/v1/placements/events"):
        asyncio.run(a_provider().read_callback(Callback("https://shop.example")))


# --- what is cleaned ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dirt",
    [
        "<script>steal()</script>",
        '<img src=x onerror="steal()">',
        '<a href="javascript:steal()">x</a>',
        '<a href="java\nscript:steal()">x</a>',
        '<iframe src="https://evil.example"></iframe>',
        '<form action="https://evil.example"><input name="password"></form>',
        '<img src="data:text/html;base64,c3RlYWwoKQ==">',
        '<div style="position:fixed;z-index:9999;top:0">x</div>',
        '<div style="background-color:red;background:url(https://evil.example/x)">x</div>',
        "<svg><animate onbegin=steal() attributeName=x dur=1s></svg>",
        "<math><mtext><table><mglyph><style><img src=x onerror=steal()></style></table></math>",
        "<style>body{display:none}</style>",
        '<base href="https://evil.example/">',
        '<meta http-equiv="refresh" content="0;url=https://evil.example">',
        '<link rel="stylesheet" href="https://evil.example/x.css">',
        '<object data="https://evil.example"></object><embed src="https://evil.example">',
    ],
)
def test_nothing_that_acts_reaches_a_visitors_page(dirt: str) -> None:
    page = cleaned(f"<p>Hello</p>{dirt}")

    assert page.startswith("<p>Hello</p>")
    forbidden = (
        "steal", "script", "evil.example", "position", "z-index", "data:", "<style", "<form",
        "<input", "<iframe", "<base", "<meta", "<link", "<object", "<svg", "<math",
    )  # fmt: skip
    assert [word for word in forbidden if word in page.lower()] == []


def test_what_an_author_needs_is_kept() -> None:
    page = (
        '<div class="promo" style="color:red;padding:4px"><h2>Hello</h2>'
        '<img src="https://shop.example/a.png" alt="A"><button type="button">Close</button>'
        '<a href="https://shop.example/cart" target="_blank" rel="noopener noreferrer">Cart</a>'
        '<a href="/cart" rel="noopener noreferrer">Here</a></div>'
    )

    assert cleaned(page) == page


@given(st.text(alphabet="<>/\"'= abcdefgonscriptjva:&;!-\x00\n", max_size=80))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = cleaned(text)

    assert cleaned(once) == once


@pytest.mark.parametrize("html", ["", "  ", "<p> </p>", "<div>&nbsp;</div>", "<script>x</script>"])
def test_a_message_that_shows_nothing_is_refused(html: str) -> None:
    receipt = delivered(html)

    assert isinstance(receipt, RefusedBy)
    assert (receipt.scope, receipt.code) == ("message", "empty")


def test_a_page_over_the_limit_is_refused_with_its_size() -> None:
    receipt = delivered("ä" * (BYTES_MAX // 2 + 1))

    assert isinstance(receipt, RefusedBy)
    assert receipt.text == "the page has 65,538 bytes; a placement takes 65,536 at most"


def test_lint_names_what_is_taken_out_with_its_line() -> None:
    template = a_template(
        promo__html='<p>Hello</p>\n<p onclick="x()">{% if event.a %}<SCRIPT>\ny()</script>'
        "{% endif %}\n<p>Carry on = reading</p>"
    )

    found = [(it.where, it.rule, it.message.split(" ")[0]) for it in lint(template)]

    assert found == [
        ("templates/web/promo.html:2", "not-shown", "onclick"),
        ("templates/web/promo.html:2", "not-shown", "script"),
    ]


# --- where it stands ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_that_names_no_placement_stands_in_that_of_its_kind(kind: Any) -> None:
    assert read_place({"kind": kind}) == Place(kind, kind, 50)


def test_a_place_of_a_template_from_before_there_were_places_is_in_the_page() -> None:
    assert delivered(data={}).placement.kind == "in-page"


@pytest.mark.parametrize(
    ("front", "found"),
    [
        ("kind: bannner", '2: kind is in-page, banner, modal; found "bannner". '
         'Did you mean "banner"?'),
        ("kind: inpage", '2: kind is in-page, banner, modal; found "inpage". '
         'Did you mean "in-page"?'),
        ("kind: banner\nplacement: Top Row", "3: placement is a name of small letters, digits, - "
         'and _, 64 at most; found "Top Row"'),
        ("priority: 101", '2: priority is a whole number, 0 to 100; found "101"'),
        ("priority: high", '2: priority is a whole number, 0 to 100; found "high"'),
        ("priority: ²", '2: priority is a whole number, 0 to 100; found "²"'),
        ("kindd: modal", '2: "kindd" is not a key here; these are: placement, kind, priority, '
         'layout. Did you mean "kind"?'),
    ],
)  # fmt: skip
def test_a_wrong_place_is_an_error_of_check_with_its_line(front: str, found: str) -> None:
    with pytest.raises(CampaignError) as error:
        a_template(promo__html=f"---\n{front}\n---\n<p>Hello</p>")

    assert str(error.value) == f"templates/web/promo.html:{found}"


def test_a_language_stands_where_the_fallback_does_unless_it_says_otherwise() -> None:
    template = a_template(
        promo__html="---\nkind: banner\nplacement: top\npriority: 70\n---\n<p>Hello</p>",
        promo__de__html="<p>Hallo</p>",
        promo__fr__html="---\npriority: 80\n---\n<p>Salut</p>",
    )

    data = {name: version.data for name, version in template.locales.items()}
    assert data == {"": BANNER, "de": BANNER, "fr": {**BANNER, "priority": 80}}


def test_links_of_a_page_are_counted_and_values_are_escaped() -> None:
    template = a_template(
        promo__html='<p>Hi {{ profile.name }} <a href="https://shop.example/{{ event.path }}">Go'
        '</a> <a href="/cart">Cart</a> <a data-no-track href="https://x.example">X</a></p>'
    )
    setting = Setting(link_url=lambda index, _: f"https://t.example/{index}")

    content = render(
        template, {"profile": {"name": "<b>Ada</b>"}, "event": {"path": "a b"}}, setting=setting
    )

    assert content.links == ("https://shop.example/a%20b",)
    assert content.html == (
        '<p>Hi &lt;b&gt;Ada&lt;/b&gt; <a href="https://t.example/0">Go</a> '
        '<a href="/cart">Cart</a> <a href="https://x.example">X</a></p>'
    )
    assert content.data == {"placement": "in-page", "kind": "in-page", "priority": 50}


def test_a_loop_and_a_comment_around_links_stay_as_they_were_written() -> None:
    template = a_template(
        promo__html="{# for the spring #}<ul>{% for it in event.items %}"
        '<li><a href="{{ it.url }}">{{ it.name }}</a></li>{% endfor %}</ul>'
    )
    items = [{"url": "https://shop.example/1", "name": "One"}]

    content = render(template, {"event": {"items": items}}, setting=Setting())

    assert content.html == '<ul><li><a href="https://shop.example/1">One</a></li></ul>'
