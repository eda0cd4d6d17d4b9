"""The same seeds on PostgreSQL: a crash drops the connections, the server knows what stands."""

from collections.abc import Callable

from tests.rig.run import run_seed

N_SEEDS = 10


def test_every_promise_holds_on_postgresql(
    postgres_server: Callable[..., str], postgres_template: str
) -> None:
    verdicts = [
        run_seed(seed, url=postgres_server(template=postgres_template))
        for seed in range(1, N_SEEDS + 1)
    ]

    assert [it.words for it in verdicts if it.violations] == []
