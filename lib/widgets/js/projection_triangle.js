/* <unmix-projection-triangle>: drag an estimate between target and interference, watch the ratios,
 * and hear the very signal that the arrow stands for.
 *
 * config: {title, sample_rate, start: [target, interference, artifact],
 *          tracks: [three data: URIs: target, interference, artifact]}
 * The three signals are orthogonal and of equal energy, so the estimate
 * t * target + i * interference + a * artifact has the coordinates (t, i, a), and all ratios
 * follow from these three numbers.
 */
(() => {
  "use strict";
  const { h, svg, Element, Player } = window.Unmix;

  const UNIT = 130; // pixels of one length of the target
  const X = { min: -1.3, max: 1.75 };
  const Y = { min: -1.15, max: 1.15 };
  const EDGE = { left: 44, right: 10, top: 10, bottom: 44 };
  const WIDTH = EDGE.left + (X.max - X.min) * UNIT + EDGE.right;
  const HEIGHT = EDGE.top + (Y.max - Y.min) * UNIT + EDGE.bottom;
  const LIMITS = [[-1.25, 1.7], [-1.1, 1.1], [0, 1.1]];
  const GAIN_DB = 12;

  const px = (x) => EDGE.left + (x - X.min) * UNIT;
  const py = (y) => EDGE.top + (Y.max - y) * UNIT;

  const NEAR_ZERO = 1e-12;

  /** 10 log10(part / rest), with the conventions of lib.metrics at zero. */
  function ratio(part, rest) {
    if (part < NEAR_ZERO) return -Infinity;
    return rest < NEAR_ZERO ? Infinity : 10 * Math.log10(part / rest);
  }

  /** All ratios of the estimate (t, i, a); the target is (1, 0, 0). */
  function scores([t, i, a]) {
    const total = (t - 1) ** 2 + i * i + a * a;
    return {
      snr: ratio(1, total),
      sd_sdr: ratio(t * t, total),
      si_sdr: ratio(t * t, i * i + a * a),
      sir: ratio(t * t, i * i),
      sar: ratio(t * t + i * i, a * a),
    };
  }

  const ROWS = [
    ["snr", "SNR", "counts a wrong gain"],
    ["sd_sdr", "SD-SDR", "counts a wrong gain"],
    ["si_sdr", "SI-SDR", "sees only the direction"],
    ["sir", "SIR", "counts the interference"],
    ["sar", "SAR", "counts the artifacts"],
  ];

  const PRESETS = [
    ["Mixture", [1, 1, 0]],
    ["Leak", [1, 0.32, 0]],
    ["Artifacts", [1, 0, 0.32]],
    ["Half as loud", [0.5, 0, 0]],
    ["Wrong speaker", [0, 1, 0]],
    ["Perfect", [1, 0, 0]],
  ];

  const GOALS = [
    ["SI-SDR above 20 dB, SNR below 0 dB", (s) => s.si_sdr > 20 && s.snr < 0],
    ["SNR above 0 dB, SI-SDR below −5 dB", (s) => s.snr > 0 && s.si_sdr < -5],
    ["SIR above 30 dB, SI-SDR below 5 dB", (s) => s.sir > 30 && s.si_sdr < 5 && s.si_sdr > -30],
  ];

  function decibels(value) {
    if (!Number.isFinite(value)) return value > 0 ? "∞ dB" : "−∞ dB";
    const text = value.toFixed(1);
    return `${(text === "-0.0" ? "0.0" : text).replace("-", "−")} dB`;
  }

  const plain = (value) => value.toFixed(2).replace("-", "−");

  class ProjectionTriangle extends Element {
    static label = "Projection triangle";
    static css = `
      :host { --estimate: #0072b2; --target: #00795a; --interference: #c24e00; --artifact: #a8508a; }
      :host([data-dark]) { --estimate: #6cc0ee; --target: #3fd0a4; --interference: #ff9a57;
        --artifact: #e8a4cd; }
      .geometry { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: center; }
      .geometry svg { flex: 1 1 20rem; min-width: 0; max-width: 28rem; touch-action: none;
        cursor: crosshair; user-select: none; }
      .side { flex: 1 1 15rem; }
      svg text { font: 12.5px system-ui, sans-serif; fill: currentColor; }
      svg text.quiet { fill: var(--quiet); font-size: 11.5px; }
      svg .grid { stroke: var(--line); } svg .zero { stroke: var(--quiet); }
      svg .ray { stroke: var(--estimate); stroke-dasharray: 2 5; opacity: .8; }
      svg .circle { fill: none; stroke: var(--quiet); stroke-dasharray: 1 5; stroke-linecap: round;
        stroke-width: 2; }
      svg .error { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 6 4; }
      svg .reference { stroke: var(--target); stroke-width: 2; }
      svg .part { stroke: var(--target); stroke-width: 7; opacity: .4; }
      svg .leak { stroke: var(--interference); stroke-width: 3.5; }
      svg .arrow { stroke: var(--estimate); stroke-width: 3; }
      svg .ring { fill: color-mix(in srgb, var(--artifact) 22%, transparent);
        stroke: var(--artifact); stroke-width: 1.5; }
      svg .handle { fill: var(--estimate); stroke: Canvas; stroke-width: 2; cursor: grab; }
      svg .tip:focus-visible .handle { stroke: var(--focus); stroke-width: 5; }
      svg .tip:focus { outline: none; }
      table { width: 100%; } td:first-child { white-space: nowrap; } td:first-child, th:first-child { text-align: left; padding-left: 0; }
      td { font-variant-numeric: tabular-nums; border-bottom: 1px solid var(--line); }
      td.value { font-weight: 600; white-space: nowrap; }
      td.why { text-align: left; color: var(--quiet); font-size: 12px; padding-right: 0; }
      tr.fixed td.value { color: var(--good); }
      .legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; }
      .legend i { display: inline-block; width: 1.1rem; height: .3rem; border-radius: 2px;
        margin-right: .4rem; vertical-align: middle; }
      .goals { list-style: none; padding: 0; margin-bottom: 0; }
      .goals li::before { content: "○"; display: inline-block; width: 1.5rem; }
      .goals li.done { color: var(--good); } .goals li.done::before { content: "✓"; }`;

    async setup(config) {
      this.vector = [...config.start];
      this.gainOnly = false;
      this.matched = true;
      this.hearing = 0;
      this.player = new Player({ sampleRate: config.sample_rate });
      const buffers = await Promise.all(
        config.tracks.map((uri) => Unmix.decode(uri, config.sample_rate)));
      this.player.setTracks(buffers.map((buffer) => ({ buffer, level: 1 })));
      this.player.setLoop([0, this.player.duration]);
      this.build(config);
      this.update({ silent: true });
    }

    // ---------------------------------------------------------------- parts of the panel

    build(config) {
      this.figure = this.drawFigure();
      this.rows = Object.fromEntries(ROWS.map(([key, name, why]) => {
        const value = h("td", { class: "value", "data-score": key });
        const reason = h("td", { class: "why" }, why);
        return [key, { name, why, value, reason,
          row: h("tr", {}, h("td", {}, name), value, reason) }];
      }));
      this.angle = h("p", { class: "note" });
      const side = h("div", { class: "side" },
        h("table", {}, h("tbody", {}, Object.values(this.rows).map(({ row }) => row))), this.angle);

      this.panel.append(
        h("div", { class: "title" }, config.title),
        h("div", { class: "row" }, PRESETS.map(([name, vector]) =>
          Unmix.button(name, () => this.preset(name, vector)))),
        h("div", { class: "geometry" }, this.figure, side),
        this.drawLegend(),
        this.buildSliders(),
        this.buildSound(),
        h("div", {}, h("div", { class: "title" }, "Can you reach these?"),
          this.goals = h("ul", { class: "goals" }, GOALS.map(([text]) => h("li", {}, text)))),
        h("p", { class: "help" }, "Drag the dot, or focus it and use the arrow keys (with Shift: "
          + "fine steps). Keys: space plays, 1 and 2 switch what you hear, G gain only, M loudness."));
      this.bindKeys();
    }

    drawFigure() {
      const line = (name, x1 = 0, y1 = 0, x2 = 0, y2 = 0) =>
        svg("line", { class: name, x1: px(x1), y1: py(y1), x2: px(x2), y2: py(y2) });
      const text = (content, x, y, attributes) => svg("text", { x, y, ...attributes }, content);
      this.shapes = {
        circle: svg("circle", { class: "circle", cx: px(1), cy: py(0) }),
        ray: line("ray"),
        error: line("error"),
        part: line("part"),
        reference: line("reference", 0, 0, 1, 0),
        leak: line("leak"),
        arrow: line("arrow"),
        ring: svg("circle", { class: "ring" }),
        handle: svg("circle", { class: "handle", r: 9 }),
        name: text("estimate", 0, 0),
      };
      const { ring, handle, ...rest } = this.shapes;
      this.tip = svg("g", { class: "tip", tabindex: 0, role: "slider",
        "aria-label": "Estimate. Left and right: part along the target. "
          + "Up and down: part along the interference.",
        "aria-valuemin": LIMITS[0][0], "aria-valuemax": LIMITS[0][1] }, ring, handle);
      const ticks = [-1, 0, 1].flatMap((value) => [
        line(value ? "grid" : "zero", value, Y.min, value, Y.max),
        line(value ? "grid" : "zero", X.min, value, X.max, value),
        text(plain(value).replace(".00", ""), px(value), py(Y.min) + 16,
          { class: "quiet", "text-anchor": "middle" }),
        text(plain(value).replace(".00", ""), px(X.min) - 6, py(value) + 4,
          { class: "quiet", "text-anchor": "end" })]);
      const clip = svg("svg", { x: 0, y: 0, width: WIDTH, height: py(Y.min) });
      clip.append(rest.circle, rest.ray);
      const figure = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group",
        "aria-label": "The estimate as an arrow in the plane of target and interference" },
      ...ticks,
      text("part along the target", px((X.min + X.max) / 2), HEIGHT - 10,
        { class: "quiet", "text-anchor": "middle" }),
      text("part along the interference", 0, 0, { class: "quiet", "text-anchor": "middle",
        transform: `translate(14 ${py(0)}) rotate(-90)` }),
      clip, rest.part, rest.reference, rest.error, rest.leak, rest.arrow,
      svg("circle", { cx: px(1), cy: py(0), r: 4.5, fill: "var(--target)" }),
      text("target", px(1) + 9, py(0) + 17, { fill: "currentColor" }),
      this.tip, rest.name);
      this.dragToMove(figure);
      return figure;
    }

    drawLegend() {
      const entry = (color, text) =>
        h("span", {}, h("i", { style: `background:var(--${color})` }), text);
      return h("div", { class: "legend note" },
        entry("estimate", "estimate; dotted ray: other gains"),
        entry("target", "its target part"),
        entry("interference", "its interference"),
        entry("artifact", "disc: artifact, at right angles to the picture"),
        entry("quiet", "dashed: error of the SNR; dotted circle: same SNR"));
    }

    buildSliders() {
      const part = (index, label) => Unmix.slider({
        label, min: LIMITS[index][0], max: LIMITS[index][1], step: 0.01, value: this.vector[index],
        format: plain,
        onInput: (value) => {
          this.vector[index] = value;
          this.update();
        },
      });
      this.parts = [part(0, "Target part"), part(1, "Interference part"), part(2, "Artifact part")];
      this.gain = Unmix.slider({
        label: "Gain", min: -GAIN_DB, max: GAIN_DB, step: 0.1, value: 0,
        format: (value) => decibels(value),
        onInput: (value) => this.setGain(value),
      });
      this.partBox = h("div", {}, this.parts);
      this.lock = Unmix.toggle({ label: "Change the gain only", key: "G",
        title: "The arrow keeps its direction; only its length changes",
        onChange: (on) => this.setGainOnly(on) });
      this.flip = Unmix.button("Flip the sign", () => this.flipSign());
      this.gain.hidden = true;
      return h("div", {}, h("div", { class: "row" }, this.lock, this.flip), this.partBox, this.gain);
    }

    buildSound() {
      this.choice = Unmix.choice({ label: "What you hear", options: ["Estimate", "Target"],
        keys: true, onChange: (index) => this.hear(index) });
      this.matchSwitch = Unmix.toggle({ label: "Loudness match", key: "M", value: true,
        title: "Play the estimate as loud as the target; off: play it as loud as it is",
        onChange: (on) => {
          this.matched = on;
          this.updateSound();
          this.announce(on ? "Loudness matched" : "Original levels");
        } });
      return h("div", { class: "row" }, Unmix.playButton(this.player), this.choice,
        this.matchSwitch, h("span", { class: "push" }, Unmix.timeReadout(this.player)));
    }

    bindKeys() {
      this.tip.addEventListener("keydown", (event) => {
        const step = event.shiftKey ? 0.01 : 0.05;
        const move = { ArrowRight: [step, 0], ArrowLeft: [-step, 0], ArrowUp: [0, step],
          ArrowDown: [0, -step] }[event.key];
        if (!move) return;
        event.preventDefault();
        event.stopPropagation();
        if (this.gainOnly) this.gain.set(this.gain.value + 20 * (move[0] + move[1]));
        else this.moveTo(this.vector[0] + move[0], this.vector[1] + move[1]);
      });
      Unmix.bindKeys(this.panel, {
        " ": () => this.player.toggle(),
        k: () => this.player.toggle(),
        1: () => this.choice.select(0),
        2: () => this.choice.select(1),
        g: () => this.lock.set(!this.gainOnly),
        m: () => this.matchSwitch.set(!this.matched),
      });
    }

    // ---------------------------------------------------------------- moving the estimate

    dragToMove(figure) {
      const follow = (event) => {
        const box = figure.getBoundingClientRect();
        const scale = WIDTH / box.width;
        const x = ((event.clientX - box.left) * scale - EDGE.left) / UNIT + X.min;
        const y = Y.max - ((event.clientY - box.top) * scale - EDGE.top) / UNIT;
        if (this.gainOnly) this.stretchTowards(x, y);
        else this.moveTo(x, y);
      };
      let dragging = false;
      figure.addEventListener("pointerdown", (event) => {
        dragging = true;
        figure.setPointerCapture(event.pointerId);
        this.tip.focus({ preventScroll: true });
        event.preventDefault();
        follow(event);
      });
      figure.addEventListener("pointermove", (event) => { if (dragging) follow(event); });
      for (const end of ["pointerup", "pointercancel"]) {
        figure.addEventListener(end, () => { dragging = false; });
      }
    }

    moveTo(x, y) {
      const snap = (value, [low, high]) => Math.round(100 * Unmix.clamp(value, low, high)) / 100;
      this.vector = [snap(x, LIMITS[0]), snap(y, LIMITS[1]), this.vector[2]];
      this.update();
    }

    /** Gain only: the gain that brings the arrow nearest to the pointer. */
    stretchTowards(x, y) {
      const [t, i] = this.locked;
      const length = t * t + i * i;
      if (length < NEAR_ZERO) return;
      const factor = Math.max(1e-3, (x * t + y * i) / length);
      this.gain.set(20 * Math.log10(factor));
    }

    setGainOnly(on) {
      this.gainOnly = on;
      this.locked = [...this.vector];
      this.partBox.hidden = on;
      this.gain.hidden = !on;
      this.gain.set(0, true);
      this.update();
    }

    /** The gain that was asked for, or the largest with which the arrow stays in the picture. */
    setGain(gain) {
      const largest = Math.min(...this.locked.map((part, index) => (Math.abs(part) < 1e-6 ? Infinity
        : LIMITS[index][part < 0 ? 0 : 1] / part)));
      const factor = Math.min(10 ** (gain / 20), largest);
      this.gain.set(20 * Math.log10(factor), true);
      this.vector = this.locked.map((part) => part * factor);
      this.update();
    }

    flipSign() {
      // The artifact has no direction in the picture, so its sign is not shown; no ratio sees it.
      // The picture reaches less far to the left, so a long arrow comes out shorter.
      const [t, i, a] = this.vector;
      const scale = Math.min(1, -LIMITS[0][0] / Math.max(t, NEAR_ZERO));
      this.vector = [-t * scale || 0, -i * scale || 0, a * scale];
      if (this.gainOnly) this.setGainOnly(true);
      else this.update();
    }

    preset(name, vector) {
      this.lock.set(false, true);
      this.vector = [...vector];
      this.setGainOnly(false);
      this.announce(`${name}. ${this.spoken()}`);
    }

    // ---------------------------------------------------------------- what follows from it

    update({ silent = false } = {}) {
      this.scores = scores(this.vector);
      this.updateFigure();
      this.updateScores();
      this.updateSound();
      this.parts.forEach((part, index) => part.set(this.vector[index], true));
      GOALS.forEach(([text, reached], index) => {
        const item = this.goals.children[index];
        if (item.classList.contains("done") || !reached(this.scores)) return;
        item.classList.add("done");
        if (!silent) this.announce(`Reached: ${text}`);
      });
    }

    updateFigure() {
      const [t, i, a] = this.vector;
      const { circle, ray, error, part, leak, arrow, ring, handle, name } = this.shapes;
      const place = (line, x1, y1, x2, y2) => {
        Object.entries({ x1: px(x1), y1: py(y1), x2: px(x2), y2: py(y2) })
          .forEach(([key, value]) => line.setAttribute(key, value));
      };
      const length = Math.hypot(t, i) || 1;
      const far = Math.hypot(t, i) < 1e-6 ? 0 : 4 / length;
      circle.setAttribute("r", Math.hypot(t - 1, i) * UNIT);
      place(ray, 0, 0, far * t, far * i);
      place(error, 1, 0, t, i);
      place(part, 0, 0, t, 0);
      place(leak, t, 0, t, i);
      place(arrow, 0, 0, t, i);
      for (const shape of [ring, handle]) {
        shape.setAttribute("cx", px(t));
        shape.setAttribute("cy", py(i));
      }
      ring.setAttribute("r", a > 0 ? Math.max(9, a * UNIT) : 0);
      name.setAttribute("x", px(t) + (t > 1.2 ? -14 : 14));
      name.setAttribute("text-anchor", t > 1.2 ? "end" : "start");
      name.setAttribute("y", py(i) - 12);
      this.tip.setAttribute("aria-valuenow", t.toFixed(2));
      this.tip.setAttribute("aria-valuetext", this.spoken());
    }

    spoken() {
      const [t, i, a] = this.vector.map(plain);
      const { snr, si_sdr: siSdr } = this.scores;
      return `target ${t}, interference ${i}, artifact ${a}; `
        + `SNR ${decibels(snr)}, SI-SDR ${decibels(siSdr)}`;
    }

    updateScores() {
      for (const [key, { value, reason, why, row }] of Object.entries(this.rows)) {
        const fixed = this.gainOnly && ["si_sdr", "sir", "sar"].includes(key);
        value.textContent = decibels(this.scores[key]);
        row.classList.toggle("fixed", fixed);
        reason.textContent = fixed ? "does not move" : why;
      }
      const [t, i, a] = this.vector;
      const angle = (180 / Math.PI) * Math.atan2(Math.hypot(i, a), Math.abs(t));
      const length = Math.hypot(t, i, a);
      this.angle.textContent = length < 1e-6
        ? "A silent estimate has no direction."
        : `Angle between estimate and target line: ${angle.toFixed(1)}°. `
          + `SI-SDR = 20 log₁₀(1 / tan ${angle.toFixed(1)}°).`;
    }

    hear(index) {
      this.hearing = index;
      this.updateSound();
      this.announce(`Now hearing the ${index ? "target" : "estimate"}`);
    }

    updateSound() {
      const vector = this.hearing ? [1, 0, 0] : this.vector;
      const length = Math.hypot(...vector);
      const level = this.matched && length > 1e-3 ? 1 / length : 1;
      this.player.setGains(vector);
      this.player.setLevels(vector.map(() => level));
    }
  }

  window.Unmix.define("unmix-projection-triangle", ProjectionTriangle);
})();
