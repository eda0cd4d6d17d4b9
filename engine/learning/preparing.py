"""How a model reads people: its encoding and how it closes gaps, learnt once and kept with it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.learning.artifact import Artifact
from engine.learning.features import Encoding, FeatureTable, Imputation, encode, impute
from engine.learning.matrix import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX: Final = "imputation."
KEPT: Final = "reads"
"""The key of a schema under which a model's reading stands beside what the model says of itself."""


@dataclass(frozen=True, eq=False)
class Reader:
    """A table of features becomes the matrix of one model. `imputation` None: gaps stay NaN."""

    encoding: Encoding
    imputation: Imputation | None

    @classmethod
    def learn(cls, table: FeatureTable, how: Literal["median", "iterative"] | None) -> "Reader":
        """From the table of a training; `how` None leaves gaps to a model that reads them.

        Raises:
            Refused: If the table tells nobody apart.
        """
        matrix, encoding = encode(table)
        if how is None:
            return cls(encoding, None)
        return cls(encoding, impute(matrix, how)[1])

    def matrix(self, table: FeatureTable) -> Matrix:
        """The matrix of any table of the same features.

        Raises:
            Refused: If it lacks a feature of the training.
        """
        found = self.encoding.apply(table)
        return found if self.imputation is None else self.imputation.apply(found)

    def beside(self, artifact: Artifact) -> Artifact:
        """What a model has learnt, and how it reads people, in one."""
        arrays: dict[str, NDArray[Any]] = dict(artifact.arrays)
        reads: dict[str, Any] = {"encoding": self.encoding.to_schema()}
        if self.imputation is not None:
            arrays |= {f"{PREFIX}{name}": it for name, it in self.imputation.arrays().items()}
            reads["imputed"] = list(self.imputation.names)
        return Artifact(arrays, {**artifact.schema, KEPT: reads})

    @classmethod
    def of(cls, artifact: Artifact) -> "Reader":
        """What `beside` kept."""
        reads = artifact.schema[KEPT]
        imputed = reads.get("imputed")
        own = {
            name.removeprefix(PREFIX): it
            for name, it in artifact.arrays.items()
            if name.startswith(PREFIX)
        }
        imputation = None if imputed is None else Imputation.of(tuple(imputed), own)
        return cls(Encoding.from_schema(reads["encoding"]), imputation)
