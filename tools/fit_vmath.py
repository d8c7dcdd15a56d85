# SPDX-License-Identifier: MIT
"""Fit the coefficients of csrc/simd/vmath.h and print them as C hexadecimal constants.

float32: tanh(x) = 2nd / (n*n + d*d), n = x*(1 + p1 u + p2 u^2), d = 2 + q1 u + q2 u^2 + q3 u^3, u = x^2:
a minimax fit of the relative error, then a seeded search among neighbouring floats that lowers the worst
error of the rounded evaluation.
Odd functions, f(r) = r + r w B(w), w = r^2, by minimax polynomials (Remez): tanh on |r| <= ln(2)/4 (in float32 for
expm1 and softplus only), atanh on |r| <= 1/3 for softplus.
Usage: python tools/fit_vmath.py [float32|float64] [--tries 1500]
"""

import argparse

import mpmath as mp
import numpy as np

LIMIT = np.float32(8.6)  # beyond it float32 tanh is set to 1, which is at most 1.14 ULP away
SEED = 5
HARD = 2.7  # ULP; only the values that reach it with some candidate decide the search
F32_NAMES = ("p1", "p2", "q1", "q2", "q3")
TANH_DEGREE = {"float32": 2, "float64": 5}
ATANH_DEGREE = {"float32": 4, "float64": 9}


def double_angle(coef, x):
    """tanh(x) from float64 coefficients in float64 arithmetic; x (n,) float64."""
    p1, p2, q1, q2, q3 = coef
    u = x * x
    n = x * (1 + u * (p1 + u * p2))
    d = 2 + u * (q1 + u * (q2 + u * q3))
    return 2 * n * d / (n * n + d * d)


def _fma(a, b, c):
    """fused multiply-add: exact product in float64; double rounding of the sum is too rare to count."""
    return (a.astype(np.float64) * np.float64(b) + np.float64(c)).astype(np.float32)


def double_angle_rounded(coef, x):
    """tanh(x) in float32, with the operations and their order as in vmath.h; coef and x float32."""
    p1, p2, q1, q2, q3 = coef
    u = x * x
    n = _fma(x * u, _fma(u, p2, p1), x)
    d = _fma(u, q3, q2)
    d = _fma(d, u, q1)
    d = _fma(d, u, np.float32(2))
    num = n * d
    return (num + num) / _fma(d, d, n * n)


def start_float32(limit, points=3000, rounds=30):
    """Linearised least squares for tanh(x/2) = n/d (the denominators of the last round are weights)."""
    s = np.linspace(1e-2, limit, points)
    u, t, q = (s / limit) ** 2, np.tanh(s / 2), np.ones(points)
    for _ in range(rounds):
        columns = [s * u, s * u**2, -t * u, -t * u**2, -t * u**3]
        a = np.stack(columns, 1) / (t * q)[:, None]
        sol = np.linalg.lstsq(a, (2 * t - s) / (t * q), rcond=None)[0]
        q = 2 + u * (sol[2] + u * (sol[3] + u * sol[4]))
    return sol / limit ** np.array([2.0, 4, 2, 4, 6])


def minimax_float32(limit, points=3000, rounds=200):
    """Minimax relative error by Lawson's weights around Gauss-Newton steps in the coefficients' logarithms.

    Returns (worst relative error, coefficients).
    """
    angle = (np.arange(points) + 0.5) * np.pi / points
    s = limit * (1 - np.cos(angle)) / 2
    s = s[s > 1e-3]
    truth, lawson, coef, best = np.tanh(s), np.ones(s.size), start_float32(limit), (np.inf, None)
    for k in range(rounds):
        error = double_angle(coef, s) / truth - 1
        worst = np.abs(error).max()
        if worst < best[0]:
            best = (worst, coef)
        if k > 5:  # let the plain least squares settle first
            lawson = np.maximum(lawson * np.abs(error) / worst, 1e-10 * lawson.max())
            lawson /= lawson.mean()
        for _ in range(2):
            value = double_angle(coef, s)
            jac = np.stack([(double_angle(coef * (1 + 1e-6 * e), s) - value) / 1e-6 for e in np.eye(5)], 1)
            weight = np.sqrt(lawson) / truth
            step = np.linalg.lstsq(jac * weight[:, None], (truth - value) * weight, rcond=None)[0]
            coef = coef * (1 + step * min(1, 0.5 / np.abs(step).max()))
    return best


