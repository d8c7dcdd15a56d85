/* SPDX-License-Identifier: MIT
 *
 * Threads: every way to share out a call gives the bits of one thread; teams start, grow, serve many callers, survive fork
 * and end. Meant to be run under a thread sanitizer, too. */
#include <stdlib.h>
#include <string.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "rnncore.h"

#include "../../csrc/base/os.h"
#include "../../csrc/base/team.h"
#include "check.h"
#include "model.h"

/* Windows has no fork, and thread sanitizers do not follow threads across one. */
#if defined(_WIN32) || defined(__SANITIZE_THREAD__)
#define HAS_FORK 0
#elif defined(__has_feature)
#define HAS_FORK !__has_feature(thread_sanitizer)
#else
#define HAS_FORK 1
#endif

/* How often what depends on luck is tried; fewer times when the argument "quick" asks so, for slow checkers. */
static int rounds = 6;

static void test_empty_teams(void)
{
    rnncore_team *team = NULL;
    check_subject = "empty teams";
    CHECK_STATUS(rnncore_team_create(0, &team), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_team_create(-1, &team), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_team_create(2, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK(team == NULL);
    for (int threads = 1; threads < 6; threads++) {
        CHECK_STATUS(rnncore_team_create(threads, &team), RNNCORE_OK);
        rnncore_team_destroy(team);
    }
    rnncore_team_destroy(NULL);
}

/* -- Sharing out ------------------------------------------------------------------------------------------------------ */

/* Shapes whose work is shared out by rows, by directions, by layers, and by units; see rc_choose_strategy. */
static const struct sharing {
    const char *name;
    const char *cell;
    int64_t T, N, I, H, P, L;
    int bidirectional;
    int64_t segments; /* of the tape */
    double recurrent_dropout;
} sharings[] = {
    {"rows", RNNCORE_LSTM, 24, 9, 8, 40, 0, 2, 0, 0, 0},
    {"rows, both directions", RNNCORE_GRU_RESET_BEFORE, 24, 9, 8, 40, 0, 2, 1, 0, 0},
    {"directions", RNNCORE_GRU, 24, 1, 16, 72, 0, 3, 1, 0, 0},
    {"layers", RNNCORE_GRU, 40, 1, 16, 136, 0, 3, 0, 0, 0},
    {"units", RNNCORE_GRU, 40, 1, 16, 136, 0, 1, 0, 0, 0},
    {"units, few rows", RNNCORE_LSTM, 40, 5, 16, 136, 0, 1, 0, 0, 0},
    {"units, two phases", RNNCORE_GRU_RESET_BEFORE, 40, 1, 16, 136, 0, 1, 0, 0, 0},
    {"units, projection", RNNCORE_LSTM, 40, 1, 16, 136, 40, 1, 0, 0, 0},
    {"units, chunks", RNNCORE_LSTM, 200, 1, 16, 120, 0, 2, 1, 0, 0},
    {"units, segments", RNNCORE_LSTM, 100, 3, 16, 104, 0, 2, 1, 3, 0},
    {"units, scan", RNNCORE_MIN_LSTM, 40, 1, 96, 136, 0, 2, 0, 3, 0},
    {"rows, scan", RNNCORE_MIN_GRU, 24, 9, 8, 40, 0, 2, 1, 0, 0.3},
    {"units, norm", "lstm_norm", 40, 2, 16, 136, 0, 1, 1, 4, 0},
    {"units, norm, dropout", "gru_norm", 40, 2, 16, 136, 0, 2, 0, 0, 0.3},
    {"rows, norm", "lstm_norm", 24, 9, 8, 40, 0, 2, 1, 0, 0},
    {"units, dropout", RNNCORE_LSTM, 40, 2, 16, 136, 40, 1, 0, 0, 0.3},
    {"units, two phases, dropout", RNNCORE_GRU_RESET_BEFORE, 40, 2, 16, 136, 0, 1, 1, 4, 0.3},
};

/* Worth more than eight threads. */
static const struct sharing wide[] = {
    {"many threads, units", RNNCORE_LSTM, 10, 5, 200, 200, 0, 1, 0, 0, 0},
    {"many threads, two layers", RNNCORE_GRU, 40, 3, 16, 200, 0, 2, 0, 0, 0},
    {"many threads, rows", RNNCORE_RNN_TANH, 60, 70, 40, 40, 0, 1, 1, 0, 0},
};

static const struct sharing plain = {.segments = 0};

/* What a call with a tape and its backward leave in all outputs. */
static void *run(model *m, const struct sharing *s, rnncore_team *team, int threads, int recording, size_t *bytes)
{
    rnncore_forward_args forward = model_forward_args(m);
    forward.team = team;
    forward.threads = threads;
    if (recording) {
        forward.tape = m->tape;
        forward.segments = s->segments;
        forward.recurrent_dropout = s->recurrent_dropout;
    }
    model_reset(m);
    CHECK_STATUS(rnncore_forward(m->plan, m->weights, &forward), RNNCORE_OK);
    if (recording) {
        rnncore_backward_args backward = model_backward_args(m);
        backward.team = team;
        backward.threads = threads;
        backward.recurrent_dropout = s->recurrent_dropout;
        CHECK_STATUS(rnncore_backward(m->plan, m->weights, &backward), RNNCORE_OK);
    }
    return model_outputs(m, bytes);
}

static void check_sharing(const struct sharing *s, int threads, int recording)
{
    model m;
    size_t bytes;
    model_init(&m, s->cell, RNNCORE_FLOAT32, NULL, s->T, s->N, s->I, s->H, s->P, s->L, s->bidirectional);
    check_subject = s->name;
    void *alone = run(&m, s, NULL, threads, recording, &bytes);
    for (int i = 0; i < rounds; i++) { /* a new team forgets that cores were busy, and tries again */
        rnncore_team *team;
        if (!CHECK_STATUS(rnncore_team_create(threads, &team), RNNCORE_OK)) break;
        for (int k = 0; k < 2; k++) {
            void *together = run(&m, s, team, threads, recording, &bytes);
            CHECK(memcmp(alone, together, bytes) == 0);
            rnncore_free(together);
        }
        rnncore_team_destroy(team);
    }
    rnncore_free(alone);
    model_free(&m);
}

static void test_sharing(void)
{
    for (size_t i = 0; i < sizeof sharings / sizeof *sharings; i++)
        for (int threads = 2; threads <= 4; threads++)
            for (int recording = 0; recording < 2; recording++) check_sharing(&sharings[i], threads, recording);
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        for (int recording = 0; recording < 2; recording++) {
            check_sharing(&wide[i], 16, recording);
            check_sharing(&wide[i], 64, recording);
        }
}

/* Calls that ask for few and for many threads in turn: nobody takes a seat that the running call does not have. */
static void test_changing_threads(void)
{
    enum { MOST = 5 };
    model m;
    size_t bytes;
    rnncore_team *team;
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 30, 12, 8, 40, 0, 1, 0); /* worth 8 threads */
    check_subject = "changing threads";
    void *alone = run(&m, &plain, NULL, 1, 0, &bytes);
    CHECK_STATUS(rnncore_team_create(MOST, &team), RNNCORE_OK);
    for (int i = 0; i < 150 * rounds; i++) {
        void *together = run(&m, &plain, team, 2 + i * 7 % (MOST - 1), i % 2, &bytes);
        CHECK(memcmp(alone, together, m.y_bytes) == 0); /* y is the first output */
        rnncore_free(together);
    }
    rnncore_team_destroy(team);
    rnncore_free(alone);
    model_free(&m);
}

/* -- Meeting ---------------------------------------------------------------------------------------------------------- */

enum { MEETINGS = 50 };

typedef struct meeting {
    rc_crew *crew;
    int threads, walkers;
    int place[2]
             [RC_CREW_SEATS]; /* what each thread writes before they meet, in turns; plain, for sanitizers to watch */
    int most, steps;          /* threads that have met; meetings of the leader */
} meeting;

static void meet(void *context, rc_slice *slice)
{
    meeting *m = context;
    for (int step = 1; step <= MEETINGS; step++) {
        const int count = slice->count;
        m->place[step % 2][slice->index] = step;
        if (!rc_slice_sync(slice)) return;
        for (int i = 0; i < count; i++) CHECK(m->place[step % 2][i] == step);
        if (slice->index > 0) continue;
        m->steps = step;
        if (count > m->most) m->most = count;
    }
}

static void meeting_work(void *context, const rc_worker *worker)
{
    meeting *m = context;
    if (worker->seat > 0) {
        rc_crew_follow(m->crew, worker);
        return;
    }
    rc_crew_open(m->crew, worker);
    for (int i = 0; i < 3; i++) {
        memset(m->place, 0, sizeof m->place);
        rc_crew_round(m->crew, meet, m);
        CHECK(m->steps == MEETINGS);
    }
    rc_crew_close(m->crew);
}

/* Many more threads than cores: all of a round have met each time, or its leader goes on alone and the others leave. */
static void test_meetings(void)
{
    static const int sizes[][2] = {{2, 2}, {8, 8}, {9, 9}, {16, 5}, {20, 20}, {63, 63}, {80, 80}};
    check_subject = "meetings";
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int round = 0; round < rounds; round++) {
            meeting m = {.threads = sizes[i][0], .walkers = sizes[i][1]};
            rnncore_team *team;
            m.crew = rc_crew_create(m.threads, m.walkers, 0.05);
            CHECK(m.crew != NULL);
            if (!m.crew || !CHECK_STATUS(rnncore_team_create(m.threads, &team), RNNCORE_OK)) return;
            rc_team_run(team, m.threads, meeting_work, &m, NULL);
            CHECK(m.most <= m.walkers);
            rnncore_team_destroy(team);
            rc_crew_destroy(m.crew);
        }
    }
}

