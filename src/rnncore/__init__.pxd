# SPDX-License-Identifier: MIT
# The C library for Cython: `cimport rnncore`. rnncore.h is the manual; rnncore.get_include() and get_library_dir() tell
# a build where it and the library are. Cython's structs are not zeroed: memset them before struct_size is set.
from libc.stdint cimport int64_t, uint64_t

cdef extern from "rnncore.h" nogil:
    ctypedef enum rnncore_status:
        RNNCORE_OK, RNNCORE_ERROR_ARGUMENT, RNNCORE_ERROR_SHAPE, RNNCORE_ERROR_LENGTHS, RNNCORE_ERROR_OVERFLOW
        RNNCORE_ERROR_MEMORY, RNNCORE_ERROR_UNSUPPORTED, RNNCORE_ERROR_FORMAT, RNNCORE_CANCELLED
        RNNCORE_STATUS_COUNT

    const char *rnncore_status_name(rnncore_status status)
    const char *rnncore_status_text(rnncore_status status)
    const char *rnncore_isa_name(int index)

    ctypedef struct rnncore_blas:
        void *sgemm
        void *dgemm

    const rnncore_blas *rnncore_system_blas()
    void *rnncore_alloc(size_t bytes)
    void rnncore_free(void *memory)

    # -- Plan
    const char *RNNCORE_RNN_TANH
    const char *RNNCORE_RNN_RELU
    const char *RNNCORE_LSTM
    const char *RNNCORE_GRU
    const char *RNNCORE_GRU_RESET_BEFORE
    const char *RNNCORE_MIN_GRU
    const char *RNNCORE_MIN_LSTM

    ctypedef enum rnncore_dtype:
        RNNCORE_FLOAT32, RNNCORE_FLOAT64
    ctypedef enum rnncore_store:
        RNNCORE_STORE_REAL, RNNCORE_STORE_BFLOAT16, RNNCORE_STORE_FLOAT16, RNNCORE_STORE_INT8, RNNCORE_STORE_INT8X16
        RNNCORE_STORE_COUNT
    ctypedef enum rnncore_function:
        RNNCORE_USUAL, RNNCORE_SIGMOID, RNNCORE_TANH, RNNCORE_RELU, RNNCORE_AFFINE, RNNCORE_LEAKY_RELU
        RNNCORE_THRESHOLDED_RELU, RNNCORE_SCALED_TANH, RNNCORE_HARD_SIGMOID, RNNCORE_ELU, RNNCORE_SOFTSIGN
        RNNCORE_SOFTPLUS, RNNCORE_LOG_SPACE, RNNCORE_FUNCTION_COUNT
    ctypedef struct rnncore_activation:
        rnncore_function function
        double alpha, beta
    enum:
        RNNCORE_PLACES
    ctypedef struct rnncore_config:
        size_t struct_size
        const char *cell
        rnncore_dtype dtype
        rnncore_store store
        int64_t input_size, hidden_size, proj_size, num_layers
        int bidirectional
        double dropout, zoneout, zoneout_c
        const char *isa
        int peepholes, coupled
        double clip
        rnncore_activation activations[2][RNNCORE_PLACES]
        const rnncore_blas *blas
        int64_t model_lanes
    ctypedef struct rnncore_plan:
        pass

    const char *rnncore_cell_name(int index)
    rnncore_status rnncore_plan_create(const rnncore_config *config, rnncore_plan **plan)
    void rnncore_plan_destroy(rnncore_plan *plan)
    const char *rnncore_plan_isa(const rnncore_plan *plan)

    # -- Weights and files
    ctypedef struct rnncore_param:
        size_t struct_size
        const char *name
        int64_t rows, columns
        int optional
    enum:
        RNNCORE_PACK_FORWARD, RNNCORE_PACK_BACKWARD, RNNCORE_PACK_BLAS

    int rnncore_param_count(const rnncore_plan *plan)
    rnncore_status rnncore_param_get(const rnncore_plan *plan, int64_t layer, int index, rnncore_param *param)
    size_t rnncore_weights_bytes(const rnncore_plan *plan, int uses)
    rnncore_status rnncore_weights_pack(const rnncore_plan *plan, int uses, const void **params, void *weights)
    rnncore_status rnncore_file_read(const void *file, size_t bytes, rnncore_config *config, const void **params,
                                     int64_t count)
    size_t rnncore_file_bytes(const void *file, size_t bytes)
    rnncore_status rnncore_file_widen(const void *file, size_t bytes, void *memory, const void **params, int64_t count)

    # -- Threads
    ctypedef struct rnncore_team:
        pass

    rnncore_status rnncore_team_create(int max_threads, rnncore_team **team)
    void rnncore_team_destroy(rnncore_team *team)

    # -- Forward and backward
    ctypedef struct rnncore_array:
        void *data
        int64_t stride[3]
    ctypedef enum rnncore_backend:
        RNNCORE_FUSED, RNNCORE_BLAS
    ctypedef struct rnncore_forward_args:
        size_t struct_size
        int64_t steps, batch
        const int64_t *lengths
        rnncore_array x, y
        const void *h0
        const void *c0
        void *h_n
        void *c_n
        void *tape
        int64_t segments
        uint64_t dropout_key
        double recurrent_dropout
        rnncore_backend backend
        int threads
        rnncore_team *team
        int (*cancel)(void *context) noexcept nogil
        void *cancel_context
        double cancel_every
        const uint64_t *row_keys
    ctypedef struct rnncore_backward_args:
        size_t struct_size
        int64_t steps, batch
        const int64_t *lengths
        void *tape
        rnncore_array dy, dx
        const void *dh_n
        const void *dc_n
        void *dh0
        void *dc0
        void **grads
        uint64_t dropout_key
        double recurrent_dropout
        rnncore_backend backend
        int threads
        rnncore_team *team
        int (*cancel)(void *context) noexcept nogil
        void *cancel_context
        double cancel_every
        const uint64_t *row_keys

    rnncore_status rnncore_forward(const rnncore_plan *plan, const void *weights, const rnncore_forward_args *args)
    rnncore_status rnncore_forward_naive(const rnncore_plan *plan, const void **params,
                                         const rnncore_forward_args *args)
    size_t rnncore_tape_bytes(const rnncore_plan *plan, int64_t steps, int64_t batch, int64_t valid,
                              int64_t segments)
    rnncore_status rnncore_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *args)
    rnncore_status rnncore_dropout(rnncore_dtype dtype, void *out, const void *a, int64_t size, uint64_t key,
                                   double p)

    # -- Fleets
    ctypedef struct rnncore_fleet:
        size_t struct_size
        int64_t models
        const unsigned char *active
        int64_t x_stride, y_stride
        const uint64_t *dropout_keys
        int threads
        rnncore_team *team

    int64_t rnncore_plan_models(const rnncore_plan *plan)
    size_t rnncore_fleet_weights_bytes(const rnncore_plan *plan, int uses, int64_t models)
    rnncore_status rnncore_fleet_pack(const rnncore_plan *plan, int uses, const rnncore_fleet *fleet,
                                      const void **params, void *weights)
    size_t rnncore_fleet_tape_bytes(const rnncore_plan *plan, int64_t steps, int64_t batch, const int64_t *lengths,
                                    int64_t segments, int64_t models)
    rnncore_status rnncore_fleet_forward(const rnncore_plan *plan, const void *weights,
                                         const rnncore_forward_args *args, const rnncore_fleet *fleet)
    rnncore_status rnncore_fleet_backward(const rnncore_plan *plan, const void *weights,
                                          const rnncore_backward_args *args, const rnncore_fleet *fleet)

    # -- Optimisers
    ctypedef enum rnncore_method:
        RNNCORE_SGD, RNNCORE_ADAM
    ctypedef struct rnncore_tensor:
        void *values
        const void *grads
        void *moment1
        void *moment2
        int64_t size
        rnncore_dtype dtype
    ctypedef struct rnncore_update_args:
        size_t struct_size
        rnncore_method method
        double lr, beta1, beta2, eps, weight_decay
        int decoupled, nesterov
        double grad_scale, clip_norm
        int64_t step
        const rnncore_tensor *tensors
        int64_t count
        const char *isa
        int threads
        rnncore_team *team

    rnncore_status rnncore_update(const rnncore_update_args *args, double *norm)
    ctypedef struct rnncore_fleet_rates:
        size_t struct_size
        const double *lr
        const double *grad_scale
        const int64_t *step
    rnncore_status rnncore_fleet_update(const rnncore_update_args *args, const rnncore_fleet *fleet,
                                        const rnncore_fleet_rates *rates, double *norms)

    # -- Modules around layers
    ctypedef enum rnncore_form:
        RNNCORE_ROWS_BY_ROWS, RNNCORE_ROWS_BY_COLUMNS, RNNCORE_COLUMNS_BY_COLUMNS
    ctypedef struct rnncore_multiply_args:
        size_t struct_size
        rnncore_dtype dtype
        rnncore_form form
        int64_t count, m, n, k
        const void *a
        const void *b
        const void *bias
        void *out
        const char *isa
        int threads
        rnncore_team *team
        int64_t biases
        int64_t a_row, a_next, b_row, b_next

    rnncore_status rnncore_multiply(const rnncore_multiply_args *args)

    ctypedef enum rnncore_row_operation:
        RNNCORE_ROWS_SUM, RNNCORE_ROWS_DOT, RNNCORE_ROWS_ADD, RNNCORE_ROWS_SOFTMAX
        RNNCORE_ROWS_EXP, RNNCORE_ROWS_LOG, RNNCORE_ROWS_VALUE, RNNCORE_ROWS_SLOPE
    ctypedef struct rnncore_rows_args:
        size_t struct_size
        rnncore_dtype dtype
        rnncore_row_operation operation
        int64_t rows, n
        const void *a
        const void *b
        const int64_t *index
        int64_t out_rows
        void *out
        double *sums
        rnncore_activation function
        const char *isa

    rnncore_status rnncore_rows(const rnncore_rows_args *args)

    # -- Streams
    ctypedef struct rnncore_stream:
        pass

    size_t rnncore_stream_bytes(const rnncore_plan *plan, int64_t batch)
    rnncore_status rnncore_stream_init(const rnncore_plan *plan, const void *weights, int64_t batch, void *memory,
                                       rnncore_stream **stream)
    void rnncore_stream_step(rnncore_stream *stream, const void *x, void *y)
    rnncore_status rnncore_stream_select(rnncore_stream *stream, const int64_t *rows, int64_t n)
    int64_t rnncore_stream_rows(const rnncore_stream *stream)
    void rnncore_stream_get_state(const rnncore_stream *stream, void *h, void *c)
    void rnncore_stream_set_state(rnncore_stream *stream, const void *h, const void *c)

    ctypedef struct rnncore_states:
        void *data
        int64_t stride, count

    size_t rnncore_stream_row_bytes(const rnncore_plan *plan)
    rnncore_status rnncore_stream_step_rows(rnncore_stream *stream, const rnncore_states *states, const int64_t *rows,
                                            int64_t n, const void *x, void *y)
    rnncore_status rnncore_stream_gather(rnncore_stream *stream, const rnncore_states *states, const int64_t *rows,
                                         int64_t n)
    rnncore_status rnncore_stream_scatter(const rnncore_stream *stream, const rnncore_states *states,
                                          const int64_t *rows)
