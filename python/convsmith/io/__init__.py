"""Files: weights in, weights out."""

from convsmith.io.stored import WeightFileError
from convsmith.io.weights import load_weights, save_weights

__all__ = ["WeightFileError", "load_weights", "save_weights"]
