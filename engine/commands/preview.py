"""`antiphon preview`: a template as one person would get it, in one language or in all."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from campaigns.schema import CampaignFile
    from campaigns.trial_forms import TestFile
    from channels.content.render import Content
    from channels.content.templates import CompiledTemplate
    from engine.release.checking import Checked

HELP: Final = "render a template for one profile, for a fixture, or for values given here"
EXAMPLE: Final = (
    "example: antiphon preview email/cart_reminder shop --fixture tests/cart.yaml --all-locales"
)

_FIXTURE_KEYS: Final = ("profile", "event", "picks", "variants", "saved", "locale", "now")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("template", metavar="CHANNEL/NAME", help="as in templates/, no extension")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--profile", metavar="ID", help="take the traits of this person")
    parser.add_argument(
        "--fixture",
        metavar="FILE",
        help="a JSON object (profile, event, picks, ...), or a tests/*.yaml of the workspace",
    )
    parser.add_argument("--traits", metavar="JSON", default="{}", help="traits to use or add")
    parser.add_argument("--event", metavar="JSON", default="{}", help="the trigger's properties")
    parser.add_argument("--locale", metavar="TAG", help="a language, as in de or pt-BR")
    parser.add_argument(
        "--all-locales", action="store_true", help="once for each language the template has"
    )
    parser.add_argument("--text", action="store_true", help="print the text part alone")
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        const="-",
        help="write the HTML part to a file, by language with --all-locales; print it without FILE",
    )
    parser.add_argument("--json", action="store_true", help="print every part as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when it renders; 1 when a value is missing; 2 when there is no such template."""
    import msgspec

    from campaigns.problems import advice
    from channels.content.limits import RenderError
    from engine.release.publish import check

    checked = check(arguments.directory)
    templates = {f"{channel}/{name}": each for (channel, name), each in checked.templates.items()}
    template = templates.get(arguments.template)
    if template is None:
        hint = advice(arguments.template, templates)
        raise UsageError(f'there is no template "{arguments.template}".{hint}')
    values = _values(arguments, checked, template)
    locales = list(template.locales) if arguments.all_locales else [None]
    contents: dict[str, Content] = {}
    for locale in locales:
        name = arguments.template + (f" ({locale})" if locale else "")
        try:
            contents[locale or ""] = _rendered(checked, template, values, arguments, locale)
        except RenderError as error:
            print(f"antiphon: {name}: {error}", file=sys.stderr)
            return 1
    if arguments.json:
        built = {locale: msgspec.to_builtins(it) for locale, it in contents.items()}
        print(json.dumps(built if arguments.all_locales else built[""]))
        return 0
    for locale, content in contents.items():
        if arguments.all_locales and arguments.html in (None, "-"):
            print(f"--- {locale or 'every other language'} ---")
        _show(content, arguments, locale)
    return 0


def _rendered(
    checked: "Checked",
    template: "CompiledTemplate",
    values: Mapping[str, Any],
    arguments: argparse.Namespace,
    locale: str | None,
) -> "Content":
    """Rendered for one language: `locale`, or the one asked for, or the person's own."""
    from channels.content.render import Setting, render

    traits = values["profile"]
    own = traits.get("locale") or values.get("locale")
    setting = Setting(
        locale=locale if arguments.all_locales else arguments.locale or own,
        zone=str(traits.get("timezone") or checked.program.zone),
        currency=checked.workspace.settings.currency or "",
        unsubscribe_url="https://example.com/u/preview",
        preferences_url="https://example.com/preferences/preview",
        confirm_url="https://example.com/confirm/preview",
        feeds=checked.feeds,
    )
    return render(template, values, setting=setting)


# --- what is rendered with ----------------------------------------------------------------------


def _values(
    arguments: argparse.Namespace, checked: "Checked", template: "CompiledTemplate"
) -> dict[str, Any]:
    """A fixture, then a person, then what the command line says: the later one wins."""
    given = _fixture(arguments, checked, template) if arguments.fixture else {}
    saved = given.pop("saved", {})
    traits = {
        **given.get("profile", {}),
        **_traits_of(arguments),
        **_object(arguments.traits, "--traits"),
    }
    event = {**given.get("event", {}), **_object(arguments.event, "--event")}
    return {
        **saved,
        "campaign": {"name": "preview", "title": "Preview"},
        "variants": {},
        "now": 0,
        **given,
        "profile": traits,
        "event": event,
    }


def _fixture(
    arguments: argparse.Namespace, checked: "Checked", template: "CompiledTemplate"
) -> dict[str, Any]:
    path = Path(arguments.fixture)
    if path.suffix in (".yaml", ".yml"):
        return _of_test(path, arguments.directory, checked, template)
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f'--fixture: "{path}" cannot be read: {reason}') from error
    given = _object(text, f"--fixture {path}")
    for key, value in given.items():
        if key not in _FIXTURE_KEYS:
            allowed = ", ".join(_FIXTURE_KEYS)
            raise UsageError(f'--fixture: "{key}" is not a key of a fixture; these are: {allowed}')
        wanted = {"picks": list, "locale": str, "now": str}.get(key, dict)
        if not isinstance(value, wanted):
            kinds = {list: "a list", str: "a text", dict: "an object"}
            raise UsageError(f"--fixture: {key} is {kinds[wanted]}")
    return given


