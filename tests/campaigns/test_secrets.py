"""Secrets come from outside, only where they belong, and are seen nowhere."""

from pathlib import Path

import pytest

from campaigns.compile import campaign_versions
from campaigns.load import load_bundle, load_workspace, read_bundle
from campaigns.plan import difference, render_plan
from campaigns.problems import InvalidWorkspace
from tests.campaigns.build import SETTINGS, files, problems_of

SECRET = "smtp://robot:hunter2@mail.example.com"


def settings(url: str) -> str:
    return SETTINGS.replace("provider: sandbox", f'provider: smtp, url: "{url}"')


def test_a_variable_fills_a_channel_setting() -> None:
    bundle = files({"antiphon.yaml": settings("${env:SMTP_URL}")})

    workspace = load_bundle(bundle, environ={"SMTP_URL": SECRET})

    assert workspace.settings.channels["email"].settings == {"url": SECRET}  # type: ignore[index]


def test_part_of_a_text_may_be_secret_and_have_a_default() -> None:
    text = "smtp://${env:NAME:-robot}:${env:PASSWORD}@mail.example.com"

    workspace = load_bundle(
        files({"antiphon.yaml": settings(text)}), environ={"PASSWORD": "hunter2"}
    )

    assert workspace.settings.channels["email"].settings["url"] == SECRET  # type: ignore[index]


def test_a_file_fills_a_setting_without_its_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(SECRET + "\n")
    for path, data in files({"antiphon.yaml": settings("${file:url}")}).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)

    workspace = load_workspace(tmp_path, environ={})

    assert workspace.settings.channels["email"].settings["url"] == SECRET  # type: ignore[index]


def test_what_is_missing_is_named_with_its_line() -> None:
    assert problems_of({"antiphon.yaml": settings("${env:SMTP_URL}")}) == [
        "antiphon.yaml:10: channels.email.url needs the variable SMTP_URL, which is not set."
    ]
    assert problems_of({"antiphon.yaml": settings("${file:/nowhere/url}")}) == [
        "antiphon.yaml:10: channels.email.url needs the file /nowhere/url, which is not readable."
    ]
    with pytest.raises(InvalidWorkspace) as refusal:
        load_bundle(files({"antiphon.yaml": settings(SECRET + "${vault:x}")}), environ={})
    assert "hunter2" not in repr(refusal.value.problems)
    assert problems_of({"antiphon.yaml": settings("${vault:x}")}) == [
        "antiphon.yaml:10: channels.email.url: this is not a placeholder that is known. Write "
        "${env:NAME}, ${env:NAME:-default} or ${file:/path}."
    ]


def test_without_an_environment_placeholders_stay_unread() -> None:
    bundle = files({"antiphon.yaml": settings("${env:SMTP_URL}")})

    workspace = load_bundle(bundle, environ=None)

    assert workspace.settings.channels["email"].settings["url"] == "${env:SMTP_URL}"  # type: ignore[index]


def test_a_secret_is_read_in_no_other_place() -> None:
    placed = SETTINGS.replace("title: Offers", 'title: "${env:SMTP_URL}"')

    assert problems_of({"antiphon.yaml": placed}, environ={"SMTP_URL": SECRET}) == [
        "antiphon.yaml:3: ${env:SMTP_URL} is read only in antiphon.yaml, in the settings of "
        "channels and connections, and in the url and headers of webhook steps."
    ]


def test_a_secret_is_in_no_message_hash_repr_or_plan() -> None:
    bundle = files({"antiphon.yaml": settings("${env:SMTP_URL}")})
    broken = {**bundle, "segments/vip.yaml": b"segment: vip\nwhen: {segment: nobody}\n"}

    one = load_bundle(bundle, environ={"SMTP_URL": SECRET})
    two = load_bundle(bundle, environ={"SMTP_URL": "smtp://other"})
    with pytest.raises(InvalidWorkspace) as refusal:
        load_bundle(broken, environ={"SMTP_URL": SECRET})

    assert one.content_hash == two.content_hash
    assert campaign_versions(one) == campaign_versions(two)
    assert difference(one, two) == []
    shown = f"{one!r} {one.settings!r} {render_plan(difference(None, one))} {refusal.value}"
    assert "hunter2" not in shown


def test_a_url_written_out_is_not_shown_by_the_plan() -> None:
    one = load_bundle(files({"antiphon.yaml": settings(SECRET)}), environ={})
    two = load_bundle(files({"antiphon.yaml": settings(SECRET + "/x")}), environ={})

    text = render_plan(difference(one, two))

    assert "channels.email: url changed" in text
    assert "hunter2" not in text


def test_the_bundle_of_a_folder_loads_to_the_same_workspace(tmp_path: Path) -> None:
    bundle = files()
    for path, data in bundle.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / ".antiphon").mkdir()
    (tmp_path / ".antiphon" / "antiphon.db").write_bytes(b"x")
    (tmp_path / "README.md").write_text("mine")

    read = read_bundle(tmp_path)

    assert read == bundle
    assert (
        load_bundle(read, environ={}).content_hash == load_bundle(bundle, environ={}).content_hash
    )


def test_a_folder_that_is_none_of_ours_is_pointed_out(tmp_path: Path) -> None:
    for path, data in files().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "campaign").mkdir()
    (tmp_path / "campaign" / "x.yaml").write_text("campaign: x")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "churn.yaml").write_text("score: churn")

    with pytest.raises(InvalidWorkspace) as refusal:
        load_workspace(tmp_path, environ={})

    assert [str(problem) for problem in refusal.value.problems] == [
        'campaign/x.yaml: the folder "campaign" is not read. Did you mean "campaigns"?',
        'model/churn.yaml: the folder "model" is not read. Did you mean "models"?',
    ]


def test_a_folder_without_antiphon_yaml_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkspace, match=r"antiphon init DIR"):
        load_workspace(tmp_path, environ={})
