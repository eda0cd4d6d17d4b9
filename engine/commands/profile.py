"""`antiphon profile`: one person, as far as the local machine may show them."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.reading import ProfilePage

HELP: Final = "one person: traits (pii hidden), segments, consent, timeline; or erase them"
EXAMPLE: Final = """\
example: antiphon profile show u1 shop
example: antiphon profile erase u1 shop --yes"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what is known of a person")
    show.add_argument("id", metavar="ID", help="their user id or anonymous id")
    show.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    show.add_argument("--json", action="store_true", help="print one JSON object")
    gone = actions.add_parser("erase", help="destroy what is known of a person, for good")
    gone.add_argument("id", metavar="ID", help="their user id or anonymous id")
    gone.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    gone.add_argument("--yes", action="store_true", help="do it; without this nothing is erased")
    gone.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the person is known, 2 when not. erase: 1 without --yes, and nothing is erased."""
    if arguments.action == "erase":
        from engine.commands.profile_erase import erase

        return erase(arguments)
    from campaigns.model_compile import models_of
    from campaigns.models import kind_of
    from engine.core.profiling import refusal
    from engine.membership import with_asked
    from engine.opened import opened
    from engine.reading import find_profile, read_profile
    from engine.shown import plain
    from engine.steady import present
    from engine.store import scores

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        profile = find_profile(connection, arguments.id, kinds=("user", "anonymous"))
        compiled = it.playbook().segments
        segments = list(compiled.names)
        page = (
            None
            if profile is None
            else read_profile(connection, profile, segments=segments, with_timeline=True)
        )
        if page is not None:
            page = with_asked(connection, page, compiled, now=present())
        said = {} if profile is None else scores.details(connection, profile)
        refuses = "" if page is None else refusal(page.traits, it.playbook().program.profiling)
        kinds = {name: kind_of(model) for name, model in models_of(it.playbook().workspace).items()}
    if page is None:
        raise UsageError(f'there is no profile with the id "{arguments.id}"')
    if arguments.json:
        print(json.dumps({**_plain(plain(page)), "models": _models(said), "not_profiled": refuses}))
    else:
        print("\n".join([_told(page), *_said(said, kinds), *([f"  {refuses}"] if refuses else [])]))
    return 0


def _models(said: dict[str, Any]) -> dict[str, Any]:
    """What models say of the person, with all that is kept of why."""
    return {
        model: {
            "value": score.value,
            "percentile": score.percentile,
            "label": score.label,
            "run": score.run,
            **(json.loads(detail) if detail else {}),
        }
        for model, (score, detail) in said.items()
    }


def _said(said: dict[str, Any], kinds: dict[str, str]) -> list[str]:
    lines = ["models"] if said else []
    for model, it in _models(said).items():
        why = ", ".join(f"{feature} {effect:+.3g}" for feature, effect in it.get("why", ()))
        because = f"; by {why}" if why else ""
        if it.get("is_low_confidence"):
            because = "; a newcomer: what others of the same device and country did"
        answer = _answer(it, kinds.get(model, ""))
        lines.append(f"  {model}: {answer}{because}")
    return lines


def _answer(it: dict[str, Any], kind: str) -> str:
    """A score with its place among people, an hour with its share, a group with how sure it is."""
    if kind == "send_time":
        return f"{it['label']}:00, the hour of {100 * it['value']:.0f} % of what they do"
    if it["label"]:
        return f"{it['label']} (confidence {it['value']:.2g})"
    return f"{it['value']:.3g}, above {it['percentile']:.0f} % of people"


def _plain(page: dict[str, Any]) -> dict[str, Any]:
    """The same names as `GET /v1/profiles/{id}`: `id` is the one the person goes by outside."""
    from engine.core.clocktime import iso

    inside = [{"name": name, "since": iso(since)} for name, since in page["segments"]]
    return {**page, "id": page.pop("external_id"), "segments": inside}


def _told(page: "ProfilePage") -> str:
    from engine.core.clocktime import iso

    lines = [f"{page.external_id}, since {iso(page.created_at)}, zone {page.zone}"]
    if page.is_erased:
        lines.append("  erased")
    lines += [f"  {name}: {value}" for name, value in sorted(page.traits.items())]
    for channel, words in sorted(page.channels.items()):
        topics = page.consent.get(channel, {})
        agreed = ", ".join(f"{topic} {'yes' if on else 'no'}" for topic, on in topics.items())
        lines.append(f"  {channel}: {words}; consent: {agreed or 'unknown'}")
    lines += [f"  in {name} since {iso(since)}" for name, since in page.segments]
    for each in page.enrollments:
        where = each.step if each.status == "active" else each.reason or each.status
        lines.append(f"  {each.campaign}: entered {iso(each.entered_at)}, {each.status} ({where})")
    lines.append("timeline")
    for moment in page.timeline:
        status = f" [{moment.status}]" if moment.status else ""
        lines.append(
            f"  {iso(moment.at)[:19]}  {moment.kind:<8} {moment.title}{status}  {moment.detail}"
        )
    return "\n".join(lines)
