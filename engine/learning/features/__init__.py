"""What is known of people, as numbers: a table of features becomes a matrix, always the same way.

`columns` names every column and what stands where nothing is to be known, `table` holds them,
`encoding` turns texts and shares into columns, `imputing` closes gaps for models that cannot read
them. All is learnt in training, kept with the model and applied unchanged. Pure, on arrays.
"""

from engine.learning.features.encoding import Encoding, encode
from engine.learning.features.imputing import Imputation, impute
from engine.learning.features.table import FeatureTable, Shares

__all__ = ["Encoding", "FeatureTable", "Imputation", "Shares", "encode", "impute"]
