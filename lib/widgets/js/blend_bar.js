/* <unmix-blend-bar>: two estimates of each source, a weight between them, and what the blend is worth.
 *
 * config: {title, sample_rate, models: [first, second],
 *          sources: [{name, clips: [data URI of the true source, of each model's estimate]}]}
 * A blend is w a + (1 - w) b. Of each source {name, tracks: [s, a, b], weight: w, energy, and what
 * its SDR needs: `first` = ||a - s||^2, `second` = ||b - s||^2, `both` = <a - s, b - s>}.
 */
(() => {
  "use strict";
  const { h, Element, Player, clamp, palette } = window.Unmix;

  const CURVE = { height: 118, left: 10, right: 10, top: 24, bottom: 20 };
  const FONT = "11px system-ui, sans-serif";
  const FLOOR = 1e-10; // of the energy: an error below it counts as none

  const number = (value, digits) => {
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
  };
  const db = (value) => `${number(value, 2)} dB`;
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  function inner(a, b) {
    let sum = 0;
    for (let n = 0; n < a.length; n++) sum += a[n] * b[n];
    return sum;
  }

  const minus = (a, b) => a.map((value, n) => value - b[n]);

  /** A source and what its SDR needs, from s, a and b. */
  function measured(name, tracks) {
    const [s, a, b] = tracks;
    const [first, second] = [minus(a, s), minus(b, s)];
    return { name, tracks, weight: 0.5, energy: inner(s, s), first: inner(first, first),
      second: inner(second, second), both: inner(first, second) };
  }

  /** The SDR of a blend: as lib.metrics.snr, but that an error is never below the floor. */
  function sdr({ energy, first, second, both }, w) {
    const error = w * w * first + 2 * w * (1 - w) * both + (1 - w) * (1 - w) * second;
    return 10 * Math.log10(energy / Math.max(error, FLOOR * energy));
  }

  /** The weight with the least error, wherever it lies. */
  const best = ({ first, second, both }) => (second - both) / (first + second - 2 * both);

  const alike = ({ first, second, both }) => both / Math.sqrt(first * second || 1);

  class BlendBar extends Element {
    static label = "Blend bar";

    static css = `
      .sources { display: grid; gap: .9rem 1.6rem;
        grid-template-columns: repeat(auto-fit, minmax(17.5rem, 1fr)); }
      .sources > div { min-width: 0; }
      .name { display: flex; justify-content: space-between; align-items: baseline; }
      .name b { font-weight: 600; }
      canvas { display: block; width: 100%; height: ${CURVE.height}px; touch-action: pan-y;
        cursor: ew-resize; }
      .slider { flex-wrap: nowrap; padding: 0 2px; } .slider label { min-width: 0; }
      .slider input { min-width: 4rem; } .slider .readout { min-width: 2.2rem; }
      .facts { margin: 0; color: var(--quiet); font-size: 12.5px; }
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 3.6rem; }
      button { padding: .15rem .6rem; min-height: 1.9rem; }
      .result { margin-bottom: 0; min-height: 1.5em; }
      .number { font-variant-numeric: tabular-nums; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      this.panel.append(h("p", { class: "note" }, "Reading the sounds …"));
      this.sources = await Promise.all(config.sources.map(async ({ name, clips }) => {
        const buffers = await Promise.all(clips.map((uri) => Unmix.decode(uri, this.rate)));
        return measured(name, buffers.map((buffer) => buffer.getChannelData(0)));
      }));
      this.panel.replaceChildren();
      this.player = new Player({ sampleRate: this.rate });
      this.player.setTracks(this.sources.flatMap(({ tracks }) =>
        tracks.map((samples) => ({ channels: [samples] }))));
      Object.assign(this, { heard: 0, kind: 0, linked: false });
      this.build(config);
      this.setWeights(this.sources.map(() => 0.5));
      new ResizeObserver(() => this.update()).observe(this.panel);
    }

    build({ title, models }) {
      const [first, second] = models;
      const duration = this.sources[0].tracks[0].length / this.rate;
      this.kinds = ["Blend", capital(first), capital(second), "True source", "Error of the blend"];
      const blocks = this.sources.map((source, index) => {
        source.canvas = h("canvas", { role: "img" });
        source.slider = Unmix.slider({ label: "w", min: 0, max: 1, step: 0.01, value: 0.5,
          format: (value) => value.toFixed(2), onInput: (value) => this.setWeight(index, value) });
        source.slider.input.setAttribute("aria-label", `${source.name}: weight of ${first}`);
        source.number = h("span", { class: "number", "data-value": source.name });
        source.facts = h("p", { class: "facts" });
        this.dragWeight(source.canvas, index);
        return h("div", {},
          h("div", { class: "name" }, h("b", {}, capital(source.name)), source.number),
          source.canvas, source.slider, source.facts);
      });
      this.linkSwitch = Unmix.toggle({ label: "One weight for all", value: false, key: "L",
        onChange: (on) => {
          this.linked = on;
          if (on) this.setWeight(this.heard, this.sources[this.heard].weight);
        } });
      this.state = h("p", { class: "result number", role: "status" });
      this.sourceChoice = Unmix.choice({ label: "Source", options: this.sources.map(({ name }) => capital(name)),
        onChange: (index) => this.hear(index, this.kind) });
      this.kindChoice = Unmix.choice({ label: "What you hear and see", options: this.kinds, keys: true,
        onChange: (index) => this.hear(this.heard, index) });
      this.view = new Unmix.SpectrogramView({ duration, maxFrequency: Math.min(8000, this.rate / 2),
        height: 150, range: 70 });
      this.view.follow(this.player);
      const all = (text, weight) => Unmix.button(text,
        () => this.setWeights(this.sources.map(() => weight)));
      const labelled = (text, node) => h("div", { class: "labelled" },
        h("span", { "aria-hidden": "true" }, text), node);
      const one = this.sources.length === 1;
      this.panel.append(
        h("div", { class: "title" }, title),
        h("div", { class: "sources" }, blocks),
        h("div", { class: "row" },
          Unmix.button([one ? "Best weight" : "Best of each", h("kbd", { "aria-hidden": "true" }, "B")],
            () => this.takeBest()),
          all("Half of both", 0.5), all(`${capital(first)} alone`, 1),
          all(`${capital(second)} alone`, 0), one ? "" : this.linkSwitch),
        this.state,
        one ? "" : labelled("Source", this.sourceChoice), labelled("Hear", this.kindChoice),
        h("div", { class: "row" }, Unmix.playButton(this.player),
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        this.view.element,
        h("p", { class: "help" }, `The blend is w times ${first} plus (1 \u2212 w) times ${second}. `
          + "Drag in a curve, or use its slider: the sound follows at once. The diamond is the best "
          + "weight of these sounds in closed form. Space plays, 1 to 5 switch, B takes the best "
          + `weight${one ? "" : "s, L ties them together"}.`));
      const keys = { " ": () => this.player.toggle(), b: () => this.takeBest(),
        l: () => { if (!one) this.linkSwitch.set(!this.linked); } };
      this.kinds.forEach((_, index) => {
        keys[index + 1] = () => {
          this.kindChoice.select(index);
          this.kindChoice.focusSelected();
        };
      });
      Unmix.bindKeys(this.panel, keys);
    }

    onTheme() { if (this.state) this.update(); }

    // ---------------------------------------------------------------- what the reader does

    setWeight(index, weight) {
      this.setWeights(this.sources.map((source, other) =>
        (this.linked || other === index ? weight : source.weight)));
    }

    takeBest() {
      this.linkSwitch.set(false);
      this.setWeights(this.sources.map(best));
    }

    setWeights(weights) {
      this.sources.forEach((source, index) => {
        source.weight = clamp(weights[index], 0, 1);
        source.slider.set(source.weight, true);
      });
      this.player.setGains(this.gains());
      this.changed();
    }

    hear(source, kind) {
      Object.assign(this, { heard: source, kind });
      this.player.setGains(this.gains());
      this.changed();
    }

    /** How loud each track of the player is: true source and both estimates of each source. */
    gains() {
      return this.sources.flatMap(({ weight: w }, index) => {
        if (index !== this.heard) return [0, 0, 0];
        return [[0, w, 1 - w], [0, 1, 0], [0, 0, 1], [1, 0, 0], [-1, w, 1 - w]][this.kind];
      });
    }

    dragWeight(canvas, index) {
      const follow = (event) => {
        const box = canvas.getBoundingClientRect();
        const place = (event.clientX - box.left - CURVE.left) / (box.width - CURVE.left - CURVE.right);
        this.setWeight(index, clamp(Math.round(100 * place) / 100, 0, 1));
      };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.sources[index].slider.input.focus({ preventScroll: true });
        event.preventDefault();
        follow(event);
      });
      canvas.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
    }

    // ---------------------------------------------------------------- what follows

    update() {
      const [first, second] = this.config.models;
      for (const source of this.sources) {
        const right = best(source);
        source.number.textContent = db(sdr(source, source.weight));
        source.facts.textContent = `${capital(first)} ${db(sdr(source, 1))}, ${second} `
          + `${db(sdr(source, 0))}; best ${db(sdr(source, clamp(right, 0, 1)))} at w = ${number(right, 2)}`
          + `${right < 0 || right > 1 ? ", which lies outside" : ""}. Their errors correlate by `
          + `${number(alike(source), 2)}.`;
        source.canvas.setAttribute("aria-label", `SDR of ${source.name} over the weight of ${first}. `
          + `Now ${source.number.textContent} at ${source.weight.toFixed(2)}. ${source.facts.textContent}`);
        this.drawCurve(source);
      }
      const average = (weightOf) => db(mean(this.sources.map((one) => sdr(one, clamp(weightOf(one), 0, 1)))));
      this.state.textContent = `${this.sources.length > 1 ? "Mean over the sources" : "SDR"}: `
        + `${average(({ weight }) => weight)}. ${capital(first)} alone ${average(() => 1)}, ${second} alone `
        + `${average(() => 0)}, best weight${this.sources.length > 1 ? "s" : ""} ${average(best)}.`;
    }

    updateSound() {
      const { tracks } = this.sources[this.heard];
      const gains = this.gains().slice(3 * this.heard, 3 * this.heard + 3);
      const sound = tracks[0].map((_, n) =>
        gains[0] * tracks[0][n] + gains[1] * tracks[1][n] + gains[2] * tracks[2][n]);
      const size = { sampleRate: this.rate, maxFrequency: this.view.y.max };
      this.view.show(Unmix.powerSpectrogram([sound], size), Unmix.powerSpectrogram([tracks[0]], size).top);
    }

    drawCurve(source) {
      if (!source.canvas.clientWidth) return;
      const { context, width } = Unmix.fitCanvas(source.canvas);
      const ink = getComputedStyle(source.canvas).color;
      const blue = this.dark ? palette.sky : palette.blue;
      const right = width - CURVE.right;
      const clamped = clamp(best(source), 0, 1);
      const [low, top] = [Math.min(sdr(source, 0), sdr(source, 1)), sdr(source, clamped)];
      const [bottom, high] = [CURVE.height - CURVE.bottom - 6, CURVE.height - CURVE.top - CURVE.bottom - 12];
      const x = (w) => CURVE.left + w * (right - CURVE.left);
      const y = (value) => bottom - (high * (value - low)) / Math.max(top - low, 0.5);
      Object.assign(context, { font: FONT, fillStyle: ink, strokeStyle: ink, lineWidth: 1,
        textBaseline: "middle", globalAlpha: 0.35 });
      context.strokeRect(CURVE.left, CURVE.top, right - CURVE.left, CURVE.height - CURVE.top - CURVE.bottom);
      Object.assign(context, { globalAlpha: 1, strokeStyle: blue, lineWidth: 2 });
      context.beginPath();
      for (let i = 0; i <= 100; i++) context.lineTo(x(i / 100), y(sdr(source, i / 100)));
      context.stroke();
      const [first, second] = this.config.models;
      const say = (align, text, at, height) => {
        context.textAlign = align;
        context.fillText(text, at, height);
      };
      say("left", `${second} alone`, CURVE.left, CURVE.height - 9);
      say("right", `${first} alone`, right, CURVE.height - 9);
      const mark = [x(clamped), y(top)];
      context.fillStyle = palette.orange;
      context.beginPath();
      for (const [dx, dy] of [[0, -6], [6, 0], [0, 6], [-6, 0]]) context.lineTo(mark[0] + dx, mark[1] + dy);
      context.fill();
      context.fillStyle = ink;
      say("center", `best ${number(best(source), 2)}`, clamp(mark[0], CURVE.left + 24, right - 24), 12);
      const now = [x(source.weight), y(sdr(source, source.weight))];
      Object.assign(context, { strokeStyle: ink, lineWidth: 1.5 });
      context.beginPath();
      context.moveTo(now[0], CURVE.top);
      context.lineTo(now[0], CURVE.height - CURVE.bottom);
      context.stroke();
      context.beginPath();
      context.arc(now[0], now[1], 4.5, 0, 2 * Math.PI);
      context.fill();
    }
  }

  window.Unmix.define("unmix-blend-bar", BlendBar);
})();
