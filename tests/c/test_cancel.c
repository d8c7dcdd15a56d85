/* SPDX-License-Identifier: MIT
 *
 * Calls that their caller ends early: at his k-th answer for growing k, however the call is shared out. The calling thread asks,
 * in its own floating-point environment; the tape is refused afterwards, and the next call gives the usual bits. */
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "../../csrc/base/fpenv.h"
#include "check.h"
#include "model.h"

static const struct sharing {
    const char *name, *cell;
    int64_t T, N, I, H, L;
    int bidirectional;
    int64_t segments;
} sharings[] = {
    {"rows", RNNCORE_LSTM, 60, 12, 8, 40, 2, 0, 0},
    {"directions", RNNCORE_GRU, 60, 1, 16, 72, 3, 1, 0},
    {"layers", RNNCORE_GRU, 80, 1, 16, 136, 3, 0, 0},
    {"units", RNNCORE_GRU, 200, 1, 16, 136, 1, 0, 0},
    {"units, segments", RNNCORE_LSTM, 200, 2, 16, 104, 2, 1, 3},
    {"units, two phases", RNNCORE_GRU_RESET_BEFORE, 100, 1, 16, 136, 2, 0, 0},
};

typedef struct caller {
    int asked, ends_at; /* 0: never */
    uint64_t env;
    model *again; /* a call to make inside of an answer; NULL: none */
} caller;

static _Thread_local int is_caller;

static int answer(void *context)
{
    caller *c = context;
    CHECK(is_caller);
    CHECK(rc_fpenv_now().word == c->env);
    if (c->again) {
        const rnncore_forward_args args = model_forward_args(c->again);
        CHECK_STATUS(rnncore_forward(c->again->plan, c->again->weights, &args), RNNCORE_OK);
    }
    return ++c->asked == c->ends_at;
}

static rnncore_status forward(model *m, const struct sharing *s, rnncore_team *team, caller *c)
{
    rnncore_forward_args args = model_forward_args(m);
    args.team = team;
    args.threads = 3;
    args.tape = m->tape;
    args.segments = s->segments;
    args.cancel = answer;
    args.cancel_context = c;
    return rnncore_forward(m->plan, m->weights, &args);
}

static rnncore_status backward(model *m, rnncore_team *team, caller *c)
{
    rnncore_backward_args args = model_backward_args(m);
    args.team = team;
    args.threads = 3;
    args.cancel = c ? answer : NULL;
    args.cancel_context = c;
    return rnncore_backward(m->plan, m->weights, &args);
}

/* The whole of it, never ended; what it gives. */
static void *run(model *m, const struct sharing *s, rnncore_team *team, size_t *bytes)
{
    caller c = {.env = rc_fpenv_now().word};
    model_reset(m);
    CHECK_STATUS(forward(m, s, team, &c), RNNCORE_OK);
    CHECK(c.asked > 0 || team); /* threads that came first may have left nothing to the caller */
    CHECK_STATUS(backward(m, team, NULL), RNNCORE_OK);
    return model_outputs(m, bytes);
}

static int quick; /* under slow checkers: fewer ends */

static int next_end(int k) { return quick ? 5 * k : k < 6 ? k + 1 : k + k / 2; }

static void check_ends(const struct sharing *s, int threads)
{
    model m;
    size_t bytes;
    rnncore_team *team = NULL;
    check_subject = s->name;
    model_init(&m, s->cell, RNNCORE_FLOAT32, NULL, s->T, s->N, s->I, s->H, 0, s->L, s->bidirectional);
    if (threads > 1) CHECK_STATUS(rnncore_team_create(threads, &team), RNNCORE_OK);
    void *expected = run(&m, s, team, &bytes);
    for (int pass = 0; pass < 2; pass++) {
        rnncore_status status = RNNCORE_CANCELLED;
        int ended = 0;
        for (int k = 1; status == RNNCORE_CANCELLED && k < 100000; k = next_end(k)) {
            caller c = {.env = rc_fpenv_now().word, .ends_at = k};
            if (pass == 0) {
                status = forward(&m, s, team, &c);
            } else {
                caller never = {.env = c.env};
                CHECK_STATUS(forward(&m, s, team, &never), RNNCORE_OK);
                status = backward(&m, team, &c);
            }
            CHECK(status == RNNCORE_CANCELLED ? c.asked == k : status == RNNCORE_OK && c.asked < k);
            if (status != RNNCORE_CANCELLED) continue;
            ended++;
            CHECK_STATUS(backward(&m, team, NULL), RNNCORE_ERROR_ARGUMENT);
        }
        CHECK(ended > 0 || team);
        void *got = run(&m, s, team, &bytes);
        CHECK(memcmp(got, expected, bytes) == 0);
        rnncore_free(got);
    }
    rnncore_free(expected);
    rnncore_team_destroy(team);
    model_free(&m);
}

/* An answer may run a call of its own; a long rest asks never; the reference loop ends as well. */
static void test_answers(void)
{
    model m, inner;
    size_t bytes;
    const struct sharing *s = &sharings[0];
    check_subject = "answers";
    model_init(&m, s->cell, RNNCORE_FLOAT32, NULL, s->T, s->N, s->I, s->H, 0, s->L, 0);
    model_init(&inner, RNNCORE_GRU, RNNCORE_FLOAT64, NULL, 5, 2, 3, 9, 0, 1, 0);
    caller plain = {.env = rc_fpenv_now().word}, busy = {.env = plain.env, .again = &inner}, no = {.env = plain.env};
    CHECK_STATUS(forward(&m, s, NULL, &plain), RNNCORE_OK);
    void *expected = model_outputs(&m, &bytes);
    CHECK_STATUS(forward(&m, s, NULL, &busy), RNNCORE_OK);
    void *got = model_outputs(&m, &bytes);
    CHECK(busy.asked == plain.asked && memcmp(got, expected, bytes) == 0);

    rnncore_forward_args args = model_forward_args(&m);
    args.cancel = answer;
    args.cancel_context = &no;
    args.cancel_every = 1e9;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    CHECK(no.asked == 0);
    args.cancel_every = 0;
    no.ends_at = 3;
    CHECK_STATUS(rnncore_forward_naive(m.plan, m.params, &args), RNNCORE_CANCELLED);
    CHECK(no.asked == 3);
    rnncore_free(got);
    rnncore_free(expected);
    model_free(&inner);
    model_free(&m);
}

int main(int count, char **arguments)
{
    quick = count > 1 && strcmp(arguments[1], "quick") == 0;
    is_caller = 1;
    for (size_t i = 0; i < sizeof sharings / sizeof *sharings; i++)
        for (int threads = 1; threads <= 3; threads++) check_ends(&sharings[i], threads);
    test_answers();
    return check_result("test_cancel");
}
