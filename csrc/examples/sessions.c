/* SPDX-License-Identifier: MIT
 *
 * Many sequences, of which a few have news at a time: states in an array of the program's own, any of them stepped in one call,
 * and each with the bits of a stream of its own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rnncore.h"

enum { SESSIONS = 5, TOGETHER = 2, ROUNDS = 6, I = 1, H = 4, G = 3 };

/* What the program keeps of a session. Zeros begin one. */
typedef struct session {
    float h[H]; /* rnncore_stream_row_bytes: one layer of a GRU has nothing else */
    int answers;
} session;

static int check(rnncore_status status)
{
    if (status) fprintf(stderr, "%s: %s\n", rnncore_status_name(status), rnncore_status_text(status));
    return status != RNNCORE_OK;
}

int main(void)
{
    float weight_ih[G * H * I], weight_hh[G * H * H], x[SESSIONS * I], y[SESSIONS * H], expected[H];
    for (int i = 0; i < G * H * I; i++) weight_ih[i] = 0.5f * sinf((float)i); /* your trained weights */
    for (int i = 0; i < G * H * H; i++) weight_hh[i] = 0.5f * cosf((float)i);

    const rnncore_config config = {
        .struct_size = sizeof config, .cell = RNNCORE_GRU, .input_size = I, .hidden_size = H, .num_layers = 1};
    const void *const params[] = {weight_ih, weight_hh, NULL, NULL}; /* no biases */
    rnncore_plan *plan = NULL;
    if (check(rnncore_plan_create(&config, &plan))) return 1;
    void *weights = rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    if (!weights || check(rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, params, weights))) return 1;

    /* The pool: a place where some are worked on together, and all states. */
    session pool[SESSIONS] = {{{0}, 0}};
    const rnncore_states states = {.data = pool, .stride = sizeof *pool, .count = SESSIONS};
    void *memory = rnncore_alloc(rnncore_stream_bytes(plan, TOGETHER));
    rnncore_stream *stream = NULL;
    if (!memory || check(rnncore_stream_init(plan, weights, TOGETHER, memory, &stream))) return 1;
    if (rnncore_stream_row_bytes(plan) != sizeof pool->h) return 1;

    /* For comparison, a stream for the third session alone. */
    void *own_memory = rnncore_alloc(rnncore_stream_bytes(plan, 1));
    rnncore_stream *own = NULL;
    if (!own_memory || check(rnncore_stream_init(plan, weights, 1, own_memory, &own))) return 1;

    int same = 1;
    for (int t = 0; t < ROUNDS; t++) {
        int64_t rows[SESSIONS], n = 0;
        for (int64_t s = SESSIONS - 1; s >= 0; s--)
            if ((s + t) % 3) rows[n++] = s; /* who has news, in any order */
        for (int64_t i = 0; i < n; i++) x[i] = sinf(0.7f * (float)(t + 3 * rows[i]));
        if (check(rnncore_stream_step_rows(stream, &states, rows, n, x, y))) return 1;
        for (int64_t i = 0; i < n; i++) {
            pool[rows[i]].answers++;
            if (rows[i] != 2) continue;
            rnncore_stream_step(own, &x[i], expected);
            same = same && memcmp(&y[i * H], expected, sizeof expected) == 0;
        }
    }
    for (int s = 0; s < SESSIONS; s++)
        printf("session %d: %d answers, h[0] = % .4f\n", s, pool[s].answers, (double)pool[s].h[0]);
    printf("a session of the pool and a stream of its own %s\n", same ? "agree to the last bit" : "DIFFER");
    rnncore_free(own_memory);
    rnncore_free(memory);
    rnncore_free(weights);
    rnncore_plan_destroy(plan);
    return same ? 0 : 1;
}
