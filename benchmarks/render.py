"""E-mails rendered per second, beside bare sandboxed Jinja2 on the same template, in one run.

    python -m benchmarks.render [N]

The reference e-mail has a loop of 8 rows, 4 recommendations, 12 other expressions, 5 tracked links
and a text part. Bare Jinja2 (`SandboxedEnvironment`) gets what we compile: the page with its links
wrapped and its text part, the block of recommendations written as a `for`; once with our filters
and once with the least that could stand for them. What it does not do is what our render costs
more: bounds, missing values by name, links counted once, amounts and dates by language.
Pieces of all are timed in turns, by processor time; wanted: at least 0.70 of the bare rate.
"""

import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from time import process_time
from typing import Any

from jinja2 import Template
from jinja2.sandbox import SandboxedEnvironment

from channels.base import OutMessage
from channels.content.filters import FILTERS, Manner
from channels.content.render import Content, Setting, render
from channels.content.templates import CompiledTemplate, compile_template
from channels.email.headers import Sender
from channels.email.mime import build_email

WANTED = 0.70
TURNS = 20
PICKS = '{% picks 4 if_fewer="hide" as pick %}'
_PARAGRAPH = (
    '<p style="font-size:15px;line-height:22px;color:#333333">We kept your basket for you, '
    "because good things should not get lost on the way between two devices.</p>\n"
)
REFERENCE = (
    """---
subject: "{{ profile.first_name }}, your cart is waiting"
preheader: "{{ event.n_items }} {{ event.n_items | plural('item', 'items') }} left"
---
<html><head><title>Cart</title><style>td{padding:4px;border-bottom:1px solid #eeeeee}</style></head>
<body>
<h1>Hello {{ profile.first_name }}</h1>
"""
    + _PARAGRAPH * 9
    + """<table>{% for item in event.rows %}
<tr><td>{{ loop.index }}</td><td>{{ item.name }}</td><td>{{ item.price | money }}</td></tr>
{% endfor %}</table>
{% if profile.is_vip %}<p>Your extra: free shipping until {{ now | date }}.</p>{% endif %}
<h2>You may like</h2><table>"""
    + PICKS
    + """
<tr><td><a href="https://shop.example/p/{{ pick.id }}">{{ pick.title }}</a></td>
<td>{{ pick.price | money }}</td></tr>
{% endpicks %}</table>
<p>Total {{ event.cart_value | money("EUR") }} · <a href="https://shop.example/cart">Open it</a></p>
<p>{{ profile.city | default("Your") }} shop · <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
</body></html>
"""
)
SETTING = Setting(
    currency="EUR",
    unsubscribe_url="https://u.example/u/AQIBAAAAAAAAAHsABAbDT73T4sVv2AvRvUmJZlI",
    link_url=lambda index, url: f"https://u.example/t/c/token{index}",
)


def reference_template() -> CompiledTemplate:
    """The reference template, compiled."""
    return compile_template("email", "cart", {"templates/email/cart.html": REFERENCE.encode()})


def reference_context(number: int) -> dict[str, Any]:
    """What it reads, for the person of this number."""
    items = [{"name": f"Thing {row} & more", "price": 9.5 * (row + 1)} for row in range(8)]
    picks = [{"id": f"p{n}", "title": f"Pick {n} of {number}", "price": 4 + n} for n in range(4)]
    return {
        "profile": {"first_name": f"Ada{number}", "is_vip": number % 2 == 0, "city": "Köln"},
        "event": {"n_items": 8, "cart_value": 95.0, "rows": items},
        "picks": picks,
        "now": 1_772_445_600_000_000,
    }


LEAST: dict[str, Callable[..., Any]] = {
    "money": lambda value, currency="EUR": f"€{value:,.2f}",
    "plural": lambda value, one, many: one if value == 1 else many,
    "default": lambda value, instead="": value or instead,
    "date": lambda value: "2 March 2026",
}
"""What an author would write who has one language, one currency and no missing values."""


