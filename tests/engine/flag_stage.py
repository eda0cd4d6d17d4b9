"""A stage whose served experiments are asked for over HTTP: files applied, events played, flags.

flags = Flags(house, app)
flags.flag("button", targetingKey="v1")
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.intake.prepare import Answer, Prepared
from tests.engine.publishing import FILES, SETTINGS, Published
from tests.engine.web_harness import App, an_app, basic

METRIC = "metric: ordered\nevent: Order Completed\nwithin: 7d\n"
TRAITS = SETTINGS.replace(
    "plan: {type: string}", "plan: {type: string}, account: {type: object}, house: {type: string}"
)


def an_experiment(
    name: str = "button", *, unit: str = "anonymous", values: str = "", more: str = ""
) -> str:
    """A served experiment of two variants, `control` and `green`, as its file."""
    variants = values or "{control: {value: blue}, green: {value: green}}"
    return (
        f"experiment: {name}\nunit: {unit}\nvariants: {variants}\n"
        f"metrics: {{primary: ordered}}\n{more}"
    )


def with_experiments(*texts: str, settings: str = TRAITS, **more: str) -> dict[str, str]:
    """A workspace with these experiments; `more` are other files, `/` written `__`."""
    files = {**FILES, "antiphon.yaml": settings, "metrics/ordered.yaml": METRIC}
    for text in texts:
        name = text.split("\n")[0].removeprefix("experiment: ")
        files[f"experiments/{name}.yaml"] = text
    return {**files, **{name.replace("__", "/") + ".yaml": text for name, text in more.items()}}


class Flags:
    """A house, the app in front of it, and what clients ask."""

    def __init__(self, house: Published, app: App) -> None:
        self.house, self.app = house, app
        services = app.services
        services.program = lambda: house.process.playbook.program
        services.segments = lambda: house.process.playbook.segments
        services.clock = lambda: house.now
        services.accept = self._accept

    def post(self, path: str, body: Any, *, key: str | None = None, **headers: str) -> Any:
        """POST with a Bearer token, the server's unless said otherwise."""
        told = {"Authorization": f"Bearer {key or self.app.server_key}", **headers}
        return self.app.client.post(path, json=body, headers=told)

    def flag(self, name: str, *, key: str | None = None, **context: Any) -> Any:
        """One evaluation, decoded."""
        answer = self.post(f"/ofrep/v1/evaluate/flags/{name}", {"context": context}, key=key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def variant(self, name: str, **context: Any) -> str:
        return str(self.flag(name, **context)["variant"])

    def saw(self, experiment: str, variant: str, **who: Any) -> Any:
        """A report of an exposure, played."""
        answer = self.post("/v1/exposures", {"experiment": experiment, "variant": variant, **who})
        self.house.settle()
        return answer

    def exposures(self, experiment: str = "button") -> list[tuple[Any, ...]]:
        rows = self.house.rows(
            "SELECT phase, unit, variant, flag FROM exposure WHERE experiment = ? "
            "ORDER BY phase, unit, at",
            experiment,
        )
        return [tuple(row) for row in rows]

    def _accept(self, prepared: Prepared) -> Future[list[Answer]]:
        future = self.house.process.commits.submit(prepared)
        self.house.process.commits._take_turn()
        return future


@contextmanager
def flags_of(url: str, folder: Path, *, environ: dict[str, str] | None = None) -> Iterator[Flags]:
    """A house over an empty, migrated database."""
    house = Published(url)
    try:
        with an_app(house.process.database, folder, environ=environ) as app:
            yield Flags(house, app)
    finally:
        house.close()


__all__ = ["Flags", "an_experiment", "basic", "flags_of", "with_experiments"]
