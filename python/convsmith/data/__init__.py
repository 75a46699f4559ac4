"""Data sets, and batches of arrays."""

from convsmith.data.batches import Batches
from convsmith.data.digits import load_digits

__all__ = ["Batches", "load_digits"]
