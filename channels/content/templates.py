"""Files of a template -> one compiled template: all its parts in all its languages.

A template is `templates/<channel>/<name>[.<locale>].<ext>`; the file without a locale is what a
reader of any other language gets. Everything that costs is done here, once per content: MJML, CSS,
the text part, analysis. Per message there is only `render`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from channels.base import Channel
from channels.content.front_matter import split_front_matter
from channels.content.html_mail import text_of, to_mail_html, with_tracked_links
from channels.content.template_checks import Checked, check_and_compile
from channels.content.templating import HTML, PLAIN
from engine.core.errors import CampaignError
from engine.core.model import TemplateFacts

FORMAT: Final = "1"
"""Part of every hash: raised when the same files begin to compile to something else."""

EXTENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "email": ("mjml", "html", "txt"),
    "sms": ("txt",),
    "push": ("json", "txt"),
    "web": ("html",),
}
_KEYS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("email", "mjml"): ("subject", "preheader", "from", "reply_to"),
    ("email", "html"): ("subject", "preheader", "from", "reply_to"),
    ("email", "txt"): ("subject", "preheader", "from", "reply_to"),
    ("sms", "txt"): ("transliterate",),
    ("push", "txt"): ("title", "url"),
}
_PATH: Final = re.compile(
    r"(?:.*/)?templates/(?P<channel>email|sms|push|web)/(?P<name>[A-Za-z0-9_-]+)"
    r"(?:\.(?P<locale>[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?))?\.(?P<extension>[a-z]+)"
)


class Part(Struct, frozen=True):
    """One text of a template, compiled; `source` is what its author wrote.

    `size` is in bytes, of the page after MJML and CSS inlining.
    """

    checked: Checked
    source: str
    where: str
    size: int = 0


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

    def facts(self) -> TemplateFacts:
        """What the core must know of it."""
        return TemplateFacts(self.hash, self.requires)

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
    digest = _hash(channel, name, files, own.values())
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
        locale: _VERSIONS[channel](
            {end: _source(files, path) for end, path in paths.items()}, paths, saved
        )
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


def _hash(channel: str, name: str, files: Mapping[str, bytes], paths: Iterable[str]) -> str:
    """Of the content and nothing else: the same template in another folder hashes alike."""
    digest = hashlib.sha256(f"{FORMAT}\0{channel}\0{name}\0".encode())
    for path in sorted(paths):
        content = files[path]
        digest.update(f"{path.rsplit('/', 1)[-1]}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def _source(files: Mapping[str, bytes], path: str) -> str:
    try:
        return files[path].decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = files[path].count(b"\n", 0, error.start) + 1
        raise CampaignError(f"{path}:{line}: this is not UTF-8 text") from None


def _united(locales: Mapping[str, Version], what: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for version in locales.values():
        for part in [*version.parts.values(), *_leaves(version.data)]:
            found.update(dict.fromkeys(getattr(part.checked, what)))
    return tuple(found)


def _leaves(data: Any) -> list[Part]:
    if isinstance(data, Part):
        return [data]
    values = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [leaf for value in values for leaf in _leaves(value)]


# --- one function per channel: {extension: source}, {extension: path} -> Version -----------------

_Saved = frozenset[str]


def _email(sources: Mapping[str, str], paths: Mapping[str, str], saved: _Saved) -> Version:
    if "mjml" in sources and "html" in sources:
        raise CampaignError(f"{paths['html']}:1: there is an .mjml of this template too; keep one")
    parts: dict[str, Part] = {}
    bodies: dict[str, tuple[str, int]] = {}
    for extension, source in sources.items():
        front = split_front_matter(
            source, where=paths[extension], allowed=_KEYS["email", extension]
        )
        bodies[extension] = (front.body, front.body_line)
        for key, value in front.values.items():
            parts.setdefault(key, _plain(value, paths[extension], front.lines[key], saved))
    if "subject" not in parts or not parts["subject"].source:
        path = next(iter(paths.values()))
        raise CampaignError(f"{path}:1: an e-mail needs a subject: `---`, `subject: …`, `---`")
    for extension in ("mjml", "html"):
        if extension in bodies:
            _add_html(
                parts,
                *bodies[extension],
                path=paths[extension],
                is_mjml=extension == "mjml",
                saved=saved,
            )
    if "txt" in bodies:
        parts["text"] = _plain(*_body_and(paths["txt"], bodies["txt"]), saved)
    return Version(parts)


def _add_html(
    parts: dict[str, Part], body: str, line: int, *, path: str, is_mjml: bool, saved: _Saved
) -> None:
    # First as written, so that a fault is reported on the author's line and not on MJML's output.
    check_and_compile(body, HTML, where=path, first_line=line, saved=saved)
    preheader = parts["preheader"].source if "preheader" in parts else ""
    protected, page = to_mail_html(
        body, is_mjml=is_mjml, preheader=preheader, where=path, first_line=line
    )
    page = with_tracked_links(page, protected)
    text = protected.restore(text_of(page))
    html = protected.restore(_with_open_pixel(page))
    parts["html"] = Part(
        check_and_compile(html, HTML, where=path, ours=True, saved=saved),
        body,
        path,
        len(html.encode()),
    )
    parts["text"] = Part(check_and_compile(text, PLAIN, where=path, saved=saved), text, path)


def _with_open_pixel(page: str) -> str:
    pixel = (
        '{% if _open_url %}<img src="{{ _open_url }}" width="1" height="1" alt="" '
        'style="display:block">{% endif %}'
    )
    head, body_end, tail = page.rpartition("</body>")
    return head + pixel + body_end + tail if body_end else page + pixel


def _sms(sources: Mapping[str, str], paths: Mapping[str, str], saved: _Saved) -> Version:
    path = paths["txt"]
    front = split_front_matter(sources["txt"], where=path, allowed=_KEYS["sms", "txt"])
    wanted = front.values.get("transliterate", "false")
    if wanted not in ("true", "false"):
        line = front.lines["transliterate"]
        raise CampaignError(f'{path}:{line}: transliterate is true or false, not "{wanted}"')
    part = _plain(front.body.strip(), path, front.body_line, saved)
    return Version({"text": part}, transliterate=wanted == "true")


def _web(sources: Mapping[str, str], paths: Mapping[str, str], saved: _Saved) -> Version:
    path = paths["html"]
    front = split_front_matter(sources["html"], where=path, allowed=())
    checked = check_and_compile(
        front.body, HTML, where=path, first_line=front.body_line, saved=saved
    )
    return Version({"html": Part(checked, front.body, path, len(front.body.encode()))})


def _push(sources: Mapping[str, str], paths: Mapping[str, str], saved: _Saved) -> Version:
    if "json" in sources:
        return Version({}, _json_tree(sources["json"], paths["json"], saved))
    path = paths["txt"]
    front = split_front_matter(sources["txt"], where=path, allowed=_KEYS["push", "txt"])
    data = {
        key: _plain(value, path, front.lines[key], saved) for key, value in front.values.items()
    }
    if "title" not in data:
        raise CampaignError(f"{path}:1: a push needs a title: `---`, `title: …`, `---`")
    return Version({}, {**data, "body": _plain(front.body.strip(), path, front.body_line, saved)})


def _json_tree(source: str, path: str, saved: _Saved) -> Any:
    try:
        tree = json.loads(source)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise CampaignError(f"{path}:{line}: this is not JSON: {error}") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("title"), str):
        raise CampaignError(f'{path}:1: a push is a JSON object with at least a "title"')
    return _compiled_tree(tree, source, path, saved)


def _compiled_tree(value: Any, source: str, path: str, saved: _Saved) -> Any:
    if isinstance(value, dict):
        return {key: _compiled_tree(inner, source, path, saved) for key, inner in value.items()}
    if isinstance(value, list):
        return [_compiled_tree(inner, source, path, saved) for inner in value]
    if not isinstance(value, str):
        return value
    offset = source.find(json.dumps(value, ensure_ascii=False)[1:-1])
    line = source.count("\n", 0, max(offset, 0)) + 1
    return _plain(value, path, line, saved)


def _plain(source: str, path: str, line: int, saved: _Saved) -> Part:
    checked = check_and_compile(source, PLAIN, where=path, first_line=line, saved=saved)
    return Part(checked, source, path)


def _body_and(path: str, body: tuple[str, int]) -> tuple[str, str, int]:
    return body[0], path, body[1]


_VERSIONS: Final = {"email": _email, "sms": _sms, "push": _push, "web": _web}
