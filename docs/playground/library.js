// SPDX-License-Identifier: MIT
// The C library in WebAssembly: page.c's functions, its memory, and its statuses as errors.
"use strict";

/** The bytes of a base64 text. */
function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

class Library {
    /** The library, ready; `zipped` is the module, by gzip. It imports nothing. */
    static async load(zipped) {
        const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
        const bytes = await new Response(stream).arrayBuffer();
        const { instance } = await WebAssembly.instantiate(bytes, {});
        instance.exports._initialize();
        return new Library(instance.exports);
    }

    constructor(exports) {
        this.exports = exports;
    }

    /** A fresh array in the library's memory with these values: {address, values()}. */
    array(Type, values) {
        const count = values.length;
        const address = this.exports.page_alloc(count * Type.BYTES_PER_ELEMENT);
        if (!address) throw new Error("the library has no memory left");
        // Views die whenever the memory grows, so that each use makes its own.
        const view = () => new Type(this.exports.memory.buffer, address, count);
        view().set(values);
        return { address, view };
    }

    free(...arrays) {
        for (const array of arrays) this.exports.page_free(array.address);
    }

    /** Throws unless a status is 0, with the library's own sentence. */
    check(status) {
        if (status === 0) return;
        const memory = new Uint8Array(this.exports.memory.buffer);
        const start = this.exports.page_status_text(status);
        throw new Error(new TextDecoder().decode(memory.slice(start, memory.indexOf(0, start))));
    }

    /** An LSTM in float32: step(x, y) with arrays of `array`, and restart(). */
    writer(inputs, hidden, params) {
        const arrays = params.map((values) => this.array(Float32Array, values));
        const pointers = this.array(Uint32Array, arrays.map((array) => array.address));
        const stream = this.array(Uint32Array, [0]);
        this.check(this.exports.page_writer(inputs, hidden, pointers.address, stream.address));
        const [address] = stream.view();
        this.free(...arrays, pointers, stream);
        return {
            step: (x, y) => this.exports.page_step(address, x.address, y.address),
            restart: () => this.exports.page_restart(address),
        };
    }

    /** The lecture's network: y[t] = tanh(w · [x[t], y[t-1]] + b), for steps [[x1, x2], ...]. */
    lecture(w, b, steps) {
        const arrays = [w, steps.flat(), steps.map(() => 0)].map((values) => this.array(Float64Array, values));
        const [weights, x, y] = arrays;
        try {
            this.check(this.exports.page_lecture(weights.address, b, steps.length, x.address, y.address));
            return [...y.view()];
        } finally {
            this.free(...arrays);
        }
    }

    /** The bytes of the run that native.py does too: LSTM and GRU, each in float and in double. */
    bits() {
        const room = 1 << 16;
        const out = this.array(Uint8Array, new Uint8Array(room));
        const count = this.array(BigInt64Array, [0n]);
        const parts = [];
        for (const isLstm of [1, 0]) {
            for (const dtype of [0, 1]) {
                this.check(this.exports.page_bits(isLstm, dtype, out.address, BigInt(room), count.address));
                parts.push(out.view().slice(0, Number(count.view()[0])));
            }
        }
        this.free(out, count);
        return new Blob(parts).arrayBuffer();
    }
}
