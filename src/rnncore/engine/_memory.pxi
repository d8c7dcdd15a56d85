# SPDX-License-Identifier: MIT
# Part of _core.pyx: blocks of memory that objects own.


@cython.final
cdef class Spare:
    """One block that its last owner gave back, kept for the next one of about its size.

    Memory fresh from the system costs a page fault and zeros for every page: a third of a small training call's time.
    """

    cdef void *data
    cdef size_t size

    cdef void *take(self, size_t size, size_t *got) noexcept:
        cdef void *data = self.data
        self.data = NULL
        got[0] = self.size
        if data != NULL and not size <= self.size <= 2 * size:
            rnncore_free(data)
            data = NULL
        if data == NULL:
            got[0] = size
            data = rnncore_alloc(size)
        return data

    cdef void give(self, void *data, size_t size) noexcept:
        rnncore_free(self.data)
        self.data, self.size = data, size

    def __dealloc__(self):
        rnncore_free(self.data)


@cython.final
cdef class Memory:
    """A block for weights, a tape, a stream or an array; with the object it goes to `spare`, if any, or is freed."""

    cdef void *data
    cdef size_t size
    cdef Spare spare

    def __cinit__(self, str field, size_t size, Spare spare=None):
        if size == 0:
            raise errors.SizeError(field, "sizes whose buffers fit 2**63 - 1 bytes", "more")
        self.size = size
        self.data = spare.take(size, &self.size) if spare is not None else rnncore_alloc(size)
        if self.data == NULL:
            raise errors.MemoryExhaustedError(field, f"{size} bytes", "less")
        self.spare = spare

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)

    def __dealloc__(self):
        if self.spare is None:
            rnncore_free(self.data)
        else:
            self.spare.give(self.data, self.size)
