"""`antiphon send-test`: one step's message to one address, by the channel's real provider."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from channels.base import Receipt
    from engine.sending.trial import Tried

HELP: Final = "send one step's message to one address, and show what the provider answers"
EXAMPLE: Final = (
    "example: antiphon send-test cart-reminder remind shop --to you@example.com"
    ' --event \'{"cart_id": "c1"}\''
)
NO_ADDRESS: Final = "https://antiphon.example"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("campaign", metavar="CAMPAIGN", help="its name in the file")
    parser.add_argument("step", metavar="STEP", help="the id of a step that sends")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--to",
        required=True,
        metavar="ADDRESS",
        help="an inbox, number or push token of your own; @FILE reads it from a file",
    )
    parser.add_argument("--traits", metavar="JSON", default="{}", help="traits the template reads")
    parser.add_argument("--event", metavar="JSON", default="{}", help="the trigger's properties")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the provider took it, 1 when it did not, 2 when nothing could be sent."""
    import asyncio
    import os

    from channels.base import Accepted
    from engine.release.checking import check
    from engine.sending.trial import send_trial, trial_message
    from engine.settings import variable
    from engine.steady import present

    traits = _object(arguments.traits, "--traits")
    event = _object(arguments.event, "--event")
    checked = check(arguments.directory, environ=os.environ)
    public_url = os.environ.get(variable("public_url"), "").rstrip("/")
    channel, message = trial_message(
        checked,
        arguments.campaign,
        arguments.step,
        to=_address(arguments.to),
        traits=traits,
        event=event,
        public_url=public_url or NO_ADDRESS,
        now=present(),
    )
    tried = asyncio.run(
        send_trial(checked.workspace, channel, message, directory=arguments.directory)
    )
    print(json.dumps(_plain(tried)) if arguments.json else _shown(tried, bool(public_url)))
    return 0 if isinstance(tried.receipt, Accepted) else 1


def _shown(tried: "Tried", has_address: bool) -> str:
    lines = [f"{tried.provider}: {_said(tried.receipt)}"]
    if tried.answer is not None:
        lines.append(f"it answered {tried.answer.status}: {tried.answer.text or '(nothing)'}")
    if not has_address and tried.message.channel in ("email", "sms"):
        lines.append("ANTIPHON_PUBLIC_URL is not set, so the links in it lead nowhere.")
    return "\n".join(lines)


def _said(receipt: "Receipt") -> str:
    from channels.base import Accepted, Ambiguous, NotSent, RefusedBy, Throttled

    match receipt:
        case Accepted(_, _, placement) if placement is not None:
            return (
                f"it would stand in {placement.name} as {placement.kind}, priority "
                f"{placement.priority}; nobody is shown a trial:\n{placement.html}"
            )
        case Accepted(provider_id):
            return f"accepted as {provider_id or '(it gives no id)'}"
        case RefusedBy(scope, code, text):
            blame = {
                "recipient": "it will not reach this address",
                "message": "it refuses this message",
                "config": "the channel is not set up as it should be",
                "account": "it refuses the account",
            }
            return f"refused, {blame[scope]} ({code}): {text}"
        case Throttled(seconds, why):
            when = f" for {seconds:g} s" if seconds is not None else ""
            return f"busy{when}, nothing was sent: {why}"
        case NotSent(why):
            return f"not sent: {why}"
        case Ambiguous(why):
            return f"nobody can tell whether it was sent: {why}"


def _plain(tried: "Tried") -> dict[str, Any]:
    import msgspec

    told = msgspec.to_builtins(tried.receipt)
    if told.get("placement") is None:
        told.pop("placement", None)
    answer = tried.answer
    return {
        "provider": tried.provider,
        "channel": tried.message.channel,
        "subject": tried.message.subject,
        "receipt": {"kind": told.pop("type"), **told},
        "answer": None if answer is None else {"status": answer.status, "body": answer.text},
    }


def _address(given: str) -> str:
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f'--to: "{path}" cannot be read') from None


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{option}: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{option}: a JSON object is required")
    return value
