"""The webhook step as written -> the core's: expressions computed, secrets named and left alone.

A part (the url, one header) either computes or holds `${env:NAME}`, never both: what a person's
data wrote into a request can then never be read as the name of a secret.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final, TypeAlias

from campaigns.reading import Text
from campaigns.secrets import PLACEHOLDER
from campaigns.step_forms import WebhookStep
from campaigns.step_values import RESERVED, StepValues
from engine.core.model.steps import StepId, Webhook

Report: TypeAlias = Callable[[int, str, str], None]
"""Takes what is wrong: line, what was found there, message."""

_SCHEMES: Final = ("https://", "http://", "{{", "${env:")
_OURS: Final = frozenset({"idempotency-key", "content-type", "content-length", "host"})


def compile_webhook(
    step_id: StepId,
    step: WebhookStep,
    following: StepId | None,
    *,
    values: StepValues,
    taken: Collection[str],
    report: Report,
) -> Webhook:
    """The step; what is wrong with it is reported.

    Args:
        values: Compiles the expressions in the journey's order.
        taken: Names under which other steps of the journey save what they got.
    """
    facts = step.webhook
    if not facts.url.startswith(_SCHEMES):
        report(
            facts.url.line,
            str(facts.url),
            f'the url "{facts.url}" is not one that can be called. Write https://…',
        )
    name = facts.save_as
    if name is not None:
        if name in RESERVED:
            report(
                name.line, str(name), f'"{name}" already means something in templates. Rename it.'
            )
        elif name in taken:
            report(name.line, str(name), f'another step saves its answer as "{name}". Rename one.')
    for header in facts.headers:
        if header.lower() in _OURS:
            report(header.line, str(header), f'the header "{header}" is ours to write. Delete it.')
    url = Text("url", line=facts.url.line)
    body = Text("body", line=step.line)
    computed = values.compile({url: facts.url, body: facts.body})
    headers = values.compile(dict(facts.headers))
    return Webhook(
        step_id,
        computed.get("url"),
        computed.get("body"),
        facts.method,
        headers,
        tuple(_secret_parts(step, report=report)),
        str(name) if name is not None else None,
        facts.timeout,
        facts.on_error,
        facts.even_in_holdout,
        following,
    )


def _secret_parts(step: WebhookStep, *, report: Report) -> Iterator[str]:
    facts = step.webhook
    parts = [("url", facts.url), *((f"headers.{k}", v) for k, v in facts.headers.items())]
    for part, text in parts:
        if "${" not in text:
            continue
        if "{{" in text:
            report(
                text.line,
                part,
                f"{part} holds both a secret and an expression. Keep the secret in a header of its "
                "own, so that nobody's data can name one.",
            )
        others = [match[0] for match in PLACEHOLDER.finditer(text) if match[1] != "env"]
        if others or "${" in PLACEHOLDER.sub("", text):
            report(
                text.line,
                part,
                f"{part}: only ${{env:NAME}} and ${{env:NAME:-default}} are read here.",
            )
        yield part
