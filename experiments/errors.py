"""What this library refuses, as exceptions.

    ExperimentsError (a ValueError)
    ├── AssignmentError    a unit cannot be given a variant as asked
    ├── DataError          the numbers handed in cannot be analysed
    └── PlanError          the plan or a metric's declaration contradicts itself

Every message says what was found, what is allowed and what to do. The library imports nothing of
the rest of Antiphon, so these do not join the engine's error tree; the engine translates them.
"""


class ExperimentsError(ValueError):
    """The statistics library refused its input."""


class AssignmentError(ExperimentsError):
    """The unit cannot be given a variant as asked."""


class DataError(ExperimentsError):
    """The numbers cannot be analysed."""


class PlanError(ExperimentsError):
    """The plan of the analysis contradicts itself."""
