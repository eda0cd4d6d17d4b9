"""Products in a message: picks and feeds, and what happens when there are too few."""

import random
from time import perf_counter
from typing import Any

import pytest

from channels.content.expressions import compile_expression
from channels.content.feeds import ITEMS_MAX, Feed
from channels.content.limits import MissingValue, RenderError, TooCostly, TooFew
from channels.content.render import Content, Setting, render
from channels.content.templates import compile_template
from engine.core.errors import CampaignError

NEW_IN = [
    {"id": "t1", "title": "Tea", "price": 4, "category": "tea", "in_stock": True},
    {"id": "c1", "title": "Cup", "price": 9.5, "category": "china", "in_stock": False},
    {"id": "t2", "title": "Mate & co", "price": 5, "category": "tea", "in_stock": True},
    {"id": "p1", "title": "Pot", "price": 30, "category": "china"},
]
BEST = [
    {"id": "b1", "title": "Best"},
    {"id": "t1", "title": "Tea again"},
    {"id": "b2", "title": "Next"},
]
FEEDS = {"new-in": Feed("new-in", NEW_IN), "best": Feed("best", BEST)}
PICKS = [{"id": "t1", "title": "Tea"}, {"id": "x", "title": "Xylophone"}]


def text(body: str, *, feeds: Any = FEEDS, **context: Any) -> str:
    template = compile_template("sms", "x", {"templates/sms/x.txt": body.encode()})
    values = {"profile": {}, "event": {}, **context}
    return render(template, values, setting=Setting(feeds=feeds, currency="EUR")).text


def picks(count: int, rest: str, found: Any = PICKS) -> str:
    return text(
        f"a{{% picks {count} {rest} as it %}} {{{{ it.title }}}}{{% endpicks %}} z", picks=found
    )


def feed(rest: str, **context: Any) -> str:
    return text(f"a{{% feed {rest} as it %}} {{{{ it.title }}}}{{% endfeed %}} z", **context)


# --- enough -------------------------------------------------------------------------------------


def test_a_block_shows_as_many_as_it_says_and_no_more() -> None:
    assert picks(1, "") == "a Tea z"
    assert feed('"new-in" 2') == "a Tea Cup z"


def test_a_feed_is_filtered_by_its_columns() -> None:
    assert feed('"new-in" 2 category="tea"') == "a Tea Mate & co z"
    assert feed('"new-in" 2, category="tea", in_stock=true') == "a Tea Mate & co z"
    assert feed('"new-in" 1 price=30') == "a Pot z"
    assert feed('"new-in" 1 category=profile.fan', profile={"fan": "china"}) == "a Cup z"


def test_one_is_not_true() -> None:
    rows = {
        "f": Feed(
            "f", [{"id": "1", "title": "one", "n": 1}, {"id": "2", "title": "two", "n": True}]
        )
    }

    assert feed('"f" 1 n=true', feeds=rows) == "a two z"
    assert feed('"f" 1 n=1', feeds=rows) == "a one z"


def test_a_price_is_written_with_its_currency() -> None:
    rows = [
        {"id": "a", "title": "A", "price": 12.5, "currency": "USD"},
        {"id": "b", "title": "B", "price": 3},
    ]
    body = '{% feed "f" 2 as it %}{{ it.price | money(it.currency) }} {% endfeed %}'

    assert text(body, feeds={"f": Feed("f", rows)}) == "$12.50 €3.00 "


def test_a_block_has_a_loop_and_an_else() -> None:
    body = (
        "{% picks 2 as it %}{% if loop.first %}For you: {% endif %}{{ loop.index }} {{ it.title }}"
        "{% if not loop.last %}, {% endif %}{% else %}nothing{% endpicks %}"
    )

    assert text(body, picks=PICKS) == "For you: 1 Tea, 2 Xylophone"
    assert text(body) == "nothing"


