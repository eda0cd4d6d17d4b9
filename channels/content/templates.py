"""Files of a template -> one compiled template: all its parts in all its languages.

A template is `templates/<channel>/<name>[.<locale>].<ext>`; the file without a locale is what a
reader of any other language gets. Its partials and its layout (`partials`) are part of it.
Everything that costs is done here, once per content: MJML, CSS, the text part, analysis. Per
message there is only `render`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from channels.base import Channel
from channels.content.blocks import FeedUse
from channels.content.front_matter import FrontMatter, split_front_matter
from channels.content.html_mail import Protected, text_of, to_mail_html, with_tracked_links
from channels.content.partials import Composed, put_together, read_text
from channels.content.template_checks import Checked, check_and_compile
from channels.content.templating import HTML, PLAIN
from channels.content.web_pages import FRONT, place_of
from engine.core.errors import CampaignError
from engine.core.inclusion import pieces_of
from engine.core.model.campaigns import TemplateFacts

FORMAT: Final[Mapping[str, str]] = {"email": "1", "sms": "1", "push": "1", "web": "2"}
"""Part of every hash: raised when the same files begin to compile to something else."""

EXTENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "email": ("mjml", "html", "txt"),
    "sms": ("txt",),
    "push": ("json", "txt"),
    "web": ("html",),
}
_KEYS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("email", "mjml"): ("subject", "preheader", "from", "reply_to", "layout"),
    ("email", "html"): ("subject", "preheader", "from", "reply_to", "layout"),
    ("email", "txt"): ("subject", "preheader", "from", "reply_to", "layout"),
    ("sms", "txt"): ("transliterate", "layout"),
    ("push", "txt"): ("title", "url", "layout"),
    ("web", "html"): FRONT,
}
_PATH: Final = re.compile(
    r"(?:.*/)?templates/(?P<channel>email|sms|push|web)/(?P<name>[A-Za-z0-9_-]+)"
    r"(?:\.(?P<locale>[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?))?\.(?P<extension>[a-z]+)"
)


class Part(Struct, frozen=True):
    """One text of a template, compiled; `written` is what its author wrote, partials and all.

    `page` is the whole page as it was compiled, after MJML and CSS inlining; "" without one.
    """

    checked: Checked
    written: Composed
    page: str = ""

    @property
    def source(self) -> str:
        return self.written.text

    @property
    def where(self) -> str:
        return self.written.file

    @property
    def size(self) -> int:
        """Of the page, in bytes."""
        return len(self.page.encode())


class Version(Struct, frozen=True):
    """The parts in one language: subject, preheader, html, text, from, reply_to.

    `data` is push's payload: a tree whose texts are parts. `transliterate`: typographic signs of a
    text message are written plainly where that makes it cheaper.
    """

    parts: dict[str, Part]
    data: Any = None
    transliterate: bool = False


class CompiledTemplate(Struct, frozen=True):
    """`locales` always has "", the fallback. `requires` holds what any of the languages needs."""

    channel: Channel
    name: str
    hash: str
    locales: dict[str, Version]
    requires: tuple[str, ...]
    reads: tuple[str, ...]
    files: tuple[str, ...] = field(default=())
    feeds: tuple[FeedUse, ...] = ()
    shows: tuple[str, ...] = ()

    def facts(self) -> TemplateFacts:
        """What the core must know of it."""
        return TemplateFacts(self.hash, self.requires, self.shows)

    def language_for(self, locale: str | None) -> str:
        """The closest language there is: "pt-br", else "pt", else "" for the fallback."""
        tag = (locale or "").replace("_", "-").lower()
        if tag not in self.locales:
            tag = tag.split("-")[0]
        return tag if tag in self.locales else ""


def template_names(paths: Iterable[str]) -> set[tuple[Channel, str]]:
    """Every (channel, name) that these files define."""
    found = (_PATH.fullmatch(path) for path in paths)
    return {(match["channel"], match["name"]) for match in found if match}  # type: ignore[misc]


def compile_template(
    channel: Channel,
    name: str,
    files: Mapping[str, bytes],
    *,
    saved: frozenset[str] = frozenset(),
) -> CompiledTemplate:
    """Compile one template; the same content is compiled once per process.

    Args:
        files: Path to content; files of other templates are ignored.
        saved: Names under which the workspace's webhooks save their answers.
    Raises:
        CampaignError: `file:line: …`, or there is no such template.
    """
    own = _files_of(channel, name, files)
    pieces = {it for (locale, _), path in own.items() for it in _pieces(path, files, locale)}
    digest = _hash(channel, name, files, own.values(), pieces)
    known = _COMPILED.get((digest, saved))
    if known is not None:
        return known
    by_locale: dict[str, dict[str, str]] = {}
    for (locale, extension), path in own.items():
        by_locale.setdefault(locale, {})[extension] = path
    if "" not in by_locale:
        paths = ", ".join(sorted(own.values()))
        raise CampaignError(f"{paths}:1: {channel}/{name} needs a file without a locale as well")
    locales = {
        locale: _VERSIONS[channel](_Sheets(locale, paths, files, saved))
        for locale, paths in sorted(by_locale.items())
    }
    template = CompiledTemplate(
        channel,
        name,
        digest,
        locales,
        requires=_united(locales, "requires"),
        reads=_united(locales, "reads"),
        files=tuple(sorted(own.values())),
        feeds=_united(locales, "feeds"),
        shows=_united(locales, "shows"),
    )
    if len(_COMPILED) >= 1024:
        _COMPILED.pop(next(iter(_COMPILED)))
    _COMPILED[digest, saved] = template
    return template


_COMPILED: Final[dict[tuple[str, frozenset[str]], CompiledTemplate]] = {}


def _files_of(channel: str, name: str, files: Mapping[str, bytes]) -> dict[tuple[str, str], str]:
    own: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    for path in sorted(files):
        found = _PATH.fullmatch(path)
        if found is None or found["channel"] != channel:
            continue
        names.add(found["name"])
        if found["name"] != name:
            continue
        if found["extension"] not in EXTENSIONS[channel]:
            allowed = ", ".join("." + end for end in EXTENSIONS[channel])
            raise CampaignError(f"{path}:1: a template of {channel} is one of {allowed}")
        own[(found["locale"] or "").lower(), found["extension"]] = path
    if not own:
        known = ", ".join(sorted(names)) or "none"
        raise CampaignError(
            f'there is no template "{name}" for {channel}; templates/{channel}/ has: {known}'
        )
    return own


def _pieces(path: str, files: Mapping[str, bytes], locale: str) -> tuple[str, ...]:
    return pieces_of(path, files, locale=locale)


def _hash(
    channel: str, name: str, files: Mapping[str, bytes], paths: Iterable[str], pieces: Iterable[str]
) -> str:
    """Of the content and nothing else: the same template in another folder hashes alike."""
    digest = hashlib.sha256(f"{FORMAT[channel]}\0{channel}\0{name}\0".encode())
    named = [(path.rsplit("/", 1)[-1], path) for path in sorted(paths)]
    named += [("/".join(path.rsplit("/", 2)[-2:]), path) for path in sorted(pieces)]
    for short, path in named:
        content = files[path]
        digest.update(f"{short}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def _united(locales: Mapping[str, Version], what: str) -> tuple[Any, ...]:
    found: dict[Any, None] = {}
    for version in locales.values():
        for part in [*version.parts.values(), *leaves(version.data)]:
            found.update(dict.fromkeys(getattr(part.checked, what)))
    return tuple(found)


def leaves(data: Any) -> list[Part]:
    """Every text of a push."""
    if isinstance(data, Part):
        return [data]
    values = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [leaf for value in values for leaf in leaves(value)]


# --- one function per channel: the files of one language -> Version ------------------------------


class _Sheets(Struct, frozen=True):
    """A template's files in one language: extension to path, and all files for its partials."""

    locale: str
    paths: dict[str, str]
    files: Mapping[str, bytes]
    saved: frozenset[str]

    def front(self, channel: str, extension: str) -> FrontMatter:
        path = self.paths[extension]
        allowed = _KEYS[channel, extension]
        return split_front_matter(read_text(self.files, path), where=path, allowed=allowed)

    def body(self, front: FrontMatter, extension: str, *, strips: bool = False) -> Composed:
        """The body with its partials in its layout. `strips`: without blank lines around it."""
        path, text, line = self.paths[extension], front.body, front.body_line
        if strips:
            line += text[: len(text) - len(text.lstrip())].count("\n")
            text = text.strip()
        composed = self.together(
            Composed.of(text, file=path, line=line),
            path,
            layout=front.values.get("layout", ""),
            layout_line=front.lines.get("layout", 1),
        )
        return Composed(composed.text.rstrip(), composed.stretches) if strips else composed

    def together(
        self, text: Composed, path: str, *, layout: str = "", layout_line: int = 1
    ) -> Composed:
        return put_together(
            text, self.files, path=path, locale=self.locale, layout=layout, layout_line=layout_line
        )

    def plain(self, text: Composed) -> Part:
        return Part(check_and_compile(text, PLAIN, saved=self.saved), text)

    def line(self, front: FrontMatter, key: str, extension: str) -> Part:
        """A value of the front matter."""
        path, line = self.paths[extension], front.lines[key]
        return self.plain(Composed.of(front.values[key], file=path, line=line))


