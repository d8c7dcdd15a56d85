/* SPDX-License-Identifier: MIT
 *
 * A team of threads shares a call: a batch through two layers on one thread and on three, with the same bits. A team belongs to
 * the program, lives as long as it likes, and is handed to each call that may use it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

enum { T = 50, N = 24, I = 16, H = 64, L = 2, THREADS = 3 };

static int fail(const char *where, rnncore_status status)
{
    fprintf(stderr, "%s: %s\n", where, rnncore_status_text(status));
    return 1;
}

/* Arrays of the shapes that the plan tells, for all parameters; NULL: no memory. */
static void **make_params(const rnncore_plan *plan)
{
    const int count = rnncore_param_count(plan);
    void **params = calloc((size_t)(L * count), sizeof *params);
    for (int i = 0; params && i < L * count; i++) {
        rnncore_param param = {.struct_size = sizeof param};
        if (rnncore_param_get(plan, i / count, i % count, &param)) return NULL;
        const int64_t size = param.rows * (param.columns ? param.columns : 1);
        float *values = params[i] = calloc((size_t)size, sizeof *values);
        for (int64_t k = 0; values && k < size; k++) values[k] = (float)((k * 37 + i) % 41 - 20) / 100;
    }
    return params;
}

int main(void)
{
    static float x[T][N][I], y[2][T][N][H];
    for (int i = 0; i < T * N * I; i++) (&x[0][0][0])[i] = (float)(i % 13 - 6) / 6;
    const rnncore_config config = {
        .struct_size = sizeof config, .cell = RNNCORE_GRU, .input_size = I, .hidden_size = H, .num_layers = L};
    rnncore_plan *plan;
    rnncore_team *team;
    rnncore_status status = rnncore_plan_create(&config, &plan);
    if (!status) status = rnncore_team_create(THREADS, &team);
    if (status) return fail("plan and team", status);
    void **params = make_params(plan), *weights = rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    if (!params || !weights) return fail("memory", RNNCORE_ERROR_MEMORY);
    status = rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, (const void *const *)params, weights);
    if (status) return fail("pack", status);

    for (int i = 0; i < 2; i++) {
        const rnncore_forward_args args = {.struct_size = sizeof args,
                                           .steps = T,
                                           .batch = N,
                                           .x = {x, {sizeof x[0], sizeof x[0][0], sizeof x[0][0][0]}},
                                           .y = {y[i], {sizeof y[i][0], sizeof y[i][0][0], sizeof y[i][0][0][0]}},
                                           .threads = i ? THREADS : 1,
                                           .team = i ? team : NULL};
        status = rnncore_forward(plan, weights, &args);
        if (status) return fail("forward", status);
    }
    const int same = memcmp(y[0], y[1], sizeof y[0]) == 0;
    printf("y[%d][%d][0] = %.6f; one thread and %d %s\n", T - 1, N - 1, (double)y[1][T - 1][N - 1][0], THREADS,
           same ? "agree to the last bit" : "DIFFER");
    for (int i = 0; i < L * rnncore_param_count(plan); i++) free(params[i]);
    free(params);
    rnncore_free(weights);
    rnncore_team_destroy(team);
    rnncore_plan_destroy(plan);
    return same ? 0 : 1;
}
