// SPDX-License-Identifier: MIT
// The sheet of paper: a canvas of cells, a digit in each, and ink that is thinner where the pen is faster.
"use strict";

/** Side of a cell in the tablet's units; most digits are smaller. */
const CELL = 300;
/** Where a cell's line is, from the lower edge, as a share of the side. */
const LINE = 0.18;
/** Digits that a sheet has room for, at least. */
const ROOM = 10;
/** Width of the ink of a slow pen is a third more than this. */
const INK = 8;

class Sheet {
    constructor(canvas) {
        this.canvas = canvas;
        this.digits = [];
        this.next = 0;
        this.resize();
    }

    /** Fit the cells to the canvas' width on the page; the latest digits stay. */
    resize() {
        const width = this.canvas.parentElement.clientWidth, ratio = window.devicePixelRatio || 1;
        const columns = Math.min(5, Math.max(3, Math.round(width / 140)));
        const rows = Math.ceil(ROOM / columns), side = width / columns;
        this.canvas.style.height = `${side * rows}px`;
        this.canvas.width = Math.round(width * ratio);
        this.canvas.height = Math.round(side * rows * ratio);
        this.scale = (side * ratio) / CELL;
        if (columns === this.columns) return;
        this.columns = columns;
        this.rows = rows;
        this.digits = this.digits.slice(-columns * rows);
        this.digits.forEach((digit, k) => (digit.cell = k));
        this.next = this.digits.length;
    }

    clear() {
        this.digits = [];
        this.next = 0;
    }

    /** Begin a digit in the next cell, over what was there; `begin` is where the pen stands, as `place` has it. */
    begin(digit, begin) {
        const cell = this.next++ % (this.columns * this.rows);
        this.digits = this.digits.filter((other) => other.cell !== cell);
        this.digits.push({ cell, digit, points: [{ x: begin[0], y: begin[1], jump: true }], done: false, settled: 0 });
        return this.digits.at(-1);
    }

    /** A digit is written: its ink dries, and `settle` moves it to where it belongs. */
    finish(digit) {
        const x = digit.points.map((point) => point.x), y = digit.points.map((point) => point.y);
        digit.done = true;
        digit.shift = { x: -(Math.min(...x) + Math.max(...x)) / 2, y: -Math.min(...y) };
    }

    /** Finished digits come closer to standing in the middle of their lines. */
    settle(seconds) {
        for (const digit of this.digits) if (digit.done) digit.settled = Math.min(1, digit.settled + 3 * seconds);
    }

    /** Draw everything. Of the last move of the digit under way only a `part` is done. */
    draw(part) {
        const context = this.canvas.getContext("2d"), style = getComputedStyle(this.canvas);
        const [ink, accent, rule] = ["--ink", "--accent", "--rule"].map((name) => style.getPropertyValue(name).trim());
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.clearRect(0, 0, this.canvas.width, this.canvas.height);
        this.drawRules(context, rule);
        for (const digit of this.digits) {
            this.place(context, digit);
            if (digit.done) drawInk(context, digit.points, ink);
            else drawInk(context, untilNow(digit.points, part), accent);
        }
    }

    /** The line that each row of digits stands on. */
    drawRules(context, color) {
        context.strokeStyle = color;
        context.lineWidth = Math.max(1, this.scale * 2.5);
        for (let row = 1; row <= this.rows; row++) {
            const y = (row - LINE) * this.scale * CELL;
            context.beginPath();
            context.moveTo(0.06 * this.scale * CELL, y);
            context.lineTo(this.canvas.width - 0.06 * this.scale * CELL, y);
            context.stroke();
        }
    }

    /** Coordinates of a digit: units of the tablet from the middle of its line, y upwards. */
    place(context, { cell, shift, settled }) {
        const column = cell % this.columns, row = Math.floor(cell / this.columns), s = this.scale;
        context.setTransform(s, 0, 0, -s, (column + 0.5) * CELL * s, (row + 1 - LINE) * CELL * s);
        const share = settled * settled * (3 - 2 * settled);
        if (shift) context.translate(share * shift.x, share * shift.y);
    }
}

/** Points of which the last one is not reached: the pen is a part of the way there. */
function untilNow(points, part) {
    const from = points.at(-2), to = points.at(-1);
    const tip = { x: from.x + part * (to.x - from.x), y: from.y + part * (to.y - from.y), jump: to.jump };
    return [...points.slice(0, -1), tip];
}

/** Strokes as curves from middle to middle; a piece's width falls with the pen's speed, the mean of five moves. */
function drawInk(context, points, color) {
    Object.assign(context, { strokeStyle: color, lineCap: "round" });
    const middle = (k) => ({ x: (points[k].x + points[k - 1].x) / 2, y: (points[k].y + points[k - 1].y) / 2 });
    const lengths = points.map((to, k) => (k ? Math.hypot(to.x - points[k - 1].x, to.y - points[k - 1].y) : 0));
    points.forEach((point, k) => {
        const begins = k === 0 || point.jump, ends = k === points.length - 1 || points[k + 1].jump;
        if (begins && ends) return;
        const near = lengths.slice(Math.max(1, k - 2), k + 3), speed = near.reduce((a, b) => a + b, 0) / near.length;
        const from = begins ? point : middle(k), to = ends ? point : middle(k + 1);
        context.lineWidth = INK * (0.55 + 0.75 / (1 + speed / 10));
        context.beginPath();
        context.moveTo(from.x, from.y);
        context.quadraticCurveTo(point.x, point.y, to.x, to.y);
        context.stroke();
    });
}