class _Meter:
    """Worst error in ULP over fixed values, the hard ones kept apart so that most candidates die early."""

    def __init__(self, rng, count=3_000_000):
        dense = np.concatenate([np.arange(a, b, 2.0**-25) for a, b in ((0.2490, 0.2570), (0.5, 0.505))])
        spread = np.exp(rng.uniform(np.log(2e-2), np.log(LIMIT), count))
        x = np.unique(np.concatenate([spread, dense]).astype(np.float32))
        self.x = x[x < LIMIT]
        self.truth = np.tanh(self.x.astype(np.float64))
        self.ulp = 2.0 ** (np.floor(np.log2(self.truth)) - 23)
        self.hard = np.zeros(self.x.size, bool)

    def error(self, coef, where=slice(None)):
        value = double_angle_rounded(coef, self.x[where])
        return np.abs(value - self.truth[where]) / self.ulp[where], value.max(initial=0)

    def worst(self, coef, best):
        """The worst error, or infinity unless it is below best, no value passes 1 and LIMIT gives 1."""
        if double_angle_rounded(coef, np.array([LIMIT]))[0] != 1:
            return np.inf
        if self.error(coef, self.hard)[0].max(initial=0) >= best:
            return np.inf
        error, top = self.error(coef)
        self.hard |= error > HARD
        return error.max() if top <= 1 and error.max() < best else np.inf


def fit_float32(tries):
    """Returns (worst ULP over the meter's values, float32 coefficients)."""
    relative, coef = minimax_float32(float(LIMIT))
    print(f"/* float32: minimax relative error 2^{np.log2(relative):.2f} before rounding */")
    rng = np.random.default_rng(SEED)
    meter = _Meter(rng)
    spread = np.array([40, 40, 16, 16, 40])  # about equally visible steps, in units of the last place
    centre = coef.astype(np.float32)
    best, kept = np.inf, centre
    for _ in range(tries):
        jump = np.rint(rng.normal(size=5) * spread * rng.choice([0.02, 0.1, 0.4, 1.0])).astype(np.int32)
        candidate = (kept.view(np.int32) + jump).view(np.float32)
        worst = meter.worst(candidate, best)
        if worst < best:
            best, kept = worst, candidate
    return best, kept


def tanh_rest(w):
    """(tanh(r)/r - 1)/w at w = r^2."""
    if w < mp.mpf("1e-8"):
        return -mp.mpf(1) / 3 + 2 * w / 15 - 17 * w * w / 315
    r = mp.sqrt(w)
    return (mp.tanh(r) / r - 1) / w


def atanh_rest(w):
    """(atanh(r)/r - 1)/w at w = r^2."""
    if w < mp.mpf("1e-8"):
        return mp.mpf(1) / 3 + w / 5 + w * w / 7
    r = mp.sqrt(w)
    return (mp.atanh(r) / r - 1) / w


def fit_odd(rest, limit, degree, points=400, rounds=12):
    """Remez exchange for `rest` on |r| <= limit, weighted by w: the relative error of the odd function.

    Returns (worst relative error, coefficients).
    """
    low, high = mp.mpf("1e-12"), (limit * mp.mpf("1.0001")) ** 2
    count = degree + 2
    ref = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * k / (count - 1)) for k in range(count)]
    grid = [low + (high - low) * (1 - mp.cos(mp.pi * i / points)) / 2 for i in range(points + 1)]
    for _ in range(rounds):
        a = mp.matrix([[z**j for j in range(degree + 1)] + [(-1) ** i / z] for i, z in enumerate(ref)])
        sol = list(mp.lu_solve(a, mp.matrix([rest(z) for z in ref])))
        coef, level = sol[:-1], abs(sol[-1])
        error = [z * (rest(z) - mp.polyval(coef[::-1], z)) for z in grid]
        runs = [[0]]
        for i in range(1, points + 1):
            if mp.sign(error[i]) == mp.sign(error[runs[-1][-1]]):
                runs[-1].append(i)
            else:
                runs.append([i])
        worst = max(abs(e) for e in error)
        if len(runs) != count or worst < level * mp.mpf("1.001"):
            return worst, coef
        ref = [grid[max(run, key=lambda i: abs(error[i]))] for run in runs]
    return worst, coef


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dtype", nargs="?", choices=("float32", "float64"))
    parser.add_argument("--tries", type=int, default=1500, help="float32: candidates of the search")
    args = parser.parse_args()
    mp.mp.dps = 40
    if args.dtype != "float64":
        worst, coef = fit_float32(args.tries)
        print(f"/* float32: {worst:.3f} ULP over the sampled values */")
        print(", ".join(f"{name} = {float(c).hex()}f" for name, c in zip(F32_NAMES, coef, strict=True)))
    for dtype in ("float32", "float64") if args.dtype is None else (args.dtype,):
        suffix, cast = ("f", np.float32) if dtype == "float32" else ("", float)
        for name, rest, limit, degree in (
            ("tanh", tanh_rest, mp.log(2) / 4, TANH_DEGREE[dtype]),
            ("atanh", atanh_rest, mp.mpf(1) / 3, ATANH_DEGREE[dtype]),
        ):
            worst, coef = fit_odd(rest, limit, degree)
            print(f"/* {dtype} {name}: relative error 2^{float(mp.log(worst, 2)):.2f} */")
            print(", ".join(f"b{k} = {float(cast(float(c))).hex()}{suffix}" for k, c in enumerate(coef)))


if __name__ == "__main__":
    main()
