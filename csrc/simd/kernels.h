/* SPDX-License-Identifier: MIT
 *
 * A kernel set: everything that is compiled once per instruction set and element type. Everyone outside sees only this
 * struct, never a vector. */
#ifndef RC_KERNELS_H
#define RC_KERNELS_H

#include <stdint.h>

#include "../include/rnncore.h"

struct rc_cell;
struct rc_cell_args;

/* Gate math of the rows [row, row+rows) and the unit vectors [block, block+blocks). */
typedef void rc_cell_fn(const struct rc_cell_args *args, int64_t row, int64_t rows, int64_t block, int64_t blocks);

/* How a store lays values out: `group` values of k side by side in each lane, of `bytes` each (0: of the kernel set's type). */
typedef struct rc_store_form {
    int group, bytes;
} rc_store_form;

static inline rc_store_form rc_store_form_of(const rnncore_store store)
{
    switch (store) {
    case RNNCORE_STORE_BFLOAT16: return (rc_store_form){2, 2};
    case RNNCORE_STORE_FLOAT16: return (rc_store_form){1, 2};
    case RNNCORE_STORE_INT8:
    case RNNCORE_STORE_INT8X16: return (rc_store_form){4, 1};
    default: return (rc_store_form){1, 0};
    }
}

static inline int rc_store_is_integer(const rnncore_store store) { return store >= RNNCORE_STORE_INT8; }

/* Bytes of a row block of `units` units that are `k` long, for elements of `elem` bytes. */
static inline int64_t rc_store_bytes(const rnncore_store store, int64_t k, int64_t units, int64_t elem)
{
    const rc_store_form form = rc_store_form_of(store);
    return (k + form.group - 1) / form.group * form.group * units * (form.bytes ? form.bytes : elem);
}

/* A packed matrix: `planes` row blocks of `units` rows (whole vectors), `k` columns. */
typedef struct rc_mat {
    const void *w;     /* [block of units][k / group][plane][lane][group]; NULL: not there, or k is 0 */
    const void *scale; /* [plane][unit], of integers: what a code is worth; else NULL */
    const int32_t
        *offset; /* [plane][unit]: -128 times the sum of the codes, for instructions that want operands + 128 */
    int64_t k, units;
    int planes;
    int folded; /* units of the last block, whose planes lie side by side behind the block before; 0: as the others */
    rnncore_store store; /* it belongs to the matrix, and the product is chosen by it */
} rc_mat;

/* Bytes of `k` columns of a matrix. */
static inline int64_t rc_mat_bytes(const rc_mat *mat, int64_t k, int64_t elem)
{
    return rc_store_bytes(mat->store, k, mat->planes * mat->units, elem);
}

/* out[row][plane][unit] = init[...] + in[row] . W for rows [0, rows) and unit vectors [block_begin, block_end); every sum is one
 * in-order chain. `tail`, if any, runs on each finished tile. init may be out. */
typedef struct rc_product {
    const rc_mat *mat;
    int64_t rows, block_begin, block_end;
    int64_t first_row;     /* what the tail calls row 0 */
    double least;          /* of integers: operands up to it are told apart alike, however small they are */
    int reverse;           /* walk the blocks backwards: the tail of the last walk is still in the cache */
    int large;             /* the blocks are more than the caches near the core hold */
    const void *const *in; /* [rows] */
    const void *init;
    void *out;
    int64_t init_row, out_row, plane; /* in elements; init_row 0: one row for all */
    rc_cell_fn *tail;
    const struct rc_cell_args *tail_args;
} rc_product;

/* A plane of gate gradients in a product over tokens: elements [first, first + units) of a token's row, and their rows of
 * the result. */
typedef struct rc_outer_plane {
    int64_t first, units;
    void *out;
} rc_outer_plane;

enum { RC_OUTER_PLANES = 4 };
enum { RC_PANEL_BYTES = 256 }; /* of a token's inputs at a time, at most */

/* out[unit][column] (+)= sum over tokens, in order, of gates[token][first + unit] * in[token][column], for each plane. */
typedef struct rc_outer {
    int64_t tokens, columns;
    int add, planes; /* add 0: out is overwritten */
    rc_outer_plane plane[RC_OUTER_PLANES];
    const void *const *gates, *const *in; /* [tokens] */
    void *panel;                          /* scratch: [tokens][RC_PANEL_BYTES] */
    int64_t out_row;                      /* in elements */
} rc_outer;

/* One piece of an optimiser's step; see optimise.h. */
typedef struct rc_update {
    void *values, *moment1, *moment2;
    const void *grads;
    double scale, l2, decay, rate; /* of the gradients; weight decay through them, and on the weights; step size */
    double beta1, beta2, root, eps;
    int nesterov;
} rc_update;

