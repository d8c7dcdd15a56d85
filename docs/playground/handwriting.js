// SPDX-License-Identifier: MIT
// Handwriting on the page: the sliders, the buttons, and the clock that moves the pen.
"use strict";

/** Moves of the pen in a second, and seconds between two digits. */
const PACE = 30, REST = 0.5;

class Handwriting {
    constructor(writer, find) {
        this.writer = writer;
        this.find = find;
        this.sheet = new Sheet(find("sheet"));
        this.still = matchMedia("(prefers-reduced-motion: reduce)");
        this.seed = 1;
        this.current = null;
        this.rest = 0;
        this.paused = false;
        this.visible = true;
        this.listen();
        this.showSliders();
        this.last = performance.now();
        requestAnimationFrame((now) => this.frame(now));
    }

    get bias() {
        return this.find("bias").valueAsNumber;
    }

    listen() {
        const { find, sheet } = this;
        find("bias").addEventListener("input", () => this.showSliders());
        find("digit").addEventListener("input", () => {
            find("count").checked = false;
            this.showSliders();
            this.begin();
        });
        find("pause").addEventListener("click", () => this.pause(!this.paused));
        find("clear").addEventListener("click", () => {
            sheet.clear();
            this.begin();
            this.draw();
            this.pause(false);
        });
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
        new ResizeObserver(() => {
            sheet.resize();
            this.draw();
        }).observe(find("sheet").parentElement);
        new IntersectionObserver(([entry]) => {
            this.visible = entry.isIntersecting;
        }).observe(find("sheet"));
    }

    showSliders() {
        this.find("bias-value").value = this.bias.toFixed(1);
        this.find("digit-value").value = this.find("digit").value;
    }

    pause(paused) {
        this.paused = paused;
        this.find("pause").textContent = paused ? "Go on" : "Pause";
    }

    /** Begin the digit of the slider in the next cell. What was under way stays as it is. */
    begin() {
        const digit = this.find("digit").valueAsNumber, { writer, sheet } = this;
        if (this.current) sheet.finish(this.current);
        writer.begin(digit, uniforms(this.seed++));
        this.current = sheet.begin(digit, writer.settings.begin[digit]);
        this.jump = false;
        this.step();
    }

    /** The next move: where it goes is known at once, and the pen then takes its time. */
    step() {
        const move = this.writer.step(this.bias), { points } = this.current, from = points.at(-1);
        points.push({ x: from.x + move.dx, y: from.y + move.dy, jump: this.jump });
        this.jump = move.state === LIFT;
        this.move = move;
        this.part = 0;
        this.find("pace").value = `Move ${points.length - 1}, ${move.milliseconds.toFixed(1)} ms in the library`;
    }

    /** The digit is written: rest, and choose the next one. */
    finish() {
        this.sheet.finish(this.current);
        this.current = null;
        this.rest = this.still.matches ? 0 : REST;
        const digit = this.find("digit");
        if (this.find("count").checked) digit.value = (digit.valueAsNumber + 1) % 10;
        this.showSliders();
        const written = this.sheet.digits.map((each) => each.digit).join(", ");
        this.find("sheet").setAttribute("aria-label", `Digits written by the network: ${written}`);
        if (this.still.matches && this.sheet.next % ROOM === 0) this.pause(true);
    }

    frame(now) {
        const seconds = Math.min(0.1, (now - this.last) / 1000);
        this.last = now;
        if (!this.paused && this.visible) {
            if (this.still.matches) this.writeAtOnce();
            else this.advance(seconds);
            this.sheet.settle(this.still.matches ? 1 : seconds);
            this.draw();
        }
        requestAnimationFrame((then) => this.frame(then));
    }

    /** A whole digit, for those who want nothing to move. */
    writeAtOnce() {
        if (!this.current) this.begin();
        while (this.move.state !== END) this.step();
        this.finish();
    }

    advance(seconds) {
        if (!this.current) {
            this.rest -= seconds;
            if (this.rest <= 0) this.begin();
            return;
        }
        this.part += seconds * PACE;
        while (this.current && this.part >= 1) {
            const left = this.part - 1;
            if (this.move.state === END) this.finish();
            else {
                this.step();
                this.part = left;
            }
        }
    }

    draw() {
        this.sheet.draw(this.part);
    }
}
