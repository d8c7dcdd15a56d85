/* SPDX-License-Identifier: MIT */
/* tanh and sigmoid, and their derivatives from the outputs, expm1 and softplus, for one vector width and one dtype.
 * Included after vec.h, once per (instruction set, dtype), so there is no include guard; RC_F32 or RC_F64 is 1.
 * Only IEEE operations (add, sub, mul, div, fma, min, max), no tables or estimates, -ffp-contract=off: every width
 * gives the same bits. For both dtypes, exactly:
 *   NaN gives NaN; tanh keeps the sign of zero; tanh(x) = x for tiny x, and subnormal x where they are kept; |tanh| <= 1, tanh(inf) = 1;
 *   0 <= sigmoid <= 1, sigmoid(0) = 0.5, sigmoid(-inf) = 0, sigmoid(inf) = 1.
 * Method, measured bounds and sources: docs/explanation/numerics.md. Coefficients: tools/fit_vmath.py.
 * Bounds and identities are checked by tests/c/vmath_ulp.c. */

/* b[0] + b[1] w + ... by Horner's rule; unrolls where the degree is known. */
RC_INLINE vec v_poly(const real *b, const int degree, vec w)
{
    vec sum = v_set1(b[degree]);
#pragma GCC unroll 16
    for (int i = degree - 1; i >= 0; i--) sum = v_fma(sum, w, v_set1(b[i]));
    return sum;
}

/* For x = m*ln(2)/2 + r, m the nearest integer: returns tanh(r), |r| <= ln(2)/4, and *exp2m = 2^m. */
RC_INLINE vec v_tanh_reduced(vec x, vec *exp2m)
{
#if defined(RC_F32) && RC_F32
    const real magic = 0x1.8p+23f; /* adding it leaves the rounded integer in the low bits */
    const real two_over_ln2 = 0x1.715476p+1f;
    const real half_ln2_hi = 0x1.62e430p-2f, half_ln2_lo = -0x1.05c610p-30f;
    const real b0 = -0x1.55554ep-2f, b1 = 0x1.1105d0p-3f, b2 = -0x1.aff21ep-5f;
#else
    const real magic = 0x1.8p+52;
    const real two_over_ln2 = 0x1.71547652b82fep+1;
    const real half_ln2_hi = 0x1.62e42fefa39efp-2, half_ln2_lo = 0x1.abc9e3b39803fp-57;
    const real b0 = -0x1.55555555554bdp-2, b1 = 0x1.11111110e0d99p-3, b2 = -0x1.ba1ba1175f593p-5,
               b3 = 0x1.664eca286ea20p-6, b4 = -0x1.223c874bc3a09p-7, b5 = 0x1.c38743269f270p-9;
#endif
    const vec t = v_fma(x, v_set1(two_over_ln2), v_set1(magic));
    const vec m = v_sub(t, v_set1(magic));
    vec r = v_fnma(m, v_set1(half_ln2_hi), x); /* exact */
    r = v_fnma(m, v_set1(half_ln2_lo), r);
    const vec w = v_mul(r, r);
#if defined(RC_F32) && RC_F32
    vec b = v_set1(b2);
#else
    vec b = v_fma(v_set1(b5), w, v_set1(b4));
    b = v_fma(b, w, v_set1(b3));
    b = v_fma(b, w, v_set1(b2));
#endif
    b = v_fma(b, w, v_set1(b1));
    b = v_fma(b, w, v_set1(b0));
    *exp2m = v_exp2i(t);
    return v_fma(v_mul(r, w), b, r);
}

#if defined(RC_F32) && RC_F32

/* tanh(scale*x) = 2*num/den; scale is a power of two known at compile time and only moves the constants' exponents.
 * With n/d = t close to tanh(scale*x/2), num/den = n*d / (n*n + d*d): the double-angle formula flattens the errors
 * of t as tanh nears 1, so 5 coefficients do what a plain quotient needs 8 for. */
