"""From files to content: parts, languages, missing values, errors with file and line."""

from typing import Any

import pytest

from channels.content.expressions import compile_expression, evaluate
from channels.content.limits import MissingValue, RenderError
from channels.content.render import Content, Setting, render
from channels.content.templates import compile_template, template_names
from engine.core.errors import CampaignError
from engine.core.model.steps import Expression

MJML = """---
subject: Hello {{ profile.first_name }}, {{ event.cart_value | money }}
preheader: Only {{ event.n }} left
from: Shop <shop@example.com>
---
<mjml><mj-head><mj-style>.x a { color: red }</mj-style></mj-head><mj-body>
<mj-section css-class="x"><mj-column>
<mj-text>Hi {{ profile.first_name }}!{% if event.n < 9 and event.n > 1 %} See your
<a href="https://shop.example/cart/{{ event.cart_id }}?a=1&amp;b=2">cart</a>.{% endif %}</mj-text>
<mj-table><tr><th>Name</th></tr>
{% for item in event.items %}
<tr><td>{{ item.name }}</td><td>{{ item.price | money }}</td></tr>
{% endfor %}
</mj-table>
<mj-text><a href="{{ unsubscribe_url }}">Unsubscribe</a>
<a href="https://shop.example/imprint" data-no-track>Imprint</a></mj-text>
</mj-column></mj-section></mj-body></mjml>
"""
CONTEXT: dict[str, Any] = {
    "profile": {"first_name": "Ada"},
    "event": {
        "n": 2,
        "cart_value": 1240.5,
        "cart_id": "c 1",
        "items": [{"name": "Tea <3", "price": 3.5}, {"name": "Pot & lid", "price": 30}],
    },
    "variants": {"nudge": "b"},
    "now": 1_772_445_600_000_000,  # 2026-03-02T10:00:00Z
}
SETTING = Setting(
    currency="EUR",
    unsubscribe_url="https://u.example/u/t?a&b",
    open_url="https://u.example/t/o/t",
    link_url=lambda index, url: f"https://u.example/t/c/{index}",
)


def email(
    source: str, context: Any = CONTEXT, *, setting: Setting = SETTING, **more: str
) -> Content:
    end = "mjml" if "<mjml" in source else "html"
    files = {f"templates/email/x.{end}": source.encode()}
    files |= {
        f"templates/email/x.{name.replace('_', '.')}": text.encode() for name, text in more.items()
    }
    return render(compile_template("email", "x", files), context, setting=setting)


def sms(body: str, setting: Setting = SETTING, **context: Any) -> str:
    template = compile_template("sms", "x", {"templates/sms/x.txt": body.encode()})
    return render(template, {**CONTEXT, **context}, setting=setting).text


# --- e-mail -------------------------------------------------------------------------------------


def test_mjml_becomes_inlined_html_with_escaped_values() -> None:
    content = email(MJML)

    assert content.subject == "Hello Ada, €1,240.50"
    assert content.from_ == "Shop <shop@example.com>"
    assert "<mj-" not in content.html
    assert "ATPHx" not in content.html + content.text
    assert "Tea &lt;3" in content.html
    assert 'style="color: red;">cart</a>' in content.html
    assert content.html.index("Only 2 left") < content.html.index("Hi Ada!")


def test_rows_of_a_loop_stay_inside_their_table() -> None:
    html = email(MJML).html

    table = html[html.index("<th>Name</th>") : html.index("</tbody>", html.index("<th>Name"))]
    assert table.count("<tr>") == 2
    assert table.index("Tea") < table.index("Pot &amp; lid")


def test_links_are_replaced_and_their_destinations_kept_in_order() -> None:
    content = email(MJML)

    assert content.links == ("https://shop.example/cart/c%201?a=1&b=2",)
    assert 'href="https://u.example/t/c/0"' in content.html
    assert 'href="https://u.example/u/t?a&amp;b"' in content.html
    assert 'href="https://shop.example/imprint"' in content.html
    assert "data-no-track" not in content.html
    assert content.html.count("https://u.example/t/o/t") == 1


