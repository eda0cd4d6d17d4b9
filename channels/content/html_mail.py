"""HTML for mail clients, made once per template version: MJML, CSS inlined, links tracked, a text.

Expressions never reach the HTML tools: each is replaced by a placeholder that survives them and
put back at the end. In running text a `{% … %}` becomes a comment, because comments may stand
between the rows of a table where a parser would move anything else out.
"""

import html
import re
from html.parser import HTMLParser
from typing import Any, Final

from channels.content.mjml_tags import fault_in
from channels.content.partials import BLOCK, Composed
from engine.core.errors import CampaignError

_MARK: Final = re.compile(r"<!--ATPHx(\d+)x-->|ATPHx(\d+)x")
_CONTEXT: Final = re.compile(
    r"(?P<comment><!--)|(?P<end>-->)|(?P<raw><(?:style|mj-style|title|mj-title|mj-preview)\b)"
    r"|(?P<close></(?:style|mj-style|title|mj-title|mj-preview)\s*>)|(?P<tag></?[A-Za-z])"
    r"|(?P<quote>[\"'])|(?P<gt>>)|(?P<mark>ATPHx(?P<number>\d+)x)"
)


class Protected:
    """A source whose template blocks are placeholders, and the blocks with their `file:line`."""

    def __init__(self, source: Composed) -> None:
        self.source = source
        self.blocks: list[str] = []
        self.places: list[str] = []
        self.comments: list[tuple[int, int]] = []
        if "ATPHx" in source.text:
            raise CampaignError(f'{source.place(0)}: "ATPHx" is a word we use ourselves')
        text = BLOCK.sub(self._store, source.text)
        self.text = _comments_for_statements(text, self.blocks)

    def _store(self, found: re.Match[str]) -> str:
        block = found.group()
        if block.startswith("{#"):
            lines = "\n" * block.count("\n")
            self.comments.append((found.start(), len(block) - len(lines)))
            return lines
        self.blocks.append(block)
        self.places.append(self.source.place(found.start()))
        return f"ATPHx{len(self.blocks) - 1}x"

    def restore(self, text: str) -> str:
        return _MARK.sub(lambda found: self.blocks[int(found[1] or found[2])], text)

    def place_at(self, offset: int) -> str:
        """The author's `file:line` of a position in the protected text."""
        at = len(self.restore(self.text[:offset]))
        for start, n_removed in self.comments:
            if start <= at:
                at += n_removed
        return self.source.place(min(at, len(self.source.text)))

    def add(self, block: str, *, place: str = "") -> str:
        """A block of our own; gives its placeholder."""
        self.blocks.append(block)
        self.places.append(place or self.source.place(0))
        return f"ATPHx{len(self.blocks) - 1}x"

    def check_all_kept(self, text: str) -> None:
        """Refuse a template of which the HTML tools dropped a block: it would vanish silently."""
        kept = {int(found[1] or found[2]) for found in _MARK.finditer(text)}
        for number, block in enumerate(self.blocks):
            if number not in kept:
                raise CampaignError(
                    f"{self.places[number]}: {block} stands where MJML or the CSS "
                    "inliner drops it; move it into a text or an attribute"
                )


def _comments_for_statements(text: str, blocks: list[str]) -> str:
    """Turn the marks of statements in running text into comments; elsewhere leave them bare."""
    pieces: list[str] = []
    state, quote, start = "text", "", 0
    for found in _CONTEXT.finditer(text):
        kind = found.lastgroup if found.lastgroup != "number" else "mark"
        if state == "text":
            if kind == "mark" and blocks[int(found["number"])].startswith("{%"):
                pieces += text[start : found.start()], f"<!--{found.group()}-->"
                start = found.end()
            elif kind == "comment":
                state = "comment"
            elif kind == "raw":
                state = "raw"
            elif kind in ("tag", "close"):
                state = "tag" if kind == "tag" else "text"
        elif state == "comment":
            state = "text" if kind == "end" else state
        elif state == "raw":
            state = "text" if kind == "close" else state
        elif state == "quoted":
            if kind == "quote" and found.group() == quote:
                state = "tag"
        elif kind == "quote":
            state, quote = "quoted", found.group()
        elif kind == "gt":
            state = "text"
    pieces.append(text[start:])
    return "".join(pieces)


