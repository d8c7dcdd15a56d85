// SPDX-License-Identifier: MIT
// The lecture's worked example on the page: numbers to edit, and every step with its numbers put in.
"use strict";

const LECTURE = { w: [0.7, 0.3, 0.4], b: 0.4, steps: [[0.1, 0.4], [0.7, 0.9]] };
const MOST_STEPS = 6;

class Lecture {
    constructor(library, find) {
        this.library = library;
        this.find = find;
        this.steps = structuredClone(LECTURE.steps);
        for (const id of ["w1", "w2", "w3", "b"]) find(id).addEventListener("input", () => this.run());
        find("add-step").addEventListener("click", () => {
            this.steps.push([...this.steps.at(-1)]);
            this.build();
        });
        find("remove-step").addEventListener("click", () => {
            this.steps.pop();
            this.build();
        });
        find("lecture-reset").addEventListener("click", () => this.reset());
        this.reset();
    }

    reset() {
        ["w1", "w2", "w3"].forEach((id, k) => (this.find(id).value = LECTURE.w[k]));
        this.find("b").value = LECTURE.b;
        this.steps = structuredClone(LECTURE.steps);
        this.build();
    }

    /** A row of the table for each step. */
    build() {
        const rows = this.steps.map((x, t) => {
            const row = document.createElement("li");
            row.append(`Step ${t + 1}`, this.field(t, 0), this.field(t, 1), document.createElement("output"));
            return row;
        });
        this.find("steps").replaceChildren(...rows);
        this.find("add-step").disabled = this.steps.length === MOST_STEPS;
        this.find("remove-step").disabled = this.steps.length === 1;
        this.run();
    }

    field(t, k) {
        const label = document.createElement("label"), input = document.createElement("input");
        Object.assign(input, { type: "number", step: "0.1", value: this.steps[t][k], required: true });
        input.setAttribute("aria-label", `Input ${k + 1} of step ${t + 1}`);
        input.addEventListener("input", () => {
            this.steps[t][k] = input.valueAsNumber;
            this.run();
        });
        label.append(variable("x", k + 1), input);
        return label;
    }

    /** Compute, and write each step out. */
    run() {
        const w = ["w1", "w2", "w3"].map((id) => this.find(id).valueAsNumber), b = this.find("b").valueAsNumber;
        const complete = [...w, b, ...this.steps.flat()].every(Number.isFinite);
        const y = complete ? this.library.lecture(w, b, this.steps) : [];
        this.find("steps").querySelectorAll("output").forEach((output, t) => {
            output.replaceChildren(...(complete ? this.sentence(w, b, t, y) : ["needs a number in every field"]));
        });
    }

    /** tanh(w1 x1 + w2 x2 + w3 y + b) = y of step t, in numbers. */
    sentence(w, b, t, y) {
        const read = [...this.steps[t], t ? y[t - 1] : 0], short = (value) => signed(Number(value.toFixed(4)));
        const products = w.map((weight, k) => `${short(weight)}·${short(read[k])}`);
        const result = document.createElement("strong");
        result.textContent = y[t].toFixed(4);
        result.title = `in double: ${y[t]}`;
        return [variable("y", t + 1), ` = tanh(${products.join(" + ")} + ${short(b)}) = `, result];
    }
}

/** A negative number in parentheses, with a minus sign. */
function signed(value) {
    return value < 0 ? `(−${-value})` : String(value);
}

/** A letter with an index. */
function variable(letter, index) {
    const element = document.createElement("span"), below = document.createElement("sub");
    element.className = "variable";
    below.textContent = index;
    element.append(letter, below);
    return element;
}
