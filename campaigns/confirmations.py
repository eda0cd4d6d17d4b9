"""Topics that ask twice: the campaign that carries the question, as if its author had written it.

`confirm: {channel: email, template: confirm_offers}` saves a file that would always be the same. A
campaign of that name in campaigns/ takes its place.
"""

from collections.abc import Iterator
from typing import Final

from campaigns.reading import Map, Text, read_yaml
from campaigns.settings_forms import SettingsForm, TopicForm

TOPIC: Final = "confirmations"
"""What these messages are about; transactional, and there without being declared."""


def confirmations(settings: SettingsForm) -> Iterator[tuple[str, str, Map]]:
    """(name, where it is written, its tree) of each campaign that a topic implies."""
    asking = {
        str(name): form.confirm
        for name, form in settings.topics.items()
        if form.confirm is not None
    }
    if asking:
        settings.topics.setdefault(Text(TOPIC), TopicForm(transactional=True))
    for topic, form in asking.items():
        line = form.template.line
        name = f"confirm-{topic}"
        # On the line on which its author wrote it, which is where its errors are shown.
        written = (
            f"{{campaign: {name}, topic: {TOPIC}, "
            f"trigger: {{event: Consent Requested, where: {{properties.topic: {topic}}}, "
            "key: properties.confirms}, reentry: {when: after_exit}, "
            f'journey: [{{send: {{channel: {form.channel}, template: "{form.template}", '
            "expires: 7d}, id: ask}]}"
        )
        place = f"antiphon.yaml (topics.{topic}.confirm)"
        yield name, place, read_yaml(place, b"\n" * max(line - 1, 0) + written.encode())
