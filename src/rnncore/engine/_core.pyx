# SPDX-License-Identifier: MIT
# cython: language_level=3, boundscheck=False, wraparound=False
"""The door between Python and the C core: arrays in, one C call without the GIL, one status, one exception.

Callers have checked shapes and dtypes; here are only pointers, strides and lifetimes.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_New
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_INCREF, Py_DECREF, PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

cimport numpy as cnp
from rnncore cimport *

import threading

import numpy as np

from .. import errors

cdef extern from "xla.h" nogil:
    enum:
        RNNCORE_XLA_ALIGN
    ctypedef struct xla_call:
        pass
    ctypedef struct xla_error:
        pass
    xla_error *rnncore_xla_forward(xla_call *call)
    xla_error *rnncore_xla_backward(xla_call *call)
    void rnncore_xla_set_team(rnncore_team *team)

cnp.import_array()

FORWARD = RNNCORE_PACK_FORWARD
BACKWARD = RNNCORE_PACK_BACKWARD
BLAS = RNNCORE_PACK_BLAS
XLA_ALIGN = RNNCORE_XLA_ALIGN

_FUNCTIONS = {
    "sigmoid": RNNCORE_SIGMOID,
    "tanh": RNNCORE_TANH,
    "relu": RNNCORE_RELU,
    "affine": RNNCORE_AFFINE,
    "leaky_relu": RNNCORE_LEAKY_RELU,
    "thresholded_relu": RNNCORE_THRESHOLDED_RELU,
    "scaled_tanh": RNNCORE_SCALED_TANH,
    "hard_sigmoid": RNNCORE_HARD_SIGMOID,
    "elu": RNNCORE_ELU,
    "softsign": RNNCORE_SOFTSIGN,
    "softplus": RNNCORE_SOFTPLUS,
    "log_space": RNNCORE_LOG_SPACE,
}
_STORES = {
    None: RNNCORE_STORE_REAL,
    "bfloat16": RNNCORE_STORE_BFLOAT16,
    "float16": RNNCORE_STORE_FLOAT16,
    "int8": RNNCORE_STORE_INT8,
    "int8x16": RNNCORE_STORE_INT8X16,
}
_ERRORS = {
    "RNNCORE_ERROR_ARGUMENT": errors.ArgumentError,
    "RNNCORE_ERROR_SHAPE": errors.ShapeError,
    "RNNCORE_ERROR_LENGTHS": errors.LengthsError,
    "RNNCORE_ERROR_OVERFLOW": errors.SizeError,
    "RNNCORE_ERROR_MEMORY": errors.MemoryExhaustedError,
    "RNNCORE_ERROR_UNSUPPORTED": errors.UnsupportedError,
    "RNNCORE_ERROR_FORMAT": errors.FormatError,
}


cdef int check(str field, rnncore_status status) except -1:
    if status == RNNCORE_OK:
        return 0
    name = rnncore_status_name(status).decode()
    raise _ERRORS[name](field, "a call the core accepts", rnncore_status_text(status).decode())


include "_signals.pxi"


def isas():
    """Names of the instruction sets that this CPU runs, fastest first."""
    names, i = [], 0
    while rnncore_isa_name(i) != NULL:
        names.append(rnncore_isa_name(i).decode())
        i += 1
    return names


def cells():
    """Names of the cells that the core has."""
    names, i = [], 0
    while rnncore_cell_name(i) != NULL:
        names.append(rnncore_cell_name(i).decode())
        i += 1
    return names


include "_memory.pxi"


@cython.final
cdef class Team:
    """Threads for calls; they start when first needed and end with the object."""

    cdef rnncore_team *team
    cdef readonly int max_threads

    def __cinit__(self, int max_threads):
        check("num_threads", rnncore_team_create(max_threads, &self.team))
        self.max_threads = max_threads

    def __dealloc__(self):
        rnncore_team_destroy(self.team)


@cython.final
cdef class Version:
    """A counter that a layer raises with every change of its parameters; streams look at it in each step."""

    cdef public int64_t value


@cython.final
cdef class Blas:
    """Two functions of a BLAS, from capsules as Cython's modules have them in `__pyx_capi__`."""

    cdef rnncore_blas functions

    def __init__(self, sgemm, dgemm):
        self.functions.sgemm = PyCapsule_GetPointer(sgemm, PyCapsule_GetName(sgemm))
        self.functions.dgemm = PyCapsule_GetPointer(dgemm, PyCapsule_GetName(dgemm))


