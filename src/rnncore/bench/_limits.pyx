# SPDX-License-Identifier: MIT
# cython: language_level=3, embedsignature=True
"""Python view of hwlimits.c: what this machine can do at best. All functions release the GIL while they measure."""
from libc.stdint cimport int64_t


cdef extern from "hwlimits.h" nogil:
    ctypedef enum limits_status:
        LIMITS_OK, LIMITS_ARGUMENT, LIMITS_MEMORY, LIMITS_THREAD
    const char *limits_isa_name(int index)
    limits_status limits_fma_peak(const char *isa, int float64, int threads, double seconds, double *gflops)
    limits_status limits_read_bandwidth(const char *isa, int float64, int64_t bytes, int threads, double seconds,
                                        double *gbytes)
    limits_status limits_flag_latency(double seconds, double *nanoseconds)
    limits_status limits_tail(double seconds, double *median, double *p999)


cdef int raise_for(limits_status status, str what) except -1:
    if status == LIMITS_ARGUMENT:
        raise ValueError(f"{what}: expected an instruction set of isas(), sizes and times above 0")
    if status == LIMITS_MEMORY:
        raise MemoryError(f"{what}: no memory for the buffers")
    if status == LIMITS_THREAD:
        raise RuntimeError(f"{what}: the system refused to start a thread")
    return 0


def isas():
    """Names of the instruction sets this CPU runs, widest first (list of str)."""
    names = []
    while limits_isa_name(<int>len(names)) != NULL:
        names.append(limits_isa_name(<int>len(names)).decode())
    return names


def fma_peak(str isa, str dtype="float32", int num_threads=1, double seconds=0.05):
    """GFLOP/s of multiply-adds in registers on `num_threads` threads together.

    Raises
    ------
    ValueError
        Unknown `isa`, or a size or time that is not above 0.
    """
    cdef bytes name = isa.encode()
    cdef const char *c_name = name
    cdef int float64 = dtype == "float64"
    cdef double result = 0
    cdef limits_status status
    with nogil:
        status = limits_fma_peak(c_name, float64, num_threads, seconds, &result)
    raise_for(status, "fma_peak")
    return result


def read_bandwidth(str isa, int64_t size, str dtype="float32", int num_threads=1, double seconds=0.05):
    """GB/s of streaming `size` bytes of weights through multiply-adds, split over `num_threads` threads.

    Raises
    ------
    ValueError
        Unknown `isa`, or a size or time that is not above 0.
    MemoryError
        The buffers do not fit.
    """
    cdef bytes name = isa.encode()
    cdef const char *c_name = name
    cdef int float64 = dtype == "float64"
    cdef double result = 0
    cdef limits_status status
    with nogil:
        status = limits_read_bandwidth(c_name, float64, size, num_threads, seconds, &result)
    raise_for(status, "read_bandwidth")
    return result


def flag_latency(double seconds=0.05):
    """Nanoseconds from a store on one core until a spinning thread on another sees it."""
    cdef double result = 0
    cdef limits_status status
    with nogil:
        status = limits_flag_latency(seconds, &result)
    raise_for(status, "flag_latency")
    return result


def tail(double seconds=0.3):
    """Nanoseconds of a loop in registers of about 1 us: (median, what one in a thousand exceeds)."""
    cdef double median = 0, p999 = 0
    cdef limits_status status
    with nogil:
        status = limits_tail(seconds, &median, &p999)
    raise_for(status, "tail")
    return median, p999
