# SPDX-License-Identifier: MIT
# Part of _core.pyx: many models of one plan in one call. Arrays have an axis of the models before their own.


cdef rnncore_fleet fleet_of(int64_t models, active=None, keys=None, x=None, y=None):
    """What the core asks beside a call's arguments; `x` and `y` are arrays of all models."""
    cdef rnncore_fleet fleet
    memset(&fleet, 0, sizeof(fleet))
    fleet.struct_size = sizeof(fleet)
    fleet.models = models
    fleet.active = <const unsigned char *>address(active)
    fleet.dropout_keys = <const uint64_t *>address(keys)
    fleet.x_stride = cnp.PyArray_STRIDE(<cnp.ndarray>x, 0) if x is not None and x.ndim == 4 else 0
    fleet.y_stride = cnp.PyArray_STRIDE(<cnp.ndarray>y, 0) if y is not None else 0
    return fleet


cdef object first_model(array):
    return array[0] if array is not None and array.ndim == 4 else array


@cython.final
cdef class FleetTape:
    """Memory of a recorded call of a fleet; `lengths` are (M, N) or None."""

    cdef Memory memory
    cdef readonly size_t nbytes
    cdef readonly int64_t segments

    def __init__(self, Plan plan, int64_t models, int64_t T, int64_t N, lengths, int64_t segments, Spare spare=None):
        self.segments = segments
        self.nbytes = rnncore_fleet_tape_bytes(plan.plan, T, N, <const int64_t *>address(lengths), segments, models)
        self.memory = Memory("x", self.nbytes, spare)


@cython.final
cdef class FleetWeights:
    """Parameters of all models packed for one plan; `parameters` are dense (M, ...) arrays by name."""

    cdef readonly Plan plan
    cdef readonly int uses
    cdef readonly int64_t models, version
    cdef Memory memory

    def __init__(self, Plan plan, int64_t models, dict parameters, int uses, int64_t version, int threads, Team team,
                 Spare spare=None):
        cdef void **table = pointer_table(plan, parameters)
        cdef rnncore_fleet fleet = fleet_of(models)
        cdef rnncore_status status
        fleet.threads, fleet.team = threads, team.team
        self.plan, self.models, self.uses, self.version = plan, models, uses, version
        try:
            self.memory = Memory("parameters", rnncore_fleet_weights_bytes(plan.plan, uses, models), spare)
            with nogil:
                status = rnncore_fleet_pack(plan.plan, uses, &fleet, <const void **>table, self.memory.data)
        finally:
            free(table)
        check("parameters", status)

    def forward(self, int64_t T, int64_t N, x, y, state, final, lengths, FleetTape tape, keys, active, bint blas,
                int threads, Team team, double recurrent_dropout=0.0, row_keys=None):
        """Run; x (M, T, N, I) or (T, N, I) and y (M, T, N, D*O) any strides, states dense (M, L*D, N, .)."""
        cdef rnncore_forward_args args = forward_args(T, N, lengths, first_model(x), y[0], state, final)
        cdef rnncore_fleet fleet = fleet_of(self.models, active, keys, x, y)
        cdef rnncore_status status
        cdef PyObject *raised
        args.tape = tape.memory.data if tape is not None else NULL
        args.segments = tape.segments if tape is not None else 0
        args.threads, args.team = threads, team.team
        args.recurrent_dropout, args.row_keys = recurrent_dropout, <const uint64_t *>address(row_keys)
        args.backend = RNNCORE_BLAS if blas else RNNCORE_FUSED
        end_by_signals(&args, &raised)
        with nogil:
            status = rnncore_fleet_forward(self.plan.plan, self.memory.data, &args, &fleet)
        check_call("x", status, raised)

    def backward(self, FleetTape tape, int64_t T, int64_t N, lengths, dy, dfinal, dx, dstate, dict grads, keys, active,
                 bint blas, int threads, Team team, double recurrent_dropout=0.0, row_keys=None):
        """Gradients of a recorded call, written into dx, dstate and grads (name to dense (M, ...) array)."""
        cdef rnncore_backward_args args
        cdef rnncore_fleet fleet = fleet_of(self.models, active, keys, dx, dy)
        cdef rnncore_status status
        cdef PyObject *raised
        cdef void **table = pointer_table(self.plan, grads)
        memset(&args, 0, sizeof(args))
        args.struct_size = sizeof(args)
        args.steps, args.batch = T, N
        args.lengths = <const int64_t *>address(lengths)
        args.tape = tape.memory.data
        args.dy, args.dx = strided(first_model(dy)), strided(first_model(dx))
        args.dh_n, args.dh0 = address(dfinal[0]), address(dstate[0])
        args.dc_n = address(dfinal[1]) if len(dfinal) > 1 else NULL
        args.dc0 = address(dstate[1]) if len(dstate) > 1 else NULL
        args.grads = table
        args.threads, args.team = threads, team.team
        args.recurrent_dropout, args.row_keys = recurrent_dropout, <const uint64_t *>address(row_keys)
        args.backend = RNNCORE_BLAS if blas else RNNCORE_FUSED
        end_by_signals(&args, &raised)
        with nogil:
            status = rnncore_fleet_backward(self.plan.plan, self.memory.data, &args, &fleet)
        free(table)
        check_call("tape", status, raised)