RC_INLINE void v_tanh_ratio(vec x, const real scale, vec *num, vec *den)
{
    const real s2 = scale * scale, s4 = s2 * s2, s6 = s4 * s2;
    const real limit = 0x1.133334p+3f; /* 8.6: the quotient is exactly 1, tanh is 1 - 1.14 ULP */
    const real p1 = 0x1.e83442p-6f, p2 = 0x1.e16616p-14f;
    const real q0 = 2.0f, q1 = 0x1.cf625ep-3f, q2 = 0x1.3cf1e8p-9f, q3 = 0x1.4ce538p-19f;

    /* x is the second operand: a NaN passes both bounds. */
    x = v_max(v_set1(-limit / scale), v_min(v_set1(limit / scale), x));
    const vec u = v_mul(x, x);
    const vec p = v_fma(v_set1(p2 * s4), u, v_set1(p1 * s2));
    const vec n = v_fma(v_mul(x, u), p, x); /* x + x*u*p: one rounding, and x itself for tiny x */
    vec d = v_fma(v_set1(q3 * s6 / scale), u, v_set1(q2 * s4 / scale));
    d = v_fma(d, u, v_set1(q1 * s2 / scale));
    d = v_fma(d, u, v_set1(q0 / scale));
    *num = v_mul(n, d);
    *den = v_fma(d, d, v_mul(n, n));
}

/* tanh(x); error at most 4 ULP (mean 0.6). 13 operations and one division. */
RC_INLINE vec v_tanh(vec x)
{
    vec num, den;
    v_tanh_ratio(x, 1.0f, &num, &den);
    return v_div(v_add(num, num), den);
}

/* 1/(1 + exp(-x)), the same bits as 0.5 + 0.5*tanh(x/2); absolute error at most 2 * 2^-24.
 * 13 operations and one division. */
RC_INLINE vec v_sigmoid(vec x)
{
    vec num, den;
    v_tanh_ratio(x, 0.5f, &num, &den);
    return v_add(v_div(num, den), v_set1(0.5f));
}

#else

/* tanh(x) by the addition formula; error at most 3 ULP. 22 operations and one division. */
RC_INLINE vec v_tanh(vec x)
{
    const real limit = 0x1.31p+4;                 /* 19.0625: m = 55, both sums are 2^55, so exactly 1 */
    const vec a = v_min(v_set1(limit), v_abs(x)); /* second operand: a NaN passes */
    vec s;
    const vec t = v_tanh_reduced(a, &s);
    const vec sp = v_add(s, v_set1(1.0)), sm = v_sub(s, v_set1(1.0));
    return v_copysign(v_div(v_fma(sp, t, sm), v_fma(sm, t, sp)), x);
}

/* 1/(1 + exp(-x)) = s(1+t) / (s(1+t) + 1-t), where exp(x) = s(1+t)/(1-t); absolute error at most 1.6 * 2^-53, and
 * for x < 0 at most 3 ULP down to the smallest normal number, then 0. 20 operations and one division. */
RC_INLINE vec v_sigmoid(vec x)
{
    const real low = -0x1.628b76e3a7b61p+8; /* -1023*ln(2)/2: v_exp2i gives exponent field 0, +0 */
    const real high = 20.0;                 /* s = 2^58 swallows 1-t: the quotient is exactly 1 */
    const vec h = v_max(v_set1(low), v_min(v_set1(high), v_mul(x, v_set1(0.5))));
    vec s;
    const vec t = v_tanh_reduced(h, &s);
    const vec e = v_fma(s, t, s);
    return v_div(e, v_add(e, v_sub(v_set1(1.0), t)));
}

#endif

/* d tanh / dx from t = tanh(x). */
RC_INLINE vec v_dtanh(vec t) { return v_fnma(t, t, v_set1((real)1)); }

