/* SPDX-License-Identifier: MIT
 *
 * States in the caller's memory: sequences that go on in any order and batches get the bits of streams of their own, on every
 * instruction set, for every cell and option; and nothing else of the caller's memory is touched. */
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

enum { SEQUENCES = 7, TOGETHER = 3, ROUNDS = 40, GAP = 24 };

static uint64_t random_state = 7;

static int64_t below(int64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(random_state >> 33) % n;
}

typedef struct run {
    model m;
    size_t in, out, row; /* bytes of a row of x, of y, and of a state */
    rnncore_stream *stream, *solo[SEQUENCES];
    void *memory, *solo_memory[SEQUENCES];
    char *data;
    rnncore_states states;
} run;

static rnncore_stream *make_stream(const model *m, int64_t batch, void **memory)
{
    rnncore_stream *stream = NULL;
    *memory = model_alloc(rnncore_stream_bytes(m->plan, batch));
    CHECK_STATUS(rnncore_stream_init(m->plan, m->weights, batch, *memory, &stream), RNNCORE_OK);
    return stream;
}

static void begin(run *r, const rnncore_config *config)
{
    model_init_config(&r->m, config, ROUNDS, SEQUENCES); /* its x has inputs enough */
    r->in = (size_t)config->input_size * r->m.elem;
    r->out = (size_t)r->m.out * r->m.elem;
    r->row = rnncore_stream_row_bytes(r->m.plan);
    CHECK(r->row == (size_t)config->num_layers * (r->out + (r->m.has_c ? (size_t)config->hidden_size * r->m.elem : 0)));
    r->stream = make_stream(&r->m, TOGETHER, &r->memory);
    for (int i = 0; i < SEQUENCES; i++) r->solo[i] = make_stream(&r->m, 1, &r->solo_memory[i]);
    const size_t stride = r->row + GAP;
    r->data = model_alloc(stride * SEQUENCES);
    memset(r->data, MODEL_UNTOUCHED, stride * SEQUENCES);
    for (int i = 0; i < SEQUENCES; i++) memset(r->data + (size_t)i * stride, 0, r->row);
    r->states = (rnncore_states){.data = r->data, .stride = (int64_t)stride, .count = SEQUENCES};
}

static void end(run *r)
{
    rnncore_free(r->data);
    rnncore_free(r->memory);
    for (int i = 0; i < SEQUENCES; i++) rnncore_free(r->solo_memory[i]);
    model_free(&r->m);
}

/* Some sequences in random order, each once. */
static int64_t choose(int64_t rows[SEQUENCES])
{
    for (int64_t i = 0; i < SEQUENCES; i++) {
        const int64_t at = below(i + 1);
        rows[i] = rows[at];
        rows[at] = i;
    }
    return below(SEQUENCES + 1);
}

static void step_by_halves(run *r, const int64_t *rows, int64_t n, const char *x, char *y)
{
    for (int64_t first = 0; first < n; first += TOGETHER) {
        const int64_t part = n - first < TOGETHER ? n - first : TOGETHER;
        CHECK_STATUS(rnncore_stream_gather(r->stream, &r->states, rows + first, part), RNNCORE_OK);
        CHECK(rnncore_stream_rows(r->stream) == part);
        rnncore_stream_step(r->stream, x + (size_t)first * r->in, y + (size_t)first * r->out);
        CHECK_STATUS(rnncore_stream_scatter(r->stream, &r->states, rows + first), RNNCORE_OK);
    }
}

/* The state of a sequence of its own, as a row. */
static void row_of_solo(const run *r, int i, char *row)
{
    const size_t h_bytes = (size_t)r->m.config.num_layers * r->out;
    rnncore_stream_get_state(r->solo[i], row, r->m.has_c ? row + h_bytes : NULL);
}

static void check_states(const run *r)
{
    char *row = model_alloc(r->row);
    for (int i = 0; i < SEQUENCES; i++) {
        const char *here = r->data + (size_t)i * (r->row + GAP);
        row_of_solo(r, i, row);
        CHECK(!memcmp(here, row, r->row));
        for (int k = 0; k < GAP; k++) CHECK(here[r->row + (size_t)k] == MODEL_UNTOUCHED);
    }
    rnncore_free(row);
}

