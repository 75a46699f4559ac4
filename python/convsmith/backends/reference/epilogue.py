"""What follows the sum of a convolution or a matrix product: bias, residual, activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convsmith.backends.reference.activation import apply

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue


def finish(total: npt.NDArray[np.float64], epilogue: Epilogue) -> npt.NDArray[np.float64]:
    """activation(total + bias + residual), all in float64."""
    if epilogue.bias is not None:
        total = total + epilogue.bias
    if epilogue.residual is not None:
        total = total + epilogue.residual
    return apply(total, epilogue.activation, epilogue.negative_slope)