def test_products_are_escaped_in_html_and_stand_in_the_text_part_too() -> None:
    content = email(
        '<table>{% feed "new-in" 3 as it %}<tr><td>{{ it.title }}</td></tr>{% endfeed %}</table>'
    )

    assert content.html.count("<tr>") == 3
    assert "Mate &amp; co" in content.html
    assert "Mate & co" in content.text


def email(body: str, **context: Any) -> Content:
    files = {"templates/email/x.html": f"---\nsubject: s\n---\n{body}".encode()}
    values = {"profile": {}, "event": {}, **context}
    return render(compile_template("email", "x", files), values, setting=Setting(feeds=FEEDS))


def test_a_link_of_a_product_is_counted_like_any_other() -> None:
    content = email(
        '{% picks 1 as it %}<a href="{{ it.url }}">x</a>{% endpicks %}',
        picks=[{"id": "1", "url": "https://shop.example/1"}],
    )

    assert content.links == ("https://shop.example/1",)


# --- too few ------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", [PICKS, [], None, "junk", [1, "x"]])
def test_hide_prints_nothing(found: Any) -> None:
    assert picks(3, 'if_fewer="hide"', found) == picks(3, "", found) == "a z"


def test_fill_tops_picks_up_from_the_fallback_in_its_order_and_nothing_twice() -> None:
    assert picks(4, 'if_fewer="fill" fallback="best"') == "a Tea Xylophone Best Next z"
    assert picks(3, 'if_fewer="fill" fallback="best"') == "a Tea Xylophone Best z"


def test_fill_tops_a_feed_up_from_itself_without_what_is_out_of_stock() -> None:
    filled = feed('"new-in" 3 category="tea" if_fewer="fill"')

    assert filled == "a Tea Mate & co Pot z"  # the cup is out of stock


def test_fill_shows_what_there_is_when_the_fallback_ends_too() -> None:
    assert picks(9, 'if_fewer="fill" fallback="best"') == "a Tea Xylophone Best Next z"


def test_skip_stops_the_message_and_says_why() -> None:
    with pytest.raises(TooFew, match=r"^fewer than 3 picks$"):
        picks(3, 'if_fewer="skip"')
    with pytest.raises(TooFew, match=r"^fewer than 3 products of new-in$"):
        feed('"new-in" 3 category="tea" if_fewer="skip"')
    assert picks(2, 'if_fewer="skip"') == "a Tea Xylophone z"


def test_a_filter_whose_value_is_missing_is_a_missing_value() -> None:
    template_needs = compile_template(
        "sms",
        "x",
        {"templates/sms/x.txt": b'{% feed "f" 1 category=profile.fan as it %}{% endfeed %}'},
    )

    assert template_needs.requires == ("profile.fan",)
    with pytest.raises(MissingValue, match=r"profile\.fan"):
        feed('"new-in" 1 category=profile.fan')
    assert feed('"new-in" 1 category=profile.fan|default("tea")') == "a Tea z"


def test_a_feed_that_is_gone_stops_the_message() -> None:
    with pytest.raises(RenderError, match='no feed "new-in"'):
        feed('"new-in" 1', feeds={})


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("{% picks as it %}{% endpicks %}", "expected token 'integer'"),
        ("{% picks 0 as it %}{% endpicks %}", f"1 to {ITEMS_MAX}"),
        ("{% picks 101 as it %}{% endpicks %}", f"1 to {ITEMS_MAX}"),
        ("{% picks 2 %}{% endpicks %}", 'ends in "as" and a name'),
        ('{% picks 2 if_fewer="fill" as it %}{% endpicks %}', "need a feed to take from"),
        ('{% picks 2 if_fewer="drop" as it %}{% endpicks %}', "one of hide, fill, skip"),
        ('{% picks 2 category="tea" as it %}{% endpicks %}', "picks takes if_fewer and fallback"),
        ('{% picks 2 if_fewer="hide" if_fewer="hide" as it %}{% endpicks %}', "there twice"),
        ("{% picks 2 if_fewer=profile.x as it %}{% endpicks %}", "a text in quotes"),
        ("{% feed new 2 as it %}{% endfeed %}", "expected token 'string'"),
        ('{% feed "new-in" 2 as profile %}{% endfeed %}', '"profile" cannot be set'),
        ('{% feed "new-in" 2 as it %}{{ it.__class__ }}{% endfeed %}', "begin with _"),
        ('{% feed "new-in" 2 as it %}', "Unexpected end"),
        ("{{ products(1) }}", '"products" is not a function'),
        ("{{ picks(4) }}", '"picks" is not a function'),
    ],
)
def test_a_slip_in_a_block_is_an_error_with_its_line(block: str, says: str) -> None:
    with pytest.raises(CampaignError, match=r"^templates/sms/x\.txt:2: ") as refusal:
        text(f"first line\n{block}")

    assert says in str(refusal.value)