/* A parameter seen by a packer: `planes` row blocks gate[] of `units` rows, `k` columns, row-major. */
typedef struct rc_matrix {
    const void *data;
    int64_t units, k;
    int planes;
    const int8_t *gate;
    rnncore_store store; /* values are rounded to what it holds */
    int64_t row;         /* elements from one row to the next, for `pack`; 0: k */
} rc_matrix;

/* What a cell with options computes in one direction; defaults are filled in. */
typedef struct rc_options {
    rnncore_activation activations[RNNCORE_PLACES];
    double clip; /* infinity: none */
    int coupled;
} rc_options;

/* A cell's name and its forms, see cells/cell.h. */
typedef struct rc_cell_row {
    const char *name;
    const struct rc_cell *const *forms;
} rc_cell_row;

typedef struct rc_kernels {
    const char *isa;
    int lanes;  /* units per vector */
    int models; /* that an element holds a value of each of, one a lane: 1 but for fleets, see fleet.h */
    const struct rc_kernels *fleet; /* the same cells for as many models as there are lanes; NULL: not here */
    const rc_cell_row *cells;       /* the last one has no name */
    void (*product[RNNCORE_STORE_COUNT])(const rc_product *p); /* NULL: no such store of this element type */
    void (*outer)(const rc_outer *o);

    /* Packing; padded units become zeros. `ld` is units rounded up to whole vectors. The first keeps values as the matrix's
     * store does, the others widened again. */
    void (*pack)(const rc_mat *mat, const rc_matrix *m);    /* w, scale and offset of mat */
    void (*pack_transposed)(void *out, const rc_matrix *m); /* [block of k][plane * ld][lane] */
    void (*pack_rows)(void *out, const rc_matrix *m);       /* [plane * ld][k] */

    /* Layer normalisation of a row of `planes` planes of `units` values, see norm.h: stats gets {mean, 1 / deviation}; sums gets
     * the means of du = gain * d and of du * u, where plane p has the gains of row block gate[p]. */
    void (*norm_stats)(void *stats, const void *values, int planes, int64_t plane, int64_t units);
    void (*norm_back)(void *sums, const void *d, const void *u, const void *gain, const int8_t *gate, int planes,
                      int64_t plane, int64_t units);

    /* Plain arrays. */
    void (*add)(void *out, const void *a, int64_t n);                        /* out += a */
    void (*multiply)(void *out, const void *a, const void *b, int64_t n);    /* out = a * b; may be one of them */
    void (*add_product)(void *out, const void *a, const void *b, int64_t n); /* out += a * b, two roundings */
    /* out[n] += elements first ... first+n-1 of every row, in order. */
    void (*add_rows)(void *out, const void *const *rows, int64_t count, int64_t first, int64_t n);
    /* out[n] += products of elements first_a ... of a row of a and first_b ... of its row of b, in order. */
    void (*add_products)(void *out, const void *const *a, int64_t first_a, const void *const *b, int64_t first_b,
                         int64_t count, int64_t n);
    double (*dot)(const void *a, const void *b, int64_t n); /* in double; b NULL: the sum of a */
    void (*adam)(const rc_update *u, int64_t n);
    void (*sgd)(const rc_update *u, int64_t n);
    void (*chain)(void *out, const void *a, const void *b, int64_t n); /* *out += a . b, in order */
    /* a NULL: the factors themselves */
    void (*dropout)(void *out, const void *a, int64_t n, uint64_t key, uint64_t first, double p);
    void (*zoneout)(void *out, const void *prev, const void *next, int64_t n, uint64_t key, uint64_t first, double p);
    void (*blend)(void *out, const void *prev, const void *next, int64_t n, double p); /* zoneout's expectation */
    /* Modules around layers, see map.h: *out = a . b in chains of its own (b NULL: the sum of a); out = softmax of a, whose
     * largest value goes to *top, and the sum of exp(a - *top); out = f(a), its slope, or with f NULL exp(a). */
    void (*dot_row)(void *out, const void *a, const void *b, int64_t n);
    double (*softmax)(void *out, const void *a, int64_t n, double *top);
    void (*map)(void *out, const void *a, int64_t n, const rnncore_activation *f, int slope);
    void (*unzone)(void *d, void *kept, int64_t n, uint64_t key, uint64_t first, double p);
    /* Of fleets: n values of each model, `stride` bytes from one to the next, as n elements; and back. */
    void (*join)(void *out, const void *in, int64_t stride, int64_t models, int64_t n);
    void (*part)(void *out, int64_t stride, const void *in, int64_t models, int64_t n);
} rc_kernels;

#endif
