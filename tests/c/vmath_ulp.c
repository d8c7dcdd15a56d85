/* SPDX-License-Identifier: MIT */
/* Measures the error of v_tanh, v_sigmoid, v_expm1_below, v_softplus, v_exp and rc_log at the scalar width and checks the promises of vmath.h.
 * float: every finite value of both signs, against double. double: dense random values and the neighbourhoods of
 * the reduction's breakpoints, against long double.
 * Build twice, with -DRC_F32=1 and -DRC_F64=1; usage: vmath_ulp [stride]; stride > 1 takes every stride-th value.
 * Prints one line per function; exit code 1 when a bound or a promise is broken. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/simd/vec.h"
#include "../../csrc/simd/vmath.h"
#include "../../csrc/nn/log.h"

#if defined(RC_F32) && RC_F32
typedef double wide;
#define DTYPE "float32"
#define DIGITS FLT_MANT_DIG
#define LOWEST_EXPONENT FLT_MIN_EXP
#define wide_tanh tanh
#define wide_exp exp
#define wide_expm1 expm1
#define wide_log1p log1p
static const double TANH_ULP = 4.0;      /* unit in the last place of the true value */
static const double SIGMOID_UNITS = 2.0; /* units of 2^-24 */
static const double TANH_BACKSTEP = 5.0; /* largest fall between neighbours, ULP of the larger value */
static const double EXPM1_ULP = 3.0;
static const double SOFTPLUS_ULP = 3.0; /* normal results of exp(x) */
static const double EXP_ULP = 2.5;
#else
typedef long double wide;
#define DTYPE "float64"
#define DIGITS DBL_MANT_DIG
#define LOWEST_EXPONENT DBL_MIN_EXP
#define wide_tanh tanhl
#define wide_exp expl
#define wide_expm1 expm1l
#define wide_log1p log1pl
static const double TANH_ULP = 3.0;
static const double SIGMOID_UNITS = 1.6;    /* units of 2^-53 */
static const double SIGMOID_TAIL_ULP = 3.0; /* x < 0, normal results */
static const double EXPM1_ULP = 3.0;
static const double SOFTPLUS_ULP = 3.5;
static const double EXP_ULP = 2.5;
static const double LOG_ULP = 1.5;
#if LDBL_MANT_DIG < 64
#error "the reference needs a long double of at least 64 bits"
#endif
#endif

typedef struct {
    const char *what;
    double worst;
    real at;
} peak;

static int failures;

static void note(peak *p, double error, real at)
{
    if (!(error <= p->worst)) { /* a NaN error is kept too */
        p->worst = error;
        p->at = at;
    }
}

static void report(const peak *p, double bound)
{
    const bool good = p->worst <= bound;
    printf("%s %-28s worst %.3f at %.9g (bound %g)%s\n", DTYPE, p->what, p->worst, (double)p->at, bound,
           good ? "" : "  EXCEEDED");
    failures += !good;
}

static void expect(bool good, const char *promise, real at)
{
    if (!good && failures++ < 20) printf("%s broken promise: %s at x = %.17g\n", DTYPE, promise, (double)at);
}

static bool same_bits(real a, real b) { return memcmp(&a, &b, sizeof a) == 0; }

/* Size of one unit in the last place of a result near the true value t. */
static double ulp_of(wide t)
{
    int e;
    frexp((double)t, &e);
    if (e < LOWEST_EXPONENT) e = LOWEST_EXPONENT;
    return ldexp(1.0, e - DIGITS);
}

/* References: a short series where it is exact enough, so that the full walk takes seconds. */
static wide true_tanh(wide a) { return a < 0x1p-14 ? a - a * a * a / 3 : wide_tanh(a); }

static wide true_sigmoid(wide x)
{
    return fabs((double)x) < 0x1p-14 ? 0.5 + x / 4 - x * x * x / 48 : 1 / (1 + wide_exp(-x));
}

static void check_special_exponentials(void)
{
    const real inf = (real)INFINITY, nan_ = (real)NAN, zero = (real)0;
    expect(v_expm1_below(-zero) == zero && v_expm1_below(zero) == zero, "expm1(0) = 0", zero);
    expect(v_expm1_below(-inf) == -1, "expm1(-inf) = -1", -inf);
    expect(isnan(v_expm1_below(nan_)) && isnan(v_softplus(nan_)), "expm1(NaN), softplus(NaN)", nan_);
    expect(v_softplus(inf) == inf && same_bits(v_softplus(-inf), zero), "softplus(inf), softplus(-inf)", inf);
    expect(v_exp(inf) == inf && same_bits(v_exp(-inf), zero) && isnan(v_exp(nan_)), "exp(inf), exp(-inf), exp(NaN)",
           inf);
    expect(v_exp(zero) == 1 && v_exp(-zero) == 1, "exp(0) = 1", zero);
    expect(rc_log(1) == 0 && rc_log(0) == -INFINITY && rc_log(INFINITY) == INFINITY, "log(1), log(0), log(inf)", zero);
    expect(isnan(rc_log(-1)) && isnan(rc_log((double)NAN)), "log(-1), log(NaN)", nan_);
}

