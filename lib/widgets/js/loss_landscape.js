/* <unmix-loss-landscape>: a mask of two pixels, three losses, their gradients and gradient steps.
 *
 * config: {title, mixture: [x1, x2], targets: [three of [s1, s2]], start: [m1, m2]}
 * The estimate is e = (m1 x1, m2 x2). The first target counts alone unless the reader adds the
 * others; then each loss is the mean over the three.
 */
(() => {
  "use strict";
  const { h, svg, Element, Axes, clamp } = window.Unmix;

  const REACH = 1.5;
  const GRID = 240; // pixels of the landscape
  const BANDS = 16; // of colour: their edges are the contours
  const SIZE = 300; // units of the drawing over it
  const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2];
  // limits of lib.losses.si_snr_loss: the share that keeps it within 80 dB, and silence
  const SMALLEST_SHARE = 1e-8;
  const SILENCE = 1e-12;

  // Each takes estimate and target; slope is the gradient with respect to the estimate.
  function mse(e, s) {
    const error = [e[0] - s[0], e[1] - s[1]];
    return { value: (error[0] ** 2 + error[1] ** 2) / 2, slope: error };
  }

  function l1(e, s) {
    const error = [e[0] - s[0], e[1] - s[1]];
    return { value: (Math.abs(error[0]) + Math.abs(error[1])) / 2,
      slope: error.map((value) => Math.sign(value) / 2) };
  }

  function negativeSiSdr(e, s) {
    const energy = e[0] ** 2 + e[1] ** 2;
    const both = energy * (s[0] ** 2 + s[1] ** 2);
    const silent = energy / 2 <= SILENCE;
    const dot = e[0] * s[0] + e[1] * s[1];
    const cross = e[0] * s[1] - e[1] * s[0];
    // shares of the estimate's energy along the target and at right angles to it
    const along = (silent ? 0 : dot ** 2 / both) + SMALLEST_SHARE;
    const across = (silent ? 1 : cross ** 2 / both) + SMALLEST_SHARE;
    const size = silent ? 0
      : (20 / Math.LN10) * (1 / across + 1 / along) * ((dot * cross) / (energy * both));
    return { value: 10 * Math.log10(across / along), slope: [size * e[1], -size * e[0]] };
  }

  const LOSSES = [
    { key: "mse", name: "MSE (L2)", unit: "", digits: 3, loss: mse, step: 0.5,
      one: "The gradient is proportional to the error: steps shrink on the way to the cross.",
      three: "Lowest at the mean of the three targets (ring): a compromise that need not be any of them." },
    { key: "l1", name: "L1", unit: "", digits: 3, loss: l1, step: 0.2,
      one: "The gradient is as large near the cross as far from it: with a fixed step size the mask "
        + "jumps to and fro over the kinks.",
      three: "Lowest at the median of the three targets in each pixel (ring): the odd one does not "
        + "pull harder for being far away." },
    { key: "si_sdr", name: "\u2212SI-SDR", unit: " dB", digits: 2, loss: negativeSiSdr,
      step: 0.002, range: [-30, 10],
      one: "The same all along the dashed ray: the level is free. The gradient is at right angles "
        + "to it, and grows near the ray of the cross: there one step may throw the mask far away.",
      three: "Each target\u2019s ray is a valley of its own. Where the steps end depends on where "
        + "they begin." },
  ];

  const minus = (text) => text.replace("-", "\u2212");
  // "+ 0" after rounding: no minus sign before a zero
  const number = (value, digits = 3) => minus((Number(value.toFixed(digits)) + 0).toFixed(digits));
  /** A gradient may be large: about four digits of it. */
  const slope = (value) => number(value, clamp(3 - Math.floor(Math.log10(Math.abs(value) + 1)), 0, 3));
  const pair = (values) => `(${values.map((value) => number(value, 2)).join(", ")})`;
  const at = ([first, second]) =>
    [(SIZE * first) / REACH, SIZE * (1 - second / REACH)].map((value) => Number(value.toFixed(3)));

  function middle(values) {
    return [...values].sort((a, b) => a - b)[(values.length - 1) / 2];
  }

  /** An arrow as an SVG path; nothing where it would have no length. */
  function arrowPath([x, y], [toX, toY]) {
    const length = Math.hypot(toX - x, toY - y);
    if (length < 0.5) return "";
    const head = Math.min(10, length) / length;
    const [backX, backY] = [(toX - x) * head, (toY - y) * head];
    const barb = (side) =>
      `${toX - backX - side * 0.5 * backY} ${toY - backY + side * 0.5 * backX}`;
    return `M${x} ${y} L${toX} ${toY} M${barb(1)} L${toX} ${toY} L${barb(-1)}`;
  }

  class LossLandscape extends Element {
    static label = "Loss landscape";

    static css = `
      .panel { container-type: inline-size; }
      .board { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
        gap: .7rem 1.3rem; align-items: start; }
      .board > div > * + * { margin-top: .7rem; }
      @container (max-width: 34rem) { .board { grid-template-columns: minmax(0, 1fr); } }
      .plot { aspect-ratio: 1; cursor: crosshair; touch-action: none; }
      .side { display: grid; }
      .plot svg { width: 100%; height: 100%; display: block; }
      svg path, svg line, svg polyline { fill: none; stroke-linecap: round; stroke-linejoin: round; }
      .halo { stroke: #000; stroke-width: 5; opacity: .55; }
      .line { stroke: #fff; stroke-width: 2.2; }
      .cross .line { stroke: #ffb000; }
      .thin .halo { stroke-width: 3.5; } .thin .line { stroke-width: 1.4; }
      .ray { stroke: #fff; stroke-width: 1.5; stroke-dasharray: 5 5; }
      .best { fill: none; stroke: #ffb000; stroke-width: 2.5; }
      .handle { fill: #fff; stroke: #000; stroke-width: 2; cursor: grab; }
      .mask:focus { outline: none; }
      .mask:focus-visible .handle { stroke: var(--focus); stroke-width: 5; }
      .bar .yticks span { white-space: nowrap; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 0; white-space: nowrap; }
      .slider input { min-width: 4rem; } .slider .readout { min-width: 2.6rem; }
      table { width: 100%; font-size: 13px; } th, td { padding: .2rem .25rem; white-space: nowrap; }
      td { font-variant-numeric: tabular-nums; border-bottom: 1px solid var(--line); }
      th:first-child { text-align: left; }
      tbody th { font-weight: 400; }
      tr.drawn { background: var(--soft); } tr.drawn th { font-weight: 600; }
      td svg { width: 1.5rem; height: 1.5rem; display: block; margin-left: auto; }
      td svg path { stroke: currentColor; stroke-width: 2; }
      .pixels { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; text-align: center;
        font-size: 11.5px; font-variant-numeric: tabular-nums; }
      .pixels div div { min-width: 2.1rem; line-height: 2rem; }
      .pixels div div:first-of-type { border-radius: 5px 5px 0 0; }
      .pixels div div:last-of-type { border-radius: 0 0 5px 5px; }
      .result { min-height: 5.8em; margin-bottom: 0; }`;

    setup(config) {
      Object.assign(this, { mixture: config.mixture, drawn: 0, targets: config.targets.slice(0, 1) });
      this.steps = LOSSES.map(({ step }) => step);
      this.build(config);
      this.show(0);
      this.restart();
    }

    // ---------------------------------------------------------------- parts of the panel

    build(config) {
      this.lossChoice = Unmix.choice({ label: "Loss that is drawn",
        options: LOSSES.map(({ name }) => name), keys: true,
        onChange: (index) => { this.show(index); this.startFrom(this.mask); } });
      this.disagree = Unmix.toggle({ label: "Three targets that disagree", key: "T",
        title: "The loss becomes the mean over three targets",
        onChange: (on) => this.setTargets(on) });
      this.stepSize = Unmix.slider({ label: "Step size", min: 0, max: STEPS.length - 1,
        value: 0, format: (index) => String(STEPS[index]),
        onInput: (index) => { this.steps[this.drawn] = STEPS[index]; this.update(); } });
      this.sliders = [0, 1].map((pixel) => Unmix.slider({ label: `Mask of pixel ${pixel + 1}`,
        min: 0, max: REACH, step: 0.01, value: 0, format: (value) => value.toFixed(2),
        onInput: (value) => this.setPixel(pixel, value) }));
      this.state = h("span", { class: "note", role: "status" });
      this.explanation = h("p", { class: "result", role: "status" });
      this.pixels = h("div", { class: "pixels", role: "img" });
      this.panel.append(
        h("div", { class: "title" }, config.title),
        h("div", { class: "row" }, this.lossChoice, this.disagree),
        h("div", { class: "board" },
          h("div", {}, this.drawPlane(), h("div", {}, this.sliders)),
          h("div", {}, this.pixels, this.drawTable(), this.explanation, this.stepSize,
            h("div", { class: "row" },
              Unmix.button("Gradient step", () => this.step(1), { class: "primary" }),
              Unmix.button("10 steps", () => this.step(10)),
              Unmix.button("Back to start", () => this.restart())), this.state)),
        h("p", { class: "help" }, "Drag the dot, or focus it and use the arrow keys (with Shift: "
          + "fine steps). Keys: 1, 2, 3 choose the loss, S steps, T changes the targets, R goes back "
          + "to the start. Cross: best mask of a target. Arrow: the next step, step size times the "
          + "negative gradient. At the edge of the plane a step stops."));
      Unmix.bindKeys(this.panel, {
        1: () => this.lossChoice.select(0), 2: () => this.lossChoice.select(1),
        3: () => this.lossChoice.select(2), s: () => this.step(1), r: () => this.restart(),
        t: () => this.disagree.set(!this.disagree.on) });
    }

    drawPlane() {
      this.bar = h("div", { class: "side" });
      this.axes = new Axes({ height: 0, image: true, side: this.bar,
        x: { min: 0, max: REACH, count: 3, label: "Mask of pixel 1" },
        y: { min: 0, max: REACH, count: 3, label: "Mask of pixel 2" } });
      this.axes.plot.style.height = "auto";
      this.marks = svg("g");
      this.ray = svg("line", { class: "ray" });
      this.best = svg("circle", { class: "best", r: 9 });
      this.trail = this.outlined("polyline", "thin");
      this.arrow = this.outlined("path", "arrow");
      this.handle = svg("circle", { class: "handle", r: 7 });
      this.tip = svg("g", { class: "mask", tabindex: 0, role: "slider",
        "aria-label": "Mask. Left and right: pixel 1. Up and down: pixel 2.",
        "aria-valuemin": 0, "aria-valuemax": REACH }, this.handle);
      this.axes.plot.append(svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "group",
        "aria-label": "The plane of masks, coloured by the loss" },
      this.ray, this.marks, this.best, this.trail, this.arrow, this.tip));
      this.tip.addEventListener("keydown", (event) => this.arrowKey(event));
      this.dragToMove(this.axes.plot);
      return this.axes.element;
    }

    /** A white line with a dark edge, to be seen on every colour. */
    outlined(tag, name) {
      return svg("g", { class: name }, svg(tag, { class: "halo" }), svg(tag, { class: "line" }));
    }

    outline(group, attribute, value) {
      for (const line of group.children) line.setAttribute(attribute, value);
    }

    drawTable() {
      this.rows = LOSSES.map(({ key, name }) => {
        const cells = ["value", "first", "second"].map((part) =>
          h("td", { "data-value": `${key}-${part}` }));
        const arrow = svg("path");
        return { cells, arrow, row: h("tr", {}, h("th", { scope: "row" }, name), cells,
          h("td", {}, svg("svg", { viewBox: "-14 -14 28 28", "aria-hidden": "true" }, arrow))) };
      });
      const heads = ["Loss", "Value", "\u2202/\u2202m\u2081", "\u2202/\u2202m\u2082", "Downhill"];
      return h("table", {}, h("thead", {}, h("tr", {}, heads.map((text) =>
        h("th", { scope: "col" }, text)))), h("tbody", {}, this.rows.map(({ row }) => row)));
    }

    // ---------------------------------------------------------------- the losses

    /** Value of a loss and its gradient with respect to the mask. */
    evaluate({ loss }, mask) {
      const estimate = mask.map((value, i) => value * this.mixture[i]);
      let value = 0;
      const gradient = [0, 0];
      for (const target of this.targets) {
        const part = loss(estimate, target);
        value += part.value / this.targets.length;
        part.slope.forEach((slope, i) => {
          gradient[i] += (slope * this.mixture[i]) / this.targets.length;
        });
      }
      return { value, gradient };
    }

    get next() {
      const { gradient } = this.results[LOSSES[this.drawn].key];
      return this.mask.map((value, i) => value - this.steps[this.drawn] * gradient[i]);
    }

    step(count) {
      let way = 0;
      for (let i = 0; i < count; i++) {
        const before = this.mask;
        this.mask = this.next.map((value) => clamp(value, 0, REACH));
        way = Math.hypot(...this.mask.map((value, pixel) => value - before[pixel]));
        this.path.push(this.mask);
        this.evaluateAll();
      }
      this.update();
      this.state.textContent = `Step ${this.path.length - 1}: ${number(way)} long. `
        + `${this.said(LOSSES[this.drawn])}.`;
    }

    // ---------------------------------------------------------------- what the reader does

    show(index) {
      this.drawn = index;
      this.stepSize.set(STEPS.indexOf(this.steps[index]), true);
      this.rows.forEach(({ row }, other) => row.classList.toggle("drawn", other === index));
      this.paint();
    }

    setTargets(all) {
      this.targets = this.config.targets.slice(0, all ? 3 : 1);
      this.paint();
      this.startFrom(this.mask);
    }

    restart() {
      this.moveTo(this.config.start);
    }

    moveTo(mask) {
      this.startFrom(mask.map((value) => Math.round(100 * clamp(value, 0, REACH)) / 100));
    }

    startFrom(mask) {
      this.mask = mask;
      this.path = [mask];
      this.state.textContent = "No step yet.";
      this.update();
    }

    setPixel(pixel, value) {
      this.moveTo(this.mask.map((other, i) => (i === pixel ? value : other)));
    }

    arrowKey(event) {
      const size = event.shiftKey ? 0.01 : 0.05;
      const move = { ArrowRight: [size, 0], ArrowLeft: [-size, 0], ArrowUp: [0, size],
        ArrowDown: [0, -size] }[event.key];
      if (!move) return;
      event.preventDefault();
      event.stopPropagation();
      this.moveTo(this.mask.map((value, i) => value + move[i]));
    }

    dragToMove(plot) {
      let dragging = false;
      const follow = (event) => {
        const { x, y } = this.axes.at(event);
        this.moveTo([x, y]);
      };
      plot.addEventListener("pointerdown", (event) => {
        dragging = true;
        plot.setPointerCapture(event.pointerId);
        this.tip.focus({ preventScroll: true });
        event.preventDefault();
        follow(event);
      });
      plot.addEventListener("pointermove", (event) => { if (dragging) follow(event); });
      for (const end of ["pointerup", "pointercancel"]) {
        plot.addEventListener(end, () => { dragging = false; });
      }
    }

    // ---------------------------------------------------------------- drawing

    /** The landscape of the drawn loss, and the marks that stand still on it. */
    paint() {
      const loss = LOSSES[this.drawn];
      const values = new Float64Array(GRID * GRID);
      for (let i = 0; i < values.length; i++) {
        const mask = [Math.floor(i / GRID), i % GRID].map((place) => ((place + 0.5) * REACH) / GRID);
        values[i] = this.evaluate(loss, mask).value;
      }
      const [low, high] = loss.range || [0, values.reduce((a, b) => Math.max(a, b))];
      const banded = values.map((value) => {
        const band = Math.floor((BANDS * (value - low)) / (high - low));
        return low + ((clamp(band, 0, BANDS - 1) + 0.5) * (high - low)) / BANDS;
      });
      Unmix.paintImage(this.axes.canvas,
        { values: banded, frames: GRID, bins: GRID, low, high, map: "viridis" });
      this.bar.replaceChildren(
        Unmix.colorBar({ map: "viridis", min: low, max: high, label: loss.unit.trim() }));
      this.marks.replaceChildren(...this.targets.map((target) => {
        const [x, y] = at(target.map((value, i) => value / this.mixture[i]));
        const cross = this.outlined("path", "cross");
        this.outline(cross, "d", `M${x - 6} ${y - 6} l12 12 m0 -12 l-12 12`);
        return cross;
      }));
      this.explanation.textContent = this.targets.length > 1 ? loss.three : loss.one;
      this.ray.style.display = loss.key === "si_sdr" ? "" : "none";
      this.best.style.display = loss.key !== "si_sdr" && this.targets.length > 1 ? "" : "none";
      const [x, y] = at(this.optimum(loss.key));
      this.best.setAttribute("cx", x);
      this.best.setAttribute("cy", y);
    }

    /** The mask that the MSE (mean) or the L1 loss (median) is lowest at. */
    optimum(key) {
      return this.mixture.map((level, i) => {
        const values = this.targets.map((target) => target[i]);
        const mean = values.reduce((a, b) => a + b) / values.length;
        return (key === "l1" ? middle(values) : mean) / level;
      });
    }

    evaluateAll() {
      this.results = Object.fromEntries(LOSSES.map((loss) =>
        [loss.key, this.evaluate(loss, this.mask)]));
    }

    update() {
      this.evaluateAll();
      LOSSES.forEach(({ key, unit, digits }, index) => {
        const { value, gradient } = this.results[key];
        const { cells, arrow } = this.rows[index];
        cells[0].textContent = number(value, digits) + unit;
        gradient.forEach((part, i) => { cells[i + 1].textContent = slope(part); });
        const size = Math.hypot(...gradient);
        const [x, y] = size ? [-gradient[0] / size, gradient[1] / size] : [0, 0];
        arrow.setAttribute("d", arrowPath([-11 * x, -11 * y], [11 * x, 11 * y]));
      });
      const [x, y] = at(this.mask);
      this.handle.setAttribute("cx", x);
      this.handle.setAttribute("cy", y);
      this.outline(this.arrow, "d", arrowPath([x, y], at(this.next)));
      this.outline(this.trail, "points", this.path.map((mask) => at(mask).join(",")).join(" "));
      const level = Math.hypot(...this.mask) || 1;
      const far = at(this.mask.map((value) => (2 * REACH * value) / level));
      Object.entries({ x1: 0, y1: SIZE, x2: far[0], y2: far[1] })
        .forEach(([name, value]) => this.ray.setAttribute(name, value));
      this.sliders.forEach((slider, i) => slider.set(this.mask[i], true));
      this.tip.setAttribute("aria-valuenow", this.mask[0].toFixed(2));
      this.tip.setAttribute("aria-valuetext", this.spoken());
      this.updatePixels();
    }

    spoken() {
      return `mask ${pair(this.mask)}; ${LOSSES.map((loss) => this.said(loss)).join(", ")}`;
    }

    said({ key, name, unit, digits }) {
      return `${name} ${number(this.results[key].value, digits)}${unit}`;
    }

    updatePixels() {
      const ramp = Unmix.colormap("magma");
      const peak = REACH * Math.max(...this.mixture);
      const column = (name, values, top = peak) => h("div", {}, [1, 0].map((pixel) => {
        const place = clamp(values[pixel] / top, 0, 1);
        const color = 3 * Math.round(255 * place);
        return h("div", { style: `background:rgb(${ramp.slice(color, color + 3).join(",")});`
          + `color:${place > 0.6 ? "#000" : "#fff"}` }, number(values[pixel], 2));
      }), name);
      const estimate = this.mask.map((value, i) => value * this.mixture[i]);
      this.pixels.replaceChildren(column("mixture", this.mixture), "\u00d7",
        column("mask", this.mask, REACH), "=", column("estimate", estimate), "\u2194",
        ...this.targets.map((target) => column("target", target)));
      this.pixels.setAttribute("aria-label", `Pixels 1 and 2. Mixture ${pair(this.mixture)}, mask `
        + `${pair(this.mask)}, estimate ${pair(estimate)}, target ${this.targets.map(pair).join(", ")}`);
    }
  }

  window.Unmix.define("unmix-loss-landscape", LossLandscape);
})();
