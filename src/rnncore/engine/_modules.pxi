# SPDX-License-Identifier: MIT
# Part of _core.pyx: what modules around layers need, and the step of an optimiser.

_FORMS = {"nt": RNNCORE_ROWS_BY_ROWS, "nn": RNNCORE_ROWS_BY_COLUMNS, "tn": RNNCORE_COLUMNS_BY_COLUMNS}
_OPERATIONS = {
    "sum": RNNCORE_ROWS_SUM,
    "dot": RNNCORE_ROWS_DOT,
    "add": RNNCORE_ROWS_ADD,
    "softmax": RNNCORE_ROWS_SOFTMAX,
    "exp": RNNCORE_ROWS_EXP,
    "log": RNNCORE_ROWS_LOG,
    "value": RNNCORE_ROWS_VALUE,
    "slope": RNNCORE_ROWS_SLOPE,
}


cdef inline rnncore_dtype dtype_of(array):
    return RNNCORE_FLOAT32 if array.dtype.itemsize == 4 else RNNCORE_FLOAT64


def multiply(str form, int64_t count, int64_t m, int64_t n, int64_t k, a, b, bias, out, str isa, int threads,
             Team team, tuple steps):
    """out = a times b, `count` times: "nt" (m, k) (n, k)^T, "nn" (m, k) (k, n), "tn" (k, m)^T (k, n).

    `steps`: elements from one matrix of a to the next and from one of its rows to the next, and of b.
    """
    cdef rnncore_multiply_args args
    cdef rnncore_status status
    cdef bytes name = isa.encode()
    memset(&args, 0, sizeof(args))
    args.struct_size = sizeof(args)
    args.dtype, args.form = dtype_of(out), _FORMS[form]
    args.count, args.m, args.n, args.k = count, m, n, k
    args.a, args.b, args.bias, args.out = address(a), address(b), address(bias), address(out)
    args.isa, args.threads, args.team = name, threads, team.team
    args.biases = count if bias is not None and bias.ndim == 2 else 1
    args.a_next, args.a_row, args.b_next, args.b_row = steps
    with nogil:
        status = rnncore_multiply(&args)
    check("x", status)


def rows(str operation, int64_t count, int64_t n, a, str isa, *, b=None, index=None, out=None, sums=None,
         tuple function=None):
    """One operation on `count` rows of `n` values; out and sums, where there are some, get the results.

    Parameters
    ----------
    index : int64 array, optional
        Rows of out to add to, or valid columns of softmax.
    function : tuple, optional
        Name, alpha and beta of what "value" and "slope" are of.
    """
    cdef rnncore_rows_args args
    cdef rnncore_status status
    cdef bytes name = isa.encode()
    memset(&args, 0, sizeof(args))
    args.struct_size = sizeof(args)
    args.dtype, args.operation = dtype_of(a), _OPERATIONS[operation]
    args.rows, args.n = count, n
    args.a, args.b, args.out = address(a), address(b), address(out)
    args.index, args.sums = <const int64_t *>address(index), <double *>address(sums)
    args.out_rows = out.shape[0] if operation == "add" else 0
    if function is not None:
        args.function.function = _FUNCTIONS[function[0]]
        args.function.alpha, args.function.beta = (*function[1:], 0, 0)[:2]
    args.isa = name
    with nogil:
        status = rnncore_rows(&args)
    check("x", status)


cdef rnncore_tensor *tensor_table(list tensors, int64_t models) except NULL:
    """What the core's optimisers read of (values, grads, moment1, moment2) of so many models; the caller frees it."""
    cdef Py_ssize_t i
    cdef rnncore_tensor *table = <rnncore_tensor *>malloc((len(tensors) + 1) * sizeof(rnncore_tensor))
    if table == NULL:
        raise errors.MemoryExhaustedError("tensors", "a table of pointers", "nothing")
    for i in range(len(tensors)):
        values, grads, moment1, moment2 = tensors[i]
        table[i].values, table[i].grads = address(values), address(grads)
        table[i].moment1, table[i].moment2 = address(moment1), address(moment2)
        table[i].size = values.size // models
        table[i].dtype = dtype_of(values)
    return table


