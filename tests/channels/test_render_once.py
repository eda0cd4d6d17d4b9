"""What costs is done when a template is compiled, never for a message."""

import pytest

from channels.content import html_mail, templates
from channels.content.render import Setting, render
from channels.content.templates import compile_template

SOURCE = """---
subject: Hi {{ profile.name }}
layout: once
---
<mj-section><mj-column><mj-text css-class="x">Hello {{ profile.name }}
<a href="https://shop.example">Shop</a></mj-text></mj-column></mj-section>
"""
LAYOUT = """<mjml><mj-head><mj-style>.x a { color: red }</mj-style></mj-head>
<mj-body>{{ content }}{% include "once" %}</mj-body></mjml>
"""
FILES = {
    "templates/email/once.mjml": SOURCE.encode(),
    "templates/email/_layouts/once.mjml": LAYOUT.encode(),
    "templates/email/_partials/once.mjml": b"<mj-section><mj-column></mj-column></mj-section>\n",
}


def test_a_message_costs_neither_mjml_nor_css_nor_a_text_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import css_inline
    import mrml

    calls: list[str] = []

    def counted(name: str, real):  # type: ignore[no-untyped-def]
        def call(*given, **named):  # type: ignore[no-untyped-def]
            calls.append(name)
            return real(*given, **named)

        return call

    monkeypatch.setattr(mrml, "to_html", counted("mjml", mrml.to_html))
    monkeypatch.setattr(css_inline, "CSSInliner", counted("css", css_inline.CSSInliner))
    monkeypatch.setattr(templates, "text_of", counted("text", templates.text_of))
    monkeypatch.setattr(
        html_mail, "with_tracked_links", counted("links", html_mail.with_tracked_links)
    )
    monkeypatch.setattr(templates, "put_together", counted("together", templates.put_together))

    template = compile_template("email", "once", FILES)
    once = sorted(calls)
    pages = [
        render(template, {"profile": {"name": f"Ada{n}"}}, setting=Setting()) for n in range(50)
    ]

    assert {"css", "mjml", "text", "together"} <= set(once)
    assert once.count("css") == once.count("mjml") == once.count("text") == 1
    assert sorted(calls) == once, "rendering called one of them"
    assert compile_template("email", "once", FILES) is template, "the same files again"
    assert "Hello Ada49" in pages[49].text
    assert 'style="color: red;">Shop</a>' in pages[49].html
