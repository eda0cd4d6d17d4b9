"""E-mails per second through `channels.content.render` and `channels.email.mime`, one thread.

    python -m benchmarks.render [N]

Prints messages per second of processor time for the reference template (2.4 kB of HTML, 12
expressions, one loop of four rows) and the ratio to the floor: 10,000 a second.
"""

import platform
import sys
from time import process_time

from channels.base import OutMessage
from channels.content.render import Content, Setting, render
from channels.content.templates import CompiledTemplate, compile_template
from channels.email.headers import Sender
from channels.email.mime import build_email

FLOOR_PER_SECOND = 10_000
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
    + """<table>{% for item in event.items %}
<tr><td>{{ item.name }}</td><td>{{ item.price | money }}</td></tr>
{% endfor %}</table>
{% if profile.is_vip %}<p>Your extra: free shipping until {{ now | date }}.</p>{% endif %}
<p>Total {{ event.cart_value | money("EUR") }} · <a href="https://shop.example/cart">Open it</a></p>
<p>{{ profile.city | default("Your") }} shop · <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
</body></html>
"""
)


def reference_template() -> CompiledTemplate:
    """The reference template, compiled."""
    return compile_template("email", "cart", {"templates/email/cart.html": REFERENCE.encode()})


def reference_context(number: int) -> dict[str, object]:
    """What it reads, for the person of this number."""
    items = [{"name": f"Thing {row} & more", "price": 9.5 * (row + 1)} for row in range(4)]
    return {
        "profile": {"first_name": f"Ada{number}", "is_vip": number % 2 == 0, "city": "Köln"},
        "event": {"n_items": 4, "cart_value": 95.0, "items": items},
        "now": 1_772_445_600_000_000,
    }


def main(n_messages: int = 20_000) -> None:
    template = reference_template()
    setting = Setting(
        currency="EUR",
        unsubscribe_url="https://u.example/u/AQIBAAAAAAAAAHsABAbDT73T4sVv2AvRvUmJZlI",
        link_url=lambda index, url: f"https://u.example/t/c/token{index}",
    )
    contents = [render(template, reference_context(n), setting=setting) for n in range(200)]
    contexts = [reference_context(n) for n in range(1000)]
    started = process_time()
    for number in range(n_messages):
        render(template, contexts[number % 1000], setting=setting)
    rendered_per_second = n_messages / (process_time() - started)
    built_per_second = _built_per_second(contents, n_messages)
    size = len(contents[0].html)
    print(f"machine: {platform.machine()}, Python {platform.python_version()}, one thread")
    print(f"template source {len(REFERENCE):,} B; page {size:,} B")
    print(f"render (subject, html, text): {rendered_per_second:,.0f} messages/s")
    print(f"MIME build: {built_per_second:,.0f} messages/s")
    together = 1 / (1 / rendered_per_second + 1 / built_per_second)
    print(f"render and build together: {together:,.0f} messages/s")
    print(f"render / floor of {FLOOR_PER_SECOND:,}: {rendered_per_second / FLOOR_PER_SECOND:.2f}")


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
