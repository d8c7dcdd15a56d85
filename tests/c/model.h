/* SPDX-License-Identifier: MIT
 *
 * A stack of layers with random parameters and the arrays of one call: what every C test starts from. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>

#include "rnncore.h"

enum { MODEL_MAX_PARAMS = 96, MODEL_UNTOUCHED = 0x5A };

typedef struct model {
    rnncore_config config;
    int64_t T, N, directions, out; /* out: P or H */
    size_t elem;
    rnncore_plan *plan;
    void *weights, *tape;
    const void *params[MODEL_MAX_PARAMS];
    void *grads[MODEL_MAX_PARAMS];
    int has_c;
    size_t x_bytes, y_bytes, h_bytes, c_bytes;
    void *x, *y, *h0, *c0, *h_n, *c_n, *dx, *dh0, *dc0;
    void *blocks[MODEL_MAX_PARAMS * 2 + 16]; /* everything to free */
    size_t sizes[MODEL_MAX_PARAMS * 2 + 16];
    int block_count, outputs; /* outputs: blocks from here on are written by calls */
} model;

/* Architectures that reach every cell, every option and every function; without an instruction set and an element type. */
extern const rnncore_config model_configs[];
extern const int model_config_count;

/* Builds plan (with model_blas unless the config has another), parameters, packed weights (all uses) and arrays; outputs
 * hold MODEL_UNTOUCHED in every byte. */
void model_init(model *m, const char *cell, rnncore_dtype dtype, const char *isa, int64_t T, int64_t N, int64_t I,
                int64_t H, int64_t P, int64_t L, int bidirectional);
void model_init_config(model *m, const rnncore_config *config, int64_t T, int64_t N); /* the same, with any options */
void model_free(model *m);
void model_seed(uint64_t seed); /* models made after the same seed have the same parameters and arrays */

/* Arguments of a sound call; the outputs of a cell without c leave its pointers NULL. */
rnncore_forward_args model_forward_args(const model *m);
rnncore_backward_args model_backward_args(const model *m);

/* Fills the outputs with MODEL_UNTOUCHED; whether they still are. */
void model_reset(model *m);
int model_untouched(const model *m);

/* A copy of all outputs in one block, to compare calls; for rnncore_free. */
void *model_outputs(const model *m, size_t *bytes);

/* A BLAS of plain loops whose sums are chains of fused multiply-adds in order, as the bit contract has them. */
extern const rnncore_blas model_blas;

/* rnncore_alloc that ends the program when it fails. */
void *model_alloc(size_t bytes);

#endif
