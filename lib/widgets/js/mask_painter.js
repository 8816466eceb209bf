/* <unmix-mask-painter>: a separator drawn by hand.
 *
 * config: {title, sample_rate, n_fft, hop_length, sources: [{name, source: data URI}]}
 * The mixture is the sum of the sources. A mask is a Float32Array [frame * bins + bin].
 */
(() => {
  "use strict";
  const { h, Element, Player, Axes, clamp, siSdr } = window.Unmix;

  const IDEALS = ["IBM", "IRM", "WFM", "PSM"];
  const HINTS = {
    IBM: "binary: all or nothing", IRM: "ratio of magnitudes",
    WFM: "ratio of powers", PSM: "knows the phase, may leave 0 to 1" };
  const PICTURES = ["Mask on mixture", "Mask alone", "Masked mixture", "Source to reach"];
  const TRACKS = ["Mixture", "Your result", "What you removed", "True source"];
  const TOOLS = ["Brush", "Eraser"];
  const RANGE = 60; // dB drawn below the loudest point
  const PAGE = { width: 640, height: 290 }; // the picture on which brush sizes are measured
  const HISTORY = 60;
  const WAIT = 120; // ms between two sounds while the brush moves
  const LOUDEST = 10; // loudness matching amplifies at most tenfold

  const db = (ratio) => 10 * Math.log10(ratio);
  const text = (value) => {
    if (!Number.isFinite(value)) return value > 0 ? "\u221e dB" : "\u2212\u221e dB";
    return `${value.toFixed(1).replace("-", "\u2212")} dB`;
  };

  const rms = (signal) => Math.sqrt(signal.reduce((sum, v) => sum + v * v, 0) / signal.length);

  /** The ideal mask of source `which`: the rules of lib.masks. */
  function idealMask(kind, spectra, mixture, which) {
    return Float32Array.from(mixture.re, (xr, i) => {
      const xi = mixture.im[i];
      const { re, im } = spectra[which];
      if (kind === "PSM") {
        const power = xr * xr + xi * xi;
        return power > 0 ? (re[i] * xr + im[i] * xi) / power : 0;
      }
      const magnitudes = spectra.map((s) => Math.hypot(s.re[i], s.im[i]));
      if (kind === "IBM") return magnitudes.indexOf(Math.max(...magnitudes)) === which ? 1 : 0;
      const parts = magnitudes.map((m) => (kind === "IRM" ? m : m * m));
      const total = parts.reduce((a, b) => a + b, 0);
      return total > 0 ? parts[which] / total : 1 / parts.length;
    });
  }

  class MaskPainter extends Element {
    static label = "Mask painter";

    static css = `
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 4.2rem; }
      .sliders { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .1rem 1.2rem; }
      .slider { flex-wrap: nowrap; }
      .slider label { min-width: 2.6rem; }
      .slider input[type=range] { min-width: 4rem; }
      .slider .readout { min-width: 3.6rem; }
      .plot { touch-action: none; cursor: crosshair; }
      .plot.image canvas:first-child { image-rendering: pixelated; }
      button { padding: .15rem .6rem; min-height: 1.9rem; }
      .score { font-variant-numeric: tabular-nums; font-weight: 600; font-size: 15px; }
      .ladder { display: grid; grid-template-columns: 6.2rem minmax(0, 1fr) 4.8rem; gap: .2rem .7rem;
        align-items: center; }
      .ladder button { text-align: left; width: 100%; }
      .ladder .mine { font-weight: 700; }
      .ladder .track { position: relative; height: .75rem; border-radius: 4px; background: var(--soft); }
      .ladder .track i { position: absolute; inset: 0 auto 0 0; border-radius: 4px;
        background: var(--quiet); opacity: .55; }
      .ladder .mine + .track i { background: var(--accent); opacity: 1; }
      .ladder .number { text-align: right; font-variant-numeric: tabular-nums; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      await this.readSources(config);
      const { re, im } = this.spectrum;
      let top = 0;
      for (let i = 0; i < re.length; i++) top = Math.max(top, re[i] ** 2 + im[i] ** 2);
      this.top = top;
      Object.assign(this, { target: 0, tool: 1, picture: 0, guide: 0, matched: true });
      Object.assign(this, { value: 1, size: 26, soft: 0.5 });
      this.mask = new Float32Array(re.length).fill(1);
      Object.assign(this, { past: [], future: [], stroke: null, last: null });
      this.cursor = { x: PAGE.width / 2, y: PAGE.height * 0.8 };
      this.player = new Player({ sampleRate: this.rate });
      this.build(config);
      this.chooseTarget(0);
      this.player.select(1);
    }

    get frames() { return this.spectrum.frames; }

    get bins() { return this.spectrum.bins; }

    // -------------------------------------------------------------- building

    build(config) {
      const pick = (label, options, onChange, extra = {}) => {
        const node = Unmix.choice({ label, options, onChange, ...extra });
        return [node, h("div", { class: "labelled" }, h("span", { "aria-hidden": "true" }, label), node)];
      };
      const [, targetRow] = pick("Keep", this.names, (i) => this.chooseTarget(i));
      const [tool, toolRow] = pick("Tool", TOOLS, (i) => { this.tool = i; this.drawCursor(); }, { value: 1 });
      const [, pictureRow] = pick("Picture", PICTURES, (i) => { this.picture = i; this.draw(); });
      const [, guideRow] = pick("Guide", ["none", ...IDEALS], (i) => { this.guide = i; this.drawCursor(); });
      const [hear, hearRow] = pick("Hear", TRACKS, (i) => this.hear(i), { value: 1, keys: true });
      this.toolChoice = tool;
      this.hearChoice = hear;
      this.undoButton = Unmix.button("Undo", () => this.undo(), { "aria-keyshortcuts": "Z" });
      this.redoButton = Unmix.button("Redo", () => this.redo(), { "aria-keyshortcuts": "Y" });
      toolRow.append(this.undoButton, this.redoButton,
        Unmix.button("Invert", () => this.fill(this.mask.map((m) => 1 - m), "Mask inverted")),
        Unmix.button("Remove all", () => this.fill(this.constant(0), "Everything removed: silence")),
        Unmix.button("Reset", () => this.fill(this.constant(1), "Reset: everything kept")));
      this.sizeSlider = Unmix.slider({ label: "Size", min: 4, max: 120, step: 2, value: this.size,
        format: (v) => `${v} px`, onInput: (v) => { this.size = v; this.drawCursor(); } });
      const sliders = h("div", { class: "sliders" }, this.sizeSlider,
        Unmix.slider({ label: "Value", min: 0, max: 1, step: 0.05, value: this.value,
          format: (v) => v.toFixed(2), onInput: (v) => { this.value = v; this.drawCursor(); } }),
        Unmix.slider({ label: "Soft", min: 0, max: 1, step: 0.05, value: this.soft,
          format: (v) => `${Math.round(100 * v)} %`, onInput: (v) => { this.soft = v; } }));
      const duration = this.mixture.length / this.rate;
      this.axes = new Axes({ image: true, height: PAGE.height,
        x: { min: 0, max: duration, label: "Time (s)" },
        y: { min: 0, max: this.rate / 2, count: 4, label: "Frequency (kHz)",
          format: (value) => String(value / 1000) } });
      this.head = h("div", { class: "head", style: "left:0" });
      this.axes.plot.append(this.head);
      this.bindBrush(this.axes.plot);
      this.score = h("span", { class: "score", role: "status" });
      this.ladder = h("div", { class: "ladder" });
      this.timeBox = h("span", { class: "push" });
      this.panel.append(
        config.title ? h("div", { class: "title" }, config.title) : "",
        targetRow, toolRow, sliders, this.axes.element,
        h("div", { class: "row" }, Unmix.playButton(this.player), this.score,
          this.timeBox),
        hearRow,
        h("div", { class: "row" }, Unmix.toggle({ label: "Loudness match", value: true, key: "M",
          onChange: (on) => { this.matched = on; this.setLevels(); } })),
        this.ladder, pictureRow, guideRow,
        h("p", { class: "help" }, "Paint with mouse, pen or finger. From the keyboard: give the picture "
          + "the focus, move with the arrow keys, paint a dab with Enter, or hold Shift and the "
          + "arrows to draw. B brush, E eraser, [ and ] size, Z undo, Y redo, Space plays, 1 to 4 "
          + "choose what you hear."));
      const keys = { " ": () => this.player.toggle(), b: () => tool.select(0), e: () => tool.select(1),
        z: () => this.undo(), y: () => this.redo(), m: () => this.panel.querySelector("[role=switch]").click(),
        "[": () => this.sizeSlider.set(this.size - 4), "]": () => this.sizeSlider.set(this.size + 4) };
      TRACKS.forEach((_, i) => { keys[i + 1] = () => hear.select(i); });
      Unmix.bindKeys(this.panel, keys);
      this.player.addEventListener("tick", () => this.moveHead());
      new ResizeObserver(() => this.drawCursor()).observe(this.axes.plot);
    }

    /** One button and one bar per ideal mask, and the reader's own on top. */
    buildLadder() {
      this.bars = {};
      const row = (name, head) => {
        const fill = h("i");
        const number = h("span", { class: "number", "data-score": name });
        this.bars[name] = { fill, number };
        return [head, h("span", { class: "track", "aria-hidden": "true" }, fill), number];
      };
      this.ladder.replaceChildren(
        ...row("yours", h("span", { class: "mine" }, "Your mask")),
        ...row("mixture", h("span", {}, "Mixture")),
        ...IDEALS.flatMap((kind) => row(kind, Unmix.button(kind, () =>
          this.fill(this.ideals[kind], `${kind} of ${this.names[this.target]}`),
        { title: `Use the ${kind}: ${HINTS[kind]}`, "aria-label": `Use ${kind}, ${HINTS[kind]}` }))));
      const ends = { yours: this.estimate, mixture: this.mixture };
      IDEALS.forEach((kind) => { ends[kind] = this.render(this.ideals[kind]); });
      for (const [name, signal] of Object.entries(ends)) {
        if (signal) this.setBar(name, siSdr(signal, this.sources[this.target]));
      }
    }

    setBar(name, value) {
      const { fill, number } = this.bars[name];
      fill.style.width = `${clamp((100 * (value + 5)) / 25, 0, 100)}%`;
      number.textContent = text(value);
    }

    onTheme() { if (this.axes) this.drawCursor(); }

    // -------------------------------------------------------------- the mask

    constant(value) { return new Float32Array(this.mask.length).fill(value); }

    chooseTarget(index) {
      this.target = index;
      this.ideals = Object.fromEntries(IDEALS.map((kind) =>
        [kind, idealMask(kind, this.spectra, this.spectrum, index)]));
      this.estimate = this.render(this.mask);
      this.buildLadder();
      this.changed();
      this.announce(`Keep ${this.names[index]}. ${this.score.textContent}`);
    }

    remember() {
      this.past.push(this.mask.slice());
      if (this.past.length > HISTORY) this.past.shift();
      this.future = [];
    }

    fill(mask, message) {
      this.remember();
      this.mask = Float32Array.from(mask);
      this.changed();
      this.announce(`${message}. ${this.score.textContent}`);
    }

    undo() { this.travel(this.past, this.future, "Undone"); }

    redo() { this.travel(this.future, this.past, "Redone"); }

    travel(from, to, message) {
      if (!from.length || this.stroke) return;
      to.push(this.mask);
      this.mask = from.pop();
      this.changed();
      this.announce(`${message}. ${this.score.textContent}`);
    }

    /** Within one stroke no point is painted twice: soft edges stay soft however slowly one draws. */
    beginStroke() {
      this.remember();
      this.stroke = { base: this.mask.slice(), weight: new Float32Array(this.mask.length) };
      this.last = null;
    }

    /** From the last place of the brush to the next, both in the pixels of PAGE. */
    paintTo(place) {
      const from = this.last || place;
      const steps = Math.ceil(Math.hypot(place.x - from.x, place.y - from.y) / Math.max(1, this.size / 6));
      for (let i = steps ? 1 : 0; i <= steps; i++) {
        const share = steps ? i / steps : 0;
        this.dab(from.x + share * (place.x - from.x), from.y + share * (place.y - from.y));
      }
      this.last = place;
      this.soon();
    }

    dab(x, y) {
      const { base, weight } = this.stroke;
      const value = this.tool === 1 ? 0 : this.value;
      const radius = this.size / 2;
      const perFrame = PAGE.width / (this.frames - 1);
      const perBin = PAGE.height / (this.bins - 1);
      const row = (PAGE.height - y) / perBin;
      const [k0, k1] = [Math.ceil((x - radius) / perFrame), Math.floor((x + radius) / perFrame)];
      const [f0, f1] = [Math.ceil(row - radius / perBin), Math.floor(row + radius / perBin)];
      for (let k = Math.max(0, k0); k <= Math.min(this.frames - 1, k1); k++) {
        for (let f = Math.max(0, f0); f <= Math.min(this.bins - 1, f1); f++) {
          const distance = Math.hypot(k * perFrame - x, (f - row) * perBin) / radius;
          if (distance > 1) continue;
          // full inside, a raised cosine over the soft rim
          const rim = this.soft > 0 ? clamp((1 - distance) / this.soft, 0, 1) : 1;
          const share = 0.5 - 0.5 * Math.cos(Math.PI * rim);
          const i = k * this.bins + f;
          if (share <= weight[i]) continue;
          weight[i] = share;
          this.mask[i] = base[i] + share * (value - base[i]);
        }
      }
    }

    endStroke() {
      if (!this.stroke) return;
      this.stroke = null;
      this.changed();
    }

    soon() {
      this.drawCursor();
      if (this.waiting) return;
      this.waiting = setTimeout(() => { this.waiting = null; this.changed(); }, WAIT);
    }

    // -------------------------------------------------------------- brush

    bindBrush(plot) {
      plot.setAttribute("role", "application");
      plot.setAttribute("tabindex", "0");
      plot.setAttribute("aria-label", "Canvas. Arrow keys move the brush, Enter paints a dab, Shift "
        + "and arrows draw a line");
      const place = (event) => {
        const box = plot.getBoundingClientRect();
        return { x: (PAGE.width * (event.clientX - box.left)) / box.width,
          y: (PAGE.height * (event.clientY - box.top)) / box.height };
      };
      plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        plot.setPointerCapture(event.pointerId);
        plot.focus({ preventScroll: true });
        event.preventDefault();
        this.cursor = place(event);
        this.beginStroke();
        this.paintTo(this.cursor);
      });
      plot.addEventListener("pointermove", (event) => {
        this.cursor = place(event);
        if (this.stroke) this.paintTo(this.cursor);
        else this.drawCursor();
      });
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
        plot.addEventListener(end, () => this.endStroke());
      }
      plot.addEventListener("keydown", (event) => this.key(event));
    }

    key(event) {
      const step = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowDown: [0, 8], ArrowUp: [0, -8] }[event.key];
      if (!step && event.key !== "Enter") return;
      event.preventDefault();
      event.stopPropagation();
      const paint = event.key === "Enter" || event.shiftKey;
      if (paint) {
        this.beginStroke();
        this.paintTo(this.cursor);
      }
      if (step) {
        this.cursor = { x: clamp(this.cursor.x + step[0], 0, PAGE.width),
          y: clamp(this.cursor.y + step[1], 0, PAGE.height) };
        if (paint) this.paintTo(this.cursor);
      }
      if (paint) this.endStroke();
      this.drawCursor();
      const { x, y } = this.cursor;
      const seconds = (x / PAGE.width) * (this.mixture.length / this.rate);
      const hertz = Math.round(((1 - y / PAGE.height) * this.rate) / 2);
      this.announce(`${seconds.toFixed(2)} seconds, ${hertz} hertz${paint
        ? `, painted. ${this.score.textContent}` : ""}`);
    }

    // -------------------------------------------------------------- sound

    render(mask) {
      const { re, im } = this.spectrum;
      return Unmix.istft({ ...this.spectrum, re: re.map((value, i) => value * mask[i]),
        im: im.map((value, i) => value * mask[i]) });
    }

    /** The mask is another: sound, score and picture follow. */
    changed() {
      clearTimeout(this.waiting);
      this.waiting = null;
      this.estimate = this.render(this.mask);
      const reference = this.sources[this.target];
      const value = siSdr(this.estimate, reference);
      const gain = value - siSdr(this.mixture, reference);
      this.setBar("yours", value);
      const signed = Number.isFinite(gain) ? `${gain < 0 ? "" : "+"}${text(gain)} over the mixture`
        : "nothing to score";
      this.score.textContent = `SI-SDR ${text(value)} (${signed})`;
      this.signals = [this.mixture, this.estimate,
        this.mixture.map((sample, n) => sample - this.estimate[n]), reference];
      const position = this.player.position;
      this.player.setTracks(this.signals.map((signal, i) =>
        ({ channels: [signal], level: this.level(i) })));
      if (!this.player.playing) this.player.rest = position;
      if (!this.timeBox.firstChild) this.timeBox.append(Unmix.timeReadout(this.player));
      this.undoButton.disabled = !this.past.length;
      this.redoButton.disabled = !this.future.length;
      this.draw();
    }

    /** What a track is multiplied with: all as loud as the mixture, unless that would clip. */
    level(index) {
      if (!this.matched || index === 0) return 1;
      const signal = this.signals[index];
      const loudness = rms(signal);
      const peak = signal.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
      return loudness > 1e-6 ? Math.min(rms(this.mixture) / loudness, 0.99 / peak, LOUDEST) : 1;
    }

    setLevels() {
      this.player.setLevels(TRACKS.map((_, i) => this.level(i)));
      this.announce(this.matched ? "Loudness matched" : "Original levels");
    }

    hear(index) { this.player.select(index); }

    moveHead() {
      this.head.style.left = `${(100 * this.player.position * this.rate) / this.mixture.length}%`;
    }

    // -------------------------------------------------------------- drawing

    draw() {
      const { canvas } = this.axes;
      const { frames, bins, top } = this;
      const magma = Unmix.colormap("magma");
      const cividis = Unmix.colormap("cividis");
      const shown = [this.spectrum, this.spectrum, this.spectrum, this.spectra[this.target]][this.picture];
      canvas.width = frames;
      canvas.height = bins;
      const context = canvas.getContext("2d");
      const image = context.createImageData(frames, bins);
      for (let k = 0; k < frames; k++) {
        for (let f = 0; f < bins; f++) {
          const i = k * bins + f;
          const pixel = 4 * ((bins - 1 - f) * frames + k);
          const m = this.mask[i];
          const kept = clamp(m, 0, 1);
          let power = (shown.re[i] ** 2 + shown.im[i] ** 2) / top;
          if (this.picture === 2) power *= m * m;
          const place = clamp(1 + db(power + 1e-12) / RANGE, 0, 1);
          const color = 3 * Math.round(255 * (this.picture === 1 ? kept : place));
          const ramp = this.picture === 1 ? cividis : magma;
          for (let c = 0; c < 3; c++) {
            let light = ramp[color + c];
            // removed: a pale blue-grey print of the mixture; kept: its colours
            if (this.picture === 0) {
              const print = [18, 26, 34][c] + [70, 84, 92][c] * place;
              light = kept * Math.max(light, [34, 14, 40][c]) + (1 - kept) * print;
            }
            image.data[pixel + c] = light;
          }
          image.data[pixel + 3] = 255;
        }
      }
      context.putImageData(image, 0, 0);
      this.drawCursor();
    }

    /** The guide and the outline of the brush, above the picture. */
    drawCursor() {
      const { context, width, height } = Unmix.fitCanvas(this.axes.overlay);
      if (this.guide > 0) this.drawGuide(context, width, height);
      const x = (this.cursor.x / PAGE.width) * width;
      const y = (this.cursor.y / PAGE.height) * height;
      const radius = this.size / 2;
      for (const [color, line] of [["#000c", 3], [this.tool === 1 ? "#ff9d6b" : "#fff", 1.5]]) {
        Object.assign(context, { strokeStyle: color, lineWidth: line });
        context.beginPath();
        context.ellipse(x, y, (radius * width) / PAGE.width, (radius * height) / PAGE.height, 0, 0, 7);
        context.stroke();
      }
    }

    drawGuide(context, width, height) {
      const { frames, bins } = this;
      const key = `${this.target} ${this.guide}`;
      if (this.guideKey !== key) {
        const mask = this.ideals[IDEALS[this.guide - 1]];
        const sheet = h("canvas", { width: frames, height: bins });
        const pen = sheet.getContext("2d");
        const image = pen.createImageData(frames, bins);
        for (let k = 0; k < frames; k++) {
          for (let f = 0; f < bins; f++) {
            const pixel = 4 * ((bins - 1 - f) * frames + k);
            image.data.set([60, 230, 160, 150 * clamp(mask[k * bins + f], 0, 1)], pixel);
          }
        }
        pen.putImageData(image, 0, 0);
        Object.assign(this, { guideKey: key, guideSheet: sheet });
      }
      context.imageSmoothingEnabled = false;
      context.drawImage(this.guideSheet, 0, 0, width, height);
    }
  }

  Unmix.define("unmix-mask-painter", MaskPainter);
})();
