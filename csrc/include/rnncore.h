/* SPDX-License-Identifier: MIT
 *
 * rnncore: recurrent neural networks (basic RNN, LSTM, GRU, minGRU, minLSTM) on CPUs. This header is the manual of the C library.
 *
 *   plan     what a stack of layers looks like and which kernels run it; immutable, shareable between threads
 *   weights  the parameters, packed once for the kernels; immutable after packing, shareable
 *   forward  one call over whole sequences; backward undoes it through the tape that forward filled
 *   stream   one time step per call, state kept inside, in memory that the caller owns
 *
 * Dimensions: T steps, N batch, I input size, H hidden size, P projection size, L layers, D directions (1 or 2).
 * O = P when there is a projection, else H. Everything is float or double, as the plan says. Nothing prints, exits or
 * keeps global state; every failure is a status, and nothing is written before all arguments have been checked.
 *
 * Calls round to nearest, trap nothing, and take subnormal numbers for zeros of their sign, as operands and as results (on
 * x86-64 and AArch64), whatever floating-point environment the caller has; it is his again, flags included, when they return. */
#ifndef RNNCORE_H
#define RNNCORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RNNCORE_VERSION_MAJOR 0
#define RNNCORE_VERSION_MINOR 1
#define RNNCORE_VERSION_PATCH 0

#if !defined(_WIN32)
#define RNNCORE_API __attribute__((visibility("default")))
#elif defined(RNNCORE_BUILDING) /* only while the library itself is compiled */
#define RNNCORE_API __declspec(dllexport)
#else
#define RNNCORE_API
#endif

/* -- Status ------------------------------------------------------------------------------------------------------- */

typedef enum rnncore_status {
    RNNCORE_OK = 0,
    RNNCORE_ERROR_ARGUMENT,    /* a null pointer, an unknown enum value, a combination that has no meaning */
    RNNCORE_ERROR_SHAPE,       /* a size below 1, or above what the option allows */
    RNNCORE_ERROR_LENGTHS,     /* a length below 0 or above T */
    RNNCORE_ERROR_OVERFLOW,    /* a buffer would need more bytes than a size can hold */
    RNNCORE_ERROR_MEMORY,      /* the allocator said no */
    RNNCORE_ERROR_UNSUPPORTED, /* not in this build, plan or machine (an instruction set, a BLAS, a stream of a
                                    bidirectional layer) */
    RNNCORE_ERROR_FORMAT,      /* a file that is damaged, or not one of a layer that rnncore wrote */
    RNNCORE_CANCELLED, /* the caller's `cancel` said so; outputs and tape are of no use, all else is as it was */
    RNNCORE_STATUS_COUNT
} rnncore_status;

/* Name ("RNNCORE_ERROR_SHAPE") and one English sentence; never NULL, valid for ever. */
RNNCORE_API const char *rnncore_status_name(rnncore_status status);
RNNCORE_API const char *rnncore_status_text(rnncore_status status);

/* -- Structs that grow --------------------------------------------------------------------------------------------- */

/* A struct whose first field is struct_size gets more fields in later versions, at its end; zeros there mean what the versions
 * before did. Who makes one sets struct_size to its sizeof and all that he does not use to zeros, as an initialiser does. So a
 * program goes on working with a later library of the same major version, and with an earlier one as long as it uses nothing
 * that came later (RNNCORE_ERROR_UNSUPPORTED). A struct_size that no version has had is RNNCORE_ERROR_ARGUMENT. Structs without
 * one never change. */

/* -- Instruction sets --------------------------------------------------------------------------------------------- */

/* Instruction sets compiled into this library that this CPU can run, fastest first, the last is always "scalar".
 * index counts from 0; NULL past the end. Results do not depend on the choice: float and double forward results are
 * the same to the last bit on all of them. */
RNNCORE_API const char *rnncore_isa_name(int index);

/* -- BLAS --------------------------------------------------------------------------------------------------------- */

/* The two functions that RNNCORE_BLAS calls need, by Fortran's convention: column-major matrices, all arguments by
 * address, int of 32 bits. SciPy's cython_blas has them. As many threads call them at once as a call may use: a BLAS with
 * threads of its own should be held to one. */
