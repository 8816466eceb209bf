/* <unmix-context-ruler>: the input of a Wave-U-Net, the shorter answer in its middle, and all rates.
 *
 * config: {title, longest, ranges: {depth, kernel_size, up_kernel_size: [low, high]},
 *          presets: [{label, depth, kernel_size, up_kernel_size, output, sample_rate}]}
 * A row of the ladder is {name, count, start, step}: its samples lie at start + k * step of the input.
 */
(() => {
  "use strict";
  const { h, Element, clamp, palette } = window.Unmix;

  const RULER = { height: 84, left: 78, right: 10, top: 26, thick: 30 };
  const LADDER = { tallest: 340, top: 6, bottom: 20 };
  const FONT = "11px system-ui, sans-serif";
  const NAMES = { depth: "Blocks each way, L", kernel_size: "Taps down",
    up_kernel_size: "Taps up" };
  const SETTINGS = Object.keys(NAMES);

  const whole = (value) => value.toLocaleString("en");
  const samples = (value) => `${whole(value)} sample${value === 1 ? "" : "s"}`;

  /** The shortest input whose answer has at least so many samples, as lib.nn.wave_unet says. */
  function lengths({ depth, kernel_size: down, up_kernel_size: up, wanted }) {
    const stride = 2 ** depth;
    const output = up + Math.ceil((wanted - up) / stride) * stride;
    const context = ((down - 1) * (2 * stride - 1) + (up - 1) * (stride - 1)) / 2;
    return { input: output + 2 * context, output, context };
  }

  /** All features on the way, from the input to the answer. */
  function ladder({ depth, kernel_size: down, up_kernel_size: up }, input) {
    const rows = [{ name: "input", count: input, start: 0, step: 1 }];
    const next = (name, change) => rows.push({ ...rows[rows.length - 1], ...change, name });
    const filter = (name, taps) => {
      const { count, start, step } = rows[rows.length - 1];
      next(name, { count: count - taps + 1, start: start + ((taps - 1) / 2) * step });
    };
    for (let level = 1; level <= depth; level++) {
      filter(`down ${level}`, down);
      const { count, step } = rows[rows.length - 1];
      next(`halved ${level}`, { count: (count + 1) / 2, step: 2 * step });
    }
    filter("middle", down);
    for (let level = depth; level >= 1; level--) {
      const { count, step } = rows[rows.length - 1];
      next(`doubled ${level}`, { count: 2 * count - 1, step: step / 2 });
      filter(level === 1 ? "answer" : `up ${level}`, up);
    }
    return rows;
  }

  class ContextRuler extends Element {
    static label = "Context ruler";

    static css = `
      canvas { display: block; width: 100%; }
      .ruler { height: ${RULER.height}px; cursor: ew-resize; touch-action: pan-y; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 9rem; }
      .slider input { min-width: 4rem; } .slider .readout { min-width: 4.6rem; }
      .caption { margin-bottom: 0; color: var(--quiet); font-size: 12.5px; }
      .results { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1.2rem;
        margin-bottom: 0; font-variant-numeric: tabular-nums; }
      dt { color: var(--quiet); } dd { margin: 0; } dd b { font-weight: 600; }
      .result { margin-bottom: 0; min-height: 1.5em; font-variant-numeric: tabular-nums; }`;

    setup(config) {
      Object.assign(this, { painted: 0, followed: 0 });
      this.build(config);
      this.usePreset(0);
      new ResizeObserver(() => this.draw()).observe(this.ruler);
    }

    build(config) {
      this.presetChoice = Unmix.choice({ label: "Network", onChange: (i) => this.usePreset(i),
        options: config.presets.map(({ label }) => label) });
      this.sliders = Object.fromEntries(SETTINGS.map((name) => {
        const [min, max] = config.ranges[name];
        return [name, Unmix.slider({ label: NAMES[name], min, max, step: name === "depth" ? 1 : 2,
          value: min, onInput: (value) => { this[name] = value; this.show(); } })];
      }));
      // logarithmic: one sample at 0, the longest at 1
      this.wantedSlider = Unmix.slider({ label: "Samples wanted", min: 0, max: 1, step: "any",
        value: 0, format: () => whole(this.wanted || 1),
        onInput: (place) => this.want(Math.round(config.longest ** place)) });
      this.wantedSlider.input.addEventListener("keydown", (event) => this.wantedKey(event));
      this.paintSlider = Unmix.slider({ label: "Painted, each end", min: 0, max: 1, value: 0,
        format: whole, onInput: (value) => { this.painted = value; this.tell(); } });
      this.followSlider = Unmix.slider({ label: "Answer followed", min: 0, max: 1, value: 0,
        format: (value) => whole(value), onInput: (value) => { this.followed = value; this.tell(); } });
      const canvas = (name) => h("canvas", { class: name, role: "img" });
      Object.assign(this, { ruler: canvas("ruler"), ladder: canvas("ladder") });
      [this.verdict, this.state] = [0, 1].map(() => h("p", { class: "result", role: "status" }));
      const names = { input: "Input", output: "Answer", context: "Context, each end",
        lost: "Input without an answer" };
      this.values = Object.fromEntries(Object.keys(names).map((name) =>
        [name, h("dd", { "data-value": name })]));
      this.panel.append(
        h("div", { class: "row" }, h("span", { class: "title" }, config.title)),
        h("div", { class: "row" }, this.presetChoice),
        h("div", {}, Object.values(this.sliders), this.wantedSlider),
        h("p", { class: "caption" }, "Paint what has no answer: drag in the ruler"),
        this.ruler, this.paintSlider, this.verdict,
        h("div", { class: "row" }, Unmix.button("Paint the border", () => this.paint(this.context))),
        h("dl", { class: "results" }, Object.entries(names).flatMap(([name, label]) =>
          [h("dt", {}, label), this.values[name]])),
        h("p", { class: "caption" }, "Every rate, where its samples lie in time"),
        this.ladder, this.followSlider, this.state,
        h("p", { class: "help" }, "Arrow keys change a slider by one step. Orange: painted by you. "
          + "Blue: features, and the answer. Black on yellow: what the followed sample of the answer "
          + "looks at. Once found, the border stays painted. Key: P paints it."));
      this.dragPaint();
      Unmix.bindKeys(this.panel, { p: () => this.paint(this.context) });
    }

    onTheme() { if (this.rows) this.draw(); }

    // ---------------------------------------------------------------- what the reader does

    usePreset(index) {
      const { output, sample_rate: rate, ...settings } = this.config.presets[index];
      Object.assign(this, { rate, wanted: output, followed: -1 });
      for (const name of SETTINGS) {
        this[name] = settings[name];
        this.sliders[name].set(settings[name], true);
      }
      this.show();
    }

    want(count) {
      this.wanted = clamp(count, 1, this.config.longest);
      this.show();
    }

    wantedKey(event) {
      const tenth = Math.max(1, Math.round(0.1 * this.wanted));
      const change = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: tenth,
        PageDown: -tenth }[event.key];
      if (!change) return;
      event.preventDefault();
      this.want(this.wanted + change);
    }

    paint(count) {
      this.paintSlider.set(clamp(Math.round(count), 0, this.paintSlider.input.max));
    }

    /** A drag paints from the nearer end of the input to the pointer, and as much at the other. */
    dragPaint() {
      const follow = (event) => {
        const box = this.ruler.getBoundingClientRect();
        const at = (event.clientX - box.left - RULER.left) / (box.width - RULER.left - RULER.right);
        this.paint(Math.min(at, 1 - at) * this.input);
      };
      this.ruler.addEventListener("pointerdown", (event) => {
        this.ruler.setPointerCapture(event.pointerId);
        this.paintSlider.input.focus({ preventScroll: true });
        event.preventDefault();
        follow(event);
      });
      this.ruler.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
    }

    // ---------------------------------------------------------------- numbers and words

    /** What a sample of the answer looks at: [first, last] index of each row, rows as in `rows`. */
    looksAt(place) {
      const { depth, kernel_size: down, up_kernel_size: up } = this;
      const spans = [[place, place]];
      const before = (change) => spans.unshift(change(...spans[0]));
      for (let level = 1; level <= depth; level++) {
        before((first, last) => [first, last + up - 1]);
        before((first, last) => [Math.floor(first / 2), Math.ceil(last / 2)]);
      }
      before((first, last) => [first, last + down - 1]);
      for (let level = depth; level >= 1; level--) {
        before((first, last) => [2 * first, 2 * last]);
        before((first, last) => [first, last + down - 1]);
      }
      return spans;
    }

    show() {
      // a border that was found stays painted
      const found = this.painted === this.context;
      Object.assign(this, lengths(this));
      this.rows = ladder(this, this.input);
      this.wantedSlider.set(Math.log(this.wanted) / Math.log(this.config.longest), true);
      const most = Math.floor((this.input - 1) / 2);
      this.paintSlider.input.max = most;
      this.painted = found ? this.context : Math.min(this.painted, most);
      this.paintSlider.set(this.painted, true);
      this.followSlider.input.max = this.output - 1;
      if (this.followed < 0) this.followed = Math.floor(this.output / 2);
      this.followed = Math.min(this.followed, this.output - 1);
      this.followSlider.set(this.followed, true);
      this.tell();
    }

    time(count) {
      const ms = (1000 * count) / this.rate;
      return ms < 1000 ? `${ms.toFixed(ms < 10 ? 2 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;
    }

    tell() {
      const { input, output, context, painted, followed, values } = this;
      const bold = (count) => [h("b", {}, samples(count)), `, ${this.time(count)}`];
      const off = Math.abs(painted - context);
      values.input.replaceChildren(...bold(input));
      const shown = { output: bold(output), context: bold(context),
        lost: [`${((200 * context) / input).toFixed(1)} %`] };
      for (const [name, parts] of Object.entries(shown)) {
        values[name].replaceChildren(...(off ? ["paint first"] : parts));
      }
      this.verdict.textContent = painted === context
        ? `Exactly: ${samples(context)} at each end are input only.`
        : painted < context
          ? `Too little: ${whole(off)} more at each end are input only.`
          : `Too much: ${whole(off)} at each end had an answer.`;
      const spans = this.looksAt(followed);
      const [first, last] = spans[0];
      const own = followed + context;
      this.state.textContent = `Answer ${whole(followed)} lies at input ${whole(own)} and looks at `
        + `input ${whole(first)} to ${whole(last)}: ${samples(last - first + 1)}, `
        + `${whole(own - first)} before it and ${whole(last - own)} behind it.`;
      this.ruler.setAttribute("aria-label", `An input of ${samples(input)}. Painted: `
        + `${whole(painted)} at each end. ${this.verdict.textContent}`);
      this.ladder.setAttribute("aria-label", "Samples of each rate, from the input to the answer: "
        + `${this.rows.map(({ name, count }) => `${name} ${whole(count)}`).join(", ")}. `
        + this.state.textContent);
      this.draw();
    }

    // ---------------------------------------------------------------- pictures

    draw() {
      if (!this.ruler.clientWidth || !this.rows) return;
      this.ink = getComputedStyle(this.ruler).color;
      this.blue = this.dark ? palette.sky : palette.blue;
      this.drawRuler();
      this.drawLadder();
    }

    say(context, align, text, x, y, color = this.ink) {
      Object.assign(context, { textAlign: align, textBaseline: "middle", fillStyle: color });
      context.fillText(text, x, y);
    }

    drawRuler() {
      const { context, width } = Unmix.fitCanvas(this.ruler);
      const unit = (width - RULER.left - RULER.right) / this.input;
      const { left, top, thick } = RULER;
      const bar = (from, to, color, alpha) => {
        Object.assign(context, { fillStyle: color, globalAlpha: alpha });
        context.fillRect(left + from * unit, top, (to - from) * unit, thick);
        context.globalAlpha = 1;
      };
      context.font = FONT;
      bar(0, this.input, this.ink, 0.14);
      bar(0, this.painted, palette.orange, 0.9);
      bar(this.input - this.painted, this.input, palette.orange, 0.9);
      Object.assign(context, { strokeStyle: this.ink, lineWidth: 1 });
      context.strokeRect(left, top, this.input * unit, thick);
      this.say(context, "right", "input", left - 8, top + thick / 2);
      this.say(context, "left", "0", left, top - 11);
      this.say(context, "right", whole(this.input - 1), width - RULER.right, top - 11);
      // the answer is told only where the paint has met it
      if (this.painted !== this.context) return;
      const [from, to] = [left + this.context * unit, left + (this.context + this.output) * unit];
      context.fillStyle = this.blue;
      context.fillRect(from, top + thick + 4, Math.max(1, to - from), 8);
      const middle = clamp((from + to) / 2, left + 40, width - RULER.right - 40);
      this.say(context, "center", `answer, ${whole(this.output)}`, middle, top + thick + 21);
    }

    drawLadder() {
      const { rows } = this;
      const thick = clamp(Math.floor(LADDER.tallest / rows.length), 9, 20);
      this.ladder.style.height = `${LADDER.top + thick * rows.length + LADDER.bottom}px`;
      const { context, width } = Unmix.fitCanvas(this.ladder);
      const unit = (width - RULER.left - RULER.right) / this.input;
      const x = (place) => RULER.left + (place + 0.5) * unit;
      const spans = this.looksAt(this.followed);
      context.font = thick < 11 ? FONT.replace("11", "9") : FONT;
      rows.forEach((row, index) => {
        const y = LADDER.top + index * thick;
        this.say(context, "right", row.name, RULER.left - 8, y + thick / 2);
        Object.assign(context, { fillStyle: this.ink, globalAlpha: 0.08 });
        context.fillRect(RULER.left, y, unit * this.input, thick - 2);
        context.globalAlpha = 1;
        const [first, last] = spans[index].map((place) => row.start + place * row.step);
        const around = Math.max(1, unit * Math.min(row.step, 8) * 0.5);
        Object.assign(context, { fillStyle: palette.yellow });
        context.fillRect(x(first) - around, y, x(last) - x(first) + 2 * around, thick - 2);
        const seen = (place) => place >= spans[index][0] && place <= spans[index][1];
        if (unit * row.step >= 4) {
          for (let place = 0; place < row.count; place++) {
            context.fillStyle = seen(place) ? "#000" : this.blue;
            const size = Math.min(5, thick - 5);
            context.fillRect(x(row.start + place * row.step) - size / 2,
              y + (thick - 2 - size) / 2, size, size);
          }
          return;
        }
        const end = row.start + (row.count - 1) * row.step;
        const line = (from, to, color) => {
          context.fillStyle = color;
          context.fillRect(x(from), y + thick / 2 - 2.5, Math.max(1, x(to) - x(from)), 3);
        };
        line(row.start, end, this.blue);
        line(first, last, "#000");
      });
      const bottom = LADDER.top + thick * rows.length + 10;
      context.font = FONT;
      this.say(context, "left", "0", RULER.left, bottom);
      this.say(context, "center", "time", (RULER.left + width - RULER.right) / 2, bottom);
      this.say(context, "right", this.time(this.input), width - RULER.right, bottom);
    }
  }

  window.Unmix.define("unmix-context-ruler", ContextRuler);
})();
