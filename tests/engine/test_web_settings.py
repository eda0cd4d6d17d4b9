"""Settings: read once, checked, documented."""

import re
import stat
from pathlib import Path

import pytest

from engine.core.errors import UsageError
from engine.settings import public_settings, read_settings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_setting_is_a_row_of_the_documentation_with_its_default_and_meaning() -> None:
    text = DOCS.read_text()

    rows = re.findall(r"^\| `(ANTIPHON_\w+)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)

    assert [tuple(row) for row in rows] == public_settings()


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = read_settings(tmp_path, environ={})

    second = read_settings(tmp_path, environ={})

    mode = stat.S_IMODE((tmp_path / ".antiphon" / "secret").stat().st_mode)
    assert mode == 0o600
    assert len(first.secret_key) >= 48
    assert second.secret_key == first.secret_key
    assert first.secret_key not in repr(first)
    assert [path.name for path in (tmp_path / ".antiphon").iterdir()] == ["secret"]


def test_the_environment_overrules_defaults(tmp_path: Path) -> None:
    environ = {
        "ANTIPHON_SECRET_KEY": "a secret of my own making",
        "ANTIPHON_DATABASE_URL": "postgresql://someone@example/shop",
        "ANTIPHON_PUBLIC_URL": "https://mail.example.com/",
        "ANTIPHON_BATCH_EVENTS_MAX": "10",
        "ANTIPHON_COMMIT_WAIT_SECONDS_MAX": "0.5",
    }

    settings = read_settings(tmp_path, environ=environ)

    assert settings.secret_key == "a secret of my own making"
    assert settings.database_url == "postgresql://someone@example/shop"
    assert settings.public_url == "https://mail.example.com"
    assert settings.batch_events_max == 10
    assert settings.commit_wait_seconds_max == 0.5
    assert not (tmp_path / ".antiphon" / "secret").exists()


def test_the_database_is_a_file_in_the_workspace_unless_said_otherwise(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, environ={})

    assert settings.database_url == f"sqlite:///{tmp_path.resolve()}/.antiphon/antiphon.db"


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("BATCH_EVENTS_MAX", "many", "a whole number"),
        ("BATCH_EVENTS_MAX", "1.5", "a whole number"),
        ("BATCH_EVENTS_MAX", "0", "smallest allowed is 1"),
        ("COMMIT_WAIT_SECONDS_MAX", "nan", "smallest allowed"),
        ("SECRET_KEY", "short", "at least 16"),
        ("STREAM_URL", "kafka://broker", "only stream there is"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(
    tmp_path: Path, name: str, value: str, word: str
) -> None:
    environ = {f"ANTIPHON_{name}": value}

    with pytest.raises(UsageError, match=word) as caught:
        read_settings(tmp_path, environ=environ)

    assert f"ANTIPHON_{name}" in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: not a directory"):
        read_settings(tmp_path / "nowhere", environ={})