# --- MJML and CSS -------------------------------------------------------------------------------


def to_mail_html(source: Composed, *, is_mjml: bool, preheader: str) -> tuple[Protected, str]:
    """The finished page with placeholders still in it, and what they stand for.

    Args:
        preheader: Template text shown after the subject in an inbox; "" for none.
    Raises:
        CampaignError: MJML or a style cannot be read; the message names the line.
    """
    protected = Protected(source)
    page = _from_mjml(protected) if is_mjml else _inside_body(protected.text)
    page = _with_inlined_css(page, protected)
    protected.check_all_kept(page)
    return protected, _with_preheader(page, preheader, protected)


def _inside_body(page: str) -> str:
    """A piece of a page that begins with a statement, whose comment would end before <html>."""
    return f"<body>{page}</body>" if page.lstrip().startswith("<!--ATPHx") else page


def _from_mjml(protected: Protected) -> str:
    import mrml

    try:
        # Without an include loader `<mj-include path="/etc/passwd">` is an error, as it should be.
        return str(mrml.to_html(protected.text).content)
    except OSError as error:
        position = re.search(r"position (\d+):", str(error))
        place = protected.place_at(int(position[1]) if position else fault_in(protected.text))
        raise CampaignError(f"{place}: MJML: {error}") from None


def _with_inlined_css(page: str, protected: Protected) -> str:
    import css_inline

    # Remote style sheets would make the same files compile differently tomorrow.
    inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
    try:
        return str(inliner.inline(page))
    except css_inline.InlineError as error:
        place = _place_of_bad_style(protected, inliner)
        raise CampaignError(f"{place}: a style cannot be read as CSS ({error})") from None


def _place_of_bad_style(protected: Protected, inliner: Any) -> str:
    """css-inline does not say where: try each style of the source by itself."""
    import css_inline

    styles = re.compile(r"<style[^>]*>(.*?)</style>|\bstyle=\"([^\"]*)\"", re.DOTALL)
    for found in styles.finditer(protected.text):
        sheet, attribute = found[1], found[2]
        probe = f"<style>{sheet}</style><p>" if sheet is not None else ""
        probe = probe or f'<style>p{{top:0}}</style><p style="{attribute}">'
        try:
            inliner.inline(probe)
        except css_inline.InlineError:
            return protected.place_at(found.start())
    return protected.place_at(0)


_HIDDEN: Final = (
    "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden"
)


def _with_preheader(page: str, preheader: str, protected: Protected) -> str:
    if not preheader:
        return page
    hidden = f'<div style="{_HIDDEN}">{protected.add(preheader)}</div>'
    return re.sub(r"<body[^>]*>", lambda body: body.group() + hidden, page, count=1)


# --- links --------------------------------------------------------------------------------------

_ANCHOR: Final = re.compile(r"<a\b[^>]*>", re.IGNORECASE)
_HREF: Final = re.compile(r"\bhref=\"([^\"]*)\"", re.IGNORECASE)
_OWN: Final = re.compile(
    r"\{\{-?\s*(?:link\s*\(|unsubscribe_url\b|preferences_url\b|confirm_url\b)"
)


def with_tracked_links(page: str, protected: Protected) -> str:
    """Wrap every http(s) href of an anchor in `link(...)`, unless it is marked data-no-track.

    Our own links (`link()`, `unsubscribe_url`, `preferences_url`) and mailto:, tel: and # stay.
    """
    return _ANCHOR.sub(lambda anchor: _tracked(anchor.group(), protected), page)