def _email(it: _Sheets) -> Version:
    if "mjml" in it.paths and "html" in it.paths:
        raise CampaignError(
            f"{it.paths['html']}:1: there is an .mjml of this template too; keep one"
        )
    parts: dict[str, Part] = {}
    fronts = {extension: it.front("email", extension) for extension in it.paths}
    for extension, front in fronts.items():
        for key in front.values:
            if key not in parts and key != "layout":
                parts[key] = it.line(front, key, extension)
    if "subject" not in parts or not parts["subject"].source:
        path = next(iter(it.paths.values()))
        raise CampaignError(f"{path}:1: an e-mail needs a subject: `---`, `subject: …`, `---`")
    for extension in ("mjml", "html"):
        if extension in fronts:
            body = it.body(fronts[extension], extension)
            _add_html(parts, body, is_mjml=extension == "mjml", saved=it.saved)
    if "txt" in fronts:
        parts["text"] = it.plain(it.body(fronts["txt"], "txt"))
    return Version(parts)


def _add_html(
    parts: dict[str, Part], body: Composed, *, is_mjml: bool, saved: frozenset[str]
) -> None:
    # First as written, so that a fault is reported on the author's line and not on MJML's output.
    written = check_and_compile(body, HTML, saved=saved)
    preheader = parts["preheader"].source if "preheader" in parts else ""
    protected, page = to_mail_html(body, is_mjml=is_mjml, preheader=preheader)
    page = with_tracked_links(page, protected)
    text = Composed.of(protected.restore(text_of(page)), file=body.file)
    html = Composed.of(protected.restore(_with_open_pixel(page)), file=body.file)
    checked = check_and_compile(html, HTML, ours=True, saved=saved)
    # A feed is read where its author wrote it.
    parts["html"] = Part(replace(checked, feeds=written.feeds), body, html.text)
    checked = check_and_compile(text, PLAIN, saved=saved)
    parts["text"] = Part(replace(checked, feeds=()), text)


