// SPDX-License-Identifier: MIT
// Puts the page together: loads the library, then handwriting, the lecture's example, and the hash.
"use strict";

const find = (id) => document.getElementById(id);

/** The hash of the run in this browser beside that of the machine that built the page. */
async function showHash(library) {
    const started = performance.now();
    const bytes = await library.bits();
    const milliseconds = performance.now() - started;
    const isas = Object.keys(BUILD.hashes), natives = new Set(Object.values(BUILD.hashes));
    find("native-hash").value = [...natives].join(" ");
    find("native-isas").textContent = `${BUILD.machine}: ${isas.join(", ")}`;
    if (!crypto.subtle) {
        find("verdict").value = "This browser computes SHA-256 on https, localhost and files only; open the page from there.";
        return;
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const equal = natives.size === 1 && natives.has(hash);
    find("hash").value = hash;
    find("bits").dataset.equal = equal;
    find("verdict").value = equal
        ? `Equal: all ${bytes.byteLength.toLocaleString("en")} bytes, computed here in ${milliseconds.toFixed(0)} ms.`
        : "Different. This is a defect of the library: please report it, with the name of your browser.";
}

async function start() {
    if (typeof WASM === "undefined" || typeof MODEL === "undefined") {
        throw new Error("wasm.js and model.js are not here yet; python docs/playground/build.py makes them.");
    }
    const library = await Library.load(bytesOf(WASM));
    find("size").textContent = `${Math.round(BUILD.bytes / 1000)}\u00a0KB`;
    find("version").textContent = BUILD.version;
    new Handwriting(new Writer(library, readModel(bytesOf(MODEL))), find);
    new Lecture(library, find);
    await showHash(library);
    document.documentElement.dataset.ready = "";
}

start().catch((error) => {
    find("error").hidden = false;
    find("error-text").textContent = error.message;
    throw error;
});