typedef struct rnncore_blas {
    void (*sgemm)(const char *transpose_a, const char *transpose_b, const int *m, const int *n, const int *k,
                  const float *alpha, const float *a, const int *lda, const float *b, const int *ldb, const float *beta,
                  float *c, const int *ldc);
    void (*dgemm)(const char *transpose_a, const char *transpose_b, const int *m, const int *n, const int *k,
                  const double *alpha, const double *a, const int *lda, const double *b, const int *ldb,
                  const double *beta, double *c, const int *ldc);
} rnncore_blas;

/* The CBLAS that this library was built with (RNNCORE_BLAS=system), valid for ever; NULL: none. */
RNNCORE_API const rnncore_blas *rnncore_system_blas(void);

/* -- Memory ------------------------------------------------------------------------------------------------------- */

/* Memory for packed weights, tapes and streams: aligned to 64 bytes and, from 2 MB on, on huge pages where the system has
 * them (4 KB pages cost up to 30 % of the read bandwidth). NULL when there is none. Any other memory aligned to 64 bytes
 * does as well. */
RNNCORE_API void *rnncore_alloc(size_t bytes);
RNNCORE_API void rnncore_free(void *memory);

/* -- Plan --------------------------------------------------------------------------------------------------------- */

/* Cells, by name. */
#define RNNCORE_RNN_TANH "rnn_tanh"
#define RNNCORE_RNN_RELU "rnn_relu"
#define RNNCORE_LSTM "lstm"
#define RNNCORE_GRU "gru"                           /* n = tanh(W x + b + r * (R h + b)), PyTorch, cuDNN */
#define RNNCORE_GRU_RESET_BEFORE "gru_reset_before" /* n = tanh(W x + b + R (r * h) + b), the 2014 paper */

/* Gated linear scans (Feng et al. 2024), whose gates see the input alone: there is no weight_hh. */
#define RNNCORE_MIN_GRU "min_gru"   /* h = (1 - z) * h + z * n, n = W x + b */
#define RNNCORE_MIN_LSTM "min_lstm" /* h = u * h + (1 - u) * g, u = f / (f + i), g = W x + b */

/* And with layer normalisation (Ba, Kiros and Hinton 2016) of what both products give, and of an LSTM's c: "lstm_norm",
 * "gru_norm". */

/* Names of all cells, in no order that matters; NULL past the end. */
RNNCORE_API const char *rnncore_cell_name(int index);

typedef enum rnncore_dtype { RNNCORE_FLOAT32, RNNCORE_FLOAT64 } rnncore_dtype;

/* How packed matrices hold their values. Parameters come in the config's dtype and are rounded when they are packed. With the
 * stores of floats, what is computed with them, forward and backward, is what the dtype's arithmetic gives with the rounded
 * values, bit for bit. With those of integers a row of a matrix is codes -127 .. 127 times a scale of its own, what it is
 * multiplied with becomes integers too, row by row, sums of integers are exact, and a pre-activation is its bias plus one
 * rounded multiple of such a sum for the input and one for h; gradients are those of the rounded weights with the operands as
 * they were. Results are the same on every instruction set, in every batch, for every number of threads. Vectors (biases,
 * peepholes, gains) are kept as they are. All but the first are for RNNCORE_FLOAT32. */
typedef enum rnncore_store {
    RNNCORE_STORE_REAL,     /* in the dtype itself */
    RNNCORE_STORE_BFLOAT16, /* the upper half of a float: 8 bits of precision */
    RNNCORE_STORE_FLOAT16,  /* IEEE binary16: 11 bits, at most 65504 (larger values become infinite) */
    RNNCORE_STORE_INT8, /* integers of 8 bits, for operands too; weight_ih from 32 inputs on; I at most 16384, H 8192 */
    RNNCORE_STORE_INT8X16, /* the same weights, operands of 16 bits */
    RNNCORE_STORE_COUNT
} rnncore_store;

/* The functions of ONNX's recurrent operators, and one of minGRUs. Parameters are taken as they are: an operator's defaults stand in
 * parentheses. */
