/* SPDX-License-Identifier: MIT
 *
 * One time step per call: a GRU over a short series as a stream, and again in one call, with the same bits. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rnncore.h"

enum { T = 8, I = 1, H = 4, G = 3 };

static int check(rnncore_status status)
{
    if (status) fprintf(stderr, "%s: %s\n", rnncore_status_name(status), rnncore_status_text(status));
    return status != RNNCORE_OK;
}

int main(void)
{
    float weight_ih[G * H * I], weight_hh[G * H * H], x[T * I], y[T * H], step[H];
    for (int i = 0; i < G * H * I; i++) weight_ih[i] = 0.5f * sinf((float)i); /* your trained weights */
    for (int i = 0; i < G * H * H; i++) weight_hh[i] = 0.5f * cosf((float)i);
    for (int t = 0; t < T; t++) x[t] = sinf(0.7f * (float)t);

    const rnncore_config config = {
        .struct_size = sizeof config, .cell = RNNCORE_GRU, .input_size = I, .hidden_size = H, .num_layers = 1};
    const void *const params[] = {weight_ih, weight_hh, NULL, NULL}; /* no biases */
    rnncore_plan *plan = NULL;
    if (check(rnncore_plan_create(&config, &plan))) return 1;
    void *weights = rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    void *memory = rnncore_alloc(rnncore_stream_bytes(plan, 1));
    rnncore_stream *stream = NULL;
    if (!weights || !memory || check(rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, params, weights))) return 1;
    if (check(rnncore_stream_init(plan, weights, 1, memory, &stream))) return 1;

    const int64_t in = I * sizeof *x, out = H * sizeof *y; /* strides in bytes, of (T, N, features) with N = 1 */
    const rnncore_forward_args args = {.struct_size = sizeof args,
                                       .steps = T,
                                       .batch = 1,
                                       .threads = 1,
                                       .x = {x, {in, in, sizeof *x}},
                                       .y = {y, {out, out, sizeof *y}}};
    if (check(rnncore_forward(plan, weights, &args))) return 1;

    int same = 1;
    for (int t = 0; t < T; t++) {
        rnncore_stream_step(stream, &x[t * I], step);
        same = same && memcmp(step, &y[t * H], sizeof step) == 0;
        printf("t=%d  x=% .3f  h=[", t, (double)x[t]);
        for (int i = 0; i < H; i++) printf("% .4f%s", (double)step[i], i + 1 < H ? " " : "]\n");
    }
    printf("%s; one call and a stream of steps %s\n", rnncore_plan_isa(plan),
           same ? "agree to the last bit" : "DIFFER");
    rnncore_free(memory);
    rnncore_free(weights);
    rnncore_plan_destroy(plan);
    return same ? 0 : 1;
}
