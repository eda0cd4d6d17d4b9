"""docs/providers.md is what the providers say of themselves, whole and up to date."""

import re

import pytest

from campaigns.load import load_bundle
from channels import PROVIDERS
from engine.release.provider_checks import capabilities_of, provider_problems
from tests import providers_page
from tests.campaigns.build import SETTINGS, files
from tests.providers_page import PAGE, TRIALS, page, providers


def section(provider: str) -> str:
    return page().partition(f"### {provider}\n")[2].partition("\n### ")[0].partition("\n## ")[0]


def test_the_page_is_what_the_providers_say() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.providers_page"


def test_every_provider_that_antiphon_yaml_may_name_is_on_it() -> None:
    headings = re.findall(r"^### (\S+)$", page(), re.MULTILINE)

    assert headings == providers()
    assert set(headings) == {it for it in PROVIDERS if not it.startswith("webhook.")}
    assert set(TRIALS) <= {*headings, "web.placement"}


def test_every_setting_says_what_it_means() -> None:
    assert re.findall(r"^\| (`\S+`) \|.*\|  \|$", page(), re.MULTILINE) == []


@pytest.mark.parametrize("provider", [it for it in providers() if not it.endswith(".sandbox")])
def test_every_example_passes_check(provider: str) -> None:
    channel = provider.partition(".")[0]
    shown = re.findall(r"```yaml\n(channels:\n  .*)\n```", section(provider))
    without = re.sub(r"^channels:.*\n", "", SETTINGS, flags=re.MULTILINE)
    others = "".join(f"  {it}: {{}}\n" for it in ("email", "sms") if it != channel)

    (example,) = shown
    workspace = load_bundle(files({"antiphon.yaml": f"{without}{example}\n{others}"}), environ=None)

    assert list(map(str, provider_problems(workspace))) == []


def test_the_matrix_shows_what_check_goes_by() -> None:
    rows = re.findall(r"^\| \[`(\S+)`\]\(#\S+\) \| (.*) \|$", page(), re.MULTILINE)
    head = ["repeats", *providers_page.SHOWN, "callbacks", "answers", "expires", "size"]

    for provider, cells in rows:
        cell = dict(zip(head, cells.split(" | "), strict=True))
        can = capabilities_of(provider)
        assert (cell["delivered"] == "yes") == ("delivered" in can.reports)
        assert (cell["answers"] == "yes") == can.receives
        assert (cell["repeats"] != "–") == (can.idempotency_hours > 0)
    assert len(rows) == len(providers())
