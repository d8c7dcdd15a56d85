/* SPDX-License-Identifier: MIT
 *
 * Every shape of a tile: products of few and of many units and rows, fused and by the naive loop, to the last bit. */
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

static const char *const cells[] = {RNNCORE_RNN_TANH, RNNCORE_GRU, RNNCORE_LSTM}; /* 1, 3 and 4, 4 planes */
static const int64_t units[] = {1, 2,  3,  5,  8,   4,   6,  7,
                                9, 33, 66, 81, 100, 114, 129}; /* blocks of one lane and of 16 */
enum { UNITS = sizeof units / sizeof *units, QUICK_UNITS = 5, ROWS = 9, QUICK_ROWS = 3 };

static const int64_t lengths[ROWS] = {2, 3, 1, 3, 3, 0, 2, 3, 3};

static void check_product(const char *cell, rnncore_dtype dtype, const char *isa, int64_t N, int64_t H)
{
    model m;
    size_t bytes;
    model_init(&m, cell, dtype, isa, 3, N, 3, H, 0, 1, 0);
    rnncore_forward_args args = model_forward_args(&m);
    if (N > 1) args.lengths = lengths; /* fewer and fewer rows */
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    void *fast = model_outputs(&m, &bytes);
    model_reset(&m);
    CHECK_STATUS(rnncore_forward_naive(m.plan, m.params, &args), RNNCORE_OK);
    void *naive = model_outputs(&m, &bytes);
    CHECK(memcmp(fast, naive, bytes) == 0);
    rnncore_free(naive);
    rnncore_free(fast);
    model_free(&m);
}

int main(int argc, char **argv)
{
    const int quick = argc > 1 && !strcmp(argv[1], "quick");
    const char *isa;
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++)
        for (int c = 0; c < 3; c++)
            for (int dtype = RNNCORE_FLOAT32; dtype <= RNNCORE_FLOAT64; dtype++)
                for (int k = 0; k < (quick ? QUICK_UNITS : UNITS); k++)
                    for (int64_t N = 1; N <= (quick ? QUICK_ROWS : ROWS); N++) {
                        check_subject = isa;
                        check_product(cells[c], (rnncore_dtype)dtype, isa, N, units[k]);
                    }
    return check_result("test_tiles");
}
