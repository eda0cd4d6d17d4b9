"""A score that can be asked: predictions, reasons, what it was judged by, and how it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.learning.artifact import Artifact
from engine.learning.matrix import Matrix
from engine.learning.scores.drift import Reference
from engine.learning.scores.folds import rows_of
from engine.learning.scores.promotion import Promotion, decide
from engine.learning.scores.reasons import Reason, reasons_of
from engine.learning.scores.scorer import Scorer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained score.

    Attributes:
        names: Columns of the table it was trained on.
        used: Which of them the model reads.
        scorer: The model and its calibration.
        typical: Shape (d,): what stands for "nothing special" in each column.
        reference: Features and scores as they were in training, which drift is told from.
        metrics: JSON data: how it did on rows it never saw; see `evaluation`.
    """

    names: tuple[str, ...]
    used: "NDArray[np.int64]"
    scorer: Scorer
    typical: "Floats"
    reference: Reference
    metrics: Mapping[str, Any]

    def predict(self, matrix: Matrix) -> "Floats":
        """Chances in (0, 1), or amounts from 0, one a row; calibrated.

        Raises:
            Refused: If the matrix has not the columns of training.
        """
        return self.scorer.read(rows_of(matrix, self.names)[:, self.used])

    def reasons(self, matrix: Matrix, top: int = 3) -> "list[list[Reason]]":
        """Why each row's score is not what a typical person's is: the strongest features first.

        Raises:
            Refused: If the matrix has not the columns of training.
        """
        names = [self.names[at] for at in self.used.tolist()]
        values, typical = rows_of(matrix, self.names)[:, self.used], self.typical[self.used]
        return reasons_of(values, names, typical, self.scorer.read, top=top)

    def verdict(self, champion: Mapping[str, Any] | None = None) -> Promotion:
        """Whether to publish it, and why (not).

        Args:
            champion: The metrics of what is published now, None for nothing. They are not looked
                at where the two were compared on the same rows in training.
        """
        return decide(self.metrics, champion)

    def artifact(self) -> Artifact:
        """As arrays and JSON."""
        arrays: dict[str, NDArray[Any]] = {
            "used": self.used,
            "typical": self.typical,
            **self.scorer.arrays(),
            **{f"reference.{name}": it for name, it in self.reference.arrays().items()},
        }
        schema = {"kind": "score", "names": list(self.names), "metrics": dict(self.metrics)}
        return Artifact(arrays, schema)

    @classmethod
    def of(cls, artifact: Artifact) -> "Trained":
        """What `artifact` gave."""
        arrays, start = artifact.arrays, "reference."
        own = {name[len(start) :]: it for name, it in arrays.items() if name.startswith(start)}
        names = tuple(artifact.schema["names"])
        return cls(
            names, arrays["used"], Scorer.of(arrays), arrays["typical"], Reference.of(own, names),
            artifact.schema["metrics"],
        )  # fmt: skip