def _with_open_pixel(page: str) -> str:
    pixel = (
        '{% if _open_url %}<img src="{{ _open_url }}" width="1" height="1" alt="" '
        'style="display:block">{% endif %}'
    )
    head, body_end, tail = page.rpartition("</body>")
    return head + pixel + body_end + tail if body_end else page + pixel


def _sms(it: _Sheets) -> Version:
    front = it.front("sms", "txt")
    wanted = front.values.get("transliterate", "false")
    if wanted not in ("true", "false"):
        line = front.lines["transliterate"]
        raise CampaignError(
            f'{it.paths["txt"]}:{line}: transliterate is true or false, not "{wanted}"'
        )
    text = it.plain(it.body(front, "txt", strips=True))
    return Version({"text": text}, transliterate=wanted == "true")


def _web(it: _Sheets) -> Version:
    front = it.front("web", "html")
    body = it.body(front, "html")
    # First as written, so that a fault is reported on the author's line.
    written = check_and_compile(body, HTML, saved=it.saved)
    protected = Protected(body)
    page = protected.restore(with_tracked_links(protected.text, protected))
    html = Composed.of(page, file=body.file)
    checked = replace(check_and_compile(html, HTML, saved=it.saved), feeds=written.feeds)
    place = place_of(front, path=it.paths["html"], locale=it.locale, files=it.files)
    return Version({"html": Part(checked, body, page)}, place)


def _push(it: _Sheets) -> Version:
    if "json" in it.paths:
        return Version({}, _json_tree(it))
    front = it.front("push", "txt")
    data = {key: it.line(front, key, "txt") for key in front.values if key != "layout"}
    if "title" not in data:
        raise CampaignError(f"{it.paths['txt']}:1: a push needs a title: `---`, `title: …`, `---`")
    return Version({}, {**data, "body": it.plain(it.body(front, "txt", strips=True))})


def _json_tree(it: _Sheets) -> Any:
    path = it.paths["json"]
    source = read_text(it.files, path)
    try:
        tree = json.loads(source)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise CampaignError(f"{path}:{line}: this is not JSON: {error}") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("title"), str):
        raise CampaignError(f'{path}:1: a push is a JSON object with at least a "title"')
    return _compiled_tree(tree, source, it)


def _compiled_tree(value: Any, source: str, it: _Sheets) -> Any:
    if isinstance(value, dict):
        return {key: _compiled_tree(inner, source, it) for key, inner in value.items()}
    if isinstance(value, list):
        return [_compiled_tree(inner, source, it) for inner in value]
    if not isinstance(value, str):
        return value
    path = it.paths["json"]
    offset = source.find(json.dumps(value, ensure_ascii=False)[1:-1])
    line = source.count("\n", 0, max(offset, 0)) + 1
    return it.plain(it.together(Composed.of(value, file=path, line=line), path))


_VERSIONS: Final = {"email": _email, "sms": _sms, "push": _push, "web": _web}
