# SPDX-License-Identifier: MIT
# Part of _core.pyx: signals. Python runs their handlers in its main thread, between two instructions of the
# interpreter. A long call of that thread runs them on its way; the exception of one, such as KeyboardInterrupt, ends
# the call.

cdef double SIGNAL_SECONDS = 0.02
cdef long main_thread


def remember_main_thread():
    """This process's main thread is `threading`'s: another one in a child that another thread has forked."""
    global main_thread
    main_thread = threading.main_thread().ident


remember_main_thread()


cdef int run_handlers(void *raised) noexcept nogil:
    """Whether a signal's handler has raised; its exception goes to `raised`."""
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            Py_INCREF(error)
            (<PyObject **>raised)[0] = <PyObject *>error
            return 1
    return 0


ctypedef fused call_args:
    rnncore_forward_args
    rnncore_backward_args


cdef inline void end_by_signals(call_args *args, PyObject **raised) noexcept:
    raised[0] = NULL
    if <long>PyThread_get_thread_ident() == main_thread:
        args.cancel, args.cancel_context, args.cancel_every = run_handlers, raised, SIGNAL_SECONDS


cdef int check_call(str field, rnncore_status status, PyObject *raised) except -1:
    if status != RNNCORE_CANCELLED:
        return check(field, status)
    error = <object>raised
    Py_DECREF(error)
    raise error
