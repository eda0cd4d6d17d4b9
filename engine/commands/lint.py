"""`antiphon lint`: what hurts delivery, template by template. Warnings, never errors."""

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from campaigns.schema import CampaignFile
    from campaigns.step_forms import SendFacts
    from campaigns.workspace import Workspace
    from channels.content.lint import DeliveryWarning
    from channels.content.templates import CompiledTemplate
    from engine.release.checking import Checked

HELP: Final = "warn of what hurts delivery: size, links, alt texts, parts, a way to unsubscribe"
EXAMPLE: Final = "example: antiphon lint shop --spam"

SPAM_SECONDS_MAX: Final = 10
_PROGRAM: Final = "spamassassin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--template", metavar="CHANNEL/NAME", help="this one alone, as in templates/"
    )
    parser.add_argument(
        "--spam", action="store_true", help="score e-mails with SpamAssassin, if it is installed"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there is a warning")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0; with --strict 1 when there is a warning; 2 when the workspace is wrong."""
    from channels.content.lint import lint
    from engine.release.checking import check

    checked = check(arguments.directory)
    notes: list[str] = []
    found: list[DeliveryWarning] = []
    templates = _chosen(checked, arguments.template)
    for template in templates:
        found += lint(template, is_marketing=_is_marketing(checked.workspace, template))
    if arguments.spam:
        found += _spam(checked, templates, notes)
    if arguments.json:
        rows = [{"where": it.where, "rule": it.rule, "message": it.message} for it in found]
        print(json.dumps({"warnings": rows, "notes": notes}))
    else:
        for it in found:
            print(f"{it.where}: {it.rule}: {it.message}")
        for note in notes:
            print(f"note: {note}")
        n = len(found)
        n_read = len(templates)
        print(f"{n or 'no'} warning{_s(n)} in {n_read} template{_s(n_read)}")
    return 1 if arguments.strict and found else 0


def _s(n: int) -> str:
    return "" if n == 1 else "s"


def _chosen(checked: "Checked", wanted: str | None) -> list["CompiledTemplate"]:
    from campaigns.problems import advice
    from engine.core.errors import UsageError

    templates = {f"{channel}/{name}": it for (channel, name), it in checked.templates.items()}
    if wanted is None:
        return list(templates.values())
    if wanted not in templates:
        raise UsageError(f'there is no template "{wanted}".{advice(wanted, templates)}')
    return [templates[wanted]]


def _is_marketing(workspace: "Workspace", template: "CompiledTemplate") -> bool:
    """Whether any step sends it as marketing; one that no step sends may be."""
    topics = workspace.settings.topics
    kinds: set[bool] = set()
    for campaign, send in _sends(workspace):
        kind = workspace.channel_kind(str(send.channel))
        if (kind, str(send.template)) == (template.channel, template.name):
            topic = topics.get(send.topic or campaign.topic)  # type: ignore[arg-type]
            kinds.add(topic is None or not topic.transactional)
    return True in kinds or not kinds


def _sends(workspace: "Workspace") -> Iterator[tuple["CampaignFile", "SendFacts"]]:
    from campaigns.step_forms import SendStep, walk

    for campaign in workspace.campaigns.values():
        for _, step in walk(campaign.journey):
            if isinstance(step, SendStep):
                yield campaign, step.send


# --- the spam score -----------------------------------------------------------------------------


def _spam(
    checked: "Checked", templates: list["CompiledTemplate"], notes: list[str]
) -> Iterator["DeliveryWarning"]:
    from shutil import which

    from channels.content.lint import DeliveryWarning
    from channels.content.spam import SCORE_WARNED, read_score, sample_of
    from engine.steady import present

    program = which(_PROGRAM)
    if program is None:
        notes.append("SpamAssassin is not installed, so no e-mail was scored")
        return
    form = checked.workspace.settings.channels.get("email")  # type: ignore[call-overload]
    sender = str(form.settings.get("from", "")) if form is not None else ""
    for template in templates:
        for locale, version in template.locales.items() if template.channel == "email" else ():
            name = f"{template.channel}/{template.name}" + (f" ({locale})" if locale else "")
            sample = sample_of(version, sender=sender or "Shop <shop@example.com>", at=present())
            answer = _asked(program, sample)
            score = read_score(answer) if answer is not None else None
            if score is None:
                why = "took too long" if answer is None else "gave no score"
                notes.append(f"{name}: SpamAssassin {why}; it was not scored")
            elif score.points >= SCORE_WARNED:
                rules = ", ".join(f"{rule} {points:g}" for points, rule, _ in score.rules)
                message = f"SpamAssassin gives {score.points:g} points: {rules}"
                where = version.parts["subject"].written.place(0)
                yield DeliveryWarning(where, "spam", message + (f" ({locale})" if locale else ""))
            else:
                notes.append(f"{name}: SpamAssassin gives {score.points:g} points")


def _asked(program: str, sample: bytes) -> str | None:
    """Its answer, or None where it took longer than it may. `-L`: it asks no server about us."""
    try:
        done = subprocess.run(
            [program, "-t", "-L"], input=sample, capture_output=True, timeout=SPAM_SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.decode("utf-8", "replace")
