/* <unmix-fold-sequence>: chunks of a sequence as the columns of a picture, and how long its sides are.
 *
 * config: {title, presets: [{label, frames, chunk}]}
 * The sequence has T = `frames` frames, counted from 0, and chunks of K = `chunk`; S is their number.
 * `folded` goes from 0 (chunks lie below the sequence) to 1 (chunks are columns).
 */
(() => {
  "use strict";
  const { h, Element, clamp, palette } = window.Unmix;

  const STAGE = { height: 376, left: 62, right: 12, strip: 22, lying: 50, picture: 108, bottom: 30 };
  const CURVE = { height: 230, left: 52, right: 26, top: 14, bottom: 38 };
  const MOST_DRAWN = 300; // chunks on their way: more cannot be told apart
  const SECONDS = 1.4; // of a fold
  const FONT = "11px system-ui, sans-serif";

  /** 256 colours from the beginning of a sequence to its end, and grey for the zeros around it. */
  const COLORS = Array.from({ length: 256 }, (_, place) =>
    [...Unmix.colormap("viridis").subarray(3 * place, 3 * place + 3)]);
  COLORS.push([136, 136, 136]);
  const TEXTS = COLORS.map((color) => `rgb(${color.join(",")})`);

  const whole = (value) => value.toLocaleString("en");
  const steps = (value) => `${whole(value)} steps`;

  /** Zeros around T frames, as lib.nn.dual_path.chunk_padding counts them, and the chunks. */
  function cut(frames, chunk) {
    const half = chunk / 2;
    const behind = chunk - ((half + frames) % chunk) + half;
    const total = half + frames + behind;
    return { half, total, count: total / half - 1 };
  }

  const pathSum = (frames, chunk) => chunk + cut(frames, chunk).count;

  /** The even chunk with the shortest sum of paths; of several, the nearest to sqrt(2 T). */
  function shortest(frames) {
    const middle = Math.sqrt(2 * frames);
    let best = 2;
    for (let chunk = 4; chunk <= frames; chunk += 2) {
      const gain = pathSum(frames, best) - pathSum(frames, chunk);
      if (gain > 0 || (gain === 0 && Math.abs(chunk - middle) < Math.abs(best - middle))) {
        best = chunk;
      }
    }
    return best;
  }

  class FoldSequence extends Element {
    static label = "Fold the sequence";

    static css = `
      canvas { display: block; width: 100%; }
      .stage { height: ${STAGE.height}px; }
      .curve { height: ${CURVE.height}px; cursor: ew-resize; touch-action: pan-y; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 8rem; }
      .slider input { min-width: 4rem; } .slider .readout { min-width: 3.6rem; }
      .results { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1.2rem;
        margin-bottom: 0; font-variant-numeric: tabular-nums; }
      dt { color: var(--quiet); } dd { margin: 0; } dd b { font-weight: 600; }
      .result { margin-bottom: 0; min-height: 1.5em; }`;

    setup(config) {
      Object.assign(this, { folded: 1, clock: null });
      this.build(config);
      this.usePreset(0);
      new ResizeObserver(() => this.draw()).observe(this.stage);
    }

    disconnectedCallback() {
      cancelAnimationFrame(this.clock);
      super.disconnectedCallback();
    }

    build(config) {
      this.presetChoice = Unmix.choice({ label: "Sequence",
        options: config.presets.map(({ label }) => label), onChange: (i) => this.usePreset(i) });
      this.stage = h("canvas", { class: "stage", role: "img" });
      this.curve = h("canvas", { class: "curve", role: "img" });
      // the slider is logarithmic: K = 2 at 0, the longest at 1
      this.chunkSlider = Unmix.slider({ label: "K, chunk length", min: 0, max: 1, step: "any",
        value: 0, format: () => whole(this.chunk || 2),
        onInput: (place) => this.setChunk(2 * (this.longest / 2) ** place) });
      this.chunkSlider.input.addEventListener("keydown", (event) => this.chunkKey(event));
      this.foldSlider = Unmix.slider({ label: "Folded", min: 0, max: 100, value: 100, unit: "%",
        onInput: (value) => { this.stop(); this.setFolded(value / 100); } });
      this.frameSlider = Unmix.slider({ label: "Frame followed", min: 0, max: 1, value: 0,
        format: whole, onInput: (value) => { this.frame = value; this.showFrame(); } });
      this.state = h("p", { class: "result", role: "status" });
      this.values = Object.fromEntries(["inside", "across", "sum", "best", "one"]
        .map((name) => [name, h("dd", { "data-value": name })]));
      const line = (name, label) => [h("dt", {}, label), this.values[name]];
      this.panel.append(
        h("div", { class: "row" }, h("span", { class: "title" }, config.title)),
        h("div", { class: "row" }, this.presetChoice),
        this.chunkSlider, this.stage, this.frameSlider, this.state, this.foldSlider,
        h("div", { class: "row" },
          Unmix.button("Fold", () => this.play(), { class: "primary" }),
          Unmix.button("Shortest paths", () => this.setChunk(this.best))),
        this.curve,
        h("dl", { class: "results" }, line("inside", "Inside of chunks, K"),
          line("across", "Across chunks, S"), line("sum", "Sum, K + S"),
          line("best", "Shortest sum"), line("one", "Without folding, T")),
        h("p", { class: "help" }, "Drag in the curves, or use the slider: arrow keys change K by 2, "
          + "page keys by a tenth. Colour: place in the sequence; grey: zeros around it. Outlined in "
          + "the picture: the chunk of the followed frame, which one network walks down, and the "
          + "frames at its place in all chunks, which the other walks along. Keys: F folds, B "
          + "takes the shortest paths."));
      this.dragChunk();
      Unmix.bindKeys(this.panel, { f: () => this.play(), b: () => this.setChunk(this.best) });
    }

    onTheme() { if (this.chunk) this.draw(); }

    // ---------------------------------------------------------------- what the reader does

    usePreset(index) {
      const { frames, chunk } = this.config.presets[index];
      Object.assign(this, { frames, longest: frames - (frames % 2), best: shortest(frames) });
      this.frame = Math.floor(0.436 * frames);
      this.frameSlider.input.max = frames - 1;
      this.frameSlider.set(this.frame, true);
      this.setChunk(chunk);
    }

    setChunk(length) {
      this.chunk = clamp(2 * Math.round(length / 2), 2, this.longest);
      Object.assign(this, cut(this.frames, this.chunk));
      this.chunkSlider.set(Math.log(this.chunk / 2) / Math.log(this.longest / 2), true);
      this.showPaths();
      this.showFrame();
    }

    chunkKey(event) {
      const tenth = Math.max(2, 0.1 * this.chunk);
      const change = { ArrowRight: 2, ArrowUp: 2, ArrowLeft: -2, ArrowDown: -2, PageUp: tenth,
        PageDown: -tenth }[event.key];
      if (!change) return;
      event.preventDefault();
      this.setChunk(this.chunk + change);
    }

    dragChunk() {
      let dragging = false;
      const follow = (event) => {
        const box = this.curve.getBoundingClientRect();
        const width = box.width - CURVE.left - CURVE.right;
        const place = clamp((event.clientX - box.left - CURVE.left) / width, 0, 1);
        this.setChunk(2 * (this.longest / 2) ** place);
      };
      this.curve.addEventListener("pointerdown", (event) => {
        dragging = true;
        this.curve.setPointerCapture(event.pointerId);
        this.chunkSlider.input.focus({ preventScroll: true });
        event.preventDefault();
        follow(event);
      });
      this.curve.addEventListener("pointermove", (event) => { if (dragging) follow(event); });
      for (const end of ["pointerup", "pointercancel"]) {
        this.curve.addEventListener(end, () => { dragging = false; });
      }
    }

    setFolded(share) {
      this.folded = share;
      this.foldSlider.set(Math.round(100 * share), true);
      this.draw();
    }

    play() {
      this.stop();
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.setFolded(1);
        return;
      }
      let start = null;
      const move = (now) => {
        start = start === null ? now : start;
        const share = Math.min(1, (now - start) / (1000 * SECONDS));
        this.setFolded(share);
        this.clock = share < 1 ? requestAnimationFrame(move) : null;
      };
      this.clock = requestAnimationFrame(move);
    }

    stop() {
      cancelAnimationFrame(this.clock);
      this.clock = null;
    }

    // ---------------------------------------------------------------- numbers and words

    /** The two places of a frame: [[chunk, place in it], the same of the next chunk]. */
    placesOf(frame) {
      const second = Math.floor((frame + this.half) / this.half);
      const place = (frame + this.half) % this.half;
      return [[second - 1, place + this.half], [second, place]];
    }

    showPaths() {
      const { values, frames, chunk, count, best } = this;
      const bold = (text) => h("b", {}, text);
      values.inside.replaceChildren(bold(steps(chunk)));
      values.across.replaceChildren(bold(steps(count)));
      values.sum.replaceChildren(bold(steps(chunk + count)));
      values.best.textContent = `${steps(pathSum(frames, best))} at K = ${whole(best)}; `
        + `\u221a(2\u00a0T)\u00a0=\u00a0${Math.sqrt(2 * frames).toFixed(1)}`;
      values.one.textContent = steps(frames);
      this.curve.setAttribute("aria-label", "Lengths of the paths over the chunk length. "
        + `K = ${whole(chunk)}, S = ${whole(count)}, sum ${whole(chunk + count)}. Shortest sum `
        + `${values.best.textContent}.`);
    }

    showFrame() {
      const [first, second] = this.placesOf(this.frame).map(([index, place]) =>
        `place ${whole(place)} of chunk ${whole(index)}`);
      this.state.textContent = `Frame ${whole(this.frame)}: ${first} and ${second}, from 0.`;
      this.stage.setAttribute("aria-label", `${whole(this.frames)} frames, cut into `
        + `${whole(this.count)} chunks of ${whole(this.chunk)}, which overlap by half. `
        + this.state.textContent);
      this.draw();
    }

    // ---------------------------------------------------------------- the sequence and the picture

    draw() {
      if (!this.stage.clientWidth) return;
      this.ink = getComputedStyle(this.stage).color;
      this.drawStage();
      this.drawCurve();
    }

    /** Which of COLORS a frame has. */
    colorOf(frame) {
      if (frame < 0 || frame >= this.frames) return 256;
      return Math.round((255 * frame) / (this.frames - 1));
    }

    drawStage() {
      const { context, width } = Unmix.fitCanvas(this.stage);
      const room = width - STAGE.left - STAGE.right;
      const high = STAGE.height - STAGE.picture - STAGE.bottom;
      const unit = Math.min(room / this.count, high / this.chunk, 36);
      // at least a few pixels, where the true shape would be a hair
      this.picture = { x: STAGE.left, y: STAGE.picture, width: Math.max(4, unit * this.count),
        height: Math.max(4, unit * this.chunk) };
      Object.assign(this, { context, room, perFrame: room / this.total });
      context.font = FONT;
      this.drawStrip();
      this.drawChunks(0);
      if (this.folded === 1) this.drawPicture();
      else if (this.folded > 0) this.drawChunks(this.folded);
    }

    drawStrip() {
      const { context, room, total, half, perFrame } = this;
      for (let x = 0; x < room; x++) {
        context.fillStyle = TEXTS[this.colorOf(Math.floor((x / room) * total) - half)];
        context.fillRect(STAGE.left + x, STAGE.strip, 1, 16);
      }
      this.say("right", "T", STAGE.left - 8, STAGE.strip + 8);
      const x = STAGE.left + (this.frame + half + 0.5) * perFrame;
      this.say("center", "followed", clamp(x, STAGE.left + 24, STAGE.left + room - 24), 6);
      context.fillStyle = palette.orange;
      context.fillRect(x - 1.5, STAGE.strip - 8, 3, 28);
    }

    say(align, text, x, y, color = this.ink) {
      const { context } = this;
      Object.assign(context, { textAlign: align, textBaseline: "middle", fillStyle: color });
      context.fillText(text, x, y);
    }

    /** Corner, direction and sizes of a chunk on its way from the strip to its column, where only
     *  each `step`th is drawn. */
    layOf(index, folded, step) {
      const { picture, perFrame } = this;
      const between = (from, to) => from + folded * (to - from);
      const angle = (folded * Math.PI) / 2;
      const length = between(this.chunk * perFrame * step, picture.height);
      // a column turned by a right angle hangs from its upper right corner
      const x = between(STAGE.left + index * this.half * perFrame,
        picture.x + ((index + 1) * picture.width) / this.count);
      return { angle, length, x: Math.min(x, STAGE.left + this.room - length * Math.cos(angle)),
        y: between(STAGE.lying + 20 * (Math.floor(index / step) % 2), picture.y),
        thickness: between(15, (step * picture.width) / this.count) };
    }

    drawChunks(folded) {
      const { context } = this;
      const step = Math.ceil(this.count / MOST_DRAWN);
      const followed = this.placesOf(this.frame).map(([index]) => index);
      const drawn = followed.slice();
      for (let index = this.count - 1; index >= 0; index--) {
        if (index % step === 0 && !followed.includes(index)) drawn.unshift(index);
      }
      for (const index of drawn) {
        const { x, y, angle, length, thickness } = this.layOf(index, folded, step);
        context.save();
        context.translate(x, y);
        context.rotate(angle);
        const gradient = context.createLinearGradient(0, 0, length, 0);
        const stops = clamp(Math.round(length / 10), 1, 8);
        for (let stop = 0; stop <= stops; stop++) {
          const place = Math.floor(((this.chunk - 1) * stop) / stops);
          const color = TEXTS[this.colorOf((index - 1) * this.half + place)];
          gradient.addColorStop(stop / stops, color);
        }
        context.fillStyle = gradient;
        context.fillRect(0, 0, length, thickness);
        const marked = followed.includes(index);
        context.strokeStyle = marked ? palette.orange : this.ink;
        context.lineWidth = marked ? 2.5 : 0.5;
        if (marked || length > 4) context.strokeRect(0, 0, length, thickness);
        context.restore();
      }
      this.say("right", "chunks", STAGE.left - 8, STAGE.lying + 17);
    }

    drawPicture() {
      const { context, picture, count, chunk, half } = this;
      const ratio = window.devicePixelRatio || 1;
      const [columns, lines] = [picture.width, picture.height].map((size) =>
        Math.round(size * ratio));
      const image = context.createImageData(columns, lines);
      for (let column = 0; column < columns; column++) {
        const index = Math.floor((column / columns) * count);
        for (let row = 0; row < lines; row++) {
          const place = Math.floor((row / lines) * chunk);
          const color = COLORS[this.colorOf((index - 1) * half + place)];
          const pixel = 4 * (row * columns + column);
          for (let part = 0; part < 3; part++) image.data[pixel + part] = color[part];
          image.data[pixel + 3] = 255;
        }
      }
      context.putImageData(image, Math.round(picture.x * ratio), Math.round(picture.y * ratio));
      const cell = [picture.width / count, picture.height / chunk];
      if (Math.min(...cell) >= 17) this.numberCells(cell);
      this.outlineFollowed(cell);
      this.say("right", `K = ${whole(chunk)}`, STAGE.left - 8, picture.y + picture.height / 2);
      const middle = Math.max(picture.x + picture.width / 2, STAGE.left + 20);
      this.say("center", `S = ${whole(count)}`, middle, picture.y + picture.height + 14);
    }

    numberCells([width, height]) {
      const { context, picture } = this;
      for (let index = 0; index < this.count; index++) {
        for (let place = 0; place < this.chunk; place++) {
          const frame = (index - 1) * this.half + place;
          if (frame < 0 || frame >= this.frames) continue;
          const [x, y] = [picture.x + index * width, picture.y + place * height];
          this.say("center", String(frame), x + width / 2, y + height / 2 + 0.5,
            frame > 0.5 * this.frames ? "#000" : "#fff");
        }
      }
    }

    outlineFollowed([width, height]) {
      const { context, picture } = this;
      const [one, two] = this.placesOf(this.frame);
      const frame = (x, y, w, t) => {
        for (const [color, line] of [["#000", 4.5], ["#fff", 2]]) {
          Object.assign(context, { strokeStyle: color, lineWidth: line });
          context.strokeRect(x, y, Math.max(2, w), Math.max(2, t));
        }
      };
      const [index, place] = two;
      frame(picture.x + index * width, picture.y, width, picture.height);
      frame(picture.x, picture.y + place * height, picture.width, height);
      for (const [column, row] of [one, two]) {
        Object.assign(context, { fillStyle: palette.orange, strokeStyle: "#000", lineWidth: 1 });
        const size = Math.max(7, Math.min(width, height) - 2);
        const x = picture.x + (column + 0.5) * width - size / 2;
        const y = picture.y + (row + 0.5) * height - size / 2;
        context.fillRect(x, y, size, size);
        context.strokeRect(x, y, size, size);
        if (size >= 15) {
          this.say("center", String(this.frame), x + size / 2, y + size / 2 + 0.5, "#000");
        }
      }
    }

    // ---------------------------------------------------------------- the lengths of the paths

    drawCurve() {
      const { context, width, height } = Unmix.fitCanvas(this.curve);
      const [right, bottom] = [width - CURVE.right, height - CURVE.bottom];
      const share = (value, low, high) => Math.log(value / low) / Math.log(high / low);
      const x = (chunk) => CURVE.left + share(chunk, 2, this.longest) * (right - CURVE.left);
      const top = 1.6 * this.frames;
      const y = (length) => bottom - share(length, 2, top) * (bottom - CURVE.top);
      Object.assign(this, { context, sideOf: { x, y, right, bottom } });
      context.font = FONT;
      this.drawScales(top);
      const chunks = new Set();
      for (let place = 0; place <= 400; place++) {
        const length = 2 * Math.round((this.longest / 2) ** (place / 400));
        chunks.add(Math.min(length, this.longest));
      }
      const lines = [[this.dark ? palette.sky : palette.blue, 1.5, (chunk) => chunk],
        [palette.vermillion, 1.5, (chunk) => cut(this.frames, chunk).count],
        [this.ink, 2.5, (chunk) => pathSum(this.frames, chunk)]];
      for (const [color, line, value] of lines) {
        context.beginPath();
        for (const chunk of chunks) context.lineTo(x(chunk), y(value(chunk)));
        Object.assign(context, { strokeStyle: color, lineWidth: line });
        context.stroke();
      }
      this.drawMarks(lines);
    }

    drawScales(top) {
      const { context } = this;
      const { x, y, right, bottom } = this.sideOf;
      const line = (x1, y1, x2, y2, dashes) => {
        context.setLineDash(dashes);
        context.beginPath();
        context.moveTo(x1, y1);
        context.lineTo(x2, y2);
        context.stroke();
        context.setLineDash([]);
      };
      Object.assign(context, { strokeStyle: this.ink, lineWidth: 1 });
      const small = this.frames < 200;
      for (const value of [2, 5, 10, 20, 50, 100, 1000, 10000, 100000]) {
        if (!small && [2, 5, 20, 50].includes(value)) continue;
        context.globalAlpha = 0.15;
        if (value <= this.longest) line(x(value), CURVE.top, x(value), bottom, []);
        if (value <= top) line(CURVE.left, y(value), right, y(value), []);
        context.globalAlpha = 0.8;
        if (value <= this.longest) this.say("center", whole(value), x(value), bottom + 11);
        if (value <= top) this.say("right", whole(value), CURVE.left - 6, y(value));
      }
      this.say("center", "K, chunk length", (CURVE.left + right) / 2, bottom + 28);
      const middle = x(Math.sqrt(2 * this.frames));
      line(middle, CURVE.top, middle, bottom, [5, 4]);
      line(CURVE.left, y(this.frames), right, y(this.frames), [2, 3]);
      context.globalAlpha = 1;
      this.say("left", "\u221a(2 T)", middle + 5, bottom - 9);
      this.say("left", "T", middle + 5, y(this.frames) - 7);
      this.say("right", "steps", CURVE.left - 6, 6);
    }

    drawMarks([inside, across]) {
      const { context, chunk, best } = this;
      const { x, y } = this.sideOf;
      const circle = (at, value, radius) => {
        context.beginPath();
        context.arc(x(at), y(value), radius, 0, 2 * Math.PI);
      };
      context.strokeStyle = palette.orange;
      context.lineWidth = 3;
      circle(best, pathSum(this.frames, best), 9);
      context.stroke();
      for (const [value, color] of [[chunk, inside[0]], [this.count, across[0]],
        [chunk + this.count, this.ink]]) {
        circle(chunk, value, 4.5);
        context.fillStyle = color;
        context.fill();
      }
      // names stand where the lines are far from each other
      const [low, high] = [0.16, 0.8].map((share) =>
        2 * Math.round((this.longest / 2) ** share));
      this.say("left", "K", x(low) + 6, y(low) + 10);
      this.say("right", "S", x(high) - 6, y(cut(this.frames, high).count) + 12);
      this.say("left", "K + S", x(low) + 8, y(pathSum(this.frames, low)) - 10);
    }
  }

  window.Unmix.define("unmix-fold-sequence", FoldSequence);
})();
