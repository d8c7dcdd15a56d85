/* SPDX-License-Identifier: MIT
 *
 * base/fma.h against the processor's fma: every bit of the result, also where it is subnormal, cancels or overflows. C libraries
 * are no measure: that of Windows rounds twice, that of Zig forgets the sign of a product that underflows. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "rnncore.h"

#include "../../csrc/base/fma.h"
#include "../../csrc/base/fpenv.h"
#include "check.h"

#if defined(__x86_64__)
__attribute__((target("fma"))) static double expected(double a, double b, double c) { return __builtin_fma(a, b, c); }
__attribute__((target("fma"))) static float expectedf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static int can_expect(void) { return __builtin_cpu_supports("fma") != 0; }
#else
static double expected(double a, double b, double c) { return fma(a, b, c); }
static float expectedf(float a, float b, float c) { return fmaf(a, b, c); }
static int can_expect(void) { return 1; }
#endif

static uint64_t state = 1;

static uint64_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ state >> 31;
}

/* Zeros, the ends of the ranges, infinities and NaN among numbers whose exponents are within `spread` of 1. */
static double draw(int spread, const double *special, int count)
{
    const uint64_t random = next();
    if (random % 16 == 0) return special[next() % (uint64_t)count];
    const double mantissa = 1 + (double)(next() >> 12 >> next() % 52) * ldexp(1, -52); /* some have few bits */
    return ldexp(random & 1 << 20 ? mantissa : -mantissa, (int)(next() % (uint64_t)(2 * spread + 1)) - spread);
}

static int same(double a, double b) { return isnan(a) ? isnan(b) : a == b && !signbit(a) == !signbit(b); }

static void test_doubles(int count, int spread)
{
    static const double special[] = {0.0,      -0.0,      1,  -1, 0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp1023,
                                     INFINITY, -INFINITY, NAN};
    int differ = 0;
    for (int i = 0; i < count; i++) {
        const double a = draw(spread, special, 10), b = draw(spread, special, 10);
        const double c =
            next() % 4 ? draw(spread, special, 10) : -a * b; /* what is left is the product's own rounding */
        differ += !same(rc_exact_fma(a, b, c), expected(a, b, c));
    }
    CHECK(differ == 0);
}

static void test_floats(int count, int spread)
{
    static const double special[] = {0.0, -0.0, 1, -1, 0x1p-149, 0x1p-126, 0x1.fffffep127, INFINITY, -INFINITY, NAN};
    int differ = 0;
    for (int i = 0; i < count; i++) {
        const float a = (float)draw(spread, special, 10), b = (float)draw(spread, special, 10);
        const float c = next() % 4 ? (float)draw(spread, special, 10) : -a * b;
        differ += !same((double)rc_exact_fmaf(a, b, c), (double)expectedf(a, b, c));
    }
    CHECK(differ == 0);
}

#if defined(__x86_64__)
__attribute__((target("fma"))) static double flushed(double a, double b, double c) { return __builtin_fma(a, b, c); }
__attribute__((target("fma"))) static float flushedf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/* Sums around the smallest normal numbers, in the library's environment, against the processor's. */
static void test_flushing(int count)
{
    const rc_fpenv outside = rc_fpenv_enter();
    int differ = 0, differ_float = 0;
    for (int i = 0; __builtin_cpu_supports("fma") && i < count; i++) {
        static const double special[] = {0.0, -0.0, 1, 0x1p-1022, 0x1p-1030};
        const double a = draw(2, special, 4), b = ldexp(draw(1, special, 4), -1022);
        const double tiny = ldexp(draw(1, special, 5), -1021), c = next() % 3 ? (next() % 2 ? -tiny : tiny) : -0.0;
        differ += !same(rc_flushing_fma(a, b, c), flushed(a, b, c));
        const float fa = (float)a, fb = (float)ldexp(draw(1, special, 3), -126);
        const float fc = next() % 3 ? (float)ldexp(draw(1, special, 3), -125) : 0.0f;
        differ_float += !same((double)rc_exact_fmaf(fa, fb, fc), (double)flushedf(fa, fb, fc));
    }
    rc_fpenv_leave(outside);
    CHECK(differ == 0);
    CHECK(differ_float == 0);
}

/* Just below the smallest normal number, where the processor rounds up to it. */
static void test_sliver(void)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const double up = rc_flushing_fma(0x1.fffffffffffffp-512, 0x1.0000000000001p-511, 0);
    const double down = rc_flushing_fma(0x1.fffffffffffffp-512, 0x1p-511, 0);
    rc_fpenv_leave(outside);
    CHECK(up == 0x1p-1022);
    CHECK(down == 0);
}
#endif

int main(int count, char **arguments)
{
    const int draws = count > 1 && strcmp(arguments[1], "quick") == 0 ? 20000 : 1000000;
    static const int spreads[] = {0, 3, 30, 60, 130, 550, 1074};
    for (size_t i = 0; can_expect() && i < sizeof spreads / sizeof *spreads; i++) {
        check_subject = "double";
        test_doubles(draws, spreads[i]);
        check_subject = "float";
        test_floats(draws, spreads[i] < 149 ? spreads[i] : 149);
    }
#if defined(__x86_64__)
    check_subject = "flushing";
    test_flushing(draws);
    test_sliver();
#endif
    return check_result("test_fma");
}
