"""The sum of two arrays in Python: y = a + b.

`convsmith check --kernel` on this folder holds it against the truth.
"""

import numpy as np

from convsmith.arrays import Array
from convsmith.workbench import Kernel


def add(a: Array, b: Array, y: Array) -> None:
    np.add(a, b, out=y)


kernel = Kernel(op="add", source=add)
