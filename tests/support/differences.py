# SPDX-License-Identifier: MIT
"""Central differences, and gradients against them."""

import numpy as np
import tables_training as tables


def differences(function, array):
    """Central differences of a scalar function by every element of `array`."""
    slopes = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept, values = array[index], []
        for sign in (1, -1):
            array[index] = kept + sign * tables.DIFFERENCE_STEP
            values.append(function())
        array[index] = kept
        slopes[index] = (values[0] - values[1]) / (2 * tables.DIFFERENCE_STEP)
    return slopes


def assert_gradient(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=tables.DIFFERENCE_RTOL, atol=tables.DIFFERENCE_ATOL)
