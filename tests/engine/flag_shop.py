"""A served workspace of experiments for clients that we did not write."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.flag_stage import an_experiment
from tests.engine.serving import Served, command
from tests.engine.test_serve import a_key
from tests.engine.test_serve_journey import STARTER

METRIC = "metric: ordered\nevent: Order Completed\nwithin: 7d\n"

KINDS = (
    an_experiment(more="where: {country: {in: [US, CA]}}\n"),
    an_experiment("is-new", values="{control: {value: false}, green: {value: true}}"),
    an_experiment("price", values="{control: {value: 1}, green: {value: 1.5}}"),
    an_experiment("count", values="{control: {value: 3}, green: {value: 5}}"),
    an_experiment(
        "layout",
        values="{control: {value: {columns: 2}}, green: {value: {columns: 3, big: true}}}",
    ),
)
"""Text, true or false, a fraction, a whole number, a mapping."""


class FlagShop:
    """A running server, its workspace, and a key of each kind."""

    def __init__(self, folder: Path, served: Served) -> None:
        self.folder, self.served = folder, served
        self.server_key, self.browser_key = a_key(folder), a_key(folder, "browser")

    @property
    def url(self) -> str:
        return self.served.url

    def apply(self, *texts: str) -> None:
        """Make exactly these experiments live."""
        written(self.folder, *texts)
        done = command("apply", self.folder)
        assert done.returncode == 0, done.stdout + done.stderr


def written(folder: Path, *texts: str) -> None:
    """Put these experiments into a workspace, and no others."""
    shutil.rmtree(folder / "experiments", ignore_errors=True)
    (folder / "experiments").mkdir()
    for text in texts:
        name = text.split("\n")[0].removeprefix("experiment: ")
        (folder / "experiments" / f"{name}.yaml").write_text(text)


@contextmanager
def a_flag_shop(folder: Path, *texts: str) -> Iterator[FlagShop]:
    """The starter workspace with these experiments, applied and served."""
    shop = folder / "shop"
    shutil.copytree(STARTER, shop, ignore=shutil.ignore_patterns(".antiphon", "tests"))
    (shop / "metrics" / "ordered.yaml").write_text(METRIC)
    written(shop, *texts)
    applied = command("apply", shop)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    served = Served(shop)
    try:
        yield FlagShop(shop, served)
    finally:
        if served.process.poll() is None:
            served.terminate()