@pytest.mark.parametrize(
    ("href", "expected", "links"),
    [
        (
            "https://a.example/?x=1&amp;y={{- event.n -}}#z",
            "c/0",
            ("https://a.example/?x=1&y=2#z",),
        ),
        ("{{ event.url }}", "c/0", ("https://b.example/",)),
        ("{{ link(event.url) }}", "c/0", ("https://b.example/",)),
        ("mailto:{{ event.n }}@a.example", "mailto:2@a.example", ()),
        ("tel:+4912", "tel:+4912", ()),
        ("#top", "#top", ()),
    ],
)
def test_each_kind_of_link_is_tracked_or_left(
    href: str, expected: str, links: tuple[str, ...]
) -> None:
    event = {**CONTEXT["event"], "url": "https://b.example/"}

    content = email(f'---\nsubject: s\n---\n<a href="{href}">x</a>', {**CONTEXT, "event": event})

    assert expected in content.html
    assert content.links == links


def test_a_link_to_a_value_that_is_a_script_stops_the_message() -> None:
    source = '---\nsubject: s\n---\n<a href="{{ profile.first_name }}">x</a>'

    with pytest.raises(RenderError, match="starts with https"):
        email(source, {**CONTEXT, "profile": {"first_name": "javascript:alert(1)"}})


def test_the_text_part_is_made_from_the_page_and_not_escaped() -> None:
    text = email(MJML).text

    assert "Hi Ada! See your cart (https://u.example/t/c/0)." in text
    assert "Tea <3 €3.50\nPot & lid €30.00" in text
    assert "Unsubscribe (https://u.example/u/t?a&b)" in text
    assert "Only 2 left" not in text


def test_a_text_part_the_author_wrote_is_kept() -> None:
    content = email(MJML, txt="Dear {{ profile.first_name }}")

    assert content.text == "Dear Ada"


def test_values_in_html_cannot_break_out_of_it() -> None:
    context = {**CONTEXT, "profile": {"first_name": '"><script>alert(1)</script>'}}

    content = email('---\nsubject: s\n---\n<p title="{{ profile.first_name }}">x</p>', context)

    assert "<script>" not in content.html


def test_a_line_break_in_a_value_cannot_become_a_header() -> None:
    context = {**CONTEXT, "profile": {"first_name": "Ada\r\nBcc: all@example.com"}}

    content = email(MJML, context)

    assert content.subject.startswith("Hello Ada Bcc: all@example.com, ")


def test_the_same_files_render_to_the_same_bytes_and_hash() -> None:
    files = {"templates/email/x.mjml": MJML.encode()}
    other = {"templates/email/x.mjml": MJML.replace("See", "Look at").encode()}

    first = compile_template("email", "x", files)

    assert compile_template("email", "x", {**files, "templates/sms/y.txt": b"y"}) is first
    assert compile_template("email", "x", other).hash != first.hash
    assert render(first, CONTEXT, setting=SETTING) == render(first, CONTEXT, setting=SETTING)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>no front matter</p>", "x.html:1: an e-mail needs a subject"),
        ("---\nsubjct: a\n---\n", 'x.html:2: "subjct" is not a key here'),
        ("---\nsubject: a\n", "x.html:1: the front matter has no closing line"),
        ("---\nsubject a\n---\n", 'x.html:2: "subject a" is not `key: value`'),
        ("---\nsubject: a\nsubject: b\n---\n", 'x.html:3: "subject" is there twice'),
        ("---\nsubject: a\n---\n<p>\n{{ profile.name\n</p>", "x.html:6: "),
        ("---\nsubject: a\n---\n<p>\n\n{% if 1 %}</p>", "x.html:6: Unexpected end of template"),
        ("---\nsubject: a\n---\n<p>\n{{ profil.name }}</p>", 'x.html:5: "profil" is not a name'),
        ("---\nsubject: a\n---\n\n{{ now | dat }}", 'Did you mean "date"?'),
        ("---\nsubject: {{ profile.x | nope }}\n---\n", 'x.html:2: "nope" is not a filter'),
        (
            "---\nsubject: a\n---\n<style>p{color:red}</style>\n<p>\n<p style=\"x\">a",
            "x.html:6: a style cannot be read as CSS",
        ),
        (
            "---\nsubject: a\n---\n<mjml><mj-body>\n<mj-section>\n<mj-column></mj-section>",
            "MJML:",
        ),
        (
            "---\nsubject: a\n---\n<mjml><mj-body>\n<mj-include path='/etc/x'/></mj-body></mjml>",
            "x.mjml:5: MJML: unable to load included template",
        ),
        (
            "---\nsubject: a\n---\n<style>p{color:{{ profile.c }}}</style><p style='color:red'>a",
            "drops it",
        ),
    ],
)  # fmt: skip
def test_an_error_names_file_line_and_fault(source: str, found: str) -> None:
    with pytest.raises(CampaignError) as error:
        email(source)

    assert str(error.value).startswith("templates/email/x.")
    assert found in str(error.value)