cdef rnncore_config config_of(spec):
    """A Spec as the core takes it, but for the names of cell and instruction set."""
    cdef rnncore_config config
    cdef rnncore_activation *activation
    memset(&config, 0, sizeof(config))
    config.struct_size = sizeof(config)
    config.dtype = RNNCORE_FLOAT32 if spec.dtype.itemsize == 4 else RNNCORE_FLOAT64
    config.store = _STORES[spec.store]
    config.input_size, config.hidden_size = spec.input_size, spec.hidden_size
    config.proj_size, config.num_layers = spec.proj_size, spec.num_layers
    config.bidirectional, config.dropout = spec.bidirectional, spec.dropout
    config.zoneout, config.zoneout_c = spec.zoneout, spec.zoneout_c
    config.peepholes, config.coupled, config.clip = spec.peepholes, spec.coupled, spec.clip or 0
    places = list(spec.table.places)  # in the order of the config's activations
    for direction in range(spec.directions if spec.activations else 0):
        for place, (function, *parameters) in spec.functions(direction).items():
            activation = &config.activations[<int>direction][<int>places.index(place)]
            activation.function = _FUNCTIONS[function]
            activation.alpha, activation.beta = (*parameters, 0, 0)[:2]
    return config


@cython.final
cdef class Plan:
    """Sizes and kernels of a layer on one instruction set; with a BLAS, if weights are to be packed for it."""

    cdef rnncore_plan *plan
    cdef readonly object spec
    cdef readonly str isa
    cdef list names  # of the parameters of all layers and directions, in the core's order
    cdef list places  # there, of those that the layer has, in the order of Spec.parameter_shapes

    def __cinit__(self, spec, str isa, Blas blas=None, bint model_lanes=False):
        cdef rnncore_config config = config_of(spec)
        name, cell = isa.encode(), spec.form.encode()
        config.cell, config.isa = cell, name
        config.blas = &blas.functions if blas is not None else NULL
        config.model_lanes = model_lanes
        check("hidden_size", rnncore_plan_create(&config, &self.plan))
        self.spec, self.isa = spec, isa
        rows = self.parameters(0)
        self.names = [row[0] + suffix for suffix in spec.suffixes() for row in rows]
        self.places = [self.names.index(name) for name in spec.parameter_shapes()]

    def __dealloc__(self):
        rnncore_plan_destroy(self.plan)

    def parameters(self, int64_t layer):
        """The core's table of the parameters of a layer: (name, shape, whether it may be left out)."""
        cdef rnncore_param row
        row.struct_size = sizeof(row)
        found = []
        for i in range(rnncore_param_count(self.plan)):
            check("layer", rnncore_param_get(self.plan, layer, i, &row))
            shape = tuple(size for size in (row.rows, row.columns) if size)
            found.append((row.name.decode(), shape, bool(row.optional)))
        return found

    @property
    def models(self):
        """How many models of a fleet stand side by side in its vectors; 1: none do."""
        return rnncore_plan_models(self.plan)

    def weights_bytes(self, int uses):
        """Bytes of weights packed for these uses."""
        return rnncore_weights_bytes(self.plan, uses)

    def tape_bytes(self, int64_t T, int64_t N, int64_t valid, int64_t segments):
        """Bytes of the tape of a call with `valid` valid steps in all; `segments` as in `Tape`."""
        return rnncore_tape_bytes(self.plan, T, N, valid, segments)


# An array may be anybody's memory, too: its address, or, where strides matter, (address, T, N, stride, stride, stride).


cdef inline char *address(array) except? NULL:
    if type(array) is int:
        return <char *><size_t>array
    return <char *>cnp.PyArray_DATA(<cnp.ndarray>array) if array is not None else NULL


cdef rnncore_array strided(array):
    """A (T, N, features) view as the core takes it; None: nothing.

    Along an axis of one place NumPy allows any stride, also one that is no whole elements.
    """
    cdef rnncore_array a
    if type(array) is tuple:
        a.data = <char *><size_t>array[0]
        a.stride[0], a.stride[1], a.stride[2] = array[3], array[4], array[5]
        return a
    a.data = address(array)
    for i in range(3):
        a.stride[i] = cnp.PyArray_STRIDE(<cnp.ndarray>array, i) if array is not None else 0
        if a.stride[i] and cnp.PyArray_DIM(<cnp.ndarray>array, i) == 1:
            a.stride[i] -= a.stride[i] % cnp.PyArray_ITEMSIZE(<cnp.ndarray>array)
    return a


cdef void **pointer_table(Plan plan, values) except NULL:
    """Pointers of parameters or gradients in the order of the core's table; `values` by name, or a list in Spec's."""
    cdef void **table = <void **>calloc(len(plan.names), sizeof(void *))
    cdef Py_ssize_t k
    if table == NULL:
        raise errors.MemoryExhaustedError("parameters", "a table of pointers", "nothing")
    if type(values) is dict:
        values = [values.get(plan.names[k]) for k in plan.places]
    for k, array in zip(plan.places, values):
        table[k] = address(array)
    return table


