/* SPDX-License-Identifier: MIT
 *
 * A program of another version than the library it runs with. With FUTURE its header has a field `future` at the end of every
 * struct that may grow, and FUTURE is what it says there; else what lies behind its structs is not zero. Prints the statuses. */
#include <stdio.h>
#include <string.h>

#include <rnncore.h>

#ifdef FUTURE
#define SET_FUTURE(s) (s).future = FUTURE
#else
#define SET_FUTURE(s) ((void)0)
#endif

/* A struct with junk behind it. */
#define BESIDE(type) \
    struct { \
        type s; \
        unsigned char junk[64]; \
    }

static int is_junk(const unsigned char *junk)
{
    for (int i = 0; i < 64; i++)
        if (junk[i] != 0xA5) return 0;
    return 1;
}

int main(void)
{
    static const float weight_ih[6], weight_hh[18];
    const void *const params[] = {weight_ih, weight_hh, NULL, NULL};
    float x[2] = {1, 2}, y[6] = {7, 7, 7, 7, 7, 7};
    BESIDE(rnncore_config) config;
    BESIDE(rnncore_param) param;
    BESIDE(rnncore_forward_args) args;
    memset(&config, 0xA5, sizeof config);
    memset(&param, 0xA5, sizeof param);
    memset(&args, 0xA5, sizeof args);

    config.s = (rnncore_config){
        .struct_size = sizeof config.s, .cell = RNNCORE_GRU, .input_size = 1, .hidden_size = 2, .num_layers = 1};
    SET_FUTURE(config.s);
    rnncore_plan *plan = NULL;
    printf("plan %s\n", rnncore_status_name(rnncore_plan_create(&config.s, &plan)));
    if (!plan) {
        config.s = (rnncore_config){
            .struct_size = sizeof config.s, .cell = RNNCORE_GRU, .input_size = 1, .hidden_size = 2, .num_layers = 1};
        if (rnncore_plan_create(&config.s, &plan)) return 1;
    }
    param.s.struct_size = sizeof param.s;
    printf("param %s", rnncore_status_name(rnncore_param_get(plan, 0, 1, &param.s)));
    printf(" %s %d %d, %s\n", param.s.name, (int)param.s.rows, (int)param.s.columns,
           is_junk(param.junk) ? "nothing beyond it" : "AND BEYOND IT");

    void *weights = rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    if (!weights || rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, params, weights)) return 1;
    args.s = (rnncore_forward_args){
        .struct_size = sizeof args.s, .steps = 2, .batch = 1, .x = {x, {4, 4, 4}}, .y = {y, {8, 8, 4}}, .threads = 1};
    SET_FUTURE(args.s);
    const rnncore_status status = rnncore_forward(plan, weights, &args.s);
    printf("forward %s %g %g %g\n", rnncore_status_name(status), (double)y[0], (double)y[3], (double)y[4]);
    rnncore_free(weights);
    rnncore_plan_destroy(plan);
    return 0;
}
