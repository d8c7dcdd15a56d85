/* SPDX-License-Identifier: MIT
 *
 * The floating-point environment: whatever the caller's is, every door gives the same bits and puts it back, on success and on
 * error; and subnormal numbers are zeros, the same on every instruction set and on any number of threads. */
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "../../csrc/base/fpenv.h"
#include "check.h"
#include "model.h"

/* Environments that a host may have: roundings, flushing of one kind, exceptions raised before, a trap. */
#if defined(__x86_64__)
static const uint64_t normal_env = 0x1f80;
static const uint64_t hosts[] = {0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x9f80, 0x1fc0, 0x9fc0, 0x1fbf, 0xffff, 0x1d80};
#elif defined(__aarch64__)
static const uint64_t normal_env = 0;
static const uint64_t hosts[] = {0, 1u << 22, 2u << 22, 3u << 22, 1u << 24, 1u << 25, 7u << 22};
#else
static const uint64_t normal_env = 0;
static const uint64_t hosts[] = {0};
#endif

/* Whether flushing can be had here: an emulator, valgrind for one, may not know of it. */
static int flushes(void)
{
    const rc_fpenv outside = rc_fpenv_enter();
    volatile double tiny = 0x1p-1022, half = 0.5;
    volatile double product = tiny * half;
    const int is_zero = product == 0;
    rc_fpenv_leave(outside);
    return RC_FPENV_FLUSHES && is_zero;
}

/* -- Doors ------------------------------------------------------------------------------------------------------------ */

typedef struct visit {
    model *m;
    rnncore_team *team;
    int bad;         /* ask for something that is refused */
    void *out;       /* what is not among the model's outputs */
    size_t out_size; /* of that, bytes */
} visit;

static rnncore_status pack(visit *v)
{
    const int uses = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD | RNNCORE_PACK_BLAS;
    return rnncore_weights_pack(v->m->plan, v->bad ? 0 : uses, v->m->params, v->m->weights);
}

/* Options that are zeros or not, as the environment says. */
static rnncore_status plan(visit *v)
{
    const rnncore_forward_args args = model_forward_args(v->m);
    rnncore_config config = v->m->config;
    rnncore_plan *made;
    config.clip = v->bad ? -1 : 1e-310;
    rnncore_status status = rnncore_plan_create(&config, &made);
    if (status) return status;
    status = rnncore_forward(made, v->m->weights, &args);
    rnncore_plan_destroy(made);
    return status;
}

static rnncore_status forward(visit *v)
{
    rnncore_forward_args args = model_forward_args(v->m);
    args.team = v->team;
    args.threads = v->bad ? 0 : 3;
    return rnncore_forward(v->m->plan, v->m->weights, &args);
}

static rnncore_status forward_blas(visit *v)
{
    rnncore_forward_args args = model_forward_args(v->m);
    args.backend = v->bad ? (rnncore_backend)7 : RNNCORE_BLAS;
    return rnncore_forward(v->m->plan, v->m->weights, &args);
}

static rnncore_status naive(visit *v)
{
    rnncore_forward_args args = model_forward_args(v->m);
    args.steps = v->bad ? -1 : args.steps;
    return rnncore_forward_naive(v->m->plan, v->m->params, &args);
}

static rnncore_status train(visit *v)
{
    rnncore_forward_args args = model_forward_args(v->m);
    rnncore_backward_args back = model_backward_args(v->m);
    args.tape = v->m->tape;
    args.segments = 2;
    args.team = back.team = v->team;
    args.threads = back.threads = 3;
    const rnncore_status status = rnncore_forward(v->m->plan, v->m->weights, &args);
    if (v->bad) back.grads = NULL;
    return status ? status : rnncore_backward(v->m->plan, v->m->weights, &back);
}

static rnncore_status update(visit *v)
{
    double *values = v->out, norm;
    memset(values, 0x3f, v->out_size); /* 0.0005: no arithmetic in the host's environment */
    memset(values, 0x40, v->out_size / 4);
    const rnncore_tensor tensor = {values, values + 24, values + 48, values + 72, 24, RNNCORE_FLOAT64};
    const rnncore_update_args args = {.struct_size = sizeof args,
                                      .method = RNNCORE_ADAM,
                                      .lr = 0.01,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .eps = 1e-8,
                                      .grad_scale = 1,
                                      .clip_norm = 0.3,
                                      .step = 3,
                                      .tensors = &tensor,
                                      .count = 1,
                                      .threads = v->bad ? 0 : 1};
    return rnncore_update(&args, &norm);
}

static rnncore_status dropout(visit *v)
{
    const int64_t count = (int64_t)(v->out_size / sizeof(float));
    memset(v->out, 0x3d, v->out_size);
    return rnncore_dropout(RNNCORE_FLOAT32, v->out, v->out, count, 3, v->bad ? 2 : 0.3);
}