/* exp of both signs of x where it is a normal number, 0 or infinite beyond. */
static void check_exp(real x, peak *exp_peak)
{
    const wide highest = (wide)(3 - LOWEST_EXPONENT) * (wide)0.693147180559945309417L;
    for (real sign = -1; sign <= 1; sign += 2) {
        const real got = v_exp(sign * x);
        const wide truth = wide_exp(sign * (wide)x);
        if (sign > 0 && x > highest) expect(got == (real)INFINITY, "exp far out", x);
        else if (truth >= ldexp(1.0, LOWEST_EXPONENT) && (got < (real)INFINITY || x < highest - (wide)0.35))
            note(exp_peak, (double)fabsl((wide)got - truth) / ulp_of(truth), sign * x);
        else expect(got >= (sign > 0 ? 1 : 0), "exp near its ends", sign * x);
    }
}

/* One positive finite x, its negative for expm1 and both signs for softplus. */
static void check_exponentials(real x, peak *expm1_peak, peak *softplus_peak)
{
    const real e = v_expm1_below(-x), up = v_softplus(x), down = v_softplus(-x);
    expect(e >= -1 && e <= 0, "-1 <= expm1 <= 0", -x);
    if (x < ldexp(1.0, -DIGITS - 1) && x >= ldexp(1.0, LOWEST_EXPONENT)) expect(e == -x, "expm1(x) = x for tiny x", -x);
    if (x < 64) {
        const wide truth = wide_expm1(-(wide)x);
        note(expm1_peak, (double)fabsl((wide)e - truth) / ulp_of(truth), -x);
    } else {
        expect(e == -1 && up == x, "saturated", x);
    }
    const wide z = wide_exp(-(wide)x), small = wide_log1p(z);
    if ((double)z >= ldexp(1.0, LOWEST_EXPONENT)) {
        note(softplus_peak, (double)fabsl((wide)up - (x + small)) / ulp_of(x + small), x);
        note(softplus_peak, (double)fabsl((wide)down - small) / ulp_of(small), -x);
    } else {
        expect(up == x && down >= 0 && down < ldexp(1.0, LOWEST_EXPONENT + 1), "softplus far out", x);
    }
}

static void check_special(void)
{
    check_special_exponentials();
    const real inf = (real)INFINITY, nan_ = (real)NAN, zero = (real)0, half = (real)0.5, one = (real)1;
    expect(same_bits(v_tanh(zero), zero), "tanh(+0) = +0", zero);
    expect(same_bits(v_tanh(-zero), -zero), "tanh(-0) = -0", -zero);
    expect(v_tanh(inf) == one && v_tanh(-inf) == -one, "tanh(inf) = 1", inf);
    expect(isnan(v_tanh(nan_)) && isnan(v_tanh(-nan_)), "tanh(NaN) is NaN", nan_);
    expect(v_sigmoid(zero) == half && v_sigmoid(-zero) == half, "sigmoid(0) = 0.5", zero);
    expect(same_bits(v_sigmoid(-inf), zero), "sigmoid(-inf) = 0", -inf);
    expect(v_sigmoid(inf) == one, "sigmoid(inf) = 1", inf);
    expect(isnan(v_sigmoid(nan_)) && isnan(v_sigmoid(-nan_)), "sigmoid(NaN) is NaN", nan_);
    expect(v_dtanh(one) == zero && v_dtanh(-one) == zero && v_dtanh(zero) == one, "dtanh at 0 and 1", one);
    expect(v_dsigmoid(one) == zero && v_dsigmoid(zero) == zero && v_dsigmoid(half) == half * half,
           "dsigmoid at 0, 0.5 and 1", one);
}

/* One positive finite x, and its mirror image. */
static void check_value(real x, peak *tanh_peak, peak *sigmoid_peak)
{
    const double unit = ldexp(1.0, -DIGITS);
    const real t = v_tanh(x), up = v_sigmoid(x), down = v_sigmoid(-x);

    expect(same_bits(v_tanh(-x), -t), "tanh(-x) = -tanh(x)", x);
    expect(t >= 0 && t <= 1, "0 <= tanh <= 1", x);
    expect(up >= (real)0.5 && up <= 1 && down >= 0 && down <= (real)0.5, "sigmoid on its side of 0.5", x);
    if (x < ldexp(1.0, -DIGITS)) expect(t == x, "tanh(x) = x for tiny x", x);
    if (x < 64) {
        const wide truth = true_tanh(x), s = true_sigmoid(x);
        note(tanh_peak, (double)fabsl((wide)t - truth) / ulp_of(truth), x);
        note(sigmoid_peak, (double)fabsl((wide)up - s) / unit, x);
        note(sigmoid_peak, (double)fabsl((wide)down - (1 - s)) / unit, -x);
    } else {
        expect(t == 1 && up == 1, "saturated", x);
        note(sigmoid_peak, (double)down / unit, -x);
    }
}

