/* SPDX-License-Identifier: MIT
 *
 * Whole sequences in one call: an LSTM in both directions over a batch of two series, of which the second ends early. */
#include <math.h>
#include <stdio.h>

#include "rnncore.h"

enum { T = 6, N = 2, I = 1, H = 3, D = 2, PARAMS = 4 };

static float weight_ih[D][4 * H * I], weight_hh[D][4 * H * H]; /* gates i f g o, PyTorch's layout; no biases */
static float x[T][N][I], y[T][N][D * H], h_n[D][N][H];

static int fail(const char *where, rnncore_status status)
{
    fprintf(stderr, "%s: %s\n", where, rnncore_status_text(status));
    return 1;
}

static void make_numbers(void) /* your trained weights, your data */
{
    for (int d = 0; d < D; d++) {
        for (int i = 0; i < 4 * H * I; i++) weight_ih[d][i] = 0.6f * sinf((float)(i + 7 * d));
        for (int i = 0; i < 4 * H * H; i++) weight_hh[d][i] = 0.6f * cosf((float)(i + 3 * d));
    }
    for (int t = 0; t < T; t++)
        for (int n = 0; n < N; n++) x[t][n][0] = sinf(0.9f * (float)(t + n));
}

int main(void)
{
    make_numbers();
    const rnncore_config config = {.struct_size = sizeof config,
                                   .cell = RNNCORE_LSTM,
                                   .input_size = I,
                                   .hidden_size = H,
                                   .num_layers = 1,
                                   .bidirectional = 1};
    rnncore_plan *plan;
    rnncore_status status = rnncore_plan_create(&config, &plan);
    if (status) return fail("plan", status);

    const void *params[D * PARAMS] = {weight_ih[0], weight_hh[0], NULL, NULL, weight_ih[1], weight_hh[1], NULL, NULL};
    void *weights = rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    if (!weights) return fail("weights", RNNCORE_ERROR_MEMORY);
    status = rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, params, weights);
    if (status) return fail("pack", status);

    const int64_t lengths[N] = {T, 4};
    const rnncore_forward_args args = {.struct_size = sizeof args,
                                       .steps = T,
                                       .batch = N,
                                       .lengths = lengths,
                                       .x = {x, {sizeof x[0], sizeof x[0][0], sizeof x[0][0][0]}},
                                       .y = {y, {sizeof y[0], sizeof y[0][0], sizeof y[0][0][0]}},
                                       .h_n = h_n,
                                       .threads = 1};
    status = rnncore_forward(plan, weights, &args);
    if (status) return fail("forward", status);

    for (int t = 0; t < T; t++) {
        for (int n = 0; n < N; n++) {
            printf(n ? "   |" : "t=%d ", t);
            for (int i = 0; i < D * H; i++) printf(" % .3f", (double)y[t][n][i]);
        }
        printf("\n");
    }
    /* The state that a row ends with is its last valid output; backwards, its first. */
    int same = 1;
    for (int i = 0; i < H; i++) same = same && h_n[0][1][i] == y[3][1][i] && h_n[1][1][i] == y[0][1][H + i];
    printf("%s; final states %s the outputs\n", rnncore_plan_isa(plan), same ? "agree with" : "DIFFER from");
    rnncore_free(weights);
    rnncore_plan_destroy(plan);
    return same ? 0 : 1;
}