typedef enum rnncore_function {
    RNNCORE_USUAL,            /* what the cell has at this place */
    RNNCORE_SIGMOID,          /* 1 / (1 + exp(-x)) */
    RNNCORE_TANH,             /* tanh(x) */
    RNNCORE_RELU,             /* max(0, x) */
    RNNCORE_AFFINE,           /* alpha x + beta (1, 0) */
    RNNCORE_LEAKY_RELU,       /* x > 0 ? x : alpha x (0.01) */
    RNNCORE_THRESHOLDED_RELU, /* x > alpha ? x : 0 (1) */
    RNNCORE_SCALED_TANH,      /* alpha tanh(beta x) (1, 1) */
    RNNCORE_HARD_SIGMOID,     /* min(max(alpha x + beta, 0), 1) (0.2, 0.5) */
    RNNCORE_ELU,              /* x > 0 ? x : alpha (exp(x) - 1) (1) */
    RNNCORE_SOFTSIGN,         /* x / (1 + |x|) */
    RNNCORE_SOFTPLUS,         /* log(1 + exp(x)) */
    RNNCORE_LOG_SPACE,        /* x > 0 ? x + 0.5 : 1 / (1 + exp(-x)), which keeps a scan's state positive */
    RNNCORE_FUNCTION_COUNT
} rnncore_function;

typedef struct rnncore_activation {
    rnncore_function function;
    double alpha, beta; /* finite; ignored where the function has none */
} rnncore_activation;

/* Places of a cell that have a function: RNN h; LSTM i f g o, then c on its way to h; GRU r z n; minGRU z n; minLSTM i f g. */
enum { RNNCORE_PLACES = 5 };

/* All zeros but struct_size, the cell and its sizes is a sound config: the cell as it is, in float. */
typedef struct rnncore_config {
    size_t struct_size; /* sizeof(rnncore_config) */
    const char *cell;   /* a name from rnncore_cell_name */
    rnncore_dtype dtype;
    rnncore_store store; /* of the matrices */
    int64_t input_size;  /* I >= 1 */
    int64_t hidden_size; /* H >= 1 */
    int64_t proj_size;   /* P, 1 .. H-1, LSTM only; 0: none */
    int64_t num_layers;  /* L >= 1 */
    int bidirectional;   /* 0 or 1 */
    double dropout;      /* 0 <= p < 1 between layers, active when a tape is recorded */
    /* Zoneout (Krueger et al. 2017): probability, 0 <= p < 1, that a unit of h keeps its value of the step before: by masks
     * when a tape is recorded, else h_t = p * h_{t-1} + (1 - p) * what the cell gives. */
    double zoneout;
    double zoneout_c; /* LSTM: the same of c */
    const char *isa;  /* a name from rnncore_isa_name, or NULL: the best one */
    int peepholes;    /* LSTM: i and f see c_{t-1}, o sees c_t, through weight_peephole */
    int coupled;      /* LSTM: f = 1 - i, there is no gate f; row blocks are i g o */
    double clip;      /* > 0: bounds the pre-activations of all gates to [-clip, clip]; 0: none */
    rnncore_activation activations[2][RNNCORE_PLACES]; /* of each direction */
    const rnncore_blas *blas;                          /* for RNNCORE_BLAS calls, copied; NULL: there are none */
    int64_t model_lanes;                               /* 1: a plan for fleets alone, see there */
} rnncore_config;

typedef struct rnncore_plan rnncore_plan;

/* Checks the sizes once and chooses the kernels. *plan is written only on success; free it with rnncore_plan_destroy
 * (NULL is allowed) after the last use of everything made from it. */
RNNCORE_API rnncore_status rnncore_plan_create(const rnncore_config *config, rnncore_plan **plan);
RNNCORE_API void rnncore_plan_destroy(rnncore_plan *plan);
RNNCORE_API const char *rnncore_plan_isa(const rnncore_plan *plan);

/* -- Weights ------------------------------------------------------------------------------------------------------ */

/* A parameter of one layer and direction: dense, row-major, row blocks of the gates in PyTorch's order (LSTM i f g o, coupled
 * i g o; GRU r z n; minGRU z n; minLSTM i f g).
 *
 *   weight_ih        (G*H, I), or (G*H, D*O) above layer 0
 *   weight_hh        (G*H, O); not minGRU, minLSTM
 *   bias_ih bias_hh  (G*H), optional; minGRU and minLSTM have bias_ih alone
 *   weight_hr        (P, H), with a projection
 *   weight_peephole  (3*H), gates i f o, or coupled (2*H), i o; with peepholes
 *   gain_ih gain_hh  (G*H), with layer normalisation; LSTM also gain_c (H) and bias_c (H) */