def update_fleet(str method, int64_t models, list tensors, lr, step, active, grad_scale, norms, *, double beta1,
                 double beta2=0.0, double eps=0.0, double weight_decay=0.0, bint decoupled=True, bint nesterov=False,
                 double clip_norm=0.0, str isa=None, int threads=1, Team team=None):
    """One step of each model's own optimiser; arrays of `tensors` are (M, ...), as of `update`.

    Parameters
    ----------
    lr, step, active, grad_scale, norms : float64, int64, bool, float64 and float64 arrays (M,)
        `step` counts from 1; norms get what `update` returns, and models that are not active keep theirs.
    """
    cdef rnncore_update_args args
    cdef rnncore_fleet fleet = fleet_of(models, active)
    cdef rnncore_fleet_rates rates
    cdef rnncore_status status
    cdef double *found = <double *>address(norms)
    cdef bytes name = isa.encode()
    cdef rnncore_tensor *table = tensor_table(tensors, models)
    memset(&args, 0, sizeof(args))
    args.struct_size, rates.struct_size = sizeof(args), sizeof(rates)
    rates.lr, rates.grad_scale = <const double *>address(lr), <const double *>address(grad_scale)
    rates.step = <const int64_t *>address(step)
    args.method = RNNCORE_ADAM if method == "adam" else RNNCORE_SGD
    args.beta1, args.beta2, args.eps, args.step = beta1, beta2, eps, 1
    args.weight_decay, args.decoupled, args.nesterov = weight_decay, decoupled, nesterov
    args.clip_norm = clip_norm
    args.tensors, args.count = table, len(tensors)
    args.isa, args.threads, args.team = name, threads, team.team if team is not None else NULL
    with nogil:
        status = rnncore_fleet_update(&args, &fleet, &rates, found)
    free(table)
    check("tensors", status)


def update(str method, list tensors, *, double lr, double beta1, int64_t step, double beta2=0.0, double eps=0.0,
           double weight_decay=0.0, bint decoupled=True, bint nesterov=False, double grad_scale=1.0,
           double clip_norm=0.0, str isa=None, int threads=1, Team team=None):
    """One optimiser step, "adam" or "sgd", in place.

    Parameters
    ----------
    tensors : list of (values, grads, moment1, moment2)
        Dense arrays of one dtype and size each, values and moments writeable and checked by the caller; moments that
        the method does not have are None.

    Returns
    -------
    float
        The norm of all gradients before clipping; nothing has changed if it is not finite.
    """
    cdef rnncore_update_args args
    cdef rnncore_status status
    cdef double norm = 0
    cdef bytes name = isa.encode() if isa is not None else None
    cdef rnncore_tensor *table = tensor_table(tensors, 1)
    memset(&args, 0, sizeof(args))
    args.struct_size = sizeof(args)
    args.method = RNNCORE_ADAM if method == "adam" else RNNCORE_SGD
    args.lr, args.beta1, args.beta2, args.eps = lr, beta1, beta2, eps
    args.weight_decay, args.decoupled, args.nesterov = weight_decay, decoupled, nesterov
    args.grad_scale, args.clip_norm, args.step = grad_scale, clip_norm, step
    args.tensors, args.count = table, len(tensors)
    args.isa = <const char *>name if name is not None else NULL
    args.threads, args.team = threads, team.team if team is not None else NULL
    with nogil:
        status = rnncore_update(&args, &norm)
    free(table)
    check("tensors", status)
    return norm


def dropout(out, array, uint64_t key, double p):
    """out = array with elements dropped by their place and the key, the others times 1 / (1 - p); out may be array."""
    cdef rnncore_dtype dtype = RNNCORE_FLOAT32 if array.dtype.itemsize == 4 else RNNCORE_FLOAT64
    cdef int64_t size = array.size
    cdef void *target = address(out)
    cdef const void *source = address(array)
    cdef rnncore_status status
    with nogil:
        status = rnncore_dropout(dtype, target, source, size, key, p)
    check("p", status)


def dropout_rows(out, array, keys, double p):
    """As `dropout`, each row of the first axis with a key of its own: uint64 (rows,)."""
    cdef rnncore_dtype dtype = RNNCORE_FLOAT32 if array.dtype.itemsize == 4 else RNNCORE_FLOAT64
    cdef int64_t n, rows = array.shape[0]
    cdef int64_t size = array.size // max(rows, 1)
    cdef int64_t nbytes = size * array.dtype.itemsize
    cdef char *target = <char *>address(out)
    cdef const char *source = <const char *>address(array)
    cdef const uint64_t *key = <const uint64_t *>address(keys)
    cdef rnncore_status status = RNNCORE_OK
    with nogil:
        for n in range(rows):
            status = rnncore_dropout(dtype, target + n * nbytes, source + n * nbytes, size, key[n], p)
            if status != RNNCORE_OK:
                break
    check("p", status)
