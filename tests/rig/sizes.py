"""How large the proofs by number are: small in `make test`, as large as promised on demand.

`ANTIPHON_TEST_SCALE=10` makes each ten times as large; the docs say which number it reaches.
"""

import os
from typing import Final

SCALE: Final = float(os.environ.get("ANTIPHON_TEST_SCALE", "1"))


def scaled(n: int) -> int:
    """`n` by the scale, at least one."""
    return max(1, round(n * SCALE))
