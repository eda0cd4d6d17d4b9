"""`antiphon preview`: a template as one person would get it."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from channels.content.render import Content

HELP: Final = "render a template for one profile, or for values given on the command line"
EXAMPLE: Final = (
    'example: antiphon preview email/cart_reminder shop --profile u1 --event \'{"cart_id": "c1"}\''
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("template", metavar="CHANNEL/NAME", help="as in templates/, no extension")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--profile", metavar="ID", help="take the traits of this person")
    parser.add_argument("--traits", metavar="JSON", default="{}", help="traits to use or add")
    parser.add_argument("--event", metavar="JSON", default="{}", help="the trigger's properties")
    parser.add_argument("--locale", metavar="TAG", help="a language, as in de or pt-BR")
    parser.add_argument("--html", action="store_true", help="print the HTML part instead of text")
    parser.add_argument("--json", action="store_true", help="print every part as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when it renders; 1 when a value is missing; 2 when there is no such template."""
    import sys

    import msgspec

    from campaigns.problems import advice
    from channels.content.limits import RenderError
    from channels.content.render import Setting, render
    from engine.release.publish import check

    checked = check(arguments.directory)
    templates = {f"{channel}/{name}": each for (channel, name), each in checked.templates.items()}
    template = templates.get(arguments.template)
    if template is None:
        hint = advice(arguments.template, templates)
        raise UsageError(f'there is no template "{arguments.template}".{hint}')
    traits = {**_traits_of(arguments), **_object(arguments.traits, "--traits")}
    setting = Setting(
        locale=arguments.locale or traits.get("locale"),
        zone=str(traits.get("timezone") or checked.program.zone),
        currency=checked.workspace.settings.currency or "",
        unsubscribe_url="https://example.com/u/preview",
        preferences_url="https://example.com/preferences/preview",
    )
    context = {
        "profile": traits,
        "event": _object(arguments.event, "--event"),
        "campaign": {"name": "preview", "title": "Preview"},
        "variants": {},
        "now": 0,
    }
    try:
        content = render(template, context, setting=setting)
    except RenderError as error:
        print(f"antiphon: {arguments.template}: {error}", file=sys.stderr)
        return 1
    whole = json.dumps(msgspec.to_builtins(content)) if arguments.json else ""
    print(whole or _shown(content, arguments))
    return 0


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


def _shown(content: "Content", arguments: argparse.Namespace) -> str:
    if arguments.html:
        return content.html or content.text
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
