"""Which form a file of the workspace has: its folder says it, and of a model its first key."""

from campaigns.forms import Named
from campaigns.problems import Problem, advice
from campaigns.reading import Map
from campaigns.schema import FILES, MODEL_FILES, MODELS


def form_of(folder: str, tree: Map) -> type[Named] | None:
    """The form of a file; None where nobody can tell which kind of model it is."""
    if folder in FILES:
        return FILES[folder]
    return next((MODEL_FILES[key] for key in tree if key in MODEL_FILES), None)


def misplaced(path: str, folder: str, tree: Map) -> Problem | None:
    """What is wrong with a file that does not say what its folder holds; None: its form will say
    what is missing."""
    kinds = {form.KIND: name for name, form in FILES.items()}
    found = next((key for key in tree if key in kinds), None)
    if found is None and folder != MODELS:
        found = next((key for key in tree if key in MODEL_FILES), None)
    if found is not None:
        home = kinds.get(found, MODELS)
        return Problem(path, 1, found, f"this file declares a {found}; move it to {home}/.")
    if folder != MODELS:
        return None
    first = next(iter(tree), "")
    message = f"the first key of a model says its kind.{advice(first, MODEL_FILES)}"
    return Problem(path, tree.key_lines.get(first, 1), first, message)
