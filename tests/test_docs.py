"""What the documents say exists: their links lead somewhere, their commands and settings are ours.

The tables of settings, providers and the language have tests beside the code they describe.
"""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import failpoints
from engine.cli import COMMANDS, actions_of, parser_of
from engine.commands.serve import PORT
from engine.settings import public_settings
from tests.commands_page import BEGIN, PAGE, page
from tests.rig import planted_journeys, planted_sending
from tests.rig.planted import BUGS

HOUSE = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md") for path in HOUSE.glob(pattern)
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OF_TESTS = {
    "ANTIPHON_TEST_CLOCKS", "ANTIPHON_TEST_DATA",
    "ANTIPHON_TEST_PAUSES", "ANTIPHON_TEST_SCALE",
}  # fmt: skip
_VARIABLE = re.compile(r"\bANTIPHON_[A-Z_]*[A-Z]\b")
_PLACEHOLDER = re.compile(r"…|\.\.\.|\{[a-z]+\}|\[|\|")


def named(document: Path) -> str:
    return str(document.relative_to(HOUSE))


def anchors(text: str) -> set[str]:
    """The places that a page's headings make, as the usual hosts of Markdown spell them."""
    outside = _FENCE.sub("", text)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", it.lower()).strip().replace(" ", "-") for it in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    lost = []
    for link in _LINK.findall(_FENCE.sub("", document.read_text())):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, place = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (place and place not in anchors(target.read_text())):
            lost.append(link)

    assert lost == []


def commands(text: str) -> Iterator[str]:
    """Every `antiphon …` shown as code, inline or in a block for a shell."""
    for language, block in _FENCE.findall(text):
        if language in ("", "sh", "bash", "console"):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                yield from _of_line(line.partition("  #")[0].removeprefix("$ "))
    for inline in _INLINE.findall(_FENCE.sub("", text)):
        yield from _of_line(inline)


def _of_line(line: str) -> Iterator[str]:
    for part in re.split(r"&&|;| \| | > ", line):
        words = part.strip()
        if words.startswith("antiphon "):
            yield words


def complaint(shown: str) -> str:
    """What is wrong with a command as a document shows it, or ""."""
    try:
        words = shlex.split(shown)[1:]
    except ValueError as error:
        return str(error)
    name, *given = words
    if name in ("--help", "--version") or name == "COMMAND":
        return ""
    if name not in COMMANDS:
        return f"there is no command {name}"
    parser: argparse.ArgumentParser = parser_of(name)
    actions = actions_of(parser)
    if given and actions:
        if given[0] not in actions and given[0].islower():
            return f"{name} has no {given[0]}"
        parser = actions.get(given[0], parser)
    known = {flag for each in parser._actions for flag in each.option_strings}
    flags = [it.partition("=")[0].strip("[]") for it in given if it.lstrip("[").startswith("-")]
    unknown = [flag for flag in flags if flag not in known and flag != "-"]
    if unknown:
        return f"{parser.prog} has no {', '.join(unknown)}"
    is_whole = len(given) > bool(actions) and not _PLACEHOLDER.search(shown)
    return _parsed(name, given) if is_whole else ""


def _parsed(name: str, given: list[str]) -> str:
    try:
        parser_of(name).parse_args(["1" if word == "MESSAGE" else word for word in given])
    except SystemExit as ended:
        return "" if ended.code == 0 else "it does not parse"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_shown_exists_with_its_flags(document: Path) -> None:
    written = document.read_text()
    wrong = {shown: complaint(shown) for shown in commands(written)}

    assert {shown: why for shown, why in wrong.items() if why} == {}


def test_the_commands_of_documents_are_really_read() -> None:
    text = "`antiphon tst` and\n```\nantiphon check --jsn && antiphon apply   # live\n```\n"

    assert list(commands(text)) == ["antiphon check --jsn", "antiphon apply", "antiphon tst"]
    assert complaint("antiphon check --jsn") == "antiphon check has no --jsn"
    assert complaint("antiphon tst") == "there is no command tst"
    assert complaint("antiphon segment lst") == "segment has no lst"
    assert complaint("antiphon explain first") == "it does not parse"
    assert complaint("antiphon segment members vip --dir shop") == ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_variable_named_is_in_the_settings(document: Path) -> None:
    settings = {variable for variable, _, _ in public_settings()}

    assert set(_VARIABLE.findall(document.read_text())) <= settings | OF_TESTS


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_the_port_shown_is_the_one_that_serve_takes(document: Path) -> None:
    ports = set(re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", document.read_text()))

    assert ports <= {str(PORT)}


def test_the_page_of_commands_is_what_the_parsers_say() -> None:
    assert PAGE.read_text() == page(), "it is old; run: python -m tests.commands_page"


def test_every_argument_of_every_command_has_a_meaning() -> None:
    generated = page().partition(BEGIN)[2]

    assert re.findall(r"^\| (.*) \|  \|$", generated, re.MULTILINE) == []


def test_the_promises_name_proofs_that_exist_every_failpoint_and_every_planted_bug() -> None:
    promises = (HOUSE / "docs" / "promises.md").read_text()
    spans = set(_INLINE.findall(_FENCE.sub("", promises)))
    rig = HOUSE / "tests" / "rig"
    invariants = (rig / "invariants.py").read_text() + (rig / "rules.py").read_text()
    asked = re.findall(r"\(((?:`\w+`(?:, )?)+)\)", promises)

    lost = [it for it in spans if it.startswith("tests/") and not (HOUSE / it).exists()]
    unknown = [
        name
        for names in asked
        for name in re.findall(r"\w+", names)
        if f"def {name}(" not in invariants
    ]

    assert lost == []
    assert asked
    assert unknown == []
    assert spans >= failpoints.NAMES
    journeys = (*planted_journeys.BUGS, *planted_journeys.IN_RELEASING)
    bugs = (*BUGS, *journeys, *planted_sending.BUGS)
    assert {f"| `{bug.__name__}` | {bug.__doc__} |" for bug in bugs} <= set(promises.splitlines())


def test_every_promise_is_stated_and_proved_or_said_to_come_later() -> None:
    promises = (HOUSE / "docs" / "promises.md").read_text()
    stated, _, rest = promises.partition("## The proofs")
    proved, _, rest = rest.partition("## What is promised later")
    later = rest.partition("## The rig")[0]

    def numbers(text: str) -> list[str]:
        return re.findall(r"^\| (P\d+) \|", text, re.MULTILINE)

    assert numbers(stated) == numbers(proved)
    assert sorted(numbers(stated) + numbers(later)) == sorted(f"P{n}" for n in range(1, 19))


def test_every_table_of_the_database_says_what_it_is() -> None:
    """SQLModel gives a class without a docstring its signature, which says nothing."""
    tree = ast.parse((HOUSE / "engine" / "tables.py").read_text())
    tables = {
        node.name: ast.get_docstring(node) or ""
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(it.arg == "table" and ast.unparse(it.value) == "True" for it in node.keywords)
    }

    assert len(tables) > 20
    assert [name for name, words in tables.items() if len(words.split()) < 5] == []
