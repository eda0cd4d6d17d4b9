"""Compiled template + values -> the content of one message.

The only thing done per message, so it does nothing that could have been done before: see
`templates`. Pure: the same template, context and setting give the same content, byte by byte.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup, escape
from msgspec import Struct

from channels.content.feeds import Feed
from channels.content.filters import Manner
from channels.content.limits import RenderError
from channels.content.templates import CompiledTemplate, Part
from channels.content.templating import run
from channels.content.values import call_names, iso_now
from channels.sms.text import measure


class Setting(Struct, frozen=True):
    """What a rendering needs besides the person's values.

    Args:
        locale: The reader's BCP 47 tag: picks the template's language and how it writes amounts.
        default_locale: The language of template files without a locale; None means English.
        zone, currency: How dates and amounts are written (IANA, ISO 4217).
        link_url: (index, destination) -> the address to print, so that clicks can be counted;
            None prints destinations as they are.
        open_url: The picture that counts opens; "" for none.
        trap_url: A link that no reader sees: what follows it is a machine; "" for none.
        confirm_url: Where a consent is confirmed, in the message that asks for it.
        feeds: The products that `{% feed %}` may choose from, by name.
    """

    locale: str | None = None
    default_locale: str | None = None
    zone: str = "UTC"
    currency: str = ""
    unsubscribe_url: str = ""
    preferences_url: str = ""
    open_url: str = ""
    trap_url: str = ""
    confirm_url: str = ""
    link_url: Callable[[int, str], str] | None = None
    feeds: Mapping[str, Feed] = {}


class Content(Struct, frozen=True):
    """A rendered message. `links` are the destinations in order: a click token holds the index."""

    subject: str = ""
    html: str = ""
    text: str = ""
    from_: str = ""
    reply_to: str = ""
    data: dict[str, Any] = {}
    links: tuple[str, ...] = ()


SUBJECT_CHARS: Final = 998
_URL_SAFE: Final = "%/:=&?~#+!$,;'@()*[]"
"""Everything else in a destination, such as a space in a trait, is percent-encoded."""

_HEADERS: Final = ("subject", "from", "reply_to")


def render(template: CompiledTemplate, context: Mapping[str, Any], *, setting: Setting) -> Content:
    """Render every part of a template.

    Args:
        context: profile (traits), event (properties), campaign, variants (experiment to variant),
            picks, now (instant or ISO text).
    Raises:
        MissingValue: A LookupError that names the dotted path of what is not there.
        RenderError: A value does not fit, or the template costs too much.
    """
    language = template.language_for(setting.locale)
    version = template.locales[language]
    # Amounts and dates follow the language of the text they stand in, not only the reader's.
    locale = setting.locale if language else setting.default_locale
    links: dict[str, int] = {}
    values = {
        **context,
        **call_names(context, link=_linker(links, setting.link_url)),
        "now": iso_now(context),
        "_manner": Manner(locale, setting.zone, setting.currency),
        "_open_url": setting.open_url,
        "_feeds": setting.feeds,
    }
    # Absent rather than blank, so that a template which needs one fails by name.
    if setting.unsubscribe_url:
        values["unsubscribe_url"] = setting.unsubscribe_url
    if setting.preferences_url:
        values["preferences_url"] = setting.preferences_url
    if setting.confirm_url:
        values["confirm_url"] = setting.confirm_url
    parts = {
        name: _run_part(name, part, values)
        for name, part in version.parts.items()
        if name != "preheader"  # it is part of the page
    }
    if setting.trap_url and "html" in parts:
        parts["html"] = _with_trap(parts["html"], setting.trap_url)
    if version.transliterate:
        parts["text"] = measure(parts["text"], transliterate=True).text
    data = {} if version.data is None else _run_tree(version.data, values)
    return Content(
        parts.get("subject", ""),
        parts.get("html", ""),
        parts.get("text", ""),
        parts.get("from", ""),
        parts.get("reply_to", ""),
        data,
        tuple(links),
    )


def _with_trap(page: str, url: str) -> str:
    """The page with a link that neither eyes, keyboards nor screen readers come upon."""
    trap = (
        f'<a href="{escape(url)}" rel="nofollow" tabindex="-1" aria-hidden="true" '
        'style="display:none;font-size:0;line-height:0;max-height:0;overflow:hidden"></a>'
    )
    head, end, tail = page.rpartition("</body>")
    return head + trap + end + tail if end else page + trap


def _run_part(name: str, part: Part, values: Mapping[str, Any]) -> str:
    if name not in _HEADERS:
        return run(part.checked.template, values)
    # A line break in a trait must not become a second header; a long subject must stay a header.
    return " ".join(run(part.checked.template, values, limit=SUBJECT_CHARS).split())


def _run_tree(tree: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(tree, Part):
        return run(tree.checked.template, values, limit=SUBJECT_CHARS * 4)
    if isinstance(tree, dict):
        return {key: _run_tree(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_run_tree(value, values) for value in tree]
    return tree


def _linker(
    links: dict[str, int], link_url: Callable[[int, str], str] | None
) -> Callable[[Any], str]:
    def link(destination: Any) -> str:
        url = _address(str(destination), isinstance(destination, Markup))
        index = links.setdefault(url, len(links))
        return url if link_url is None else link_url(index, url)

    return link


@lru_cache(maxsize=4_096)
def _address(text: str, is_escaped: bool) -> str:
    # In HTML a text put together by ~ arrives escaped; the destination is the plain one.
    plain = Markup(text).unescape() if is_escaped else text
    url = quote(plain.strip(), safe=_URL_SAFE)
    if not url.lower().startswith(("http://", "https://")):
        raise RenderError("link() takes an address that starts with https:// or http://")
    return url
