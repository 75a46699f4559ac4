"""Optimizers over ``model.parameters()``."""

from convsmith.optim.adam import Adam, AdamW
from convsmith.optim.optimizer import Optimizer
from convsmith.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