cdef rnncore_forward_args forward_args(int64_t T, int64_t N, lengths, x, y, state, final):
    cdef rnncore_forward_args args
    memset(&args, 0, sizeof(args))
    args.struct_size = sizeof(args)
    args.steps, args.batch = T, N
    args.lengths = <const int64_t *>address(lengths)
    args.x, args.y = strided(x), strided(y)
    args.h0, args.h_n = address(state[0]), address(final[0])
    args.c0 = address(state[1]) if len(state) > 1 else NULL
    args.c_n = address(final[1]) if len(final) > 1 else NULL
    args.backend = RNNCORE_FUSED
    args.threads = 1
    return args


@cython.final
cdef class Tape:
    """Memory of a recorded call: of everything (segments 0), or of what segments are computed again from."""

    cdef Memory memory
    cdef readonly size_t nbytes
    cdef readonly int64_t segments

    def __init__(self, Plan plan, int64_t T, int64_t N, int64_t valid, int64_t segments, Spare spare=None):
        self.segments = segments
        self.nbytes = rnncore_tape_bytes(plan.plan, T, N, valid, segments)
        self.memory = Memory("x", self.nbytes, spare)


@cython.final
cdef class Weights:
    """Parameters packed for one plan, and the version of the layer they are; immutable."""

    cdef readonly Plan plan
    cdef readonly int uses
    cdef readonly int64_t version
    cdef Memory memory

    def __init__(self, Plan plan, parameters, int uses, int64_t version, Spare spare=None):
        cdef void **table = pointer_table(plan, parameters)
        cdef rnncore_status status
        self.plan, self.uses, self.version = plan, uses, version
        try:
            self.memory = Memory("parameters", rnncore_weights_bytes(plan.plan, uses), spare)
            with nogil:
                status = rnncore_weights_pack(plan.plan, uses, <const void **>table, self.memory.data)
        finally:
            free(table)
        check("parameters", status)

    def forward(self, x, y, state, final, lengths, Tape tape, uint64_t key, bint blas, int threads, Team team,
                double recurrent_dropout=0.0, row_keys=None):
        """Run; x (T, N, I) and y (T, N, D*O) any strides, states dense (L*D, N, .) tuples of one or two."""
        T, N = x[1:3] if type(x) is tuple else x.shape[:2]
        cdef rnncore_forward_args args = forward_args(T, N, lengths, x, y, state, final)
        cdef rnncore_status status
        cdef PyObject *raised
        args.tape = tape.memory.data if tape is not None else NULL
        args.segments = tape.segments if tape is not None else 0
        args.dropout_key, args.threads, args.team = key, threads, team.team
        args.recurrent_dropout, args.row_keys = recurrent_dropout, <const uint64_t *>address(row_keys)
        args.backend = RNNCORE_BLAS if blas else RNNCORE_FUSED
        end_by_signals(&args, &raised)
        with nogil:
            status = rnncore_forward(self.plan.plan, self.memory.data, &args)
        check_call("x", status, raised)

    def backward(self, Tape tape, int64_t T, int64_t N, lengths, dy, dfinal, dx, dstate, grads, uint64_t key,
                 bint blas, int threads, Team team, double recurrent_dropout=0.0, row_keys=None):
        """Gradients of a recorded call, written into dx, dstate and grads (name to array)."""
        cdef rnncore_backward_args args
        cdef rnncore_status status
        cdef PyObject *raised
        cdef void **table = pointer_table(self.plan, grads)
        memset(&args, 0, sizeof(args))
        args.struct_size = sizeof(args)
        args.steps, args.batch = T, N
        args.lengths = <const int64_t *>address(lengths)
        args.tape = tape.memory.data
        args.dy, args.dx = strided(dy), strided(dx)
        args.dh_n, args.dh0 = address(dfinal[0]), address(dstate[0])
        args.dc_n = address(dfinal[1]) if len(dfinal) > 1 else NULL
        args.dc0 = address(dstate[1]) if len(dstate) > 1 else NULL
        args.grads = table
        args.dropout_key, args.threads, args.team = key, threads, team.team
        args.recurrent_dropout, args.row_keys = recurrent_dropout, <const uint64_t *>address(row_keys)
        args.backend = RNNCORE_BLAS if blas else RNNCORE_FUSED
        end_by_signals(&args, &raised)
        with nogil:
            status = rnncore_backward(self.plan.plan, self.memory.data, &args)
        free(table)
        check_call("tape", status, raised)


def forward_naive(Plan plan, dict parameters, x, y, state, final, lengths):
    """The reference loop over unpacked parameters; arguments as in `Weights.forward`."""
    cdef void **table = pointer_table(plan, parameters)
    cdef rnncore_forward_args args = forward_args(x.shape[0], x.shape[1], lengths, x, y, state, final)
    cdef rnncore_status status
    cdef PyObject *raised
    end_by_signals(&args, &raised)
    with nogil:
        status = rnncore_forward_naive(plan.plan, <const void **>table, &args)
    free(table)
    check_call("x", status, raised)


include "_modules.pxi"
include "_fleets.pxi"
include "_streams.pxi"
include "_sessions.pxi"
include "_xla.pxi"