#if defined(RC_F32) && RC_F32
static real from_bits(uint32_t b)
{
    real x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static void walk(uint64_t stride)
{
    peak t = {"tanh, ULP", 0, 0}, s = {"sigmoid, units of 2^-24", 0, 0}, back = {"tanh, step back, ULP", 0, 0};
    peak e = {"expm1, ULP", 0, 0}, plus = {"softplus, ULP", 0, 0}, power = {"exp, ULP", 0, 0};
    real before = 0;
    for (uint64_t b = 1; b < 0x7f800000u; b += stride) {
        const real x = from_bits((uint32_t)b), y = v_tanh(x);
        check_value(x, &t, &s);
        check_exponentials(x, &e, &plus);
        check_exp(x, &power);
        if (y < before) note(&back, (before - y) / ulp_of(before * (1 - FLT_EPSILON / 4.0)), x);
        before = y;
    }
    report(&t, TANH_ULP);
    report(&s, SIGMOID_UNITS);
    report(&back, TANH_BACKSTEP);
    report(&e, EXPM1_ULP);
    report(&plus, SOFTPLUS_ULP);
    report(&power, EXP_ULP);
}
#else
/* xorshift64*: a fixed seed, so that every run measures the same values. */
static double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * 0x2545F4914F6CDD1Dull) >> 11) * 0x1p-53;
}

static void note_tail(real x, peak *p)
{
    const wide e = wide_exp(-(wide)x), truth = e / (1 + e);
    if (truth >= DBL_MIN) note(p, (double)fabsl((wide)v_sigmoid(-x) - truth) / ulp_of(truth), -x);
}

static void walk(uint64_t stride)
{
    peak t = {"tanh, ULP", 0, 0}, s = {"sigmoid, units of 2^-53", 0, 0}, tail = {"sigmoid(x < 0), ULP", 0, 0};
    peak e = {"expm1, ULP", 0, 0}, plus = {"softplus, ULP", 0, 0}, power = {"exp, ULP", 0, 0};
    peak log_ = {"log, ULP", 0, 0};
    uint64_t state = 88172645463325252ull;
    for (uint64_t k = 0; k < 12000000; k += stride) {
        const real kinds[4] = {40 * uniform(&state), uniform(&state), exp(-40 * uniform(&state)),
                               pow(2, -1074 + 2090 * uniform(&state))};
        const real x = kinds[k / stride % 4];
        check_value(x, &t, &s);
        note_tail(x, &tail);
        check_exponentials(x, &e, &plus);
        check_exp(x, &power);
        if (x >= DBL_MIN) note(&log_, (double)(fabsl((wide)rc_log(x) - logl(x)) / ulp_of(logl(x))), x);
    }
    for (uint64_t k = 0; k < 2000000; k += stride) { /* where the result is small, and where e changes */
        const real x = 0.5 + uniform(&state),
                   near = ldexp(1 + 0x1p-52 * floor(4000 * uniform(&state)), (int)(k % 60) - 30);
        note(&log_, (double)(fabsl((wide)rc_log(x) - logl(x)) / ulp_of(logl(x))), x);
        if (near != 1) note(&log_, (double)(fabsl((wide)rc_log(near) - logl(near)) / ulp_of(logl(near))), near);
        check_exp(750 * uniform(&state), &power);
    }
    for (int m = 1; m < 112; m++) /* m*ln(2)/4: centres and breakpoints of the reduction */
        for (int64_t j = -2000; j <= 2000; j++) {
            const real x = m * 0x1.62e42fefa39efp-3 * (1 + (double)j * 0x1p-52);
            check_value(x, &t, &s);
            note_tail(x, &tail);
            check_exponentials(x, &e, &plus);
            check_exponentials(2 * x, &e, &plus);
        }
    for (uint64_t k = 0; k < 2000000; k += stride) note_tail(750 * uniform(&state), &tail);
    report(&t, TANH_ULP);
    report(&s, SIGMOID_UNITS);
    report(&tail, SIGMOID_TAIL_ULP);
    report(&e, EXPM1_ULP);
    report(&plus, SOFTPLUS_ULP);
    report(&power, EXP_ULP);
    report(&log_, LOG_ULP);
}
#endif

int main(int argc, char **argv)
{
    const long long stride = argc > 1 ? atoll(argv[1]) : 1;
    check_special();
    walk(stride > 0 ? (uint64_t)stride : 1);
    return failures != 0;
}
