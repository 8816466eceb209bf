/* <unmix-dilation-explorer>: a stack of dilated convolutions and all that one output frame sees.
 *
 * config: {title, settings: {taps, blocks, repeats, kernel_size}, ranges: {name: [low, high]},
 *          causal, sizes: {filters, bottleneck, hidden, skip, speakers}, sample_rate}
 * Frames are counted from the output frame. rows[0] are the frames of the input that it depends on,
 * rows[n] the output frame alone; between rows[i] and rows[i + 1] stands block i.
 */
(() => {
  "use strict";
  const { h, Element, clamp, palette } = window.Unmix;

  const PAPER = { taps: 3, blocks: 8, repeats: 3, kernel_size: 16 };
  const SEGMENT = 4; // seconds that Conv-TasNet is trained on
  const HEIGHT = 350;
  const PAD = { left: 74, right: 52, top: 22, bottom: 40 };
  const LABELS = { taps: "P, kernel size", blocks: "X, blocks", repeats: "R, repeats",
    kernel_size: "L, window" };

  const whole = (value) => value.toLocaleString("en");
  const signed = (value) => whole(value).replace("-", "\u2212");
  const seconds = (value) => `${value.toFixed(3)} s`;
  const count = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;

  /** What a kernel reads, in frames from the one it makes. */
  function tapsOf(taps, dilation, causal) {
    const before = causal ? (taps - 1) * dilation : ((taps - 1) * dilation) / 2;
    return Array.from({ length: taps }, (_, tap) => tap * dilation - before);
  }

  /** The frames that the frames of a row depend on. Dilations double from below, so that the taps
   *  fill the gaps of their row: each row is a range, with every `step`th frame. */
  function spread(row, offsets, dilation) {
    const [first, last] = [row.first + offsets[0], row.last + offsets.at(-1)];
    const step = Math.min(row.step, dilation);
    return { first, last, step, count: (last - first) / step + 1 };
  }

  class DilationExplorer extends Element {
    static label = "Dilation explorer";

    static css = `
      .panel { container-type: inline-size; }
      .settings { display: grid; gap: .1rem 1.6rem;
        grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
      @container (max-width: 34rem) { .settings { grid-template-columns: minmax(0, 1fr); } }
      .settings .slider, .follow .slider { flex-wrap: nowrap; }
      .slider label { min-width: 6.6rem; } .slider input { min-width: 4rem; }
      .follow .slider label { min-width: 9rem; } .slider .readout { flex: none; }
      canvas { display: block; width: 100%; height: ${HEIGHT}px; }
      .results { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1.2rem; margin-bottom: 0;
        font-variant-numeric: tabular-nums; }
      dt { color: var(--quiet); } dd { margin: 0; } dd b { font-weight: 600; }
      .share { height: .8rem; border-radius: .4rem; background: var(--soft);
        border: 1px solid var(--line); overflow: hidden; margin-top: .3rem; max-width: 20rem; }
      .share div { height: 100%; background: var(--accent); }
      .result { margin-bottom: 0; min-height: 1.5em; }`;

    setup(config) {
      this.settings = { ...config.settings };
      this.causal = config.causal;
      this.build(config);
      this.change({});
      new ResizeObserver(() => this.draw()).observe(this.canvas);
    }

    build(config) {
      const setting = (name, options) => Unmix.slider({ label: LABELS[name],
        min: config.ranges[name][0], max: config.ranges[name][1], value: this.settings[name],
        onInput: (value) => this.change({ [name]: value }), ...options });
      this.sliders = { taps: setting("taps"), blocks: setting("blocks"),
        repeats: setting("repeats"),
        kernel_size: setting("kernel_size", { step: 2, unit: "samples" }) };
      this.causalSwitch = Unmix.toggle({ label: "Causal", key: "C", value: this.causal,
        title: "Look at no later frame", onChange: (on) => this.setCausal(on) });
      this.canvas = h("canvas", { role: "img" });
      this.follow = Unmix.slider({ label: "Blocks followed back", min: 0, max: 1, value: 1,
        format: (value) => `${value} of ${this.depth}`,
        onInput: (value) => { this.followed = value; this.showFollowed(); } });
      this.state = h("p", { class: "result", role: "status" });
      this.values = Object.fromEntries(["formula", "seconds", "ahead", "plain", "parameters"]
        .map((name) => [name, h("dd", { "data-value": name })]));
      this.share = h("div");
      this.values.bar = h("dd", {}, h("div", { class: "share", "aria-hidden": "true" }, this.share));
      const line = (name, label) => [h("dt", {}, label), this.values[name]];
      this.panel.append(
        h("div", { class: "row" }, h("span", { class: "title" }, config.title)),
        h("div", { class: "settings" }, Object.values(this.sliders)),
        h("div", { class: "row" }, this.causalSwitch,
          Unmix.button("Start again", () => this.preset(config.settings, config.causal)),
          Unmix.button("Conv-TasNet", () => this.preset(PAPER, false),
            { title: "The settings of the paper: P = 3, X = 8, R = 3, L = 16" })),
        this.canvas, h("div", { class: "follow" }, this.follow), this.state,
        h("dl", { class: "results" }, line("formula", "Receptive field"),
          line("seconds", "In seconds"), line("bar", `Share of ${SEGMENT} s`),
          line("ahead", "Later frames in it"), line("plain", "Without dilation"),
          line("parameters", "Parameters")),
        h("p", { class: "help" }, "Each row is a layer of frames: the input at the bottom, the "
          + "output at the top. Dots: frames that the one output frame depends on; lines: the taps "
          + "that lead to them. To the left, the dilation of a block; to the right, how many frames "
          + "it reads. The norms, which look at more, are left out. Parameters: Conv-TasNet with "
          + `N = ${config.sizes.filters}, B = ${config.sizes.bottleneck}, `
          + `H = ${config.sizes.hidden}, Sc = ${config.sizes.skip}, for `
          + `${config.sizes.speakers} speakers. Without "causal", P is odd.`));
      Unmix.bindKeys(this.panel, { c: () => this.causalSwitch.set(!this.causal) });
    }

    onTheme() { if (this.rows) this.draw(); }

    // ---------------------------------------------------------------- settings

    setCausal(on) {
      this.causal = on;
      this.change({});
    }

    preset(settings, causal) {
      this.causalSwitch.set(causal, true);
      this.causal = causal;
      this.change(settings);
    }

    change(settings) {
      Object.assign(this.settings, settings);
      const { taps, blocks, repeats } = this.settings;
      const input = this.sliders.taps.input;
      // a kernel with an even number of taps has no middle
      if (!this.causal) this.settings.taps = taps + 1 - (taps % 2);
      input.min = this.causal ? this.config.ranges.taps[0] : 3;
      input.step = this.causal ? 1 : 2;
      for (const [name, slider] of Object.entries(this.sliders)) {
        slider.set(this.settings[name], true);
      }
      this.depth = blocks * repeats;
      this.dilations = Array.from({ length: this.depth }, (_, block) => 2 ** (block % blocks));
      this.rows = Array(this.depth + 1);
      this.rows[this.depth] = { first: 0, last: 0, step: Infinity, count: 1 };
      for (let block = this.depth - 1; block >= 0; block--) {
        this.rows[block] = spread(this.rows[block + 1], this.offsets(block),
          this.dilations[block]);
      }
      this.follow.input.max = this.depth;
      this.followed = this.depth;
      this.follow.set(this.depth, true);
      this.showResults();
      this.showFollowed();
    }

    offsets(block) {
      return tapsOf(this.settings.taps, this.dilations[block], this.causal);
    }

    // ---------------------------------------------------------------- numbers

    get frames() {
      const { taps, blocks, repeats } = this.settings;
      return 1 + repeats * (taps - 1) * (2 ** blocks - 1);
    }

    get duration() {
      const { kernel_size: size } = this.settings;
      return ((this.frames - 1) * (size / 2) + size) / this.config.sample_rate;
    }

    get parameters() {
      const { filters, bottleneck, hidden, skip, speakers } = this.config.sizes;
      const { taps, kernel_size: size } = this.settings;
      const linear = (inputs, outputs) => (inputs + 1) * outputs;
      const norm = (channels) => 2 * channels;
      // two activations with one slope each; widen, filter, then on to the next block and out
      const block = linear(bottleneck, hidden) + linear(taps, hidden) + 2 * norm(hidden) + 2
        + linear(hidden, bottleneck) + linear(hidden, skip);
      return 2 * filters * size + norm(filters) + linear(filters, bottleneck)
        + this.depth * block + 1 + linear(skip, speakers * filters);
    }

    showResults() {
      const { taps, blocks, repeats } = this.settings;
      const { values, frames } = this;
      values.formula.replaceChildren("1 + R (P \u2212 1) (2", h("sup", {}, "X"), " \u2212 1) = 1 + "
        + `${repeats} \u00b7 ${taps - 1} \u00b7 ${2 ** blocks - 1} = `,
      h("b", {}, count(frames, "frame")));
      values.seconds.replaceChildren(h("b", {}, seconds(this.duration)));
      this.share.style.width = `${(100 * clamp(this.duration / SEGMENT, 0, 1)).toFixed(2)}%`;
      values.ahead.textContent = count(this.rows[0].last, "frame");
      values.plain.textContent = `${count(this.depth, "block")} would see `
        + count(1 + this.depth * (taps - 1), "frame");
      values.parameters.replaceChildren(h("b", {}, whole(this.parameters)));
    }

    showFollowed() {
      const { followed, depth } = this;
      const row = this.rows[depth - followed];
      const text = followed === 0 ? "The output frame itself."
        : `${count(followed, "block")} back, behind dilation ${this.dilations[depth - followed]}: `
          + `${count(row.count, "frame")}, from ${signed(row.first)} to ${signed(row.last)}.`;
      this.state.textContent = text;
      this.canvas.setAttribute("aria-label", `Cone of influence over ${count(depth, "block")}, `
        + `${this.causal ? "causal" : "not causal"}. ${text}`);
      this.draw();
    }

    // ---------------------------------------------------------------- the picture

    draw() {
      if (!this.canvas.clientWidth) return;
      const { context, width, height } = Unmix.fitCanvas(this.canvas);
      const { first, last } = this.rows[0];
      const margin = Math.max(2, Math.round(0.03 * (last - first)));
      const [low, high] = [first - margin, last + margin];
      const scale = (width - PAD.left - PAD.right) / (high - low);
      const gap = (height - PAD.top - PAD.bottom) / this.depth;
      Object.assign(this, { context, low, high, scale, gap });
      this.ink = getComputedStyle(this.canvas).color;
      this.x = (frame) => PAD.left + (frame - low) * scale;
      this.y = (row) => PAD.top + (this.depth - row) * gap;
      this.drawRows();
      this.drawCone();
      this.drawAxis(width, height);
    }

    drawRows() {
      const { context, gap } = this;
      context.fillStyle = this.ink;
      context.globalAlpha = 0.22;
      // all frames as dots, as long as these can be told apart
      for (let row = 0; this.scale >= 5 && row <= this.depth; row++) {
        for (let frame = this.low; frame <= this.high; frame++) this.dot(frame, row, 1.5);
      }
      context.globalAlpha = 0.8;
      context.font = `${gap < 15 ? 9.5 : 11}px system-ui, sans-serif`;
      context.textBaseline = "middle";
      const { blocks } = this.settings;
      for (let block = 0; block < this.depth; block++) {
        const place = block % blocks;
        // where rows are too close for their text, the last block of a stack speaks for it
        if (gap < 10.5 && place < blocks - 1) continue;
        context.textAlign = "right";
        context.fillText(`${gap < 15 ? "dil." : "dilation"} ${this.dilations[block]}`,
          PAD.left - 8, this.y(block + 0.5));
        if (block < this.depth - this.followed) continue;
        context.textAlign = "left";
        context.fillText(whole(this.rows[block].count), this.x(this.high) + 6, this.y(block));
      }
      context.globalAlpha = 1;
    }

    dot(frame, row, radius) {
      const { context } = this;
      context.beginPath();
      context.arc(this.x(frame), this.y(row), radius, 0, 2 * Math.PI);
      context.fill();
    }

    /** Frames of a row, at most one in each pixel: more cannot be seen. */
    seen({ first, last, step }) {
      const skip = Math.max(1, Math.ceil(1 / (step * this.scale))) * step;
      const frames = [];
      for (let frame = first; frame <= last; frame += skip) frames.push(frame);
      return frames;
    }

    drawCone() {
      const { context } = this;
      const end = this.depth - this.followed;
      context.strokeStyle = context.fillStyle = this.dark ? palette.sky : palette.blue;
      const radius = clamp(0.3 * Math.min(this.scale, this.gap), 0.6, 4);
      for (let row = this.depth; row >= end; row--) {
        const { first, last, step } = this.rows[row];
        context.globalAlpha = 1;
        if (step * this.scale < 1) {
          context.fillRect(this.x(first), this.y(row) - 0.6, (last - first) * this.scale, 1.2);
        } else for (const frame of this.seen(this.rows[row])) this.dot(frame, row, radius);
        if (row > end) this.drawTaps(row);
      }
      context.globalAlpha = 1;
      context.fillStyle = palette.orange;
      this.dot(0, this.depth, Math.max(5, radius));
    }

    /** Lines from a row to the one below; a surface, where they could not be told apart. */
    drawTaps(row) {
      const { context } = this;
      const [above, below] = [this.rows[row], this.rows[row - 1]];
      context.beginPath();
      if (above.step * this.scale < 1) {
        context.moveTo(this.x(above.first), this.y(row));
        context.lineTo(this.x(above.last), this.y(row));
        context.lineTo(this.x(below.last), this.y(row - 1));
        context.lineTo(this.x(below.first), this.y(row - 1));
        context.globalAlpha = 0.35;
        context.fill();
        return;
      }
      for (const frame of this.seen(above)) {
        for (const offset of this.offsets(row - 1)) {
          context.moveTo(this.x(frame), this.y(row));
          context.lineTo(this.x(frame + offset), this.y(row - 1));
        }
      }
      context.globalAlpha = clamp(0.05 * above.step * this.scale + 0.15, 0.15, 0.7);
      context.lineWidth = this.scale > 5 ? 1.2 : 0.7;
      context.stroke();
    }

    drawAxis(width, height) {
      const { context } = this;
      const bottom = height - PAD.bottom;
      context.fillStyle = this.ink;
      context.globalAlpha = 0.8;
      context.font = "11px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "top";
      for (const frame of Unmix.ticks(this.low, this.high, width < 500 ? 4 : 8)) {
        if (!Number.isInteger(frame)) continue;
        context.fillRect(this.x(frame) - 0.5, bottom + 5, 1, 4);
        context.fillText(signed(frame), this.x(frame), bottom + 11);
      }
      context.fillText("frame of the input, counted from the output frame",
        (PAD.left + width - PAD.right) / 2, bottom + 26);
      context.textBaseline = "middle";
      context.textAlign = this.causal ? "right" : "center";
      context.fillText("output frame", this.causal ? this.x(0) - 10 : this.x(0), 8);
      context.globalAlpha = 1;
    }
  }

  window.Unmix.define("unmix-dilation-explorer", DilationExplorer);
})();
