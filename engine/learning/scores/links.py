"""Between a raw sum and a chance."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def logistic(raw: "Floats") -> "Floats":
    """1 / (1 + e^-raw), exact at both ends."""
    import numpy as np

    small = np.exp(-np.abs(raw))
    return np.where(raw >= 0, 1 / (1 + small), small / (1 + small))


def logit(p: "Floats") -> "Floats":
    """The inverse of `logistic`; chances of 0 and 1 are taken for one in 10^12 off."""
    import numpy as np

    sure = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(sure) - np.log1p(-sure)
