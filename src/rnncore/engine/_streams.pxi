# SPDX-License-Identifier: MIT
# Part of _core.pyx: running sequences.


cdef class StreamCore:
    """State and packed weights of running sequences, and the fast path of their step.

    A step of fewer than LONG_STEP multiply-adds keeps the GIL: giving it up and taking it back costs more.

    Every public method holds `busy` from before it looks at the stream until it ends: packing new weights runs Python
    code, and with it other threads. Methods that start with an underscore are for those that hold it.
    """

    cdef readonly Weights weights
    cdef readonly int64_t N, capacity
    cdef Memory memory
    cdef rnncore_stream *stream
    cdef Version version
    cdef int64_t seen
    cdef int typenum
    cdef double row_work
    cdef bint is_long, busy
    cdef cnp.npy_intp in_size, out_size

    def __cinit__(self, *args, **kwargs):
        self.busy = True  # until there is a state

    def __init__(self, Version version, Weights weights, int64_t N, double row_work):
        if self.stream != NULL:
            raise errors.UnsupportedError("stream", "one initialisation", "a second one")
        spec = weights.plan.spec
        self.in_size, self.out_size = spec.input_size, spec.output_size
        self.typenum = cnp.NPY_FLOAT32 if spec.dtype.itemsize == 4 else cnp.NPY_FLOAT64
        self.row_work = row_work
        self.version = version
        self.start(weights, N)
        self.busy = False

    cdef inline int enter(self) except -1:
        """Take the stream; the GIL makes it one step. Its methods in Python go through `_alone`."""
        if self.busy:
            self.refuse()
        self.busy = True
        return 0

    cdef int refuse(self) except -1:
        if self.stream == NULL:
            raise errors.ArgumentError("stream", "a stream from layer.stream()", "one that was never initialised")
        raise errors.UnsupportedError("stream", "one thread at a time", "a second call before the first ended")

    def _alone(self, method, *args, **kwargs):
        """What the method gives for this stream, taken until it ends: here no signal comes in between."""
        self.enter()
        try:
            return method(self, *args, **kwargs)
        finally:
            self.busy = False

    cdef int start(self, Weights weights, int64_t capacity) except -1:
        """Start `capacity` rows from zero state with these weights."""
        cdef Memory memory = Memory("batch_size", rnncore_stream_bytes(weights.plan.plan, capacity))
        check("batch_size", rnncore_stream_init(weights.plan.plan, weights.memory.data, capacity, memory.data,
                                                &self.stream))
        self.memory, self.weights, self.seen = memory, weights, weights.version
        self.capacity = capacity
        self.set_rows(capacity)
        return 0

    cdef void set_rows(self, int64_t N) noexcept:
        self.N = N
        self.is_long = N * self.row_work > 200_000

    cdef bint fits(self, object array, cnp.npy_intp features) noexcept:
        """Whether the fast path may use it: dense, of the layer's dtype, (N, features) or, for N = 1, (features,)."""
        cdef cnp.ndarray a
        if not cnp.PyArray_CheckExact(array):
            return False
        a = <cnp.ndarray>array
        if cnp.PyArray_TYPE(a) != self.typenum or not cnp.PyArray_ISCARRAY_RO(a):
            return False
        if cnp.PyArray_NDIM(a) == 1:
            return self.N == 1 and cnp.PyArray_DIM(a, 0) == features
        return cnp.PyArray_NDIM(a) == 2 and cnp.PyArray_DIM(a, 0) == self.N and cnp.PyArray_DIM(a, 1) == features

    def step(self, x, out=None):
        """One step of every row.

        Parameters
        ----------
        x : array of the layer's dtype, (N, I); with batch_size 1 also (I,)
            Dense arrays take the fast path, others are copied first.
        out : array like the result, optional
            Receives y and is returned; must not overlap x.

        Returns
        -------
        y : (N, H or P), or (H or P,)

        Raises
        ------
        ShapeError, DTypeError, ArgumentError, OverlapError
            The state is as before.
        UnsupportedError
            Another thread is in a call of this stream.

        Notes
        -----
        Allocates nothing when `out` is given. The GIL is released for steps of more than 2e5 multiply-adds only.
        """
        self.enter()
        try:
            return self.take_step(x, out)
        finally:
            self.busy = False

    def _step(self, x):
        return self.take_step(x, None)

    cdef object take_step(self, object x, object out):
        cdef cnp.npy_intp shape[2]
        cdef const char *source
        cdef char *target
        cdef cnp.npy_intp size
        if not self.fits(x, self.in_size) or (out is not None and (
                not self.fits(out, self.out_size) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
                or cnp.PyArray_NDIM(<cnp.ndarray>out) != cnp.PyArray_NDIM(<cnp.ndarray>x))):
            return self._step_checked(x, out)
        if self.seen != self.version.value:
            self._renew()
        if out is None:
            shape[0] = self.N if cnp.PyArray_NDIM(<cnp.ndarray>x) == 2 else self.out_size
            shape[1] = self.out_size
            out = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(<cnp.ndarray>x), shape, self.typenum, 0)
        else:
            source, target = address(x), address(out)
            size = cnp.PyArray_ITEMSIZE(<cnp.ndarray>x) * self.N
            if source < target + size * self.out_size and target < source + size * self.in_size:
                raise errors.OverlapError("out", "memory apart from x", "shared memory")
        source, target = address(x), address(out)
        if self.is_long:
            with nogil:
                rnncore_stream_step(self.stream, source, target)
        else:
            rnncore_stream_step(self.stream, source, target)
        return out

    def _renew(self):
        """Pack the layer's present parameters, keeping the state."""
        self._restart(self.capacity, self._get_state())

    def _restart(self, int64_t capacity, state):
        """Room for `capacity` rows, of which `state` (dense parts) gives the first."""
        N = state[0].shape[1]
        self.start(self._present_weights(), capacity)
        self._select(np.arange(N))
        self._set_state(state)

    def _select(self, rows):
        """Rows (int64, contiguous) of the batch in a new order, -1 for new ones; at most `capacity`."""
        check("rows", rnncore_stream_select(self.stream, <const int64_t *>address(rows), rows.shape[0]))
        self.set_rows(rows.shape[0])

    def _get_state(self):
        parts = tuple(np.empty(shape, self.weights.plan.spec.dtype)
                      for shape in self.weights.plan.spec.state_shapes(self.N))
        rnncore_stream_get_state(self.stream, address(parts[0]), address(parts[1]) if len(parts) > 1 else NULL)
        return parts

    def _set_state(self, parts):
        rnncore_stream_set_state(self.stream, address(parts[0]), address(parts[1]) if len(parts) > 1 else NULL)