/* A call may be allowed fewer threads in backward than its forward had. */
static void test_fewer_threads_backward(void)
{
    model m;
    rnncore_team *team;
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 20, 8, 16, 40, 0, 2, 1);
    rnncore_forward_args forward = model_forward_args(&m);
    rnncore_backward_args backward = model_backward_args(&m);
    check_subject = "fewer threads";
    CHECK_STATUS(rnncore_team_create(4, &team), RNNCORE_OK);
    forward.team = backward.team = team;
    forward.tape = m.tape;
    forward.threads = 4;
    backward.threads = 1;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
    rnncore_team_destroy(team);
    model_free(&m);
}

/* -- Many callers ----------------------------------------------------------------------------------------------------- */

typedef struct caller {
    const model *shared; /* plan, weights, input */
    rnncore_team *team;
    const void *expected; /* y */
    int threads;
} caller;

static void *call_again_and_again(void *argument)
{
    enum { CALLS = 40 };
    const caller *c = argument;
    rnncore_forward_args args = model_forward_args(c->shared);
    args.y.data = model_alloc(c->shared->y_bytes);
    args.h_n = args.c_n = NULL;
    args.team = c->team;
    args.threads = c->threads;
    check_subject = "many callers";
    for (int i = 0; i < CALLS; i++) {
        memset(args.y.data, MODEL_UNTOUCHED, c->shared->y_bytes);
        CHECK_STATUS(rnncore_forward(c->shared->plan, c->shared->weights, &args), RNNCORE_OK);
        CHECK(memcmp(args.y.data, c->expected, c->shared->y_bytes) == 0);
    }
    rnncore_free(args.y.data);
    return NULL;
}

