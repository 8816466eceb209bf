/* <unmix-deconvolution-matrix>: a convolution as a matrix, its transpose, and the checkerboard.
 *
 * config: {title, settings: {size, kernel_size, stride, padding}, ranges: {name: [low, high]},
 *          drawn: rows of a kernel of the largest size}
 * The image has n x n points, the kernel k x k, the output m x m; points count row by row from 0.
 */
(() => {
  "use strict";
  const { h, Element, clamp, palette } = window.Unmix;

  const FONT = "11px system-ui, sans-serif";
  const TALLEST = 360; // pixels that the transpose may be high
  const PATTERN = 12; // points of a side of the checkerboard
  const WEIGHTS = ["all equal", "triangle", "drawn"];

  const NAMES = { size: "Image, n", kernel_size: "Kernel, k", stride: "Stride, s",
    padding: "Padding, p" };
  const SETTINGS = Object.keys(NAMES);

  const letter = (place) => String.fromCharCode(97 + place);
  const square = (side) => `${side} \u00d7 ${side}`;
  const number = (value) => String(value).replace("-", "\u2212");

  class DeconvolutionMatrix extends Element {
    static label = "Deconvolution matrix";

    static css = `
      canvas { display: block; width: 100%; touch-action: pan-y; }
      .wide, .tall { cursor: crosshair; }
      .pictures { display: grid; gap: .7rem 1.2rem;
        grid-template-columns: repeat(auto-fit, minmax(min(15rem, 100%), 1fr)); }
      .pictures > div > * + * { margin-top: .35rem; }
      .caption { margin-bottom: 0; color: var(--quiet); font-size: 12.5px; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 6.4rem; }
      .slider input { min-width: 4rem; } .slider .readout { min-width: 3.4rem; }
      .group { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem .6rem; }
      .group > span { color: var(--quiet); }
      .result { margin-bottom: 0; min-height: 3em; font-variant-numeric: tabular-nums; }`;

    setup(config) {
      Object.assign(this, { ...config.settings, place: 0, weights: 0 });
      this.build(config);
      this.show();
      new ResizeObserver(() => this.draw()).observe(this.wide);
    }

    build(config) {
      const canvas = (name) => h("canvas", { class: name, role: "img" });
      Object.assign(this, { wide: canvas("wide"), tall: canvas("tall"), image: canvas("image"),
        board: canvas("board") });
      this.sliders = Object.fromEntries(SETTINGS.map((name) => {
        const [min, max] = config.ranges[name];
        return [name, Unmix.slider({ label: NAMES[name], min, max, value: this[name],
          onInput: (value) => this.setOne(name, value) })];
      }));
      this.placeSlider = Unmix.slider({ label: "Output point", min: 0, max: 1, value: 0,
        format: (value) => `${value + 1} of ${this.outputs || 1}`,
        onInput: (value) => { this.place = value; this.tell(); } });
      this.weightChoice = Unmix.choice({ label: "Points of the kernel", options: WEIGHTS,
        onChange: (index) => { this.weights = index; this.tell(); } });
      [this.state, this.verdict] = [0, 1].map(() => h("p", { class: "result", role: "status" }));
      const caption = (...parts) => h("p", { class: "caption" }, parts);
      this.panel.append(
        h("div", { class: "row" }, h("span", { class: "title" }, config.title)),
        h("div", {}, Object.values(this.sliders)),
        caption("W*: each row puts the kernel in one place of the image"), this.wide,
        this.placeSlider, this.state,
        h("div", { class: "pictures" },
          h("div", {}, caption("W*\u1d40: each column spreads one output point"), this.tall),
          h("div", {}, caption("The image, and where the kernel lies"), this.image,
            caption("What W*\u1d40 makes of a constant, away from the borders"),
            h("div", { class: "group" }, h("span", { "aria-hidden": "true" }, "Kernel:"),
              this.weightChoice), this.board, this.verdict)),
        h("p", { class: "help" }, "Use the sliders: arrow keys change a setting by one. Point at a "
          + "row of W* or a column of its transpose to mark an output point. Colours and letters "
          + "name the points of the kernel; empty places are zeros."));
      this.point(this.wide, (x, y) => y);
      this.point(this.tall, (x) => x);
    }

    onTheme() { if (this.outputs) this.draw(); }

    // ---------------------------------------------------------------- what the reader does

    setOne(name, value) {
      this[name] = value;
      // a kernel must lie inside of the padded image
      const least = this.kernel_size - 2 * this.padding;
      if (this.size < least && name === "size") {
        this.kernel_size = this.size + 2 * this.padding;
        this.sliders.kernel_size.set(this.kernel_size, true);
      } else if (this.size < least) {
        this.size = least;
        this.sliders.size.set(this.size, true);
      }
      this.show();
    }

    /** A press or a drag marks the output point whose row or column lies under the pointer. */
    point(canvas, which) {
      const choose = (event) => {
        const box = canvas.getBoundingClientRect();
        const { cell, left } = canvas.drawn;
        const at = which(event.clientX - box.left - left, event.clientY - box.top);
        this.placeSlider.set(clamp(Math.floor(at / cell), 0, this.outputs - 1));
      };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.placeSlider.input.focus({ preventScroll: true });
        event.preventDefault();
        choose(event);
      });
      canvas.addEventListener("pointermove", (event) => { if (event.buttons) choose(event); });
    }

    // ---------------------------------------------------------------- numbers

    /** Points of one side of the output. */
    get side() {
      return Math.floor((this.size + 2 * this.padding - this.kernel_size) / this.stride) + 1;
    }

    /** Which point of the kernel [row, column] meets an image point for an output point, or null. */
    tap(output, input) {
      const { size, side, stride, padding, kernel_size: k } = this;
      const row = Math.floor(input / size) + padding - stride * Math.floor(output / side);
      const column = (input % size) + padding - stride * (output % side);
      const inside = row >= 0 && row < k && column >= 0 && column < k;
      return inside ? [row, column] : null;
    }

    /** Numbers of the kernel, by the chosen kind. */
    get kernel() {
      const k = this.kernel_size;
      const triangle = (place) => 1 + Math.min(place, k - 1 - place);
      const value = [() => 1, (a, b) => triangle(a) * triangle(b),
        (a, b) => this.config.drawn[a][b]][this.weights];
      return Array.from({ length: k }, (_, a) => Array.from({ length: k }, (__, b) => value(a, b)));
    }

    /** W*, as rows of numbers. */
    get matrix() {
      const { kernel } = this;
      return Array.from({ length: this.outputs }, (_, output) =>
        Array.from({ length: this.size ** 2 }, (__, input) => {
          const tap = this.tap(output, input);
          return tap ? kernel[tap[0]][tap[1]] : 0;
        }));
    }

    /** What ones become, far from the borders: s x s sums, which repeat. A point of the output
     *  meets every s-th point of the kernel on either axis. */
    get pattern() {
      const { stride, kernel } = this;
      const sums = Array.from({ length: stride }, () => new Array(stride).fill(0));
      kernel.forEach((row, a) => row.forEach((value, b) => {
        sums[a % stride][b % stride] += value;
      }));
      return sums;
    }

    /** Energy of what varies over that of the mean, in dB: null for a mean of zero. */
    get energy() {
      const sums = this.pattern.flat();
      const mean = sums.reduce((total, value) => total + value, 0) / sums.length;
      const rest = sums.reduce((total, value) => total + (value - mean) ** 2, 0) / sums.length;
      if (Math.abs(mean) < 1e-9) return null;
      return 10 * Math.log10(rest / mean ** 2 + 1e-30);
    }

    show() {
      this.outputs = this.side ** 2;
      this.place = Math.min(this.place, this.outputs - 1);
      this.placeSlider.input.max = this.outputs - 1;
      this.placeSlider.set(this.place, true);
      this.tell();
    }

    tell() {
      const { size, side, outputs, place, stride, padding, kernel_size: k } = this;
      const points = size ** 2;
      const missing = size - ((side - 1) * stride + k - 2 * padding);
      const inputs = Array.from({ length: points }, (_, input) => input);
      const covered = inputs.filter((input) => this.tap(place, input)).length;
      this.state.textContent = `W* is ${outputs} \u00d7 ${points}: it takes ${square(size)} points to `
        + `${square(side)}. W*\u1d40 is ${points} \u00d7 ${outputs}: it takes ${square(side)} back to `
        + `${square(size)}, with output padding ${missing}. Marked: row ${place + 1}, where `
        + `${covered} of ${points} entries are from the kernel.`;
      const sums = this.pattern.flat();
      const [low, high] = [Math.min(...sums), Math.max(...sums)].map((sum) =>
        number(Number(sum.toFixed(2))));
      const { energy } = this;
      this.verdict.textContent = energy !== null && energy < -200
        ? `No checkerboard: a constant stays a constant, ${low}.`
        : `Checkerboard from ${low} to ${high}; ${energy === null ? "its mean is zero"
          : `its energy is ${number(energy.toFixed(1))} dB relative to the constant's`}.`;
      this.wide.setAttribute("aria-label", `The matrix W*. ${this.state.textContent}`);
      this.tall.setAttribute("aria-label", `The transpose of W*, ${points} rows and ${outputs} `
        + `columns; column ${place + 1} is marked.`);
      const [row, column] = [Math.floor(place / side), place % side].map((at) =>
        at * stride - padding);
      this.image.setAttribute("aria-label", `The image of ${square(size)} points; the kernel covers `
        + `rows ${number(row)} to ${number(row + k - 1)} and columns ${number(column)} to `
        + `${number(column + k - 1)}, from 0.`);
      this.board.setAttribute("aria-label", this.verdict.textContent);
      this.draw();
    }

    // ---------------------------------------------------------------- pictures

    draw() {
      if (!this.wide.clientWidth || !this.outputs) return;
      this.ink = getComputedStyle(this.wide).color;
      this.drawMatrix(this.wide, this.outputs, this.size ** 2, (row, column) => [row, column]);
      this.drawMatrix(this.tall, this.size ** 2, this.outputs, (row, column) => [column, row]);
      this.drawImage();
      this.drawBoard();
    }

    /** Give a canvas room for rows x columns square cells, and clear it. */
    sheet(canvas, rows, columns, largest, margin = 0) {
      const cell = Math.min(canvas.clientWidth / (columns + 2 * margin), largest);
      canvas.style.height = `${Math.ceil(cell * (rows + 2 * margin)) + 2}px`;
      const { context, width } = Unmix.fitCanvas(canvas);
      canvas.drawn = { cell, left: (width - cell * columns) / 2 };
      Object.assign(context, { font: FONT, textAlign: "center", textBaseline: "middle" });
      return context;
    }

    colorOf([a, b]) {
      const k = this.kernel_size;
      const place = Math.round((255 * (a * k + b)) / (k * k - 1));
      return [...Unmix.colormap("viridis").subarray(3 * place, 3 * place + 3)];
    }

    fill(context, color, x, y, cell, text) {
      context.fillStyle = `rgb(${color.join(",")})`;
      context.fillRect(x, y, cell, cell);
      if (!text) return;
      const light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 125;
      context.fillStyle = light ? "#000" : "#fff";
      context.fillText(text, x + cell / 2, y + cell / 2 + 0.5);
    }

    drawMatrix(canvas, rows, columns, pair) {
      const context = this.sheet(canvas, rows, columns, Math.min(30, TALLEST / rows));
      const { cell, left } = canvas.drawn;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const tap = this.tap(...pair(row, column));
          const [x, y] = [left + column * cell, row * cell];
          if (tap) {
            this.fill(context, this.colorOf(tap), x, y, cell,
              cell >= 17 ? letter(tap[0]) + letter(tap[1]) : "");
          } else if (cell >= 17) {
            Object.assign(context, { globalAlpha: 0.45, fillStyle: this.ink });
            context.fillText("0", x + cell / 2, y + cell / 2);
            context.globalAlpha = 1;
          }
        }
      }
      this.grid(context, left, 0, rows, columns, cell);
      const at = this.place * cell;
      if (canvas === this.wide) this.outline(context, left, at, columns * cell, cell);
      else this.outline(context, left + at, 0, cell, rows * cell);
    }

    grid(context, left, top, rows, columns, cell) {
      Object.assign(context, { strokeStyle: this.ink, lineWidth: 0.5, globalAlpha: 0.35 });
      context.beginPath();
      for (let row = 0; row <= rows; row++) {
        context.moveTo(left, top + row * cell);
        context.lineTo(left + columns * cell, top + row * cell);
      }
      for (let column = 0; column <= columns; column++) {
        context.moveTo(left + column * cell, top);
        context.lineTo(left + column * cell, top + rows * cell);
      }
      context.stroke();
      context.globalAlpha = 1;
    }

    outline(context, x, y, width, height) {
      const thin = clamp(Math.min(width, height) / 5, 1, 2.5);
      for (const [color, line] of [["#000", thin + 1.5], [palette.orange, thin]]) {
        Object.assign(context, { strokeStyle: color, lineWidth: line });
        context.strokeRect(x, y, width, height);
      }
    }

    drawImage() {
      const { size, padding, stride, side, place, kernel_size: k } = this;
      const context = this.sheet(this.image, size, size, 26, padding);
      const { cell, left } = this.image.drawn;
      const top = padding * cell;
      for (let input = 0; input < size ** 2; input++) {
        const tap = this.tap(place, input);
        const [row, column] = [Math.floor(input / size), input % size];
        if (tap) {
          this.fill(context, this.colorOf(tap), left + column * cell, top + row * cell, cell,
            cell >= 17 ? letter(tap[0]) + letter(tap[1]) : "");
        }
      }
      this.grid(context, left, top, size, size, cell);
      const [row, column] = [Math.floor(place / side), place % side].map((at) =>
        at * stride - padding);
      this.outline(context, left + column * cell, top + row * cell, k * cell, k * cell);
    }

    drawBoard() {
      const { stride, pattern } = this;
      const context = this.sheet(this.board, PATTERN, PATTERN, 18);
      const { cell, left } = this.board.drawn;
      const sums = pattern.flat();
      const [low, high] = [Math.min(...sums), Math.max(...sums)];
      const ramp = Unmix.colormap("cividis");
      for (let row = 0; row < PATTERN; row++) {
        for (let column = 0; column < PATTERN; column++) {
          const sum = pattern[row % stride][column % stride];
          // differences that are rounding errors are no pattern
          const share = high - low < 1e-9 ? 0.5 : (sum - low) / (high - low);
          const color = 3 * Math.round(255 * share);
          this.fill(context, [...ramp.subarray(color, color + 3)], left + column * cell,
            row * cell, cell + 0.5);
        }
      }
    }
  }

  window.Unmix.define("unmix-deconvolution-matrix", DeconvolutionMatrix);
})();