typedef struct rnncore_param {
    size_t struct_size; /* set by the caller, before the call; kept */
    const char *name;
    int64_t rows, columns; /* columns 0: a vector */
    int optional;          /* its pointer may be NULL: zeros, and no gradient */
} rnncore_param;

/* The table of the parameters that a plan's layers have: their count for one layer and direction, and row `index` of it, in the
 * order above. Wherever parameters or their gradients are handed over, it is an array of L*D*count pointers: those of layer 0,
 * layer 0 reverse, layer 1, ... */
RNNCORE_API int rnncore_param_count(const rnncore_plan *plan);
RNNCORE_API rnncore_status rnncore_param_get(const rnncore_plan *plan, int64_t layer, int index, rnncore_param *param);

/* Uses of packed weights; the last one needs a plan with a BLAS. */
enum { RNNCORE_PACK_FORWARD = 1, RNNCORE_PACK_BACKWARD = 2, RNNCORE_PACK_BLAS = 4 };

/* Bytes that weights packed for these uses need (0: not possible), and the packing itself into memory of that size,
 * aligned to 64 bytes, that the caller owns. Packed weights belong to the plan's instruction set: do not store them, do not
 * move them to another machine. `params` is not needed afterwards. */
RNNCORE_API size_t rnncore_weights_bytes(const rnncore_plan *plan, int uses);
RNNCORE_API rnncore_status rnncore_weights_pack(const rnncore_plan *plan, int uses, const void *const *params,
                                                void *weights);

/* -- Files -------------------------------------------------------------------------------------------------------- */

/* Reads what Python's layer.save wrote (safetensors; not a Sequential): `file` is all of it, mapped or read into memory
 * aligned to 8 bytes. *config, whose struct_size is set, gets the layer's architecture; params, if not NULL, gets its `count` = L*D*rnncore_param_count
 * pointers into the file. So: once with NULL, then, with a plan made, with an array of your own. Nothing is allocated and nothing copied; the file may
 * come from anywhere, all of it is checked. What config has no field for is left to the caller: batch-first is a matter of
 * strides. On an error *config is as it was, and *params must not be used. */
RNNCORE_API rnncore_status rnncore_file_read(const void *file, size_t bytes, rnncore_config *config,
                                             const void **params, int64_t count);

/* A compact file (Python's save with compact=True) of a layer with a store holds what its matrices are packed from, codes and
 * scales or halves, and cannot be pointed into: rnncore_file_read gives its config alone, and RNNCORE_ERROR_UNSUPPORTED for
 * params. rnncore_file_widen gives the params of any file; those matrices are written as floats into `memory` of
 * rnncore_file_bytes bytes (0: none is needed, or no sound file), aligned to 8. Packed, they are the codes or halves again. */
RNNCORE_API size_t rnncore_file_bytes(const void *file, size_t bytes);
RNNCORE_API rnncore_status rnncore_file_widen(const void *file, size_t bytes, void *memory, const void **params,
                                              int64_t count);

/* -- Threads ------------------------------------------------------------------------------------------------------ */

/* A persistent team of threads for the calls that are given it; its threads start at the first call that needs them.
 * One call at a time runs on a team; a call that finds it busy runs on its own thread alone. A forked child may go on
 * using the team: it gets new threads. Destroying waits for the threads to end. */
typedef struct rnncore_team rnncore_team;
RNNCORE_API rnncore_status rnncore_team_create(int max_threads, rnncore_team **team);
RNNCORE_API void rnncore_team_destroy(rnncore_team *team);

/* -- Forward ------------------------------------------------------------------------------------------------------ */

/* A (T, N, features) array anywhere in memory: strides in bytes, any sign, multiples of the element size. */
typedef struct rnncore_array {
    void *data;
    int64_t stride[3];
} rnncore_array;

