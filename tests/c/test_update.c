/* SPDX-License-Identifier: MIT
 *
 * rnncore_update: every refusal changes nothing, and what it computes is, to the last bit, what its equations say. */
#include <math.h>
#include <string.h>

#include "rnncore.h"

#include "../../csrc/base/tuning.h"
#include "check.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Pieces for three threads, and no whole number of them. */
enum { SIZE = 6 * RC_UPDATE_SIZE + 37 };

static double values[SIZE], grads[SIZE], moment1[SIZE], moment2[SIZE];

static const rnncore_update_args sound = {.struct_size = sizeof(rnncore_update_args),
                                          .method = RNNCORE_ADAM,
                                          .lr = 0.125,
                                          .beta1 = 0.875,
                                          .beta2 = 0.9375,
                                          .eps = 1e-8,
                                          .grad_scale = 1,
                                          .step = 5,
                                          .count = 1,
                                          .threads = 1};

static const rnncore_tensor whole = {values, grads, moment1, moment2, SIZE, RNNCORE_FLOAT64};

/* -- Refusals ---------------------------------------------------------------------------------------------------------- */

#define SPOIL(name, what) \
    static void spoil_##name(rnncore_update_args *a, rnncore_tensor *t) \
    { \
        (void)a; \
        (void)t; \
        what; \
    }
SPOIL(method, a->method = (rnncore_method)2)
SPOIL(count, a->count = -1)
SPOIL(tensors, a->tensors = NULL)
SPOIL(threads, a->threads = 0)
SPOIL(step, a->step = 0)
SPOIL(beta1, a->beta1 = 1)
SPOIL(beta1_below, a->beta1 = -0.5)
SPOIL(beta2, a->beta2 = (double)NAN)
SPOIL(eps, a->eps = -1)
SPOIL(lr, a->lr = (double)INFINITY)
SPOIL(lr_below, a->lr = -1)
SPOIL(weight_decay, a->weight_decay = (double)NAN)
SPOIL(grad_scale, a->grad_scale = (double)INFINITY)
SPOIL(clip_norm, a->clip_norm = -1)
SPOIL(isa, a->isa = "z80")
SPOIL(dtype, t->dtype = (rnncore_dtype)2)
SPOIL(size, t->size = -1)
SPOIL(values, t->values = NULL)
SPOIL(grads, t->grads = NULL)
SPOIL(moment1, t->moment1 = NULL)
SPOIL(moment2, t->moment2 = NULL)
SPOIL(momentum, (a->method = RNNCORE_SGD, t->moment1 = NULL))
#undef SPOIL

static const struct bad {
    const char *name;
    rnncore_status expected;
    void (*spoil)(rnncore_update_args *a, rnncore_tensor *t);
} bads[] = {{"method", RNNCORE_ERROR_ARGUMENT, spoil_method},
            {"count", RNNCORE_ERROR_ARGUMENT, spoil_count},
            {"tensors", RNNCORE_ERROR_ARGUMENT, spoil_tensors},
            {"threads", RNNCORE_ERROR_ARGUMENT, spoil_threads},
            {"step", RNNCORE_ERROR_ARGUMENT, spoil_step},
            {"beta1", RNNCORE_ERROR_ARGUMENT, spoil_beta1},
            {"beta1 below 0", RNNCORE_ERROR_ARGUMENT, spoil_beta1_below},
            {"beta2", RNNCORE_ERROR_ARGUMENT, spoil_beta2},
            {"eps", RNNCORE_ERROR_ARGUMENT, spoil_eps},
            {"lr", RNNCORE_ERROR_ARGUMENT, spoil_lr},
            {"lr below 0", RNNCORE_ERROR_ARGUMENT, spoil_lr_below},
            {"weight_decay", RNNCORE_ERROR_ARGUMENT, spoil_weight_decay},
            {"grad_scale", RNNCORE_ERROR_ARGUMENT, spoil_grad_scale},
            {"clip_norm", RNNCORE_ERROR_ARGUMENT, spoil_clip_norm},
            {"isa", RNNCORE_ERROR_UNSUPPORTED, spoil_isa},
            {"dtype", RNNCORE_ERROR_ARGUMENT, spoil_dtype},
            {"size", RNNCORE_ERROR_SHAPE, spoil_size},
            {"values", RNNCORE_ERROR_ARGUMENT, spoil_values},
            {"grads", RNNCORE_ERROR_ARGUMENT, spoil_grads},
            {"moment1", RNNCORE_ERROR_ARGUMENT, spoil_moment1},
            {"moment2", RNNCORE_ERROR_ARGUMENT, spoil_moment2},
            {"moment1 with momentum", RNNCORE_ERROR_ARGUMENT, spoil_momentum}};