static void check_interleavings(const rnncore_config *config)
{
    run r;
    int64_t rows[SEQUENCES];
    check_subject = config->cell;
    begin(&r, config);
    char *y = model_alloc(r.out * SEQUENCES), *alone = model_alloc(r.out);
    for (int t = 0; t < ROUNDS; t++) {
        const int64_t n = choose(rows);
        const char *x = (const char *)r.m.x + (size_t)t * SEQUENCES * r.in;
        if (t % 2) step_by_halves(&r, rows, n, x, y);
        else CHECK_STATUS(rnncore_stream_step_rows(r.stream, &r.states, rows, n, x, y), RNNCORE_OK);
        for (int64_t i = 0; i < n; i++) {
            rnncore_stream_step(r.solo[rows[i]], x + (size_t)i * r.in, alone);
            CHECK(!memcmp(alone, y + (size_t)i * r.out, r.out));
        }
    }
    check_states(&r);
    rnncore_free(alone);
    rnncore_free(y);
    end(&r);
}

/* What is wrong is said before anything has changed. */
static void test_refusals(void)
{
    run r;
    int64_t rows[] = {0, 1, 2, 3}, beyond[] = {0, SEQUENCES, 1}, negative[] = {0, -1, 1};
    rnncore_config config = model_configs[2];
    check_subject = "refusals";
    begin(&r, &config);
    rnncore_states none = r.states, narrow = r.states, odd = r.states;
    none.data = NULL;
    narrow.stride = (int64_t)r.row - (int64_t)r.m.elem;
    odd.stride++;
    char *y = memset(model_alloc(r.out * SEQUENCES), MODEL_UNTOUCHED, r.out * SEQUENCES);
    const struct {
        const rnncore_states *states;
        const int64_t *rows;
        int64_t n;
        rnncore_status status;
    } table[] = {{NULL, rows, 2, RNNCORE_ERROR_ARGUMENT},       {&none, rows, 2, RNNCORE_ERROR_ARGUMENT},
                 {&narrow, rows, 2, RNNCORE_ERROR_ARGUMENT},    {&odd, rows, 2, RNNCORE_ERROR_ARGUMENT},
                 {&r.states, NULL, 2, RNNCORE_ERROR_ARGUMENT},  {&r.states, beyond, 3, RNNCORE_ERROR_SHAPE},
                 {&r.states, negative, 3, RNNCORE_ERROR_SHAPE}, {&r.states, rows, -1, RNNCORE_ERROR_SHAPE}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const rnncore_status status = table[i].status;
        CHECK_STATUS(rnncore_stream_step_rows(r.stream, table[i].states, table[i].rows, table[i].n, r.m.x, y), status);
        CHECK_STATUS(rnncore_stream_gather(r.stream, table[i].states, table[i].rows, table[i].n), status);
        if (table[i].n == rnncore_stream_rows(r.stream))
            CHECK_STATUS(rnncore_stream_scatter(r.stream, table[i].states, table[i].rows), status);
    }
    CHECK_STATUS(rnncore_stream_step_rows(NULL, &r.states, rows, 2, r.m.x, y), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_step_rows(r.stream, &r.states, rows, 2, NULL, y), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_step_rows(r.stream, &r.states, rows, 2, r.m.x, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_gather(NULL, &r.states, rows, 2), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_scatter(NULL, &r.states, rows), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_gather(r.stream, &r.states, rows, 0), RNNCORE_ERROR_SHAPE);
    CHECK_STATUS(rnncore_stream_gather(r.stream, &r.states, rows, TOGETHER + 1), RNNCORE_ERROR_SHAPE);
    CHECK_STATUS(rnncore_stream_step_rows(r.stream, &r.states, rows, 0, r.m.x, y), RNNCORE_OK);
    for (size_t i = 0; i < r.out * SEQUENCES; i++) CHECK(y[i] == MODEL_UNTOUCHED);
    check_states(&r);
    rnncore_free(y);
    end(&r);

    model both;
    model_init(&both, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 1, 1, 3, 4, 0, 1, 1);
    CHECK(rnncore_stream_row_bytes(NULL) == 0 && rnncore_stream_row_bytes(both.plan) == 0);
    model_free(&both);
}

int main(void)
{
    const char *isa;
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++)
        for (int k = 0; k < model_config_count; k++)
            for (int dtype = 0; dtype < 2; dtype++) {
                rnncore_config config = model_configs[k];
                config.isa = isa;
                config.dtype = dtype ? RNNCORE_FLOAT64 : RNNCORE_FLOAT32;
                check_interleavings(&config);
            }
    test_refusals();
    return check_result("test_sessions");
}