def test_files_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(CampaignError, match=r"there is an .mjml of this template too"):
        email(MJML, html="---\nsubject: a\n---\nb")
    with pytest.raises(CampaignError, match=r"templates/sms/ has: other"):
        compile_template("sms", "x", {"templates/sms/other.txt": b"a"})
    with pytest.raises(CampaignError, match=r"is one of \.txt"):
        compile_template("sms", "x", {"templates/sms/x.html": b"a"})
    with pytest.raises(CampaignError, match=r"x\.txt:2: this is not UTF-8"):
        compile_template("sms", "x", {"templates/sms/x.txt": b"a\n\xff"})
    with pytest.raises(CampaignError, match="without a locale as well"):
        compile_template("sms", "x", {"templates/sms/x.de.txt": b"a"})


def test_every_template_of_a_workspace_is_found() -> None:
    paths = ["templates/email/a.mjml", "templates/email/a.de.txt", "templates/push/b.json", "x.txt"]

    assert template_names(paths) == {("email", "a"), ("push", "b")}


# --- languages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        (None, "Hi: €1,240.50 on 2 March 2026"),
        ("en-GB", "Hi: €1,240.50 on 2 March 2026"),
        ("de", "Hallo: 1.240,50\u00a0€ am 2. März 2026"),
        ("de-AT", "Hallo: 1.240,50\u00a0€ am 2. März 2026"),
        ("pt_BR", "Oi: €\u00a01.240,50, 2 de março de 2026"),
        ("pt-PT", "Hi: €1,240.50 on 2 March 2026"),
    ],
)
def test_a_reader_gets_their_language_or_the_nearest(locale: str | None, expected: str) -> None:
    files = {
        "templates/sms/x.txt": b"Hi: {{ event.cart_value | money }} on {{ now | date }}",
        "templates/sms/x.de.txt": b"Hallo: {{ event.cart_value | money }} am {{ now | date }}",
        "templates/sms/x.pt-BR.txt": b"Oi: {{ event.cart_value | money }}, {{ now | date }}",
    }
    template = compile_template("sms", "x", files)

    content = render(template, CONTEXT, setting=Setting(locale=locale, currency="EUR"))

    assert content.text == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{{ 1234.5 | number }} {{ 1234.5 | number(2) }}", "1,234 1,234.50"),
        ("{{ 5 | money('CHF') }} {{ -5 | money('JPY') }}", "CHF\u00a05.00 -¥5"),
        ("{{ 1 | plural('item', 'items') }} {{ 2 | plural('item', 'items') }}", "item items"),
        ("{{ 'mary o\\'neil' | title }} {{ 'a' | upper }} {{ 'B' | lower }}", "Mary O'neil A b"),
        ("{{ 'one two three' | truncate(9) }}", "one two…"),
        ("{{ now | time }} {{ '2026-12-24' | date('%A %e %B') }}", "11:00 Thursday 24 December"),
        ("{{ '2026-03-02T23:30:00Z' | date }}", "3 March 2026"),
        ("{{ ['a', 'b'] | join(' and ') }} {{ event.items | length }}", "a and b 2"),
        ("{{ (event['items'] | first).name }} {{ event.items[1].price }}", "Tea <3 30"),
        ("{{ 2.50 * 2 }} {{ 7 // 2 }} {{ true }}", "5 3 true"),
        ("{{ variant('nudge') }}", "b"),
        ("{{ 'a b&c' | urlencode }}", "a%20b%26c"),
        ("{{ link('https://x.example/a') }}", "https://u.example/t/c/0"),
    ],
)
def test_filters_and_names_do_what_they_say(body: str, expected: str) -> None:
    setting = Setting(currency="EUR", zone="Europe/Berlin", link_url=SETTING.link_url)

    assert sms(body, setting) == expected