def test_blocks_are_loops_and_bounded_as_loops_are() -> None:
    deep = '{% feed "big" 100 as a %}' * 4 + "{{ a.title }}" + "{% endfeed %}" * 4
    big = {"big": Feed("big", [{"id": str(n), "title": "t"} for n in range(200)])}

    with pytest.raises(CampaignError, match="nested 4 deep"):
        text('{% feed "big" 1 as a %}' + deep + "{% endfeed %}", feeds=big)
    with pytest.raises(TooCostly, match="too many rows"):
        text(deep, feeds=big)


def test_a_block_is_no_value_of_yaml() -> None:
    with pytest.raises(CampaignError, match="without for and set"):
        compile_expression("{% picks 1 as it %}{{ it.title }}{% endpicks %}")


def test_a_template_tells_which_feeds_it_reads_and_where() -> None:
    body = (
        '---\nsubject: s\n---\n<p>\n{% feed "new-in" 2 category="tea" in_stock=true as it %}'
        "x{% endfeed %}\n"
        '{% picks 2 if_fewer="fill" fallback="best" as it %}x{% endpicks %}'
    )

    template = compile_template("email", "x", {"templates/email/x.html": body.encode()})

    assert [(it.name, it.columns, it.where) for it in template.feeds] == [
        ("new-in", ("category", "in_stock"), "templates/email/x.html:5"),
        ("best", (), "templates/email/x.html:6"),
    ]


def test_what_a_feed_chose_once_it_need_not_look_for_again() -> None:
    big = Feed("big", [{"id": str(n), "title": "t", "category": str(n)} for n in range(50_000)])

    first, n_first = big.chosen((("category", "49999"),))
    again, n_again = big.chosen((("category", "49999"),))

    assert [row["id"] for row in first] == ["49999"]
    assert again is first
    assert (n_first, n_again) == (1, 0), "one row, by its index"


def test_a_template_cannot_make_a_feed_search_for_ever() -> None:
    """Each question is a new one, and no product answers any of them."""
    bits = [f"c{n}" for n in range(10)]
    rng = random.Random(20261123)
    rows = [
        {"id": str(n), "title": "t", "x": n % 2 == 0, "y": n % 2 == 1}
        | {bit: rng.random() < 0.9 for bit in bits}
        for n in range(60_000)
    ]
    asked = [{bit: bool(n >> place & 1) for place, bit in enumerate(bits)} for n in range(1_024)]
    filters = " ".join(f"{bit}=row.{bit}" for bit in bits)
    body = f'{{% for row in event.rows %}}{{% feed "big" 1 x=true y=true {filters} as it %}}x'
    feeds = {"big": Feed("big", rows)}
    text('{% feed "big" 1 x=true y=true as it %}{% endfeed %}', feeds=feeds)
    started = perf_counter()

    with pytest.raises(TooCostly, match="too many rows"):
        text(
            body + "{% endfeed %}{% endfor %}",
            feeds=feeds,
            event={"rows": asked[::-1]},
        )

    assert perf_counter() - started < 3
