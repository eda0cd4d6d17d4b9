"""Partials and layouts: one template from several files, and faults at the file they are in."""

import pytest

from channels.content.partials import DEPTH, PIECES
from channels.content.render import Content, Setting, render
from channels.content.templates import CompiledTemplate, compile_template, template_names
from engine.core.errors import CampaignError

BODY = '---\nsubject: Hi {{ profile.name }}\n---\n<p>Hello</p>\n{% include "footer" %}\n<p>end</p>'
FOOTER = '<p>{{ profile.shop }}</p>\n<a href="{{ unsubscribe_url }}">Stop</a>\n'
SETTING = Setting(unsubscribe_url="https://u.example/u/t")
VALUES = {"profile": {"name": "Ada", "shop": "Corner"}, "event": {"n": 3}}


def files(channel: str = "email", **texts: str) -> dict[str, bytes]:
    """`_partials__footer_de_html` is templates/email/_partials/footer.de.html."""
    found = {}
    for name, text in texts.items():
        path = name.replace("partials__", "partials/").replace("layouts__", "layouts/")
        head, _, stem = path.rpartition("/")
        stem = stem.replace("_", ".")
        found[f"templates/{channel}/" + (f"{head}/{stem}" if head else stem)] = text.encode()
    return found


def compiled(channel: str = "email", **texts: str) -> CompiledTemplate:
    return compile_template(channel, "x", files(channel, **texts))  # type: ignore[arg-type]


def rendered(channel: str = "email", locale: str | None = None, **texts: str) -> Content:
    setting = Setting(unsubscribe_url="https://u.example/u/t", locale=locale)
    return render(compiled(channel, **texts), VALUES, setting=setting)


# --- put together -------------------------------------------------------------------------------


def test_a_partial_stands_where_it_is_included() -> None:
    content = rendered(x_html=BODY, _partials__footer_html=FOOTER)

    assert content.html.index("Hello") < content.html.index("Corner") < content.html.index("end")
    assert "Stop (https://u.example/u/t)" in content.text


def test_what_a_partial_reads_is_required_of_the_template() -> None:
    template = compiled(x_html=BODY, _partials__footer_html=FOOTER)

    assert set(template.requires) == {"profile.name", "profile.shop"}


def test_a_partial_inside_a_loop_reads_the_row() -> None:
    source = '---\nsubject: s\n---\n{% for row in event.rows %}{% include "card" %}{% endfor %}'
    template = compiled(x_html=source, _partials__card_html="<i>{{ row }}</i>\n")

    content = render(template, {"profile": {}, "event": {"rows": ["a", "b"]}}, setting=Setting())

    assert "<i>a</i><i>b</i>" in content.html


def test_a_body_goes_into_its_layout_and_both_may_include() -> None:
    content = rendered(
        x_html="---\nsubject: s\nlayout: shop\n---\n<p>body</p>",
        _layouts__shop_html="<html><body><h1>top</h1>{{ content }}"
        '{% include "footer" %}</body></html>',
        _partials__footer_html=FOOTER,
    )

    html = content.html
    assert html.index("top") < html.index("body</p>") < html.index("Corner")


def test_mjml_is_compiled_with_its_partials_inside() -> None:
    content = rendered(
        x_mjml="---\nsubject: s\nlayout: shop\n---\n<mj-section><mj-column><mj-text>Body"
        "</mj-text></mj-column></mj-section>",
        _layouts__shop_mjml='<mjml><mj-body>{{ content }}{% include "footer" %}</mj-body></mjml>',
        _partials__footer_mjml="<mj-section><mj-column><mj-text>{{ profile.shop }}</mj-text>"
        "</mj-column></mj-section>\n",
    )

    assert "<mj-" not in content.html
    assert content.html.index("Body") < content.html.index("Corner")


@pytest.mark.parametrize(
    ("language", "expected"),
    [("de-AT", "Fuß AT"), ("de", "Fuß DE"), ("fr", "foot"), (None, "foot")],
)
def test_a_partial_follows_the_language_of_its_template(
    language: str | None, expected: str
) -> None:
    body = '---\nsubject: s\n---\n<p>{% include "footer" %}</p>'
    texts = {"x_html": body, "x_de_html": body, "x_de-AT_html": body, "x_fr_html": body}

    content = rendered(
        locale=language,
        **texts,
        _partials__footer_html="foot",
        _partials__footer_de_html="Fuß DE",
        **{"_partials__footer_de-AT_html": "Fuß AT"},
    )

    assert f"<p>{expected}</p>" in content.html


def test_every_channel_has_partials() -> None:
    sms = rendered("sms", x_txt='Hi\n{% include "stop" %}', _partials__stop_txt="Reply STOP\n")
    web = rendered("web", x_html='<b>{% include "badge" %}</b>', _partials__badge_html="new\n")
    push = rendered(
        "push",
        x_json='{"title": "t", "body": "{% include \\"legal\\" %} for {{ profile.name }}"}',
        _partials__legal_txt="Terms of {{ profile.shop }}\n",
    )

    assert sms.text == "Hi\nReply STOP"
    assert web.html == "<b>new</b>"
    assert push.data["body"] == "Terms of Corner for Ada"


def test_an_include_in_a_text_or_a_comment_is_no_include() -> None:
    source = (
        """---\nsubject: s\n---\n<p>{{ "{% include 'gone' %}" }}{# {% include "gone" %} #}</p>"""
    )

    assert "{% include" in rendered(x_html=source).html


def test_a_partial_is_not_a_template() -> None:
    assert template_names(files(x_html=BODY, _partials__footer_html=FOOTER)) == {("email", "x")}


