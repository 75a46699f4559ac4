"""What a training run leaves behind: a number per epoch and quantity."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path


class History(dict[str, list[float]]):
    """Quantity to one value per epoch: history["val_accuracy"][-1]. "epoch" counts from 1.

    All lists have the same length; a quantity that an epoch lacks is NaN there.
    """

    @property
    def epochs(self) -> int:
        """How many epochs are recorded."""
        return max(map(len, self.values()), default=0)

    def append(self, values: Mapping[str, float]) -> None:
        """Adds one epoch."""
        before = self.epochs
        for name in {**self, **values}:
            column = self.setdefault(name, [math.nan] * before)
            column.append(float(values.get(name, math.nan)))

    def last(self) -> dict[str, float]:
        """The values of the last epoch, {} if there is none."""
        return {name: column[-1] for name, column in self.items() if column}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a header line and one line per epoch; the values survive the round trip."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self)
            for row in zip(*self.values(), strict=True):
                writer.writerow(map(csv_text, row))

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """Reads what ``to_csv`` or CSVLogger wrote. Raises ValueError for anything else."""
        history = cls()
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            names = next(rows, [])
            if len(set(names)) != len(names):
                raise ValueError(f"{Path(path)}: got two columns of one name in {names}")
            history.update((name, []) for name in names)
            for row in rows:
                if len(row) != len(names):
                    raise ValueError(
                        f"{Path(path)}: line {rows.line_num}: got {len(row)} values, wanted "
                        f"{len(names)}"
                    )
                try:
                    history.append(dict(zip(names, map(float, row), strict=True)))
                except ValueError as error:
                    raise ValueError(f"{Path(path)}: line {rows.line_num}: {error}") from None
        return history


def csv_text(value: float) -> str:
    """A float as text that gives the same float; whole numbers without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