static rnncore_status stream(visit *v)
{
    const model *m = v->m;
    rnncore_stream *made;
    void *memory = model_alloc(rnncore_stream_bytes(m->plan, m->N));
    rnncore_status status = rnncore_stream_init(m->plan, v->bad ? NULL : m->weights, m->N, memory, &made);
    for (int64_t t = 0; !status && t < m->T; t++)
        rnncore_stream_step(made, (const char *)m->x + (size_t)t * m->x_bytes / (size_t)m->T,
                            (char *)m->y + (size_t)t * m->y_bytes / (size_t)m->T);
    rnncore_free(memory);
    return status;
}

static rnncore_status sessions(visit *v)
{
    const model *m = v->m;
    const int64_t rows[] = {3, 0, 2, 1};
    const size_t row = rnncore_stream_row_bytes(m->plan);
    rnncore_stream *made;
    void *memory = model_alloc(rnncore_stream_bytes(m->plan, 3)), *data = model_alloc(row * 4);
    const rnncore_states states = {memset(data, 0, row * 4), (int64_t)row, 4};
    rnncore_status status = rnncore_stream_init(m->plan, m->weights, 3, memory, &made);
    for (int64_t t = 0; !status && t < m->T; t++)
        status = rnncore_stream_step_rows(made, &states, v->bad ? NULL : rows, m->N,
                                          (const char *)m->x + (size_t)t * m->x_bytes / (size_t)m->T,
                                          (char *)m->y + (size_t)t * m->y_bytes / (size_t)m->T);
    rnncore_free(data);
    rnncore_free(memory);
    return status;
}

static rnncore_status read_junk(visit *v)
{
    rnncore_config config = {.struct_size = sizeof config};
    memset(v->out, 0, v->out_size);
    return rnncore_file_read(v->out, v->out_size, &config, NULL, 0) == RNNCORE_ERROR_FORMAT ? RNNCORE_OK
                                                                                            : RNNCORE_ERROR_FORMAT;
}

static const struct door {
    const char *name;
    rnncore_status (*enter)(visit *v);
    int refuses;
} doors[] = {
    {"pack", pack, 1},     {"plan", plan, 1},         {"forward", forward, 1}, {"forward with BLAS", forward_blas, 1},
    {"naive", naive, 1},   {"train", train, 1},       {"update", update, 1},   {"dropout", dropout, 1},
    {"stream", stream, 1}, {"sessions", sessions, 1}, {"file", read_junk, 0}};

/* All that the door wrote, from a host with this environment, which must be there again. */
static char *enter_from(const struct door *door, visit *v, uint64_t host, size_t *bytes)
{
    size_t outputs;
    model_reset(v->m);
    rc_fpenv_set((rc_fpenv){host});
    const rnncore_status status = door->enter(v);
    const rc_fpenv after = rc_fpenv_now();
    rc_fpenv_set((rc_fpenv){normal_env});
    CHECK(after.word == host);
    CHECK((status == RNNCORE_OK) == !(v->bad && door->refuses));
    char *copy = model_outputs(v->m, &outputs);
    const size_t packed = rnncore_weights_bytes(v->m->plan, 7);
    *bytes = outputs + packed + v->out_size;
    char *all = model_alloc(*bytes);
    memcpy(all, copy, outputs);
    memcpy(all + outputs, v->m->weights, packed);
    memcpy(all + outputs + packed, v->out, v->out_size);
    rnncore_free(copy);
    return all;
}

static void test_doors(const char *cell, int threads)
{
    model m;
    double out[96] = {0};
    rnncore_team *team = NULL;
    model_init(&m, cell, RNNCORE_FLOAT32, NULL, 20, 4, 9, 40, 0, 2, 0);
    if (threads > 1) CHECK_STATUS(rnncore_team_create(threads, &team), RNNCORE_OK);
    for (size_t d = 0; d < sizeof doors / sizeof *doors; d++) {
        for (int bad = 0; bad <= doors[d].refuses; bad++) {
            size_t bytes;
            visit v = {&m, team, bad, out, sizeof out};
            check_subject = doors[d].name;
            char *expected = enter_from(&doors[d], &v, normal_env, &bytes);
            for (size_t h = 0; h < sizeof hosts / sizeof *hosts; h++) {
                char *got = enter_from(&doors[d], &v, hosts[h], &bytes);
                CHECK(memcmp(got, expected, bytes) == 0);
                rnncore_free(got);
            }
            rnncore_free(expected);
        }
    }
    rnncore_team_destroy(team);
    model_free(&m);
}

/* -- Subnormal numbers -------------------------------------------------------------------------------------------------- */

static uint64_t state = 1;

