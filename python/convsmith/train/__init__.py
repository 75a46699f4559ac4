"""Training: the loop, what it records, and what may look on."""

from convsmith.train.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
)
from convsmith.train.history import History
from convsmith.train.metrics import accuracy, top_5_accuracy, top_k_accuracy
from convsmith.train.trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "Trainer",
    "accuracy",
    "top_5_accuracy",
    "top_k_accuracy",
]