typedef enum rnncore_backend {
    RNNCORE_FUSED, /* the packed kernels */
    RNNCORE_BLAS /* one BLAS product per step, the textbook way, for comparison; needs a plan with a BLAS, or the status
                        is RNNCORE_ERROR_UNSUPPORTED, and RNNCORE_PACK_BLAS */
} rnncore_backend;

typedef struct rnncore_forward_args {
    size_t struct_size;
    int64_t steps, batch;   /* T >= 0, N >= 0 */
    const int64_t *lengths; /* (N) valid steps of each row, 0 .. T, or NULL: all T */
    rnncore_array x;        /* (T, N, I), read */
    rnncore_array y;        /* (T, N, D*O), written whole, zero at padding; must not overlap x */
    const void *h0, *c0;    /* dense (L*D, N, O) and (L*D, N, H), or NULL: zeros; c0 for LSTM only */
    void *h_n, *c_n;        /* the same shapes, written, or NULL; may be h0 and c0 themselves */
    void *tape;             /* rnncore_tape_bytes, aligned to 64: records what backward needs; NULL: inference */
    int64_t segments;       /* with a tape, 0: record all; 1 .. T: record only inputs and outputs and c where each of
                                    so many segments of steps begins; backward computes the rest again, one segment at a
                                    time, and gives the same bits */
    uint64_t dropout_key;   /* with a tape and dropout or zoneout: the key of this call's masks */
    double
        recurrent_dropout; /* with a tape, 0 <= p < 1: of what the recurrent products read, one mask per row, layer and
                                    direction for all steps (variational dropout, Gal and Ghahramani 2016) */
    rnncore_backend backend;
    int threads;        /* at most this many (>= 1), the caller's included */
    rnncore_team *team; /* or NULL: the caller's thread only */
    /* Asked by the calling thread, in its own floating-point environment, while the call works: not 0 ends it, soon, with
     * RNNCORE_CANCELLED. NULL: never. `cancel_every`: seconds between two questions, 0 for every few 1e6 operations. It may
     * run other calls, also on this team, which they find busy; it must return. */
    int (*cancel)(void *context);
    void *cancel_context;
    double cancel_every;
    const uint64_t
        *row_keys; /* (N), or NULL: in place of dropout_key a key for each row, whose masks are then those of a call
                                    of this row alone with this key, in whatever batch it is */
} rnncore_forward_args;

/* Runs the whole stack. Allocates its workspace for the length of the call. */
RNNCORE_API rnncore_status rnncore_forward(const rnncore_plan *plan, const void *weights,
                                           const rnncore_forward_args *args);

/* The reference loop: plain in-order chains over the unpacked parameters, one unit, one row, one step after the other.
 * Slow on purpose; its results define the last bit of rnncore_forward. Ignores tape, backend, threads and team. */
RNNCORE_API rnncore_status rnncore_forward_naive(const rnncore_plan *plan, const void *const *params,
                                                 const rnncore_forward_args *args);

/* -- Backward ----------------------------------------------------------------------------------------------------- */

typedef struct rnncore_backward_args {
    size_t struct_size;
    int64_t steps, batch; /* as in the forward call, as are lengths, keys, recurrent_dropout and threads */
    const int64_t *lengths;
    void *tape;              /* what forward recorded; used up: gradients overwrite the gates in place */
    rnncore_array dy;        /* (T, N, D*O), read; data NULL: zeros; padding is ignored */
    const void *dh_n, *dc_n; /* gradients of the final states, or NULL: zeros */
    rnncore_array dx;        /* (T, N, I), written whole, zero at padding; data NULL: not wanted */
    void *dh0, *dc0;         /* gradients of the initial states, or NULL */
    void *const *grads;      /* of the parameters, in their order and shapes, overwritten; NULL where there is none */
    uint64_t dropout_key;
    double recurrent_dropout;
    rnncore_backend backend; /* of the forward call: of what is computed again and of the products over all tokens;
                                    RNNCORE_BLAS needs RNNCORE_PACK_BLAS too */
    int threads;
    rnncore_team *team;
    int (*cancel)(void *context); /* as in a forward call, as the two that follow; the tape is used up then, too */
    void *cancel_context;
    double cancel_every;
    const uint64_t *row_keys;
} rnncore_backward_args;

/* Bytes of the tape of a call, with `valid` valid steps in all (the sum of the lengths, or T*N) and `segments` as in the
 * forward call; 0 on overflow. */
