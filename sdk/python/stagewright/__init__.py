"""Write a Stagewright stage in Python: derive from a kind of stage, say what it takes, and do the work.

Algorithms live in plain functions over tables, so that they run and are tested natively as well as in the sandbox.
Randomness comes from `context.seed()`: the interpreter's own is frozen when the plugin is built.
"""

from . import context
from .failures import Failure, InvalidData, InvalidParameter, InvalidState
from .parameters import param
from .report import Report
from .stages import (
    Evaluator, FairnessChecker, Featurizer, Monitor, Port, Predictor, Preprocessor, Reader, Trainer, Validator, Writer,
)
from .table import BOOLEAN, CATEGORY, FLOAT64, INT64, TEXT, TIMESTAMP, Field, Series, Table