def _tracked(anchor: str, protected: Protected) -> str:
    found = _HREF.search(anchor)
    if found is None:
        return anchor
    if re.search(r"\sdata-no-track\b", anchor):
        return re.sub(r"\sdata-no-track(?:=\"[^\"]*\")?", "", anchor)
    parts = _MARK.split(html.unescape(found[1]))
    literals = parts[0::3]
    numbers = [int(bare or comment) for comment, bare in zip(parts[1::3], parts[2::3], strict=True)]
    blocks = [protected.blocks[number] for number in numbers]
    starts_as_link = literals[0].lower().startswith(("http://", "https://"))
    is_whole = not literals[0] and bool(blocks)
    if not (starts_as_link or is_whole) or any(
        block.startswith("{%") or _OWN.match(block) for block in blocks
    ):
        return anchor
    terms = [_quoted(literals[0])]
    for block, literal in zip(blocks, literals[1:], strict=True):
        terms += f"({_inside(block)})", _quoted(literal)
    wrapped = f"{{{{ link({' ~ '.join(term for term in terms if term != _quoted(''))}) }}}}"
    place = protected.places[numbers[0]] if numbers else ""
    mark = f'href="{protected.add(wrapped, place=place)}"'
    return anchor[: found.start()] + mark + anchor[found.end() :]


def _inside(block: str) -> str:
    """The expression of `{{ … }}` without the signs that trim white space."""
    inner = block[2:-2]
    inner = inner[1:] if inner[:1] in ("-", "+") else inner
    return (inner[:-1] if inner[-1:] in ("-", "+") else inner).strip()


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "") + "'"


# --- text ---------------------------------------------------------------------------------------

_LINE_ENDERS: Final = frozenset({"br", "p", "div", "tr", "h1", "h2", "h3", "h4", "ul", "ol", "hr"})
_SPACED: Final = frozenset({"p", "h1", "h2", "h3", "h4", "ul", "ol"})
_SILENT: Final = frozenset({"style", "script", "title", "head"})
_VOID: Final = frozenset({"br", "hr", "img", "meta", "link", "input", "col"})


def text_of(page: str) -> str:
    """The page as plain text, placeholders kept: the text part when the author wrote none."""
    reader = _TextReader()
    reader.feed(page)
    reader.close()
    text = "".join(reader.pieces)
    text = re.sub(r"[ \t\u00a0]*\n[ \t\u00a0]*", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.silent: list[str] = []
        self.hrefs: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        is_hidden = "display:none" in (given.get("style") or "").replace(" ", "")
        if tag not in _VOID and (self.silent or tag in _SILENT or is_hidden):
            self.silent.append(tag)
        if self.silent:
            return
        if tag in _LINE_ENDERS:
            self._break(tag)
        elif tag == "li":
            self.pieces.append("\n- ")
        elif tag == "img":
            self.pieces.append((given.get("alt") or "").strip())
        elif tag == "a":
            self.hrefs.append((given.get("href") or "", len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        if self.silent:
            if tag in self.silent:
                del self.silent[len(self.silent) - 1 - self.silent[::-1].index(tag) :]
            return
        if tag in _LINE_ENDERS and tag not in _VOID:
            self._break(tag)
        elif tag in ("td", "th"):
            self.pieces.append(" ")
        elif tag == "a" and self.hrefs:
            href, since = self.hrefs.pop()
            words = "".join(self.pieces[since:]).strip()
            if href and not href.startswith("#") and href.removeprefix("mailto:") != words:
                self.pieces.append(f" ({href})" if words else href)

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.pieces.append(re.sub(r"\s+", " ", data))

    def handle_comment(self, data: str) -> None:
        if not self.silent and _MARK.fullmatch(data):
            self.pieces.append(data)

    def _break(self, tag: str) -> None:
        self.pieces.append("\n\n" if tag in _SPACED else "\n")
