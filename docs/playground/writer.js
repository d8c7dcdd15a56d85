// SPDX-License-Identifier: MIT
// The handwriting model: its file, its LSTM in the library, and the drawing of moves from its mixture of Gaussians.
// examples/handwriting/README.md has the equations, examples/handwriting/writer.py the same in Python.
"use strict";

const DOWN = 0, LIFT = 1, END = 2, STATES = 3;

/** float32 values of float16 bits. */
function widen(halves) {
    return Float32Array.from(halves, (half) => {
        const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff;
        return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
    });
}

/** {tensors, settings} of the file that export.py wrote. */
function readModel(bytes) {
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const { __metadata__: metadata, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    const tensors = {};
    for (const [name, { shape, data_offsets: [begin, end] }] of Object.entries(entries)) {
        const halves = new Uint16Array(bytes.slice(8 + length + begin, 8 + length + end).buffer);
        tensors[name] = { shape, values: widen(halves) };
    }
    return { tensors, settings: JSON.parse(metadata.writer) };
}

/** Random numbers in [0, 1) from a seed (mulberry32): a seed writes the same digits again. */
function uniforms(seed) {
    return () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let z = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
        return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
    };
}

/** The index of the first weight at which the running sum exceeds a share of the whole. */
function pick(weights, share) {
    let left = share * weights.reduce((sum, weight) => sum + weight, 0);
    for (let k = 0; k < weights.length; k++) {
        if (left < weights[k]) return k;
        left -= weights[k];
    }
    return weights.findLastIndex((weight) => weight > 0);
}

function softmax(logits) {
    const most = Math.max(...logits);
    const weights = Array.from(logits, (logit) => Math.exp(logit - most));
    const sum = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / sum);
}

class Writer {
    constructor(library, { tensors, settings }) {
        const layer = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"].map((name) => tensors[`0.${name}`]);
        const inputs = layer[0].shape[1];
        this.settings = settings;
        this.hidden = layer[1].shape[1];
        this.head = { weight: tensors["1.weight"].values, bias: tensors["1.bias"].values };
        this.components = (this.head.bias.length - STATES) / 6;
        this.lstm = library.writer(inputs, this.hidden, layer.map((tensor) => tensor.values));
        this.x = library.array(Float32Array, new Float32Array(inputs));
        this.h = library.array(Float32Array, new Float32Array(this.hidden));
        this.digit = 0;
    }

    /** Begin a digit; `random` gives numbers in [0, 1). */
    begin(digit, random) {
        this.random = random;
        this.digit = digit;
        this.moves = 0;
        this.lstm.restart();
        const x = this.x.view(), places = STATES + 4;
        x.fill(0);
        x[places + digit] = 1;
    }

    /**
     * One step of the LSTM and a move drawn from what it expects: {dx, dy, state, milliseconds}. Lengths are in the
     * tablet's units, y upwards.
     */
    step(bias) {
        const started = performance.now();
        this.lstm.step(this.x, this.h);
        const milliseconds = performance.now() - started;
        const outputs = this.outputs(this.h.view()), M = this.components;
        const mixture = this.mixture(outputs, bias);
        const [dx, dy] = this.draw(mixture[pick(mixture.map((part) => part.weight), this.random())]);
        const { unit, near, rare, max_moves: most } = this.settings;
        const chances = softmax(outputs.subarray(6 * M)).map((chance) => (bias > 0 && chance < rare ? 0 : chance));
        const state = ++this.moves === most ? END : pick(chances, this.random());
        const x = this.x.view();
        x.set([dx, dy, ...[DOWN, LIFT, END].map((each) => Number(each === state))]);
        x[STATES + 2] += near * dx;
        x[STATES + 3] += near * dy;
        return { dx: unit * dx, dy: unit * dy, state, milliseconds };
    }

    /** The linear layer behind the LSTM. */
    outputs(h) {
        const { weight, bias } = this.head, H = this.hidden;
        return bias.map((start, k) => {
            let sum = start;
            for (let j = 0; j < H; j++) sum += weight[k * H + j] * h[j];
            return sum;
        });
    }

    /** Components of the density of the next offset; a bias makes likely ones likelier and all of them narrower. */
    mixture(outputs, bias) {
        const M = this.components, block = (k) => outputs.subarray(k * M, (k + 1) * M);
        const [w, m, n, a, b, r] = [0, 1, 2, 3, 4, 5].map(block);
        const weights = softmax(w.map((logit) => logit * (1 + bias)));
        return weights.map((weight, j) => ({
            weight, x: m[j], y: n[j], sx: Math.exp(a[j] - bias), sy: Math.exp(b[j] - bias), rho: Math.tanh(r[j]),
        }));
    }

    /** A point of one Gaussian, by Box and Muller's transform. */
    draw({ x, y, sx, sy, rho }) {
        const radius = Math.sqrt(-2 * Math.log(1 - this.random())), angle = 2 * Math.PI * this.random();
        const first = radius * Math.cos(angle), second = radius * Math.sin(angle);
        return [x + sx * first, y + sy * (rho * first + Math.sqrt(1 - rho * rho) * second)];
    }
}
