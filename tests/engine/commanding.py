"""Commands as tests give them: in this process, with what was printed and the exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.cli import main

SEGMENT = """\
segment: cart-started
when: {event: Product Added, ever: true}
"""
EVENTS = (
    '{"type": "identify", "userId": "u1", "messageId": "1", "timestamp": "2026-03-02T08:59:00Z", '
    '"traits": {"email": "u1@example.com"}, "context": {"consent": {"email": {"offers": true}}}}',
    '{"type": "track", "userId": "u1", "messageId": "2", "timestamp": "2026-03-02T09:00:00Z", '
    '"event": "Product Added", "properties": {"cart_id": "c1"}}',
    '{"type": "track", "userId": "u2", "messageId": "3", "timestamp": "2026-03-02T09:00:00Z", '
    '"event": "Product Viewed"}',
)


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    error: str

    def json(self) -> Any:
        assert not self.error, self.error
        return json.loads(self.out)


Antiphon = Callable[..., Said]


@pytest.fixture
def antiphon(capsys: pytest.CaptureFixture[str]) -> Antiphon:
    """Runs one command; a traceback would fail the test by itself."""

    def run(*words: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:  # argparse leaves like this
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Said(code, printed.out, printed.err)

    return run


@pytest.fixture(autouse=True)
def _no_database_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)


@pytest.fixture
def shop(tmp_path: Path, antiphon: Antiphon) -> Path:
    """What `init` makes, with a segment; nothing applied."""
    folder = tmp_path / "shop"
    assert antiphon("init", folder).code == 0
    (folder / "segments").mkdir()
    (folder / "segments" / "cart_started.yaml").write_text(SEGMENT)
    return folder


@pytest.fixture
def live(shop: Path, antiphon: Antiphon) -> Path:
    """The same workspace, applied."""
    applied = antiphon("apply", shop)
    assert applied.code == 0, applied.error
    return shop


def events_file(folder: Path, *more: str) -> Path:
    path = folder / "events.jsonl"
    path.write_text("\n".join((*EVENTS, *more)) + "\n")
    return path
