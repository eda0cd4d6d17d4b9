"""Groups as they are kept and used: whom they hold, what they are called, how sure they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.learning.artifact import Artifact
from engine.learning.clusters.cells import Cells, bought
from engine.learning.clusters.choosing import Trial
from engine.learning.clusters.describing import OUTLIER, Group, as_plain, of_plain
from engine.learning.clusters.placing import OUTSIDE, Placing, place, placing_of, sureness
from engine.learning.clusters.preparing import Preparation
from engine.learning.matrix import Matrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Assignment:
    """Whom a model puts where; rows as in the matrix asked about.

    Attributes:
        ids: Profiles.
        groups: Numbers of groups, the same in every refit; 0 is no group.
        confidence: How sure that is, 0 to 1.
        names: The label by number.
    """

    ids: "Ints"
    groups: "Ints"
    confidence: "Floats"
    names: Mapping[int, str]

    @property
    def labels(self) -> list[str]:
        """The label of each row."""
        return [self.names[group] for group in self.groups.tolist()]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups found among people.

    Attributes:
        model: The name of the model.
        algorithm: `kmeans`, `gmm`, `dbscan`, `hdbscan` or `rfm`.
        preparation: How features become points; `placing`: how points find their group.
        groups: In the order of the places in `placing`.
        centres: Means of the scaled features; shape (k, d).
        trials: The numbers of groups that were tried, ascending.
        n: People that it was learnt from; `n_outside` of them are in no group.
        past: Labels of groups that are no more, by number; neither is given again.
        notes: What else a reader should know.
    """

    model: str
    algorithm: str
    preparation: Preparation
    placing: Placing
    groups: tuple[Group, ...]
    centres: "Floats"
    trials: tuple[Trial, ...]
    n: int
    n_outside: int
    past: Mapping[int, str]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> dict[int, str]:
        """Labels by number, that of outliers with them."""
        return {0: OUTLIER, **{group.id: group.label for group in self.groups}}

    @property
    def chosen(self) -> Trial:
        """The trial of the number of groups there are."""
        return next(it for it in self.trials if not it.why)

    def assign(self, matrix: Matrix) -> Assignment:
        """Whom the model puts where.

        Raises:
            Refused: If the matrix lacks a feature that the model reads.
        """
        points = self.points(matrix)
        places, sure = place(self.placing, points)
        return Assignment(matrix.ids, self._numbers(places), sure, self.names)

    def points(self, matrix: Matrix) -> "Floats":
        """The rows as `placing` reads them."""
        if self.placing.kind == Cells.kind:
            return bought(matrix)
        return self.preparation.points(self.preparation.scaled(matrix))

    def confidence(self, matrix: Matrix, groups: "Ints") -> "Floats":
        """How sure the model is of groups told, as of those that hysteresis holds people in."""
        import numpy as np

        points = self.points(matrix)
        place_of = {group.id: i for i, group in enumerate(self.groups)}
        numbers, at = np.unique(groups, return_inverse=True)
        places = np.array([place_of.get(it, OUTSIDE) for it in numbers.tolist()], dtype=np.int64)
        return sureness(self.placing, points, places[at])

    def artifact(self) -> Artifact:
        """At rest."""
        prepared = self.preparation.artifact()
        arrays: dict[str, Any] = {
            **{f"preparation.{name}": it for name, it in prepared.arrays.items()},
            **{f"placing.{name}": it for name, it in self.placing.arrays().items()},
            "group_centres": self.centres,
        }
        schema = {
            "model": self.model,
            "algorithm": self.algorithm,
            "placing": self.placing.kind,
            "columns": prepared.schema["columns"],
            "groups": [as_plain(group) for group in self.groups],
            "trials": [trial.plain() for trial in self.trials],
            "n": self.n,
            "n_outside": self.n_outside,
            "past": {str(number): label for number, label in self.past.items()},
            "notes": list(self.notes),
        }
        return Artifact(arrays, schema)

    @classmethod
    def of(cls, artifact: Artifact) -> "Clusters":
        """What `artifact` kept; arrays of others in the same archive are left alone."""
        schema = artifact.schema
        return cls(
            model=schema["model"],
            algorithm=schema["algorithm"],
            preparation=Preparation.of(_under(artifact, "preparation."), schema["columns"]),
            placing=placing_of(schema["placing"], _under(artifact, "placing.")),
            groups=tuple(of_plain(it) for it in schema["groups"]),
            centres=artifact.arrays["group_centres"],
            trials=tuple(Trial.of(it) for it in schema["trials"]),
            n=schema["n"],
            n_outside=schema["n_outside"],
            past={int(number): label for number, label in schema["past"].items()},
            notes=tuple(schema["notes"]),
        )

    def _numbers(self, places: "Ints") -> "Ints":
        import numpy as np

        # The last entry answers for OUTSIDE, which is -1.
        return np.array([*(group.id for group in self.groups), 0], dtype=np.int64)[places]


def _under(artifact: Artifact, prefix: str) -> "dict[str, NDArray[Any]]":
    return {
        name.removeprefix(prefix): array
        for name, array in artifact.arrays.items()
        if name.startswith(prefix)
    }