RNNCORE_API size_t rnncore_tape_bytes(const rnncore_plan *plan, int64_t steps, int64_t batch, int64_t valid,
                                      int64_t segments);

/* Needs weights packed with RNNCORE_PACK_BACKWARD, and, for a tape of segments, for the backend of the forward call. */
RNNCORE_API rnncore_status rnncore_backward(const rnncore_plan *plan, const void *weights,
                                            const rnncore_backward_args *args);

/* -- Fleets ------------------------------------------------------------------------------------------------------- */

/* Many models of one plan, each with parameters and data of its own, in one call; threads share the models. Each gets what it
 * would get alone, to the last bit. Arrays of states, parameters and gradients have an axis of the M models before their own and
 * are dense; x, y, dy and dx are those of the first model, and the struct says how far it is to the next one's.
 *
 * A plan whose config says model_lanes keeps models side by side, one a lane of the vectors, where the cell and its options
 * allow it (float, no dropout between layers, no zoneout, no layer normalisation, no store, no BLAS): for small H, where a vector of
 * units would be half empty. rnncore_plan_models says how many; 1: it is a plan as any other. With more than 1 it serves fleets
 * alone, lengths must be those of the first model in all models, and there is no recurrent dropout (RNNCORE_ERROR_UNSUPPORTED). */
typedef struct rnncore_fleet {
    size_t struct_size;
    int64_t models;              /* M >= 0 */
    const unsigned char *active; /* (M) 0: the model rests, its outputs and gradients are zeros; or NULL: none does */
    int64_t x_stride, y_stride;  /* bytes from a model's x (or dx) and y (or dy) to the next one's; x 0: all read one */
    const uint64_t *dropout_keys; /* (M), or NULL: all have that of the call */
    int threads;                  /* for packing; calls have their own */
    rnncore_team *team;
} rnncore_fleet;

RNNCORE_API int64_t rnncore_plan_models(const rnncore_plan *plan);

/* As rnncore_weights_bytes and rnncore_weights_pack. `params` point at the arrays of all models, (M, rows, columns). */
RNNCORE_API size_t rnncore_fleet_weights_bytes(const rnncore_plan *plan, int uses, int64_t models);
RNNCORE_API rnncore_status rnncore_fleet_pack(const rnncore_plan *plan, int uses, const rnncore_fleet *fleet,
                                              const void *const *params, void *weights);

/* As their namesakes; lengths and row_keys, where there are some, are (M, N). A tape is of all models. Where memory runs out on
 * the way, some models have had their turn. */
RNNCORE_API size_t rnncore_fleet_tape_bytes(const rnncore_plan *plan, int64_t steps, int64_t batch,
                                            const int64_t *lengths, int64_t segments, int64_t models);
RNNCORE_API rnncore_status rnncore_fleet_forward(const rnncore_plan *plan, const void *weights,
                                                 const rnncore_forward_args *args, const rnncore_fleet *fleet);
RNNCORE_API rnncore_status rnncore_fleet_backward(const rnncore_plan *plan, const void *weights,
                                                  const rnncore_backward_args *args, const rnncore_fleet *fleet);

/* Dropout of a whole array: out[i] = a[i] * (0 with probability p, else 1 / (1 - p)) by the counter i and the key; out may be
 * a. For weights, in forward, and with the same key for their gradients. */
RNNCORE_API rnncore_status rnncore_dropout(rnncore_dtype dtype, void *out, const void *a, int64_t size, uint64_t key,
                                           double p);

/* -- Optimisers ---------------------------------------------------------------------------------------------------- */

typedef enum rnncore_method {
    RNNCORE_SGD, /* with momentum: m = beta1 m + g, w -= lr m; Nesterov: w -= lr (g + beta1 m) */
    RNNCORE_ADAM /* Kingma and Ba 2015, bias-corrected */
} rnncore_method;

/* One array of parameters with its gradients, and moments that start as zeros: one for SGD (NULL when beta1 is 0), two for
 * Adam. Dense; arrays must not overlap. */
typedef struct rnncore_tensor {
    void *values;
    const void *grads;
    void *moment1, *moment2;
    int64_t size;
    rnncore_dtype dtype;
} rnncore_tensor;

