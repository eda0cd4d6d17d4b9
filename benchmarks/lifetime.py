"""BG/NBD fitted to as many people as share nothing, and everybody foretold.

    python -m benchmarks.lifetime [PEOPLE]

Default 1,000,000 people with times to the microsecond, so that no two rows are equal and grouping
gains nothing; then the same people by the day, as shops know them. The floor is one reading of the
likelihood as it is printed (four log-gammas, three logarithms a person) for each reading that the
search made: what any fit to these rows must spend. Processor time.
"""

import platform
import resource
import sys
from time import process_time

import numpy as np
from scipy import special

from engine.learning.lifetime import bg_nbd
from engine.learning.lifetime.groups import Groups

WANTED_SECONDS = 11.3
"""What a plain fit of as many rows took when the method was chosen."""


def people(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, t_x and age in weeks by the model's own story, drawn without a loop over people."""
    rate, stops = rng.gamma(0.6, 1 / 5.0, n), rng.beta(0.8, 2.5, n)
    age = rng.uniform(30.0, 78.0, n)
    stops_after = rng.geometric(np.clip(stops, 1e-6, 1.0))
    x, t_x, at = np.zeros(n), np.zeros(n), np.zeros(n)
    goes_on = np.ones(n, dtype=bool)
    while goes_on.any():
        at = at + rng.exponential(1 / np.maximum(rate, 1e-9))
        goes_on &= at < age
        x[goes_on] += 1
        t_x[goes_on] = at[goes_on]
        goes_on &= x < stops_after
    return x, t_x, age


def as_printed(parameters: np.ndarray, x: np.ndarray, t_x: np.ndarray, age: np.ndarray) -> float:
    """The log-likelihood as the paper has it, a row at a time in columns."""
    r, alpha, a, b = parameters
    first = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
    second = special.gammaln(a + b) + special.gammaln(b + x)
    second -= special.gammaln(b) + special.gammaln(a + b + x)
    third = -(r + x) * np.log(alpha + age)
    fourth = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x)
    both = np.where(x > 0, np.logaddexp(third, fourth), third)
    return float((first + second + both).sum())


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    x, t_x, age = people(n, np.random.default_rng(1))
    for name, step in (("unique", 0.0), ("by the day", 1 / 7)):
        t, old = (
            (t_x, age) if not step else (np.ceil(t_x / step) * step, np.ceil(age / step) * step)
        )
        began = process_time()
        groups = Groups.of(x, t, old)
        grouped = process_time() - began
        began = process_time()
        model = bg_nbd.fit_groups(groups)
        fitted = process_time() - began
        began = process_time()
        as_printed(np.array([model.r, model.alpha, model.a, model.b]), x, t, old)
        floor = process_time() - began
        began = process_time()
        model.expected_purchases(x, t, old, within=26.0)
        foretold = process_time() - began
        print(
            f"{name}: {n:,} people in {len(groups.x):,} groups: grouped {grouped:.2f} s, fitted"
            f" {fitted:.2f} s, {fitted / floor:.0f} readings' worth ({floor:.2f} s each),"
            f" everybody foretold {foretold:.2f} s; r {model.r:.3f} alpha {model.alpha:.2f}"
            f" a {model.a:.3f} b {model.b:.3f}"
        )
        if not step:
            ratio = WANTED_SECONDS / (grouped + fitted)
            print(f"against {WANTED_SECONDS} s wanted for 1M: {ratio:.1f} x")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


if __name__ == "__main__":
    main()