static void test_refusals(void)
{
    double norm = -3;
    values[0] = values[SIZE - 1] = 7;
    grads[0] = 1;
    for (size_t i = 0; i < COUNT(bads); i++) {
        rnncore_update_args args = sound;
        rnncore_tensor tensor = whole;
        args.tensors = &tensor;
        bads[i].spoil(&args, &tensor);
        check_subject = bads[i].name;
        CHECK_STATUS(rnncore_update(&args, &norm), bads[i].expected);
    }
    rnncore_update_args args = sound;
    args.tensors = &whole;
    CHECK_STATUS(rnncore_update(&args, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK(norm == -3 && values[0] == 7 && values[SIZE - 1] == 7 && moment1[0] == 0);
}

/* A gradient that is not finite: the norm says so and nothing is written. Nothing to do is no error. */
static void test_nothing_written(void)
{
    const rnncore_tensor none = {.size = 0, .dtype = RNNCORE_FLOAT32};
    rnncore_update_args args = sound;
    double norm = -3;
    check_subject = "nothing written";
    args.tensors = &whole;
    grads[3] = (double)INFINITY;
    CHECK_STATUS(rnncore_update(&args, &norm), RNNCORE_OK);
    CHECK(isinf(norm) && values[0] == 7 && moment1[0] == 0 && moment2[0] == 0);
    args.tensors = &none;
    CHECK_STATUS(rnncore_update(&args, &norm), RNNCORE_OK);
    CHECK(norm == 0);
    args.method = RNNCORE_SGD;
    CHECK_STATUS(rnncore_update(&args, &norm), RNNCORE_OK);
}

/* -- The equations ------------------------------------------------------------------------------------------------------ */

static const struct rule {
    const char *name;
    rnncore_method method;
    double beta1, weight_decay, grad_scale, clip_norm;
    int decoupled, nesterov, without_moment;
} rules[] = {
    {"SGD", RNNCORE_SGD, 0, 0, 1, 0, 0, 0, 1},
    {"SGD, decay", RNNCORE_SGD, 0, 0.25, 0.5, 0, 0, 0, 1},
    {"SGD, decoupled decay", RNNCORE_SGD, 0, 0.25, 1, 0, 1, 0, 0},
    {"momentum", RNNCORE_SGD, 0.75, 0, 1, 0, 0, 0, 0},
    {"Nesterov", RNNCORE_SGD, 0.75, 0.25, 1, 2, 0, 1, 0},
    {"Adam", RNNCORE_ADAM, 0.875, 0, 1, 0, 0, 0, 0},
    {"Adam, clipped", RNNCORE_ADAM, 0.875, 0.25, -2, 0.5, 0, 0, 0},
    {"AdamW", RNNCORE_ADAM, 0.875, 0.25, 1, 1e9, 1, 0, 0},
};

static double power(double base, int64_t n) /* by squaring, as the library's */
{
    return n == 0 ? 1 : n % 2 ? power(base * base, n / 2) * base : power(base * base, n / 2);
}

static void expect(const rnncore_update_args *a, double norm, double w, double g, double m, double v, double out[3])
{
    const double scale = a->grad_scale * (a->clip_norm > 0 && norm > a->clip_norm ? a->clip_norm / norm : 1);
    const double kept = a->decoupled ? 1 - a->lr * a->weight_decay : 1;
    g = scale * g + (a->decoupled ? 0 : a->weight_decay) * w;
    if (a->method == RNNCORE_ADAM) {
        m = a->beta1 * m + (1 - a->beta1) * g;
        v = a->beta2 * v + (1 - a->beta2) * (g * g);
        const double root = 1 / sqrt(1 - power(a->beta2, a->step));
        w = kept * w - a->lr / (1 - power(a->beta1, a->step)) * (m / (sqrt(v) * root + a->eps));
    } else {
        m = a->beta1 * m + g;
        w = kept * w - a->lr * (a->nesterov ? g + a->beta1 * m : m);
    }
    out[0] = w, out[1] = m, out[2] = v;
}

static void check_rule(const struct rule *rule, const char *isa, rnncore_team *team)
{
    static double start[3][SIZE];
    double norm, sum = 0;
    rnncore_tensor tensor = whole;
    rnncore_update_args args = sound;
    args.method = rule->method, args.beta1 = rule->beta1, args.weight_decay = rule->weight_decay;
    args.grad_scale = rule->grad_scale, args.clip_norm = rule->clip_norm;
    args.decoupled = rule->decoupled, args.nesterov = rule->nesterov;
    args.isa = isa, args.team = team, args.threads = team ? 3 : 1, args.tensors = &tensor;
    if (rule->without_moment) tensor.moment1 = NULL;
    for (int i = 0; i < SIZE; i++) { /* of few bits, so that the order of the sum of squares does not matter */
        grads[i] = (double)(i * 7 % 33 - 16) / 8;
        start[0][i] = values[i] = (double)(i * 5 % 17 - 8) / 4;
        start[1][i] = moment1[i] = (double)(i % 9 - 4) / 16;
        start[2][i] = moment2[i] = (double)(i % 5) / 32;
        sum += grads[i] * grads[i];
    }
    check_subject = rule->name;
    CHECK_STATUS(rnncore_update(&args, &norm), RNNCORE_OK);
    CHECK(norm == fabs(rule->grad_scale) * sqrt(sum));
    int wrong = 0;
    for (int i = 0; i < SIZE; i++) {
        double out[3];
        expect(&args, norm, start[0][i], grads[i], rule->without_moment ? 0 : start[1][i], start[2][i], out);
        wrong +=
            values[i] != out[0] || moment1[i] != (rule->without_moment ? start[1][i] : out[1]) || moment2[i] != out[2];
    }
    CHECK(wrong == 0);
}

static void test_rules(void)
{
    rnncore_team *team;
    const char *isa;
    if (!CHECK_STATUS(rnncore_team_create(3, &team), RNNCORE_OK)) return;
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++)
        for (size_t k = 0; k < COUNT(rules); k++) {
            check_rule(&rules[k], isa, NULL);
            check_rule(&rules[k], isa, team);
        }
    rnncore_team_destroy(team);
}

/* -- Fleets ------------------------------------------------------------------------------------------------------------ */

enum { MODELS = 5, EACH = SIZE / MODELS };

static void fill(void)
{
    for (int i = 0; i < SIZE; i++) {
        grads[i] = (double)(i * 7 % 33 - 16) / 8;
        values[i] = (double)(i * 5 % 17 - 8) / 4;
        moment1[i] = moment2[i] = 0;
    }
    grads[3 * EACH + 9] = (double)NAN; /* one that diverges */
}

static void test_fleet(rnncore_team *team)
{
    static double expected[SIZE];
    static const unsigned char active[MODELS] = {1, 1, 0, 1, 1};
    static const double lr[MODELS] = {0.5, 0.25, 1, 0.125, 0}, scale[MODELS] = {1, -2, 1, 0.5, 0.25};
    static const int64_t step[MODELS] = {1, 2, 3, 1, 7};
    double norms[MODELS] = {0}, norm = 0;
    const rnncore_tensor all = {values, grads, moment1, moment2, EACH, RNNCORE_FLOAT64};
    const rnncore_fleet fleet = {.struct_size = sizeof fleet, .models = MODELS, .active = active};
    rnncore_fleet_rates rates = {sizeof rates, lr, scale, step};
    rnncore_update_args args = sound;
    check_subject = "a fleet";
    fill();
    for (int m = 0; m < MODELS; m++) {
        const rnncore_tensor own = {values + m * EACH, grads + m * EACH, moment1 + m * EACH, moment2 + m * EACH, EACH,
                                    RNNCORE_FLOAT64};
        args.tensors = &own, args.lr = lr[m], args.grad_scale = scale[m], args.step = step[m];
        if (active[m]) CHECK_STATUS(rnncore_update(&args, &norm), RNNCORE_OK);
    }
    memcpy(expected, values, sizeof expected);
    for (int threads = 1; threads <= 3; threads += 2) {
        fill();
        args = sound;
        args.tensors = &all, args.threads = threads, args.team = threads > 1 ? team : NULL;
        norms[2] = -3;
        CHECK_STATUS(rnncore_fleet_update(&args, &fleet, &rates, norms), RNNCORE_OK);
        CHECK(!memcmp(expected, values, sizeof expected) && isnan(norms[3]) && norms[2] == -3 && norms[4] == norm);
    }
    CHECK_STATUS(rnncore_fleet_update(&args, &fleet, NULL, norms), RNNCORE_OK);
    CHECK_STATUS(rnncore_fleet_update(&args, &fleet, &rates, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_update(&args, NULL, &rates, norms), RNNCORE_ERROR_ARGUMENT);
    rates.step = (const int64_t[MODELS]){1, 1, 1, 1, 0};
    CHECK_STATUS(rnncore_fleet_update(&args, &fleet, &rates, norms), RNNCORE_ERROR_ARGUMENT);
    args.threads = 0;
    CHECK_STATUS(rnncore_fleet_update(&args, &fleet, NULL, norms), RNNCORE_ERROR_ARGUMENT);
}

static void test_fleets(void)
{
    rnncore_team *team;
    if (!CHECK_STATUS(rnncore_team_create(3, &team), RNNCORE_OK)) return;
    test_fleet(team);
    rnncore_team_destroy(team);
}

int main(void)
{
    test_refusals();
    test_nothing_written();
    test_rules();
    test_fleets();
    return check_result("test_update");
}