def _of_test(
    path: Path, directory: Path, checked: "Checked", template: "CompiledTemplate"
) -> dict[str, Any]:
    """What a test of the workspace gives: its profile, and the event that triggers the send."""
    from campaigns.problems import advice
    from engine.core.clocktime import iso
    from engine.intake.declared import declared
    from engine.simulation.trials import typed

    tests = {test.file: test for test in checked.workspace.tests.values()}
    wanted = {path.as_posix(), f"tests/{path.name}"}
    if path.is_absolute() or (directory / path).exists():
        wanted = {(directory / path).resolve().relative_to(directory.resolve()).as_posix()}
    test = next((tests[name] for name in sorted(wanted) if name in tests), None)
    if test is None:
        hint = advice(path.as_posix(), tests)
        raise UsageError(f'--fixture: there is no test "{path}" in the workspace.{hint}')
    triggers = _triggers_of(checked, template)
    events = test.given.events
    fitting = [it for it in events if str(it.event) in triggers] or events
    known = declared(checked.workspace)
    given: dict[str, Any] = {"profile": typed(test.given.profile.traits, known.traits)}
    if fitting:
        last = fitting[-1]
        given["event"] = typed(last.properties, known.events.get(str(last.event), {}))
        given["now"] = iso(last.at)
    return given | _picked(test, checked, template)


def _picked(test: "TestFile", checked: "Checked", template: "CompiledTemplate") -> dict[str, Any]:
    """What the recommenders of a test answer to the campaigns that send this template."""
    from campaigns.step_forms import PICKS, RecommendStep, walk
    from engine.simulation.trials import given_picks

    answers = given_picks(test, checked.workspace)
    found: dict[str, Any] = {}
    for form in _campaigns_of(checked, template):
        for _, step in walk(form.journey):
            if isinstance(step, RecommendStep) and str(step.recommend.model) in answers:
                rows = answers[str(step.recommend.model)][: step.recommend.n]
                found[str(step.recommend.as_)] = rows
    picks = {PICKS: found.pop(PICKS)} if PICKS in found else {}
    return {**picks, "saved": found} if found else picks


def _triggers_of(checked: "Checked", template: "CompiledTemplate") -> set[str]:
    """The events of the campaigns that send this template."""
    from campaigns.schema import EventTriggerForm

    return {
        str(form.trigger.event)
        for form in _campaigns_of(checked, template)
        if isinstance(form.trigger, EventTriggerForm)
    }


def _campaigns_of(checked: "Checked", template: "CompiledTemplate") -> "Iterator[CampaignFile]":
    """The campaigns that send this template."""
    from campaigns.step_forms import SendStep, walk

    for form in checked.workspace.campaigns.values():
        for _, step in walk(form.journey):
            if not isinstance(step, SendStep):
                continue
            kind = checked.workspace.channel_kind(str(step.send.channel))
            if (kind, str(step.send.template)) == (template.channel, template.name):
                yield form
                break


def _traits_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The traits of `--profile`, opened: whoever runs this holds the workspace's secret."""
    if arguments.profile is None:
        return {}
    from engine.opened import opened
    from engine.reading import find_profile
    from engine.sending.composing import data_keys, open_traits
    from engine.store.queue import addressees

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        found = find_profile(connection, arguments.profile, kinds=("user", "anonymous"))
        if found is None:
            raise UsageError(f'there is no profile with the id "{arguments.profile}"')
        person = addressees(connection, [found])[found]
        return open_traits(person, it.vault, data_keys(connection, {found: person}))


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{option}: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{option}: a JSON object is required")
    return value


# --- what is shown ------------------------------------------------------------------------------


def _show(content: "Content", arguments: argparse.Namespace, locale: str) -> None:
    if arguments.html is None:
        print(content.text if arguments.text else _shown(content, arguments))
        return
    page = content.html
    if not page:
        raise UsageError(f"{arguments.template} has no HTML part; leave --html out")
    if arguments.html == "-":
        print(page)
        return
    path = Path(arguments.html)
    if locale:
        path = path.with_name(f"{path.stem}.{locale}{path.suffix}")
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise UsageError(f'--html: "{path}" cannot be written: {error.strerror}') from error
    print(f"{path}: {len(page.encode()):,} bytes")


def _shown(content: "Content", arguments: argparse.Namespace) -> str:
    lines = [f"Subject: {content.subject}"] if content.subject else []
    if content.data:
        lines.append(json.dumps(content.data, indent=2, ensure_ascii=False))
    lines.append(content.text or content.html)
    if arguments.template.startswith("sms/"):
        from channels.sms.text import measure

        size = measure(content.text)
        n_parts = len(size.parts)
        parts = "1 part" if n_parts == 1 else f"{n_parts} parts"
        forced = f", because of {' '.join(size.forced_by[:10])}" if size.forced_by else ""
        lines.append(f"({size.encoding}, {size.units} units, {parts}{forced})")
    return "\n".join(lines)
