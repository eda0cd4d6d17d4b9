"""The examples in docstrings are run: an example that lies is worse than none."""

import doctest
import importlib
import pkgutil

import pytest

import experiments

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(experiments.__path__, "experiments.")
    if not module.ispkg
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_are_true(module):
    found = doctest.testmod(importlib.import_module(module))

    assert found.failed == 0


def test_there_are_examples_to_run():
    finder = doctest.DocTestFinder()
    found = [it for name in MODULES for it in finder.find(importlib.import_module(name))]

    assert sum(bool(it.examples) for it in found) >= 5