def test_the_hash_covers_partials_and_layouts_and_nothing_else() -> None:
    plain = compiled(x_html="---\nsubject: s\n---\n<p>x</p>")
    one = compiled(x_html=BODY, _partials__footer_html=FOOTER)
    same = compiled(x_html=BODY, _partials__footer_html=FOOTER, _partials__other_html="unused")
    other = compiled(x_html=BODY, _partials__footer_html=FOOTER + "!")

    assert one.hash == same.hash != other.hash
    # What 0.2.0 gave this template: applied workspaces see no change.
    assert plain.hash == "2240e6e06b3ba90ba9d81215c5d61738"


# --- faults -------------------------------------------------------------------------------------

AT = "templates/email"


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (
            {"_partials__footer_html": "<p>a</p>\n<p>{{ nobody }}</p>"},
            rf"{AT}/_partials/footer\.html:2: \"nobody\" is not a name",
        ),
        (
            {"_partials__footer_html": "<p>\n\n{% if profile.shop %}"},
            rf"{AT}/_partials/footer\.html:3: ",
        ),
        (
            {"_partials__footer_html": "<p>\n{{ profile.shop | shout }}"},
            rf"{AT}/_partials/footer\.html:2: \"shout\" is not a filter",
        ),
        (
            {"_partials__footer_html": '{% include "legal" %}'},
            rf"{AT}/_partials/footer\.html:1: there is no partial \"legal\".*: footer$",
        ),
        ({}, rf"{AT}/x\.html:5: there is no partial \"footer\".*: none$"),
        (
            {"_partials__footer_txt": "x"},
            r"x\.html:5: there is no partial \"footer\".* \.html: none",
        ),
        (
            {
                "_partials__footer_html": '<p>\n{% include "a" %}',
                "_partials__a_html": '{% include "footer" %}',
            },
            r"_partials/a\.html:1: .* in a circle: footer -> a -> footer",
        ),
    ],
)
def test_a_fault_is_reported_at_its_own_file_and_line(texts: dict[str, str], says: str) -> None:
    with pytest.raises(CampaignError, match=says):
        compiled(x_html=BODY, **texts)


def test_a_fault_after_a_partial_keeps_its_line() -> None:
    with pytest.raises(CampaignError, match=r"x\.html:6: \"oops\""):
        compiled(x_html=BODY.replace("end", "{{ oops }}"), _partials__footer_html="a\nb\nc\nd\n")


def test_broken_mjml_in_a_partial_is_reported_there() -> None:
    layout = '<mjml><mj-body>\n{{ content }}\n{% include "footer" %}\n</mj-body></mjml>'

    with pytest.raises(CampaignError, match=r"_partials/footer\.mjml:3: MJML: "):
        compiled(
            x_mjml="---\nsubject: s\nlayout: shop\n---\n{# two\nlines #}<mj-section></mj-section>",
            _layouts__shop_mjml=layout,
            _partials__footer_mjml="<mj-section>\n<mj-column>\n<mj-text a=>\n</mj-text></mj-column>"
            "</mj-section>",
        )


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (
            "<p>no place</p>",
            r"_layouts/shop\.html:1: a layout says \{\{ content \}\} once.* 0 times",
        ),
        ("{{ content }}{{ content }}", "2 times"),
        ("{{ content }}<p>\n{{ nobody }}", r"_layouts/shop\.html:2: \"nobody\""),
    ],
)
def test_a_layout_has_one_place_for_the_body(layout: str, says: str) -> None:
    with pytest.raises(CampaignError, match=says):
        compiled(x_html="---\nsubject: s\nlayout: shop\n---\nx", _layouts__shop_html=layout)


def test_a_layout_that_is_not_there_is_reported_at_the_key() -> None:
    with pytest.raises(CampaignError, match=r"x\.html:3: there is no layout \"shpo\".*: shop$"):
        compiled(
            x_html="---\nsubject: s\nlayout: shpo\n---\nx", _layouts__shop_html="{{ content }}"
        )


@pytest.mark.parametrize(
    "include",
    [
        "{% include name %}",
        "{% include '/etc/passwd' %}",
        '{% include "../x" %}',
        '{%- include "a" %}',
    ],
)
def test_only_a_plain_name_can_be_included(include: str) -> None:
    with pytest.raises(CampaignError, match=r"x\.html:4: include takes the name of a partial"):
        compiled(x_html=f"---\nsubject: s\n---\n{include}", _partials__a_html="a")


def test_partials_nested_too_deeply_are_refused() -> None:
    chain = {f"_partials__p{n}_html": f'{{% include "p{n + 1}" %}}' for n in range(DEPTH + 1)}

    with pytest.raises(CampaignError, match=rf"p{DEPTH - 1}\.html:1: .*{DEPTH} deep"):
        compiled(x_html='---\nsubject: s\n---\n{% include "p0" %}', **chain)


def test_partials_that_multiply_are_refused_quickly() -> None:
    many = {f"_partials__p{n}_html": f'{{% include "p{n + 1}" %}}' * 100 for n in range(4)}

    with pytest.raises(CampaignError, match=f"at most {PIECES:,} partials"):
        compiled(x_html='---\nsubject: s\n---\n{% include "p0" %}', _partials__p4_html="", **many)
    with pytest.raises(CampaignError, match="more than 262,144 characters"):
        compiled(
            x_html="---\nsubject: s\n---\n" + '{% include "big" %}' * 9,
            _partials__big_html="x" * 60_000,
        )