/* Threads of the caller share plan, weights and team; those that find the team busy go alone. */
static void test_many_callers(void)
{
    enum { CALLERS = 4 };
    model m;
    rnncore_team *team;
    rc_thread threads[CALLERS];
    model_init(&m, RNNCORE_LSTM, RNNCORE_FLOAT32, NULL, 16, 6, 8, 48, 0, 2, 1);
    const rnncore_forward_args args = model_forward_args(&m);
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    CHECK_STATUS(rnncore_team_create(3, &team), RNNCORE_OK);
    caller shared = {&m, team, m.y, 3};
    for (int i = 0; i < CALLERS; i++) CHECK(rc_thread_start(&threads[i], call_again_and_again, &shared));
    for (int i = 0; i < CALLERS; i++) rc_thread_join(&threads[i]);
    rnncore_team_destroy(team);
    model_free(&m);
}

/* -- Fork ------------------------------------------------------------------------------------------------------------- */

#if HAS_FORK
static void test_fork(void)
{
    model m;
    size_t bytes;
    rnncore_team *team;
    model_init(&m, RNNCORE_LSTM, RNNCORE_FLOAT32, NULL, 24, 9, 8, 40, 0, 2, 1);
    check_subject = "fork";
    CHECK_STATUS(rnncore_team_create(3, &team), RNNCORE_OK);
    void *before = run(&m, &plain, team, 3, 1, &bytes);
    for (int i = 0; i < 4; i++) {
        int status = -1;
        const pid_t child = fork();
        if (child == 0) {
            void *in_child = run(&m, &plain, team, 3, 1, &bytes);
            const int same = memcmp(before, in_child, bytes) == 0;
            rnncore_free(in_child);
            rnncore_free(before);
            rnncore_team_destroy(team);
            model_free(&m);
            _exit(same ? 0 : 1);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        void *after = run(&m, &plain, team, 3, 1, &bytes);
        CHECK(memcmp(before, after, bytes) == 0);
        rnncore_free(after);
    }
    rnncore_team_destroy(team);
    rnncore_free(before);
    model_free(&m);
}
#endif

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "quick") == 0) rounds = 1;
    test_empty_teams();
    test_sharing();
    test_changing_threads();
    test_meetings();
    test_fewer_threads_backward();
    test_many_callers();
#if HAS_FORK
    test_fork();
#endif
    return check_result("test_team");
}