typedef struct rnncore_update_args {
    size_t struct_size;
    rnncore_method method;
    double lr, beta1, beta2, eps; /* beta1: also the momentum of SGD */
    double weight_decay;
    int decoupled; /* 1: w *= 1 - lr * weight_decay (AdamW); 0: weight_decay * w is added to the gradient */
    int nesterov;
    double grad_scale; /* gradients are multiplied by this first; 1: as they are */
    double clip_norm;  /* then scaled so that the norm over all of them is at most this; 0: not */
    int64_t step;      /* of this call, from 1 on: Adam's bias correction */
    const rnncore_tensor *tensors;
    int64_t count;
    const char *isa; /* or NULL: the best one */
    int threads;
    rnncore_team *team;
} rnncore_update_args;

/* One step over all tensors. *norm gets the L2 norm over all (scaled) gradients before clipping, summed in double; when it
 * is not finite nothing else is written. Results do not depend on threads or instruction set. */
RNNCORE_API rnncore_status rnncore_update(const rnncore_update_args *args, double *norm);

/* What the models of a fleet have each for itself, (M), or NULL: that of the call. */
typedef struct rnncore_fleet_rates {
    size_t struct_size;
    const double *lr, *grad_scale;
    const int64_t *step;
} rnncore_fleet_rates;

/* As rnncore_update for each model that runs, which the threads of `args` share out. Arrays of the tensors are those of all
 * models, one behind the other, and `size` is that of one; of `fleet` models and active are read; rates may be NULL. norms (M): a
 * model whose norm is not finite stays as it was, one that rests keeps its norm, too. */
RNNCORE_API rnncore_status rnncore_fleet_update(const rnncore_update_args *args, const rnncore_fleet *fleet,
                                                const rnncore_fleet_rates *rates, double *norms);

/* -- Modules around layers ------------------------------------------------------------------------------------------ */

/* What linear heads, attention, normalisation and losses need, with the same promise: results do not depend on threads or
 * instruction set. Arrays are row-major, and dense unless a struct says how far rows are apart; out overlaps nothing unless it
 * says so. */

typedef enum rnncore_form {
    RNNCORE_ROWS_BY_ROWS,      /* out (m, n) = a (m, k) times b (n, k) transposed: y = x W^T */
    RNNCORE_ROWS_BY_COLUMNS,   /* out (m, n) = a (m, k) times b (k, n): dx = dy W */
    RNNCORE_COLUMNS_BY_COLUMNS /* out (m, n) = a (k, m) transposed times b (k, n): dW = dy^T x */
} rnncore_form;

typedef struct rnncore_multiply_args {
    size_t struct_size;
    rnncore_dtype dtype;
    rnncore_form form;
    int64_t count; /* of products, one after the other in a, b and out */
    int64_t m, n, k;
    const void *a, *b;
    const void *bias; /* (n), for the first two forms, or NULL: zeros; see biases */
    void *out;
    const char *isa; /* or NULL: the best one */
    int threads;
    rnncore_team *team;
    int64_t biases;                       /* 0 or 1: one for all products; count: each has its own, (count, n) */
    int64_t a_row, a_next, b_row, b_next; /* elements from one row to the next, and to the next product's; 0: dense */
} rnncore_multiply_args;

/* Every value is one chain of fused multiply-adds: bias, then k = 0 ... */
RNNCORE_API rnncore_status rnncore_multiply(const rnncore_multiply_args *args);

typedef enum rnncore_row_operation {
    RNNCORE_ROWS_SUM,     /* sums[r] = sum of a[r] * b[r], in double; b NULL: of a[r] */
    RNNCORE_ROWS_DOT,     /* out[r] = sum of a[r] * b[r], in the dtype; b NULL: of a[r] */
    RNNCORE_ROWS_ADD,     /* out[index[r]] += a[r], row after row; index NULL: all to out[0] */
    RNNCORE_ROWS_SOFTMAX, /* out[r] = softmax of the first index[r] columns (NULL: of all), zeros after them; sums, if not
                             NULL: of each row its largest value, and log(sum exp(a - largest)) */
    RNNCORE_ROWS_EXP,     /* out = exp(a), as the four that follow element by element; out may be a */
    RNNCORE_ROWS_LOG,
    RNNCORE_ROWS_VALUE, /* of `function` */
    RNNCORE_ROWS_SLOPE  /* its derivative at a */
} rnncore_row_operation;

