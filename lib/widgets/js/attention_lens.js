/* <unmix-attention-lens>: point at a frame of a mixture, and see which frames it reads.
 *
 * config: {title, frames, seconds_per_frame, max_frequency, levels: array (frames, bins) in dB,
 *          layers: [[inside: array (S, H, K, K), across: array (K, H, S, S)]]}
 * Arrays hold the square roots of weights. A frame lies at place p of chunk c, and half a chunk
 * further on, at place p + K / 2, of the chunk before it. Frames, chunks and places count from 0.
 */
(() => {
  "use strict";
  const { h, Element, clamp, palette } = window.Unmix;

  const STAGE = { height: 268, left: 50, right: 10, top: 6, picture: 150, gap: 18, bars: 62 };
  const INSIDE = { height: 136, left: 50, right: 10, top: 8, bars: 92 };
  const FONT = "11px system-ui, sans-serif";
  const NAMED = 3; // frames that the text names

  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

  class AttentionLens extends Element {
    static label = "Attention lens";

    static css = `
      canvas { display: block; width: 100%; touch-action: pan-y; cursor: crosshair; }
      .stage { height: ${STAGE.height}px; } .inside { height: ${INSIDE.height}px; }
      .group { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem .6rem; }
      .group > span { color: var(--quiet); min-width: 3rem; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 3rem; }
      .slider .readout { min-width: 8.2rem; flex: none; }
      .result { margin: 0; min-height: 4.4em; font-variant-numeric: tabular-nums; }
      .key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; }`;

    setup(config) {
      const levels = Unmix.array(config.levels);
      const layers = config.layers.map((pair) => pair.map((part) => Unmix.array(part)));
      const [count, heads, chunk] = layers[0][0].shape;
      Object.assign(this, { layers, count, heads, chunk, half: chunk / 2, frames: config.frames,
        layer: 0, head: 0, later: 1, frame: Math.floor(0.43 * config.frames) });
      this.sheet = document.createElement("canvas");
      Unmix.paintImage(this.sheet, { values: levels.data, frames: levels.shape[0],
        bins: levels.shape[1], low: -60, high: 0 });
      this.build(config);
      this.show();
      new ResizeObserver(() => this.draw()).observe(this.stage);
    }

    build(config) {
      const group = (text, options, name, value = 0) => {
        const choice = Unmix.choice({ label: text, options, value,
          onChange: (index) => { this[name] = index; this.show(); } });
        return h("div", { class: "group" }, h("span", { "aria-hidden": "true" }, text), choice);
      };
      const numbered = (count) => Array.from({ length: count }, (_, i) => String(i + 1));
      this.stage = h("canvas", { class: "stage", role: "img" });
      this.inside = h("canvas", { class: "inside", role: "img" });
      this.frameSlider = Unmix.slider({ label: "Frame", min: 0, max: this.frames - 1,
        value: this.frame, format: (value) => this.nameOf(value),
        onInput: (value) => this.setFrame(value) });
      this.state = h("p", { class: "result", role: "status" });
      this.panel.append(
        h("div", { class: "row" }, h("span", { class: "title" }, config.title)),
        group("Layer", numbered(this.layers.length), "layer"),
        group("Head", ["mean", ...numbered(this.heads)], "head"),
        group("Chunk", ["earlier", "later"], "later", 1),
        this.stage, this.frameSlider, this.inside, this.state,
        h("p", { class: "help" }, "Point at the picture or the bars, or use the slider: arrow keys "
          + "go from frame to frame, page keys by a tenth. Framed: the chunk. Bars: how much the "
          + "chosen frame reads of each frame, relative to the most; upper bars across chunks, "
          + "lower bars inside of the chunk. Dashed: an even share for all. Each frame lies in two "
          + "chunks, and reads in both."));
      this.follow(this.stage, (x) => x * this.frames);
      this.follow(this.inside, (x) => this.start + x * this.chunk);
    }

    onTheme() { if (this.across) this.draw(); }

    // ---------------------------------------------------------------- choosing a frame

    /** The frame under the pointer: hovering, touching and dragging choose it. */
    follow(canvas, frameAt) {
      const choose = (event) => {
        const box = canvas.getBoundingClientRect();
        const width = box.width - STAGE.left - STAGE.right;
        this.frameSlider.set(clamp(Math.floor(
          frameAt((event.clientX - box.left - STAGE.left) / width)), 0, this.frames - 1));
      };
      // in the lower bars each move would move the chunk: there the reader has to press
      if (canvas === this.stage) canvas.addEventListener("pointermove", choose);
      canvas.addEventListener("pointerdown", (event) => {
        choose(event);
        this.frameSlider.input.focus({ preventScroll: true });
        event.preventDefault();
      });
    }

    setFrame(frame) {
      this.frame = frame;
      this.show();
    }

    timeOf(frame) {
      const time = Math.round(1000 * frame * this.config.seconds_per_frame);
      return `${String(time).replace("-", "\u2212")} ms`;
    }

    nameOf(frame) {
      return `${frame}, at ${this.timeOf(frame)}`;
    }

    // ---------------------------------------------------------------- what it reads

    /** Weights of one row of an array (sequences, heads, length, length), of a head or their mean. */
    row({ data, shape: [, heads, length] }, sequence, place) {
      const chosen = this.head ? [this.head - 1] : Array.from({ length: heads }, (_, i) => i);
      const weights = new Float64Array(length);
      for (const head of chosen) {
        const first = ((sequence * heads + head) * length + place) * length;
        for (let i = 0; i < length; i++) weights[i] += data[first + i] ** 2;
      }
      const sum = weights.reduce((total, weight) => total + weight, 0);
      return weights.map((weight) => weight / sum);
    }

    show() {
      const { frame, half, later } = this;
      this.index = Math.floor((frame + half) / half) - (later ? 0 : 1);
      this.place = ((frame + half) % half) + (later ? 0 : half);
      this.start = (this.index - 1) * half; // frame at place 0
      const [inside, across] = this.layers[this.layer];
      this.within = this.row(inside, this.index, this.place);
      this.across = this.row(across, this.place, this.index);
      this.tell();
      this.draw();
    }

    /** The frames with the largest weights; frame(i) is the one that weight i belongs to. */
    most(weights, frame) {
      const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a]);
      return order.slice(0, NAMED).map((i) => {
        const at = frame(i);
        const name = at === this.frame ? "itself"
          : at < 0 || at >= this.frames ? "zeros around the sound" : this.timeOf(at);
        return `${name} (${percent(weights[i])})`;
      }).join(", ");
    }

    tell() {
      const frameInside = (i) => this.start + i;
      const frameAcross = (i) => (i - 1) * this.half + this.place;
      const head = this.head ? `head ${this.head}` : "mean of the heads";
      const text = `Frame ${this.nameOf(this.frame)}: place ${this.place} of chunk ${this.index}. `
        + `Layer ${this.layer + 1}, ${head}. Inside of the chunk it reads most `
        + `${this.most(this.within, frameInside)}. Across chunks: `
        + `${this.most(this.across, frameAcross)}.`;
      this.state.textContent = text;
      this.stage.setAttribute("aria-label", `Spectrogram of ${this.frames} frames, and how much `
        + `the chosen frame reads across ${this.count} chunks. ${text}`);
      this.inside.setAttribute("aria-label", `How much it reads of the ${this.chunk} frames of its `
        + "chunk.");
    }

    // ---------------------------------------------------------------- pictures

    draw() {
      if (!this.stage.clientWidth) return;
      this.ink = getComputedStyle(this.stage).color;
      this.drawStage();
      this.drawInside();
    }

    say(context, align, text, x, y) {
      Object.assign(context, { font: FONT, textAlign: align, textBaseline: "middle",
        fillStyle: this.ink });
      context.fillText(text, x, y);
    }

    drawStage() {
      const { context, width } = Unmix.fitCanvas(this.stage);
      const { left, top, picture, gap, bars } = STAGE;
      const room = width - left - STAGE.right;
      const x = (frame) => left + (frame / this.frames) * room;
      context.imageSmoothingEnabled = false;
      context.drawImage(this.sheet, left, top, room, picture);
      this.say(context, "right", `${this.config.max_frequency / 1000} kHz`, left - 5, top + 6);
      this.say(context, "right", "0", left - 5, top + picture - 5);
      const floor = top + picture + gap + bars;
      this.say(context, "right", "across", left - 5, floor - bars / 2 - 7);
      this.say(context, "right", "chunks", left - 5, floor - bars / 2 + 7);
      const ends = [this.start, this.start + this.chunk].map((frame) => clamp(frame, 0, this.frames));
      Object.assign(context, { strokeStyle: palette.sky, lineWidth: 2 });
      context.strokeRect(x(ends[0]), top + 1, x(ends[1]) - x(ends[0]), picture - 2);
      const most = Math.max(...this.across);
      this.across.forEach((weight, i) => {
        const frame = (i - 1) * this.half + this.place;
        if (frame < 0 || frame >= this.frames) return;
        context.fillStyle = palette.orange;
        context.globalAlpha = 0.85 * (weight / most);
        context.fillRect(x(frame) - 1, top, 3, picture);
        context.globalAlpha = 1;
        context.fillRect(x(frame) - 2, floor - (weight / most) * bars, 5,
          Math.max(1, (weight / most) * bars));
      });
      context.fillStyle = "#fff";
      context.fillRect(x(this.frame), top, 1.5, picture);
      this.even(context, floor - bars / (most * this.count), left, room);
      this.drawTimes(context, x, floor);
    }

    /** A dashed line where all bars would end if every frame were read alike. */
    even(context, y, left, room) {
      context.setLineDash([4, 4]);
      Object.assign(context, { strokeStyle: this.ink, lineWidth: 1, globalAlpha: 0.6 });
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(left + room, y);
      context.stroke();
      context.setLineDash([]);
      context.globalAlpha = 1;
    }

    drawTimes(context, x, floor) {
      const per = this.config.seconds_per_frame;
      const seconds = this.frames * per;
      for (const time of Unmix.ticks(0, seconds, 5)) {
        const align = time === 0 ? "left" : time > 0.96 * seconds ? "right" : "center";
        this.say(context, align, `${time} s`, x(time / per), floor + 14);
      }
    }

    drawInside() {
      const { context, width } = Unmix.fitCanvas(this.inside);
      const { left, top, bars } = INSIDE;
      const room = width - left - INSIDE.right;
      const step = room / this.chunk;
      const floor = top + bars;
      const most = Math.max(...this.within);
      this.say(context, "right", "inside", left - 5, floor - bars / 2 - 7);
      this.say(context, "right", "of it", left - 5, floor - bars / 2 + 7);
      this.within.forEach((weight, i) => {
        const frame = this.start + i;
        const real = frame >= 0 && frame < this.frames;
        const sky = this.dark ? palette.sky : palette.blue;
        context.fillStyle = frame === this.frame ? palette.vermillion : real ? sky : palette.grey;
        const height = Math.max(1, (weight / most) * bars);
        context.fillRect(left + i * step + 0.5, floor - height, Math.max(1, step - 1), height);
      });
      this.even(context, floor - bars / (most * this.chunk), left, room);
      const middle = left + (this.place + 0.5) * step;
      context.fillStyle = palette.vermillion;
      context.beginPath();
      context.moveTo(middle, floor + 2);
      context.lineTo(middle - 4, floor + 8);
      context.lineTo(middle + 4, floor + 8);
      context.fill();
      this.say(context, "left", this.timeOf(this.start), left, floor + 20);
      this.say(context, "right", this.timeOf(this.start + this.chunk - 1), left + room, floor + 20);
      this.say(context, "center", "frames of the chunk", left + room / 2, floor + 20);
    }
  }

  window.Unmix.define("unmix-attention-lens", AttentionLens);
})();