/* d sigmoid / dx from s = sigmoid(x); exactly 0 where s is 0 or 1. */
RC_INLINE vec v_dsigmoid(vec s) { return v_mul(s, v_sub(v_set1((real)1), s)); }

/* exp(x) - 1 for x <= 0, NaN for NaN; at least -1, x itself for tiny normal x; error at most 3 ULP.
 * For x = 2h: ((s - 1) + (s + 1) t) / (1 - t), exp(x) = s (1 + t) / (1 - t). What it gives for x > 0 is of no use. */
RC_INLINE vec v_expm1_below(vec x)
{
    const real low = sizeof(real) == 4 ? -18 : -39; /* exp(low) is below half a unit of 1: the quotient is exactly -1 */
    const vec one = v_set1(1), h = v_mul(v_max(v_set1(low), x), v_set1((real)0.5));
    vec s;
    const vec t = v_tanh_reduced(h, &s);
    return v_div(v_fma(v_add(s, one), t, v_sub(s, one)), v_sub(one, t));
}

/* exp(x) = s (1 + t) / (1 - t); error at most 3 ULP; 0 where it is below the smallest normal number, infinite from 88.38
 * (float32) or 709.44 (float64) on. */
RC_INLINE vec v_exp(vec x)
{
#if defined(RC_F32) && RC_F32
    const real low = -0x1.601e68p+6f, high = 0x1.62e430p+6f; /* -127*ln(2): +0 as above; 128*ln(2): infinity */
#else
    const real low = -0x1.628b76e3a7b61p+9, high = 0x1.62e42fefa39efp+9;
#endif
    const vec h = v_mul(v_max(v_set1(low), v_min(v_set1(high), x)), v_set1((real)0.5));
    vec s;
    const vec t = v_tanh_reduced(h, &s);
    return v_div(v_mul(s, v_add(v_set1(1), t)), v_sub(v_set1(1), t)); /* no fma: infinity times t < 0 */
}

/* log(1 + exp(x)); error at most 3 ULP (float32), 3.5 ULP (float64), from where exp(x) is a normal number, then 0.
 * max(x, 0) + log(1 + z), z = exp(-|x|) = E / D: log(1 + z) = 2 atanh(u), u = z / (2 + z) = E / (2 D + E) <= 1/3. */
RC_INLINE vec v_softplus(vec x)
{
#if defined(RC_F32) && RC_F32
    const real low = -0x1.601e68p+5f; /* -127*ln(2)/2: v_exp2i gives exponent field 0, +0 */
    enum { DEGREE = 4 };
    static const real b[DEGREE + 1] = {0x1.555558p-2f, 0x1.9996a8p-3f, 0x1.250986p-3f, 0x1.b6d4bap-4f, 0x1.f1b6b4p-4f};
#else
    const real low = -0x1.628b76e3a7b61p+8; /* -1023*ln(2)/2 */
    enum { DEGREE = 9 };
    static const real b[DEGREE + 1] = {
        0x1.5555555555535p-2, 0x1.99999999a0875p-3, 0x1.2492492083b9cp-3, 0x1.c71c74206f1b1p-4, 0x1.745cb37ad8824p-4,
        0x1.3b1de5f53ecb2p-4, 0x1.1067424d17769p-4, 0x1.efdff4e0f2730p-5, 0x1.55914f97f9881p-5, 0x1.5c94d2667cc59p-4};
#endif
    const vec one = v_set1(1), h = v_max(v_set1(low), v_mul(v_abs(x), v_set1((real)-0.5)));
    vec s;
    const vec t = v_tanh_reduced(h, &s);
    const vec e = v_fma(s, t, s), d = v_sub(one, t);
    const vec u = v_div(e, v_add(v_add(d, d), e)), w = v_mul(u, u), twice = v_add(u, u);
    return v_add(v_max(v_zero(), x), v_fma(v_mul(twice, w), v_poly(b, DEGREE, w), twice));
}
