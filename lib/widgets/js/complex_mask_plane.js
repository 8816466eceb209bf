/* <unmix-complex-mask-plane>: the arrows of one bin, and its mask to drag.
 *
 * config: {title, sample_rate, n_fft, hop_length, bound, sources: [{name, source: data URI}]}
 * The mixture is the sum of the sources. Spectra and the mask are {re, im} [frame * bins + bin].
 */
(() => {
  "use strict";
  const { h, svg, Element, Player, Axes, clamp, siSdr } = window.Unmix;

  const TRACKS = ["Mixture", "Your result", "What you removed", "True source"];
  const VIEWS = ["As they are", "Divided by X"];
  const PATCHES = [
    { text: "1 bin", radius: 0 }, { text: "3 \u00d7 3", radius: 1 }, { text: "9 \u00d7 9", radius: 4 },
    { text: "33 \u00d7 33", radius: 16 }, { text: "all", radius: Infinity }];
  const RANGE = 60; // dB drawn below the loudest point
  const HALF = 100; // the plane's units from its middle to its edge
  const WAIT = 100; // ms between two sounds while M moves
  const STEP = 0.05; // of the arrow keys, relative to the half width of the plane

  const number = (value, digits = 1) => {
    if (!Number.isFinite(value)) return value > 0 ? "\u221e" : "\u2212\u221e";
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
  };
  const db = (ratio) => 10 * Math.log10(ratio);
  const polar = (re, im) =>
    `${number(Math.hypot(re, im), 2)} \u2220 ${number((180 * Math.atan2(im, re)) / Math.PI, 0)}\u00b0`;

  /** Shorten a complex number to at most `bound`; the angle stays. */
  function shorten([re, im], bound) {
    const modulus = Math.hypot(re, im);
    return modulus > bound ? [(re * bound) / modulus, (im * bound) / modulus] : [re, im];
  }

  class ComplexMaskPlane extends Element {
    static label = "Complex mask plane";

    static css = `
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 4.6rem; }
      .plot { touch-action: none; cursor: crosshair; }
      .plot.image canvas:first-child { image-rendering: pixelated; }
      .both { display: flex; flex-wrap: wrap; gap: .6rem 1.1rem; align-items: flex-start; }
      .both > svg { flex: 0 1 19rem; min-width: 14rem; width: 100%; max-width: 19rem; aspect-ratio: 1;
        touch-action: none; cursor: grab; border-radius: 6px; background: var(--soft); }
      .both > div { flex: 1 1 15rem; min-width: 0; }
      .both > div > * + * { margin-top: .5rem; }
      svg text { font-size: 8.5px; fill: currentColor; font-weight: 600; }
      svg .scale { font-weight: 400; font-size: 7px; fill: var(--quiet); }
      svg .grid { stroke: var(--line); stroke-width: .7; }
      svg .bound { fill: none; stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 3 2.4; }
      svg .arrow { stroke-width: 2.2; stroke-linecap: round; }
      svg .x { stroke: var(--x); fill: var(--x); } svg .s { stroke: var(--s); fill: var(--s); }
      svg .m { stroke: var(--m); fill: var(--m); }
      svg .miss { stroke: var(--quiet); stroke-dasharray: 2 2; stroke-width: 1.2; }
      :host { --x: #0072b2; --s: #00734d; --m: #b3400a; }
      :host([data-dark]) { --x: #7cc0f5; --s: #4fd0a0; --m: #ff9d6b; }
      dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .8rem; margin: 0;
        font-variant-numeric: tabular-nums; }
      dt { font-weight: 600; } dd { margin: 0; }
      dt.x { color: var(--x); } dt.s { color: var(--s); } dt.m { color: var(--m); }
      button { padding: .15rem .6rem; min-height: 1.9rem; }
      .slider label { min-width: 3.6rem; }
      .score { font-variant-numeric: tabular-nums; font-weight: 600; font-size: 15px; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      await this.readSources(config);
      const count = this.spectrum.re.length;
      this.mask = { re: new Float32Array(count).fill(1), im: new Float32Array(count) };
      Object.assign(this, { target: 0, patch: 2, view: 0, bound: config.bound, drag: false });
      this.player = new Player({ sampleRate: this.rate });
      this.place = this.clearest();
      this.build(config);
      this.changed();
      this.player.select(1);
    }

    get index() { return this.place.frame * this.spectrum.bins + this.place.bin; }

    /** Where the panel starts: the bin in which the first source loses most to the phase. */
    clearest() {
      const { re, im, bins } = this.spectrum;
      const source = this.spectra[0];
      let [best, most] = [0, -1];
      for (let i = 0; i < re.length; i++) {
        const across = Math.abs(source.im[i] * re[i] - source.re[i] * im[i]) / Math.hypot(re[i], im[i]);
        if (across > most) [best, most] = [i, across];
      }
      return { frame: Math.floor(best / bins), bin: best % bins };
    }

    // -------------------------------------------------------------- building

    build(config) {
      const pick = (label, options, onChange, extra = {}) => {
        const node = Unmix.choice({ label, options, onChange, ...extra });
        return [node, h("div", { class: "labelled" }, h("span", { "aria-hidden": "true" }, label), node)];
      };
      const [, keepRow] = pick("Keep", this.names, (i) => { this.target = i; this.changed(); });
      const [, patchRow] = pick("Change", PATCHES.map(({ text }) => text),
        (i) => { this.patch = i; this.drawCursor(); }, { value: this.patch });
      const [, viewRow] = pick("Arrows", VIEWS, (i) => { this.view = i; this.drawPlane(); });
      const [hear, hearRow] = pick("Hear", TRACKS, (i) => this.player.select(i), { value: 1, keys: true });
      this.boundSlider = Unmix.slider({ label: "Bound", min: 0.5, max: 10, step: 0.5, value: this.bound,
        format: (v) => `|M| \u2264 ${number(v)}`, onInput: (v) => this.setBound(v) });
      const duration = this.mixture.length / this.rate;
      this.axes = new Axes({ image: true, height: 200,
        x: { min: 0, max: duration, label: "Time (s)" },
        y: { min: 0, max: this.rate / 2, count: 4, label: "Frequency (kHz)",
          format: (value) => String(value / 1000) } });
      this.head = h("div", { class: "head", style: "left:0" });
      this.axes.plot.append(this.head);
      this.plane = svg("svg", { viewBox: `${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`, tabindex: 0,
        role: "application",
        "aria-label": "Complex plane. Arrow keys move the mask, Enter takes the ideal one" });
      this.values = h("dl");
      this.error = h("p", { class: "note" });
      this.score = h("span", { class: "score", role: "status" });
      this.timeBox = h("span", { class: "push" });
      const fill = (text, kind, title) => Unmix.button(text, () => this.fill(kind), { title });
      this.panel.append(
        config.title ? h("div", { class: "title" }, config.title) : "",
        keepRow, this.axes.element,
        h("div", { class: "both" }, this.plane,
          h("div", {}, this.values, this.error, viewRow, patchRow, this.boundSlider,
            h("div", { class: "row" },
              Unmix.button("Ideal here", () => this.takeIdeal(), { title: "S / X within the bound" }),
              h("span", {}, "Everywhere:"), fill("M = 1", "one", "the mixture as it is"),
              fill("best real, 0 to 1", "real", "the real part of S / X, cut to 0 to 1"),
              fill("S / X, bounded", "complex", "the complex ideal ratio mask within the bound")))),
        h("div", { class: "row" }, Unmix.playButton(this.player), this.score, this.timeBox),
        hearRow,
        h("div", { class: "row" }, Unmix.toggle({ label: "Loop around the bin", value: false, key: "L",
          onChange: (on) => this.loop(on) })),
        h("p", { class: "help" }, "Click the spectrogram to choose a bin, then drag the tip of M. From "
          + "the keyboard: arrow keys on the spectrogram move from bin to bin (Shift: eight at once), "
          + "arrow keys on the plane move M, Enter takes S / X, Space plays, 1 to 4 choose what you hear."));
      const keys = { " ": () => this.player.toggle(),
        l: () => this.panel.querySelector("[role=switch]").click() };
      TRACKS.forEach((_, i) => { keys[i + 1] = () => hear.select(i); });
      Unmix.bindKeys(this.panel, keys);
      this.bindSpectrogram(this.axes.plot);
      this.bindPlane();
      this.player.addEventListener("tick", () => {
        this.head.style.left = `${(100 * this.player.position * this.rate) / this.mixture.length}%`;
      });
      new ResizeObserver(() => this.drawCursor()).observe(this.axes.plot);
    }

    onTheme() { if (this.axes) this.drawCursor(); }

    // -------------------------------------------------------------- the mask

    ideal(i) {
      const { re, im } = this.spectrum;
      const source = this.spectra[this.target];
      const power = re[i] ** 2 + im[i] ** 2;
      if (power === 0) return [0, 0];
      return [(source.re[i] * re[i] + source.im[i] * im[i]) / power,
        (source.im[i] * re[i] - source.re[i] * im[i]) / power];
    }

    /** Indices of the patch around the chosen bin. */
    *inPatch() {
      const { radius } = PATCHES[this.patch];
      const { frames, bins } = this.spectrum;
      const { frame, bin } = this.place;
      for (let k = Math.max(0, frame - radius); k <= Math.min(frames - 1, frame + radius); k++) {
        for (let f = Math.max(0, bin - radius); f <= Math.min(bins - 1, bin + radius); f++) {
          yield k * bins + f;
        }
      }
    }

    set(i, value) {
      [this.mask.re[i], this.mask.im[i]] = shorten(value, this.bound);
    }

    setMask(value) {
      for (const i of this.inPatch()) this.set(i, value);
      this.soon();
    }

    takeIdeal() {
      for (const i of this.inPatch()) this.set(i, this.ideal(i));
      this.changed();
      this.announce(`Ideal within the bound. ${this.score.textContent}`);
    }

    fill(kind) {
      for (let i = 0; i < this.mask.re.length; i++) {
        if (kind === "one") this.set(i, [1, 0]);
        else if (kind === "real") this.set(i, [clamp(this.ideal(i)[0], 0, 1), 0]);
        else this.set(i, this.ideal(i));
      }
      this.changed();
      this.announce(this.score.textContent);
    }

    setBound(value) {
      this.bound = value;
      for (let i = 0; i < this.mask.re.length; i++) this.set(i, [this.mask.re[i], this.mask.im[i]]);
      this.soon();
    }

    // -------------------------------------------------------------- choosing a bin

    choose(frame, bin) {
      const { frames, bins } = this.spectrum;
      this.place = { frame: clamp(frame, 0, frames - 1), bin: clamp(bin, 0, bins - 1) };
      if (this.player.loop) this.loop(true);
      this.drawCursor();
      this.drawPlane();
    }

    bindSpectrogram(plot) {
      plot.setAttribute("role", "application");
      plot.setAttribute("tabindex", "0");
      plot.setAttribute("aria-label", "Spectrogram of the mixture. Arrow keys choose a bin");
      const at = (event) => {
        const { x, y } = this.axes.at(event);
        const { bins } = this.spectrum;
        this.choose(Math.round((x * this.rate) / this.config.hop_length),
          Math.round((y / (this.rate / 2)) * (bins - 1)));
      };
      let down = false;
      plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        down = true;
        plot.setPointerCapture(event.pointerId);
        plot.focus({ preventScroll: true });
        event.preventDefault();
        at(event);
      });
      plot.addEventListener("pointermove", (event) => { if (down) at(event); });
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
        plot.addEventListener(end, () => { down = false; });
      }
      plot.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        const many = event.shiftKey ? 8 : 1;
        this.choose(this.place.frame + many * step[0], this.place.bin + many * step[1]);
        this.announce(`${this.where()}. ${this.spoken()}`);
      });
    }

    where() {
      const seconds = (this.place.frame * this.config.hop_length) / this.rate;
      const hertz = Math.round((this.place.bin * this.rate) / this.config.n_fft);
      return `${seconds.toFixed(2)} s, ${hertz} Hz`;
    }

    spoken() {
      return `The ideal mask is ${polar(...this.ideal(this.index))}, yours is `
        + `${polar(this.mask.re[this.index], this.mask.im[this.index])}. ${this.error.textContent}`;
    }

    // -------------------------------------------------------------- dragging M

    /** Masks per half width of the plane. */
    get span() { return Math.max(2.1, 1.15 * this.bound); }

    /** The angle by which the plane is turned: that of X, unless everything is divided by X. */
    get turn() {
      const { re, im } = this.spectrum;
      return this.view === 0 ? Math.atan2(im[this.index], re[this.index]) : 0;
    }

    /** From a mask to the plane, and back. */
    toPlane([re, im]) {
      const [c, s] = [Math.cos(this.turn), Math.sin(this.turn)];
      return [(HALF * (c * re - s * im)) / this.span, (-HALF * (s * re + c * im)) / this.span];
    }

    fromPlane(x, y) {
      const [c, s] = [Math.cos(this.turn), Math.sin(this.turn)];
      const [u, v] = [(x * this.span) / HALF, (-y * this.span) / HALF];
      return [c * u + s * v, c * v - s * u];
    }

    bindPlane() {
      const { plane } = this;
      const move = (event) => {
        const box = plane.getBoundingClientRect();
        this.setMask(this.fromPlane((2 * HALF * (event.clientX - box.left)) / box.width - HALF,
          (2 * HALF * (event.clientY - box.top)) / box.height - HALF));
      };
      plane.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        this.drag = true;
        plane.setPointerCapture(event.pointerId);
        plane.focus({ preventScroll: true });
        event.preventDefault();
        move(event);
      });
      plane.addEventListener("pointermove", (event) => { if (this.drag) move(event); });
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
        plane.addEventListener(end, () => {
          if (!this.drag) return;
          this.drag = false;
          this.changed();
        });
      }
      plane.addEventListener("keydown", (event) => {
        if (event.key === "Enter") {
          event.preventDefault();
          event.stopPropagation();
          this.takeIdeal();
          return;
        }
        const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        const [x, y] = this.toPlane([this.mask.re[this.index], this.mask.im[this.index]]);
        this.setMask(this.fromPlane(x + HALF * STEP * step[0], y + HALF * STEP * step[1]));
        this.changed();
        this.announce(`${this.spoken()} ${this.score.textContent}`);
      });
    }

    // -------------------------------------------------------------- sound

    soon() {
      this.drawPlane();
      if (this.waiting) return;
      this.waiting = setTimeout(() => this.changed(), WAIT);
    }

    changed() {
      clearTimeout(this.waiting);
      this.waiting = null;
      const { re, im } = this.spectrum;
      const { mask } = this;
      this.estimate = Unmix.istft({ ...this.spectrum,
        re: re.map((value, i) => value * mask.re[i] - im[i] * mask.im[i]),
        im: im.map((value, i) => value * mask.re[i] + re[i] * mask.im[i]) });
      const reference = this.sources[this.target];
      const value = siSdr(this.estimate, reference);
      const gain = value - siSdr(this.mixture, reference);
      this.score.textContent = Number.isFinite(gain)
        ? `SI-SDR ${number(value)} dB (${gain < 0 ? "" : "+"}${number(gain)} dB over the mixture)`
        : `SI-SDR ${number(value)} dB`;
      const signals = [this.mixture, this.estimate,
        this.mixture.map((sample, n) => sample - this.estimate[n]), reference];
      const position = this.player.position;
      this.player.setTracks(signals.map((signal) => {
        const peak = signal.reduce((most, sample) => Math.max(most, Math.abs(sample)), 1e-9);
        return { channels: [signal], level: Math.min(1, 0.99 / peak) };
      }));
      if (!this.player.playing) this.player.rest = position;
      if (!this.timeBox.firstChild) this.timeBox.append(Unmix.timeReadout(this.player));
      this.draw();
    }

    loop(on) {
      const middle = (this.place.frame * this.config.hop_length) / this.rate;
      this.player.setLoop(on ? [middle - 0.3, middle + 0.3] : null);
    }

    // -------------------------------------------------------------- drawing

    draw() {
      const { re, im, frames, bins } = this.spectrum;
      const powers = re.map((value, i) => value ** 2 + im[i] ** 2);
      const top = db(powers.reduce((most, power) => Math.max(most, power), 1e-20));
      const { mask } = this;
      const values = powers.map((power, i) =>
        db(power * (mask.re[i] ** 2 + mask.im[i] ** 2) + 1e-20) - top);
      Unmix.paintImage(this.axes.canvas, { values, frames, bins, low: -RANGE, high: 0 });
      this.drawCursor();
      this.drawPlane();
    }

    /** The chosen bin and its patch, above the picture. */
    drawCursor() {
      const { context, width, height } = Unmix.fitCanvas(this.axes.overlay);
      const { frames, bins } = this.spectrum;
      const radius = Math.min(PATCHES[this.patch].radius, 1e4);
      const [dx, dy] = [width / frames, height / bins];
      const x = (this.place.frame + 0.5) * dx;
      const y = height - (this.place.bin + 0.5) * dy;
      const [w, t] = [Math.max(5, (2 * radius + 1) * dx), Math.max(5, (2 * radius + 1) * dy)];
      for (const [color, line] of [["#000c", 3.5], ["#fff", 1.5]]) {
        Object.assign(context, { strokeStyle: color, lineWidth: line });
        context.strokeRect(x - w / 2, y - t / 2, w, t);
        context.beginPath();
        context.moveTo(x, y - t / 2 - 8);
        context.lineTo(x, y - t / 2);
        context.stroke();
      }
    }

    drawPlane() {
      const i = this.index;
      const divided = this.view === 1;
      const ideal = this.ideal(i);
      const mine = [this.mask.re[i], this.mask.im[i]];
      const unit = HALF / this.span;
      const nodes = [
        svg("line", { class: "grid", x1: -HALF, x2: HALF, y1: 0, y2: 0 }),
        svg("line", { class: "grid", y1: -HALF, y2: HALF, x1: 0, x2: 0 }),
        svg("circle", { class: "bound", r: unit * this.bound }),
        this.caption(unit * this.bound * 0.71, unit * this.bound * 0.71 + 8, `|M| = ${number(this.bound)}`)];
      const silent = this.spectrum.re[i] === 0 && this.spectrum.im[i] === 0;
      if (!silent) {
        const tips = { s: this.toPlane(ideal), m: this.toPlane(mine) };
        nodes.push(svg("line", { class: "miss", x1: tips.s[0], y1: tips.s[1], x2: tips.m[0], y2: tips.m[1] }));
        nodes.push(...this.arrow("x", this.toPlane([1, 0]), divided ? "1" : "X"),
          ...this.arrow("s", tips.s, divided ? "S/X" : "S"),
          ...this.arrow("m", tips.m, divided ? "M" : "M\u00b7X", true));
      }
      this.plane.replaceChildren(...nodes);
      const source = this.spectra[this.target];
      const { re, im } = this.spectrum;
      const rows = [["x", "X", polar(re[i], im[i])], ["s", "S", polar(source.re[i], source.im[i])],
        ["s", "S / X", polar(...ideal)], ["m", "M", polar(...mine)]];
      this.values.replaceChildren(h("dt", {}, "Bin"), h("dd", {}, this.where()),
        ...rows.flatMap(([name, text, value]) => [h("dt", { class: name }, text), h("dd", {}, value)]));
      const wanted = source.re[i] ** 2 + source.im[i] ** 2;
      const missed = (source.re[i] - mine[0] * re[i] + mine[1] * im[i]) ** 2
        + (source.im[i] - mine[0] * im[i] - mine[1] * re[i]) ** 2;
      this.binError = db((missed + 1e-20) / (wanted + 1e-20));
      this.error.textContent = `Error in this bin: ${number(Math.max(this.binError, -99))} dB of |S|\u00b2.`;
    }

    caption(x, y, text) {
      return svg("text", { class: "scale", x: clamp(x, -95, 60), y: clamp(y, -92, 97) }, text);
    }

    arrow(name, [x, y], label, handle = false) {
      const length = Math.hypot(x, y);
      // an arrow that leaves the plane is cut at its edge; its label says so
      const share = Math.min(1, 94 / Math.max(Math.abs(x), Math.abs(y), 1e-9));
      const [tx, ty] = [x * share, y * share];
      const [ux, uy] = length > 0 ? [x / length, y / length] : [1, 0];
      const side = { x: -1, s: 0, m: 1 }[name]; // X and M X may lie on each other, their labels not
      const head = `${tx},${ty} ${tx - 7 * ux + 3.2 * uy},${ty - 7 * uy - 3.2 * ux} `
        + `${tx - 7 * ux - 3.2 * uy},${ty - 7 * uy + 3.2 * ux}`;
      const nodes = [svg("line", { class: `arrow ${name}`, x1: 0, y1: 0, x2: tx, y2: ty }),
        length * share > 7 ? svg("polygon", { class: name, points: head }) : "",
        svg("text", { x: clamp(tx + 6 * ux - 4 - 9 * side * uy, -97, 78),
          y: clamp(ty + 9 * uy + (uy > 0 ? 6 : -1) + 9 * side * ux, -91, 97) },
        share < 1 ? `${label} \u2192` : label)];
      if (handle) nodes.push(svg("circle", { class: name, cx: tx, cy: ty, r: 4.4, "fill-opacity": 0.35 }));
      return nodes.filter(Boolean);
    }
  }

  Unmix.define("unmix-complex-mask-plane", ComplexMaskPlane);
})();
