"""Weights in and out: files, and the states of PyTorch models."""

from convsmith.io.pytorch import from_torch
from convsmith.io.stored import WeightFileError
from convsmith.io.weights import load_weights, save_weights

__all__ = ["WeightFileError", "from_torch", "load_weights", "save_weights"]
