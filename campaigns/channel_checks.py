"""What channels say of each other, and of recipients: backups, domains, warm-ups."""

from campaigns.conditions import Conditions
from campaigns.problems import advice
from campaigns.settings_forms import ChannelForm
from campaigns.workspace import SETTINGS_FILE
from engine.core.model.instants import DAY


def check_channels(conditions: Conditions) -> None:
    """Report channels whose backup cannot stand in, and settings that can have no effect."""
    workspace = conditions.workspace
    channels = workspace.settings.channels

    def report(name: str, found: str, line: int, words: str) -> None:
        conditions.report(SETTINGS_FILE, line, found, f"channels.{name}: {words}")

    for name, form in channels.items():
        kind = workspace.channel_kind(str(name))
        if form.domains and kind != "email":
            report(str(name), "domains", form.line, "only e-mail goes to domains.")
        if form.warm_up is not None and form.rate is not None:
            daily = form.rate[0] * DAY // form.rate[1]
            if form.warm_up.start >= daily:
                words = f"the warm-up starts with what the rate lets through, {daily} a day."
                report(str(name), "warm_up", form.line, f"{words} Start with less.")
        if form.backup is None:
            continue
        backup = channels.get(form.backup)
        found, line = str(form.backup), form.backup.line or form.line
        if backup is None:
            hint = advice(found, channels)
            report(str(name), found, line, f'the backup "{found}" is not a channel.{hint}')
        elif workspace.channel_kind(found) != kind:
            other = workspace.channel_kind(found)
            report(str(name), found, line, f'the backup "{found}" is {other}, not {kind}.')
        elif backup.is_room != form.is_room:
            words = f'of "{name}" and its backup "{found}" one writes to a room, one to people.'
            report(str(name), found, line, words)
    _check_circles(conditions, {str(name): form for name, form in channels.items()})


def _check_circles(conditions: Conditions, channels: dict[str, ChannelForm]) -> None:
    """Report each circle of backups once, at the channel that comes first in the file."""
    seen: set[str] = set()
    for first in channels:
        path = [first]
        while (backup := channels[path[-1]].backup) is not None and str(backup) in channels:
            path.append(str(backup))
            if len(set(path)) < len(path):
                break
        is_circle = len(path) > 1 and path[-1] == first
        if is_circle and not seen & set(path):
            circle = " -> ".join(path)
            message = f"the backups go round in a circle: {circle}. Delete one."
            line = channels[first].line
            conditions.report(SETTINGS_FILE, line, first, f"channels.{first}: {message}")
        seen |= set(path)