def bare_render(
    template: CompiledTemplate, filters: Mapping[str, Callable[..., Any]]
) -> Callable[[Mapping[str, Any]], list[str]]:
    """Bare sandboxed Jinja2 over the same three texts."""
    parts = template.locales[""].parts
    texts = {
        "subject": (parts["subject"].source, False),
        "html": (parts["html"].page, True),
        "text": (parts["text"].source, False),
    }
    compiled: list[Template] = []
    for source, escapes in texts.values():
        environment = SandboxedEnvironment(autoescape=escapes, trim_blocks=True, lstrip_blocks=True)
        environment.filters.update(filters)
        as_for = source.replace(PICKS, "{% for pick in picks %}").replace("endpicks", "endfor")
        compiled.append(environment.from_string(as_for))
    manner = Manner(None, "UTC", "EUR")

    def rendered(context: Mapping[str, Any]) -> list[str]:
        values = {
            **context,
            "unsubscribe_url": SETTING.unsubscribe_url,
            "link": lambda url: f"https://u.example/t/c/{len(url)}",
            "_manner": manner,
            "_open_url": "",
        }
        return [template.render(values) for template in compiled]

    return rendered


def main(n_messages: int = 20_000) -> None:
    template = reference_template()
    contexts = [reference_context(n) for n in range(1000)]
    contents = [render(template, contexts[n], setting=SETTING) for n in range(200)]
    bare, barest = bare_render(template, FILTERS), bare_render(template, LEAST)
    assert _words(bare(contexts[0])[2]) == _words(contents[0].text), "not the same e-mail"
    piece = max(n_messages // TURNS, 50)
    ours, theirs, least = [], [], []
    for turn in range(TURNS):
        some = [contexts[(turn * piece + n) % 1000] for n in range(piece)]
        started = process_time()
        for context in some:
            render(template, context, setting=SETTING)
        between = process_time()
        for context in some:
            bare(context)
        after = process_time()
        for context in some:
            barest(context)
        ours.append(piece / (between - started))
        theirs.append(piece / (after - between))
        least.append(piece / (process_time() - after))
    rate, bare_rate = statistics.median(ours), statistics.median(theirs)
    built_per_second = _built_per_second(contents, n_messages)
    print(f"machine: {platform.machine()}, Python {platform.python_version()}, one thread")
    print(f"template source {len(REFERENCE):,} B; page {len(contents[0].html):,} B")
    print(f"render (subject, html, text): {rate:,.0f} messages/s")
    print(f"bare sandboxed Jinja2, same texts: {bare_rate:,.0f} messages/s")
    print(
        f"render / bare, median of {TURNS} turns: {_ratio(ours, theirs):.2f} (wanted {WANTED:.2f})"
    )
    print(f"render / bare with the least filters: {_ratio(ours, least):.2f}")
    print(f"MIME build: {built_per_second:,.0f} messages/s")
    together = 1 / (1 / rate + 1 / built_per_second)
    print(f"render and build together: {together:,.0f} messages/s")


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def _words(text: str) -> list[str]:
    """Without the addresses, in which only the bare one's differ."""
    return [word for word in text.split() if "u.example" not in word]


def _built_per_second(contents: list[Content], n_messages: int) -> float:
    sender = Sender(
        domain="mail.shop.example", list_id="shop.list.shop.example", feedback="shopmail"
    )
    messages = [
        OutMessage(
            number, "email", f"ada{number}@example.com", subject=content.subject,
            html=content.html, text=content.text, from_="Shop <hello@shop.example>",
            campaign="cart", topic="offers", idempotency_key=f"key{number}",
            unsubscribe_url="https://u.example/u/AQIBAAAAAAAAAHsABAbDT73T4sVv2AvRvUmJZlI",
        )
        for number, content in enumerate(contents)
    ]  # fmt: skip
    started = process_time()
    for number in range(n_messages):
        build_email(messages[number % len(messages)], sender=sender, at=1_772_445_600_000_000)
    return n_messages / (process_time() - started)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
