# SPDX-License-Identifier: MIT
"""What a layer is (`Spec`), and the checks of everything a caller hands to one.

The NumPy twin and the compiled layers share this package, so both refuse the same input with the same words.
Nothing here computes; nothing here imports more than NumPy.

Dimensions: T steps, N batch, I input size, H hidden size, P projection size, G gates, L layers, D directions.
"""

from .architecture import MAX_LAYERS, Spec
from .calls import (
    check_batch_size,
    check_checkpoint,
    check_lengths,
    check_named,
    check_num_threads,
    check_parameters,
    check_rows,
    check_state,
    check_step,
    check_x,
)
from .cells import CELLS, GATES, OPTIONS, gate_names
from .checked import Call, Layout, Training, as_state
from .checks import (
    DTYPES,
    INT64_MAX,
    as_array,
    check_bool,
    check_choice,
    check_dtype,
    check_int,
    check_out,
    check_positive,
    check_probability,
    check_shape,
    check_type,
    claiming,
    numbers,
    read_array,
    shape_text,
)
from .fleets import FleetCall, FleetLayout
from .stores import check_store

__all__ = [
    "CELLS",
    "DTYPES",
    "GATES",
    "INT64_MAX",
    "MAX_LAYERS",
    "OPTIONS",
    "Call",
    "FleetCall",
    "FleetLayout",
    "Layout",
    "Spec",
    "Training",
    "as_array",
    "as_state",
    "check_batch_size",
    "check_bool",
    "check_checkpoint",
    "check_choice",
    "check_dtype",
    "check_int",
    "check_lengths",
    "check_named",
    "check_num_threads",
    "check_out",
    "check_parameters",
    "check_positive",
    "check_probability",
    "check_rows",
    "check_shape",
    "check_state",
    "check_step",
    "check_store",
    "check_type",
    "check_x",
    "claiming",
    "gate_names",
    "numbers",
    "read_array",
    "shape_text",
]