# --- missing values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("Hi {{ profile.name }},", "profile.name"),
        ("Hi {{ profile.blank }},", "profile.blank"),
        ("Hi {{ profile.null }},", "profile.null"),
        ("{{ profile.address.city }}", "profile.address"),
        ("{{ profile.name | upper }}", "profile.name"),
        ("{{ event.total | money('EUR') }}", "event.total"),
        ("{{ 'Hi ' ~ profile.name }}", "profile.name"),
        ("{% for a in event.rows %}{{ a }}{% endfor %}", "event.rows"),
        ("{% for a in event.items %}{{ a.size }}{% endfor %}", "a.size"),
        ("{{ event.items[7].name }}", "event.items.7"),
        ("{{ event.total + 1 }}", "event.total"),
        ("{% if event.total > 3 %}x{% endif %}", "event.total"),
        ("{{ variant('none') }}", "variant('none')"),
        ("{{ preferences_url }}", "preferences_url"),
    ],
)
def test_a_missing_value_stops_the_message_and_is_named(body: str, path: str) -> None:
    profile = {"blank": "  ", "null": None}

    with pytest.raises(MissingValue) as missing:
        sms(body, profile=profile)

    assert isinstance(missing.value, LookupError)
    assert missing.value.path.startswith(path)


@pytest.mark.parametrize(
    "body",
    [
        "Hi {{ profile.name | default('there') }}",
        "Hi {{ profile.blank | default('there') }}",
        "Hi {{ profile.address.city | default('there') }}",
        "Hi {% if profile.name %}{{ profile.name }}{% else %}there{% endif %}",
        "Hi {% if profile.name is defined %}{{ profile.name }}{% else %}there{% endif %}",
        "Hi {{ profile.name or 'there' }}",
        "Hi {{ 'you' if profile.name == 'Ada' else 'there' }}",
        "Hi {{ profile.name if profile.name else 'there' }}",
    ],
)
def test_a_template_that_provides_for_it_is_not_stopped(body: str) -> None:
    template = compile_template("sms", "x", {"templates/sms/x.txt": body.encode()})

    assert sms(body, profile={"blank": " "}) == "Hi there"
    assert template.requires == ()


def test_required_paths_are_those_outside_conditions_and_without_default() -> None:
    body = """{{ profile.a }}{{ profile.b | default(1) }}
    {% if profile.c %}{{ profile.d }}{% endif %}{{ event['g h'].i }}
    {% for x in event.e %}{{ x.y }}{{ profile.f }}{% endfor %}{{ campaign.name }}
    {% set n = profile.j %}{{ link('https://x.example/' ~ event.k) }}"""

    template = compile_template("sms", "x", {"templates/sms/x.txt": body.encode()})

    expected = ("profile.a", "event.g h.i", "event.e", "profile.j", "event.k")
    assert template.requires == expected
    assert template.facts().requires == expected
    assert {"profile.b", "profile.d", "profile.f", "campaign.name"} <= set(template.reads)


def test_a_value_of_the_wrong_kind_is_a_render_error_in_words() -> None:
    with pytest.raises(RenderError, match="takes a number, not a text"):
        sms("{{ profile.first_name | money }}")
    with pytest.raises(RenderError, match="a list cannot be printed"):
        sms("{{ event.items }}")
    with pytest.raises(RenderError, match="not supported between"):
        sms("{% if profile.first_name > 3 %}{% endif %}")


# --- push and web -------------------------------------------------------------------------------