typedef struct rnncore_rows_args {
    size_t struct_size;
    rnncore_dtype dtype;
    rnncore_row_operation operation;
    int64_t rows, n; /* of a and b */
    const void *a, *b;
    const int64_t *index; /* (rows) */
    int64_t out_rows;     /* of out, for RNNCORE_ROWS_ADD */
    void *out;
    double *sums; /* (rows), for softmax (rows, 2) */
    rnncore_activation function;
    const char *isa; /* or NULL: the best one */
} rnncore_rows_args;

RNNCORE_API rnncore_status rnncore_rows(const rnncore_rows_args *args);

/* -- Streams ------------------------------------------------------------------------------------------------------ */

/* Step by step with the state kept inside, in `bytes` of the caller's memory aligned to 64. A step takes no lock, makes
 * no system call and allocates nothing. One thread at a time per stream. Bidirectional plans cannot stream. */
typedef struct rnncore_stream rnncore_stream;
RNNCORE_API size_t rnncore_stream_bytes(const rnncore_plan *plan, int64_t batch); /* 0: not possible */
RNNCORE_API rnncore_status rnncore_stream_init(const rnncore_plan *plan, const void *weights, int64_t batch,
                                               void *memory, rnncore_stream **stream); /* state zero */
RNNCORE_API void rnncore_stream_step(rnncore_stream *stream, const void *x, void *y);  /* dense (N, I) -> (N, O) */

/* A live batch changes: row i of the new batch of n rows is row rows[i] of the present one, each at most once, or with -1 a
 * new row of zero state; rows not named are dropped. n is at most the N the stream was made for. Only rows that must change
 * their place in memory are copied, at most as many as were dropped. On an error nothing has changed. */
RNNCORE_API rnncore_status rnncore_stream_select(rnncore_stream *stream, const int64_t *rows, int64_t n);
RNNCORE_API int64_t rnncore_stream_rows(const rnncore_stream *stream); /* N at present */

RNNCORE_API void rnncore_stream_get_state(const rnncore_stream *stream, void *h, void *c); /* (L, N, O), (L, N, H) */
RNNCORE_API void rnncore_stream_set_state(rnncore_stream *stream, const void *h, const void *c); /* NULL: zeros */

/* Many sequences, of which a few go on at a time: their states are rows of the caller's memory, in any order, and a stream is
 * the place where rows are stepped. A row is rnncore_stream_row_bytes bytes: h (L, O), then for LSTM c (L, H); zeros are the
 * start of a sequence. It depends on the architecture alone, so it may be stored, and moved to another machine of the same byte
 * order. */
typedef struct rnncore_states {
    void *data;
    int64_t stride; /* bytes from a row to the next: those of a row or more, a multiple of the element size */
    int64_t count;  /* of rows */
} rnncore_states;
RNNCORE_API size_t rnncore_stream_row_bytes(const rnncore_plan *plan); /* 0: not possible */

/* Steps the sequences rows[0 .. n-1], each at most once: dense x (n, I), y (n, O). n may be more than the N the stream was made
 * for, which is how many are worked on together; a hundred or more make the best use of the weights. Every sequence gets the bits
 * that a stream of its own would get. Allocates nothing. On an error nothing has changed. The stream's own rows are gone. */
RNNCORE_API rnncore_status rnncore_stream_step_rows(rnncore_stream *stream, const rnncore_states *states,
                                                    const int64_t *rows, int64_t n, const void *x, void *y);

/* The two halves around a step, for stacks of streams, or to keep the old states until all has gone well: gather makes copies
 * of these rows the stream's rows, n at most its N; scatter writes the stream's rows to these ones. */
RNNCORE_API rnncore_status rnncore_stream_gather(rnncore_stream *stream, const rnncore_states *states,
                                                 const int64_t *rows, int64_t n);
RNNCORE_API rnncore_status rnncore_stream_scatter(const rnncore_stream *stream, const rnncore_states *states,
                                                  const int64_t *rows);

#ifdef __cplusplus
}
#endif
#endif