static uint64_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ state >> 31;
}

/* Every other value becomes subnormal (as_zeros: the zero of its sign), or so small that products with it are. */
static void shrink(void *values, size_t bytes, rnncore_dtype dtype, int as_zeros)
{
    for (size_t i = 0; i < bytes / (dtype == RNNCORE_FLOAT32 ? 4 : 8); i++) {
        const uint64_t random = next(), kind = random % 4, drawn = next() >> 12, mantissa = as_zeros ? 0 : drawn;
        if (kind > 1) continue;
        if (dtype == RNNCORE_FLOAT32) {
            uint32_t *bits = (uint32_t *)values + i, sign = *bits & 0x80000000u;
            if (kind == 0) *bits = sign | (uint32_t)(mantissa >> 29);
            else *bits = sign | ((1 + (uint32_t)(random >> 8) % 20) << 23);
        } else {
            uint64_t *bits = (uint64_t *)values + i, sign = *bits & (uint64_t)1 << 63;
            if (kind == 0) *bits = sign | mantissa;
            else *bits = sign | (1 + (random >> 8) % 40) << 52;
        }
    }
}

static int64_t count_subnormal(const void *values, size_t bytes, rnncore_dtype dtype)
{
    int64_t count = 0;
    for (size_t i = 0; i < bytes / (dtype == RNNCORE_FLOAT32 ? 4 : 8); i++) {
        const uint64_t bits =
            dtype == RNNCORE_FLOAT32 ? (uint64_t)((const uint32_t *)values)[i] << 32 : ((const uint64_t *)values)[i];
        const uint64_t fraction = dtype == RNNCORE_FLOAT32 ? bits << 9 : bits << 12;
        const uint64_t exponent = dtype == RNNCORE_FLOAT32 ? bits >> 55 & 255 : bits >> 52 & 2047;
        count += exponent == 0 && fraction != 0;
    }
    return count;
}

/* What forward with a tape and backward give of a model with tiny values on an instruction set. */
static char *run_tiny(const rnncore_config *config, const char *isa, int threads, int as_zeros, size_t *bytes)
{
    model m;
    rnncore_team *team = NULL;
    rnncore_config own = *config;
    own.isa = isa;
    model_seed(7);
    state = 7;
    model_init_config(&m, &own, 12, 5);
    for (int i = 0; i < m.outputs; i++)
        if (m.blocks[i] != m.weights && m.blocks[i] != m.tape) shrink(m.blocks[i], m.sizes[i], own.dtype, as_zeros);
    visit v = {.m = &m};
    if (threads > 1) CHECK_STATUS(rnncore_team_create(threads, &team), RNNCORE_OK);
    v.team = team;
    CHECK_STATUS(pack(&v), RNNCORE_OK);
    CHECK_STATUS(forward(&v), RNNCORE_OK);
    void *fused = model_alloc(m.y_bytes);
    memcpy(fused, m.y, m.y_bytes);
    CHECK_STATUS(naive(&v), RNNCORE_OK);
    CHECK(memcmp(fused, m.y, m.y_bytes) == 0);
    rnncore_free(fused);
    CHECK_STATUS(train(&v), RNNCORE_OK);
    const int copies = config->zoneout > 0 || config->zoneout_c > 0; /* what is only copied keeps its bits */
    for (int i = m.outputs; flushes() && !copies && i < m.block_count; i++)
        CHECK(count_subnormal(m.blocks[i], m.sizes[i], own.dtype) == 0);
    char *outputs = model_outputs(&m, bytes);
    rnncore_team_destroy(team);
    model_free(&m);
    return outputs;
}

static void test_subnormals(rnncore_config config, rnncore_dtype dtype)
{
    size_t bytes;
    config.dtype = dtype;
    config.hidden_size = 37;
    check_subject = config.cell;
    char *expected = run_tiny(&config, "scalar", 1, 0, &bytes);
    for (int i = 0; rnncore_isa_name(i); i++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            char *got = run_tiny(&config, rnncore_isa_name(i), threads, 0, &bytes);
            CHECK(memcmp(got, expected, bytes) == 0);
            rnncore_free(got);
        }
    }
    char *zeros = run_tiny(&config, "scalar", 1, 1, &bytes);
    CHECK(!flushes() || config.zoneout > 0 || config.zoneout_c > 0 || memcmp(zeros, expected, bytes) == 0);
    rnncore_free(zeros);
    rnncore_free(expected);
}

int main(void)
{
    test_doors(RNNCORE_LSTM, 1);
    test_doors(RNNCORE_GRU, 3);
    for (int i = 0; i < model_config_count; i++)
        for (int dtype = 0; dtype < 2; dtype++) test_subnormals(model_configs[i], (rnncore_dtype)dtype);
    return check_result("test_fpenv");
}