def test_a_push_is_a_tree_whose_texts_are_rendered() -> None:
    source = '{"title": "Hi {{ profile.first_name }}", "data": {"n": 3, "l": ["{{ event.n }}"]}}'
    template = compile_template("push", "x", {"templates/push/x.json": source.encode()})
    short = (
        "---\ntitle: Hi {{ profile.first_name }}\nurl: https://x.example\n---\nSee {{ event.n }}"
    )
    other = compile_template("push", "y", {"templates/push/y.txt": short.encode()})

    content = render(template, {**CONTEXT, "profile": {"first_name": 'A"b'}}, setting=SETTING)

    assert content.data == {"title": 'Hi A"b', "data": {"n": 3, "l": ["2"]}}
    assert render(other, CONTEXT, setting=SETTING).data == {
        "title": "Hi Ada", "url": "https://x.example", "body": "See 2",
    }  # fmt: skip


def test_a_push_that_is_no_json_or_has_no_title_is_refused() -> None:
    for source, found in [
        (b'{"title":\n oops}', "x.json:2: this is not JSON"),
        (b'{"body": "x"}', 'at least a "title"'),
        (b'{"title": "a",\n "body": "{{ nobody }}"}', 'x.json:2: "nobody" is not a name'),
        (b"[" * 100_000, "this is not JSON"),
    ]:
        with pytest.raises(CampaignError) as error:
            compile_template("push", "x", {"templates/push/x.json": source})
        assert found in str(error.value)


def test_web_content_is_escaped_html() -> None:
    source = b"<b>{{ profile.first_name }}</b>"
    template = compile_template("web", "x", {"templates/web/x.html": source})

    content = render(template, {"profile": {"first_name": "<i>"}}, setting=SETTING)

    assert content.html == "<b>&lt;i&gt;</b>"


# --- expressions of YAML ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ event.n }}", 2),
        ("  {{ event.n + 1 }}\n", 3),
        ("{{ event.items }}", CONTEXT["event"]["items"]),
        ("{{ event.n > 1 }}", True),
        ("{{ event.cart_value }}", 1240.5),
        ("n is {{ event.n }}", "n is 2"),
        ("{{ event.n }}{{ event.n }}", "22"),
        ("{{ now }}", "2026-03-02T10:00:00Z"),
        ("{{ variant('nudge') }}", "b"),
        ("{{ event.none }}", None),
        ("{{ event.gone | default(7) }}", 7),
        ("{% if event.n == 2 %}two{% endif %}", "two"),
    ],
)
def test_one_whole_expression_keeps_its_type(text: str, expected: Any) -> None:
    context = {**CONTEXT, "event": {**CONTEXT["event"], "none": None}}

    expression = compile_expression(text)

    assert isinstance(expression, Expression)
    result = evaluate(expression, context)
    assert result == expected
    assert type(result) is type(expected)


def test_a_text_without_expression_is_itself_and_reads_are_known() -> None:
    assert compile_expression("plain 100%") == "plain 100%"
    expression = compile_expression("{{ profile.a }} of {{ event.b.c | default(1) }}")
    assert expression == Expression(
        "{{ profile.a }} of {{ event.b.c | default(1) }}", ("profile.a", "event.b.c")
    )


def test_an_expression_over_a_missing_value_is_a_lookup_error() -> None:
    expression = compile_expression("{{ profile.gone }}")

    assert isinstance(expression, Expression)
    with pytest.raises(LookupError, match=r"missing value: profile.gone"):
        evaluate(expression, {"profile": {}})


def test_an_expression_writes_dates_and_money_as_the_context_says() -> None:
    expression = compile_expression("{{ event.n | money }} at {{ now | time }}")
    context = {**CONTEXT, "zone": "Asia/Tokyo", "locale": "de", "currency": "EUR"}

    assert isinstance(expression, Expression)
    assert evaluate(expression, context) == "2,00\u00a0€ at 19:00"


def test_an_error_in_an_expression_names_the_place_it_was_given() -> None:
    with pytest.raises(CampaignError, match=r"^campaigns/a.yaml:7:\d+: "):
        compile_expression("{{ event. }}", where="campaigns/a.yaml:7")
