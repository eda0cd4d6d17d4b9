"""`check` says what a channel's provider cannot do: with file and line, and never with a secret."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from channels import PROVIDERS
from engine.cli import main
from engine.release.checking import check_providers, compile_templates
from engine.release.provider_checks import capabilities_of, settings_of
from tests.campaigns.build import CAMPAIGN, SETTINGS, files

SMTP = '{provider: smtp, url: "${env:SMTP_URL}", from: "Shop <hello@shop.example>"}'
TWILIO = '{provider: twilio, account_sid: AC1, auth_token: "${env:TOKEN}", from: "+4915199999999"}'
WAY_OUT = (
    '---\nsubject: Hello\n---\n<p>Hello</p><p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'
)


def complaints(
    email: str = SMTP, sms: str = "{}", *, changed: Mapping[str, str | None] | None = None
) -> list[str]:
    """What is wrong with the small shop whose channels are these, one line each."""
    channels = f"channels:\n  email: {email}\n  sms: {sms}\n"
    settings = SETTINGS.replace("channels: {email: {provider: sandbox}, sms: {}}\n", channels)
    shop = {"antiphon.yaml": settings, "templates/email/remind.html": WAY_OUT, **(changed or {})}
    workspace = load_bundle(files(shop), environ=None)
    try:
        check_providers(workspace, compile_templates(workspace))
    except InvalidWorkspace as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_workspace_whose_providers_can_do_all_it_asks_is_right() -> None:
    assert complaints() == []
    assert complaints(sms=TWILIO) == []
    assert complaints("{provider: sandbox}", "{provider: sandbox}") == []


def test_an_unknown_provider_is_named_with_the_nearest() -> None:
    assert complaints(sms="{provider: twilo}") == [
        'antiphon.yaml:12: "twilo" is not a provider of sms. Did you mean "twilio"?'
    ]


def test_a_provider_of_another_channel_is_not_one_of_this() -> None:
    (found,) = complaints("{provider: twilio}")

    assert found.startswith('antiphon.yaml:11: "twilio" is not a provider of email. ')


def test_an_unknown_setting_stands_with_its_line_and_the_nearest_name() -> None:
    written = (
        '\n    provider: twilio\n    account_sdi: AC1\n    auth_token: "${env:TOKEN}"'
        '\n    from: "+4915199999999"'
    )

    assert complaints(sms=written) == [
        "antiphon.yaml:12: channels.sms: sms.twilio needs account_sid. "
        "Secrets stand as ${env:NAME}.",
        'antiphon.yaml:14: sms.twilio has no setting "account_sdi". Did you mean "account_sid"?',
    ]


def test_a_setting_of_another_type_is_refused_without_its_value() -> None:
    (found,) = complaints(SMTP.replace("smtp,", "smtp, pool: hunter22,"))

    assert found.startswith("antiphon.yaml:11: channels.email.pool: ")
    assert "int" in found
    assert "hunter22" not in found


def test_a_setting_that_is_to_be_filled_in_counts_as_there_and_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)

    assert complaints(SMTP.replace("smtp,", 'smtp, pool: "${env:POOL}",')) == []


def test_a_setting_that_only_the_provider_understands_is_checked_by_it() -> None:
    (found,) = complaints(sms=TWILIO.replace('"${env:TOKEN}"', "t").replace("+49", "0049-"))

    assert found.startswith("antiphon.yaml:12: channels.sms.from: ")


def test_a_file_that_a_provider_needs_and_is_not_there_is_named() -> None:
    room = "{provider: chat, url: 'https://chat.example/room', ca_file: /no/such.pem}"

    (found,) = complaints(sms=f"{{}}\n  push: {room}")

    assert found.startswith("antiphon.yaml:13: channels.push.ca_file")
    assert found.endswith("No such file or directory.")


def test_a_condition_on_a_report_that_never_comes_is_refused() -> None:
    segment = "segment: vip\nwhen:\n  message: {delivered: any, channel: email, within: 7d}\n"

    (found,) = complaints(changed={"segments/vip.yaml": segment})

    assert found.startswith(
        'segments/vip.yaml:3: email.smtp never reports "delivered", so this never happens. '
        "What it does tell: "
    )
    assert complaints("{provider: sandbox}", changed={"segments/vip.yaml": segment}) == []


@pytest.mark.parametrize("report", ["opened", "clicked", "unsubscribed", "sent"])
def test_what_our_own_links_tell_needs_no_provider(report: str) -> None:
    segment = f"segment: vip\nwhen:\n  message: {{{report}: any, channel: email, within: 7d}}\n"

    assert complaints(changed={"segments/vip.yaml": segment}) == []


def test_a_report_that_one_of_the_channels_tells_is_no_mistake() -> None:
    segment = "segment: vip\nwhen:\n  message: {delivered: any, within: 7d}\n"

    assert complaints(sms=TWILIO, changed={"segments/vip.yaml": segment}) == []


def test_a_wait_and_a_metric_on_what_never_comes_are_refused_too() -> None:
    wait = "  - wait_for: {event: Message Delivered, timeout: 24h}\n    id: arrival\n"
    metric = "metric: arrived\nevent: Message Displayed\nwithin: 7d\n"

    found = complaints(
        changed={
            "campaigns/nudge.yaml": CAMPAIGN + wait,
            "metrics/arrived.yaml": metric,
            "antiphon.yaml": SETTINGS.replace(
                "channels: {email: {provider: sandbox}, sms: {}}", f"channels: {{email: {SMTP}}}"
            ),
        }
    )

    assert [it.partition(", so")[0] for it in found] == [
        'campaigns/nudge.yaml:9: email.smtp never reports "delivered"',
        'metrics/arrived.yaml:2: email.smtp never reports "displayed"',
    ]


def test_a_wait_narrowed_to_a_channel_is_asked_of_that_channel() -> None:
    wait = (
        "  - wait_for:\n      event: Message Delivered\n"
        "      where: {properties.channel: email}\n      timeout: 24h\n    id: arrival\n"
    )

    (found,) = complaints(sms=TWILIO, changed={"campaigns/nudge.yaml": CAMPAIGN + wait})

    assert found.startswith('campaigns/nudge.yaml:10: email.smtp never reports "delivered"')


def test_mail_without_a_sender_is_refused_where_it_would_really_go() -> None:
    assert complaints('{provider: smtp, url: "${env:SMTP_URL}"}') == [
        'campaigns/nudge.yaml:7: email.smtp needs a sender, and the template "remind" has none. '
        "Write from: in its front matter, or for all of them under channels.email."
    ]
    assert complaints("{provider: sandbox}") == []


def test_a_backup_must_be_able_to_send_what_its_channel_sends() -> None:
    backup = '{kind: email, provider: smtp, url: "${env:SECOND_URL}"}'
    first = SMTP.replace("{provider", "{backup: other, provider", 1)

    assert complaints(f"{first}\n  other: {backup}") == [
        'campaigns/nudge.yaml:7: email.smtp needs a sender, and the template "remind" has none. '
        "Write from: in its front matter, or for all of them under channels.other."
    ]


def test_a_sender_in_the_front_matter_is_one() -> None:
    written = WAY_OUT.replace("---\n<p>", "from: Shop <a@shop.example>\n---\n<p>")

    assert (
        complaints(
            '{provider: smtp, url: "${env:SMTP_URL}"}',
            changed={"templates/email/remind.html": written},
        )
        == []
    )


def test_marketing_without_a_way_out_is_refused_in_each_language_that_lacks_it() -> None:
    changed = {"templates/email/remind.de.html": "---\nsubject: Hallo\n---\n<p>Hallo</p>"}

    assert complaints(changed=changed) == [
        'campaigns/nudge.yaml:7: the template "remind" is marketing and has no way to unsubscribe '
        "(de). Link to {{ unsubscribe_url }}, or give the step a transactional topic."
    ]
    transactional = CAMPAIGN.replace("topic: offers", "topic: orders")
    assert complaints(changed={**changed, "campaigns/nudge.yaml": transactional}) == []


def test_everything_wrong_is_told_at_once() -> None:
    found = complaints("{provider: smtp, user: x}", "{provider: nobody}")

    assert len(found) == 4


def test_the_command_reminds_of_the_public_address_where_messages_really_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANTIPHON_PUBLIC_URL", raising=False)
    real = SETTINGS.replace("{provider: sandbox}", SMTP)
    shop = files({"antiphon.yaml": real, "templates/email/remind.html": WAY_OUT})

    def said(changed: Mapping[str, bytes]) -> str:
        for name, content in changed.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        assert main(["check", str(tmp_path)]) == 0
        return capsys.readouterr().out

    assert "note: ANTIPHON_PUBLIC_URL is not set here." in said(shop)
    assert "note: " not in said({"antiphon.yaml": SETTINGS.encode()})
    monkeypatch.setenv("ANTIPHON_PUBLIC_URL", "https://us.example")
    assert "note: " not in said(shop)


@pytest.mark.parametrize("provider", sorted(it for it in PROVIDERS if not it.startswith("webhook")))
def test_every_provider_says_what_it_can_do_and_be_told(provider: str) -> None:
    can = capabilities_of(provider)

    assert settings_of(provider) is not None
    assert can.is_sandbox == provider.endswith(".sandbox")
