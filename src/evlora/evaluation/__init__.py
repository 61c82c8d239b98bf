"""How good recognizers are on a split, how sure that is, and how sure they may be."""

from evlora.evaluation.answers import Answers
from evlora.evaluation.calibration import fit_temperature
from evlora.evaluation.figures import Bin, Confusion, Evaluation
from evlora.evaluation.pairs import Pair, pair_of
from evlora.evaluation.scoring import evaluate

__all__ = [
    "Answers",
    "Bin",
    "Confusion",
    "Evaluation",
    "Pair",
    "evaluate",
    "fit_temperature",
    "pair_of",
]
