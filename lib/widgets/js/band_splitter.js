/* <unmix-band-splitter>: cut a spectrogram into bands, count them and what a network of them has.
 *
 * config: {title, sample_rate, n_fft, channels, layers, source: data URI, start: index of a preset,
 *          presets: [{label, widths: bins of each band, target, score: published uSDR in dB or null}]}
 * `edges` are the first bins of all bands, and at last the number of bins.
 */
(() => {
  "use strict";
  const { h, Element, Player, Axes, clamp, palette } = window.Unmix;

  const HEIGHT = 340;
  const RANGE = 80; // dB drawn below the loudest point
  const CORNER = 700; // Hz: the axis is linear below, logarithmic above
  const TICKS = [0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000];
  const NEAR = 5; // pixels from an edge that take it
  const CHART = { height: 156, left: 42, right: 14, top: 18, bottom: 34 };
  const FONT = "11px system-ui, sans-serif";
  const ZONES = [1000, 8000]; // Hz: where bands are counted from and to

  const whole = (value) => value.toLocaleString("en");
  const hertz = (value) => (value < 995 ? `${value.toFixed(0)} Hz` : `${(value / 1000).toFixed(2)} kHz`);
  const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

  /** Parameters of lib.models.band_split_rnn.TargetNetwork, by what they are for. With N channels,
   *  LSTMs of 2 N units each way and masks through two layers of 4 N. */
  const parameters = (channels, layers) => ({ band: 20 * channels ** 2 + 11 * channels,
    bin: 18 * channels + 8, sequence: layers * (104 * channels ** 2 + 70 * channels) });

  class BandSplitter extends Element {
    static label = "Band splitter";

    static css = `
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 3.2rem; }
      button { padding: .15rem .6rem; min-height: 1.9rem; }
      .plot { touch-action: none; cursor: crosshair; }
      .sliders { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0 1.4rem; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 8.4rem; }
      .slider input { min-width: 4rem; } .slider .readout { min-width: 4.2rem; }
      .results { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1.2rem;
        margin-bottom: 0; font-variant-numeric: tabular-nums; }
      dt { color: var(--quiet); } dd { margin: 0; } dd b { font-weight: 600; }
      .result { margin-bottom: 0; min-height: 1.5em; font-variant-numeric: tabular-nums; }
      .caption { margin-bottom: 0; color: var(--quiet); font-size: 12.5px; }
      .chart { display: block; width: 100%; height: ${CHART.height}px; }
      pre { margin-bottom: 0; padding: .5rem .7rem; border-radius: 6px; background: var(--soft);
        white-space: pre-wrap; overflow-wrap: anywhere; font: 12px/1.5 ui-monospace, monospace; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      this.nyquist = this.rate / 2;
      this.panel.append(h("p", { class: "note" }, "Reading the sound …"));
      this.signal = (await Unmix.decode(config.source, this.rate)).getChannelData(0);
      this.panel.replaceChildren();
      this.spectrum = Unmix.stft(this.signal, { nFft: config.n_fft, hop: config.n_fft / 4 });
      this.analyse();
      this.player = new Player({ sampleRate: this.rate });
      this.player.setTracks([this.signal, this.signal].map((samples) => ({ channels: [samples] })));
      Object.assign(this, { channels: config.channels, layers: config.layers, past: [], chosen: 0 });
      this.build(config);
      this.presets.select(config.start);
      this.update();
      new ResizeObserver(() => this.update()).observe(this.axes.plot);
    }

    /** Energy of each bin, and the picture with its bent axis. */
    analyse() {
      const { re, im, frames, bins } = this.spectrum;
      const power = re.map((value, i) => value ** 2 + im[i] ** 2);
      this.energy = new Float64Array(bins);
      power.forEach((value, i) => { this.energy[i % bins] += value; });
      this.total = this.energy.reduce((sum, value) => sum + value, 0);
      const rows = HEIGHT;
      this.values = new Float32Array(frames * rows);
      for (let row = 0; row < rows; row++) {
        const first = Math.floor(this.binAt(row / rows));
        const last = clamp(Math.ceil(this.binAt((row + 1) / rows)) - 1, first, bins - 1);
        for (let frame = 0; frame < frames; frame++) {
          let most = 1e-14;
          for (let bin = first; bin <= last; bin++) most = Math.max(most, power[frame * bins + bin]);
          this.values[frame * rows + row] = 10 * Math.log10(most);
        }
      }
    }

    // the height of a frequency in the picture, 0 to 1, and back
    heightOf(frequency) {
      return Math.log1p(frequency / CORNER) / Math.log1p(this.nyquist / CORNER);
    }

    binAt(height) {
      const frequency = CORNER * Math.expm1(height * Math.log1p(this.nyquist / CORNER));
      return Math.min(frequency / this.perBin, this.spectrum.bins - 1e-6);
    }

    get perBin() { return this.nyquist / this.spectrum.bins; }

    get widths() { return this.edges.slice(1).map((edge, i) => edge - this.edges[i]); }

    // ---------------------------------------------------------------- building

    build(config) {
      this.presets = Unmix.choice({ label: "Bands of the paper", options: config.presets.map(({ label }) => label),
        onChange: (index) => this.take(config.presets[index].widths) });
      const format = (value) => String(value);
      this.axes = new Axes({ image: true, height: HEIGHT, y: { min: 0, max: 1, label: "Frequency (kHz)", format },
        x: { min: 0, max: this.signal.length / this.rate, label: "Time (s)" } });
      this.axes.element.querySelector(".yticks").replaceChildren(
        ...TICKS.filter((tick) => tick <= this.nyquist).map((tick) =>
          h("span", { style: `bottom:${100 * this.heightOf(tick)}%` }, String(tick / 1000))));
      const { plot } = this.axes;
      for (const [name, value] of Object.entries({ role: "application", tabindex: 0, "aria-label":
        "Spectrogram with bands. Page keys choose a band, arrow keys move its upper edge" })) {
        plot.setAttribute(name, value);
      }
      this.head = h("div", { class: "head", style: "left:0" });
      plot.append(this.head);
      const { frames } = this.spectrum;
      const top = this.values.reduce((most, value) => Math.max(most, value), -Infinity);
      Unmix.paintImage(this.axes.canvas, { values: this.values, frames, bins: HEIGHT, low: top - RANGE, high: top });
      this.every = Math.max(1, Math.round(100 / this.perBin));
      // logarithmic: one bin at 0, all of them at 1
      this.step = Unmix.slider({ label: "Split evenly, by", min: 0, max: 1, step: "any",
        value: Math.log(this.every) / Math.log(this.spectrum.bins),
        format: () => hertz(this.every * this.perBin),
        onInput: (place) => { this.every = Math.round(this.spectrum.bins ** place); } });
      const setting = (name, label, min, max, step) => Unmix.slider({ label, min, max, step, value: this[name],
        onInput: (value) => { this[name] = value; this.changed(); } });
      this.state = h("p", { class: "result", role: "status" });
      const names = { bands: "Bands, K", parameters: "Parameters of the network", each: "for its bands",
        bins: "for its bins", sequence: "for its LSTMs", score: "Published score" };
      this.numbers = Object.fromEntries(Object.keys(names).map((name) =>
        [name, h("dd", { "data-value": name })]));
      this.chart = h("canvas", { class: "chart", role: "img" });
      this.code = h("pre", { "aria-label": "The bands as an argument" });
      this.hear = Unmix.choice({ label: "What you hear", options: ["Everything", "The chosen band"], keys: true,
        onChange: (index) => this.player.select(index) });
      const action = (text, key, act) => Unmix.button(
        [text, h("kbd", { "aria-hidden": "true" }, key)], act);
      const published = config.presets.some(({ score }) => score !== null);
      this.panel.append(
        h("div", { class: "title" }, config.title),
        h("div", { class: "labelled" }, h("span", { "aria-hidden": "true" }, "Paper"), this.presets),
        this.axes.element, this.state,
        h("div", { class: "row" }, action("Split in two", "S", () => this.splitInTwo()),
          action("Merge with the next", "M", () => this.merge()),
          action("One band", "O", () => this.take([this.spectrum.bins])),
          action("Undo", "U", () => this.undo())),
        h("div", { class: "row" }, this.step, action("Split evenly", "E", () => this.splitEvenly())),
        h("div", { class: "row" }, Unmix.playButton(this.player), this.hear,
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        h("div", { class: "sliders" }, setting("channels", "N, channels", 8, 256, 8),
          setting("layers", "Pairs of LSTMs", 1, 12, 1)),
        h("dl", { class: "results" }, Object.entries(names).flatMap(([name, label]) =>
          [h("dt", {}, label), this.numbers[name]])),
        ...(published ? [this.chart, h("p", { class: "caption" }, "Points: what the paper reports for "
          + "vocals, over the number of bands. Line: how many you have. It is no prediction.")] : []),
        h("p", { class: "caption" }, "Your bands as an argument, (Hz, how many); what is left above is one more"),
        this.code,
        h("p", { class: "help" }, "Click a band to choose it, drag an edge, double-click to cut. On the "
          + "spectrogram: page keys choose a band, arrow up and down move its upper edge by a bin (Shift: "
          + "by ten). Every bin is in exactly one band. Space plays, 1 and 2 switch."));
      const keys = { " ": () => this.player.toggle(), s: () => this.splitInTwo(), m: () => this.merge(),
        o: () => this.take([this.spectrum.bins]), u: () => this.undo(), e: () => this.splitEvenly(),
        1: () => this.hear.select(0), 2: () => this.hear.select(1) };
      Unmix.bindKeys(this.panel, keys);
      this.bindPlot(plot);
      this.player.addEventListener("tick", () => {
        this.head.style.left = `${(100 * this.player.position * this.rate) / this.signal.length}%`;
      });
    }

    onTheme() { if (this.edges) this.update(); }

    // ---------------------------------------------------------------- what the reader does

    /** Take other edges; what was is kept for undo. */
    cut(edges, chosen = this.chosen) {
      if (this.edges) this.past.push([this.edges, this.chosen]);
      this.edges = edges;
      this.choose(chosen);
    }

    take(widths) {
      const edges = [0];
      for (const width of widths) edges.push(edges.at(-1) + width);
      this.cut(edges, 0);
    }

    undo() {
      const before = this.past.pop();
      if (!before) return;
      [this.edges] = before;
      this.choose(before[1]);
    }

    choose(band) {
      this.chosen = clamp(band, 0, this.edges.length - 2);
      this.changed();
    }

    insert(bins, chosen = this.chosen) {
      const edges = [...new Set([...this.edges, ...bins])].sort((a, b) => a - b);
      if (edges.length > this.edges.length) this.cut(edges, chosen);
    }

    splitInTwo() {
      const [low, high] = this.edges.slice(this.chosen, this.chosen + 2);
      this.insert([Math.round((low + high) / 2)]);
    }

    splitEvenly() {
      const [low, high] = this.edges.slice(this.chosen, this.chosen + 2);
      const bins = [];
      for (let bin = low + this.every; bin < high; bin += this.every) bins.push(bin);
      this.insert(bins);
    }

    merge() {
      if (this.edges.length === 2) return;
      const upper = Math.min(this.chosen + 1, this.edges.length - 2);
      this.cut(this.edges.filter((_, i) => i !== upper), upper - 1);
    }

    /** Move the upper edge of a band, as far as its neighbours leave it a bin. */
    move(band, bin, silent = false) {
      if (band + 1 >= this.edges.length - 1) return;
      const place = clamp(bin, this.edges[band] + 1, this.edges[band + 2] - 1);
      if (place === this.edges[band + 1]) return;
      const edges = this.edges.map((edge, i) => (i === band + 1 ? place : edge));
      if (!silent) this.cut(edges, band);
      else {
        this.edges = edges;
        this.choose(band);
      }
    }

    bindPlot(plot) {
      let held = null;
      const binOf = (event) => clamp(Math.round(this.binAt(this.axes.at(event).y)), 0, this.spectrum.bins);
      const near = (event) => {
        const box = plot.getBoundingClientRect();
        const away = this.edges.slice(1, -1).map((edge) =>
          Math.abs(box.bottom - this.heightOf(edge * this.perBin) * box.height - event.clientY));
        const nearest = away.indexOf(Math.min(...away));
        return away[nearest] <= NEAR ? nearest : null;
      };
      plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        plot.setPointerCapture(event.pointerId);
        plot.focus({ preventScroll: true });
        event.preventDefault();
        held = near(event);
        if (held !== null) this.cut([...this.edges], held);
        else this.choose(this.edges.findIndex((edge) => edge > this.binAt(this.axes.at(event).y)) - 1);
      });
      plot.addEventListener("pointermove", (event) => {
        plot.style.cursor = held !== null || near(event) !== null ? "ns-resize" : "crosshair";
        if (held !== null) this.move(held, binOf(event), true);
      });
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
        plot.addEventListener(end, () => {
          // an edge that was only touched is nothing to undo
          if (held !== null && same(this.edges, this.past.at(-1)[0])) this.past.pop();
          held = null;
        });
      }
      plot.addEventListener("dblclick", (event) => this.insert([binOf(event)]));
      plot.addEventListener("keydown", (event) => {
        const upper = this.edges[this.chosen + 1];
        const many = event.shiftKey ? 10 : 1;
        const act = { PageUp: () => this.choose(this.chosen + 1), PageDown: () => this.choose(this.chosen - 1),
          Home: () => this.choose(0), End: () => this.choose(this.edges.length - 2),
          ArrowUp: () => this.move(this.chosen, upper + many),
          ArrowDown: () => this.move(this.chosen, upper - many), Delete: () => this.merge() }[event.key];
        if (!act) return;
        event.preventDefault();
        event.stopPropagation();
        act();
      });
    }

    // ---------------------------------------------------------------- numbers and words

    /** The bands as (Hz, how many) for lib.nn.bands.band_widths: it rounds down, so Hz go up. */
    get scheme() {
      const pairs = [];
      for (const width of this.widths.slice(0, -1)) {
        const wide = Math.ceil(width * this.perBin);
        if (pairs.length && pairs.at(-1)[0] === wide) pairs.at(-1)[1] += 1;
        else pairs.push([wide, 1]);
      }
      return pairs;
    }

    count() {
      const each = parameters(this.channels, this.layers);
      const bands = (this.edges.length - 1) * each.band;
      const bins = this.spectrum.bins * each.bin;
      return { each, bands, bins, sequence: each.sequence, total: bands + bins + each.sequence };
    }

    update() {
      const { widths, numbers, chosen } = this;
      const [low, high] = this.edges.slice(chosen, chosen + 2);
      let held = 0;
      for (let bin = low; bin < high; bin++) held += this.energy[bin];
      this.state.textContent = `Band ${chosen + 1} of ${widths.length}: ${hertz(low * this.perBin)} to `
        + `${hertz(high * this.perBin)}, ${high - low} bin${high - low === 1 ? "" : "s"}, `
        + `${((100 * held) / this.total).toFixed(1)} % of the energy.`;
      // a band counts where its lower edge lies
      const starts = this.edges.slice(0, -1).map((edge) => edge * this.perBin);
      const [below, above] = [starts.filter((one) => one < ZONES[0] - this.perBin).length,
        starts.filter((one) => one >= ZONES[1] - this.perBin).length];
      const between = widths.length - below - above;
      const { each, bands, bins, sequence, total } = this.count();
      const bold = (value) => h("b", {}, whole(value));
      numbers.bands.replaceChildren(bold(widths.length), `: ${below} start below 1 kHz, ${between} up to `
        + `8 kHz, ${above} above`);
      numbers.parameters.replaceChildren(bold(total));
      numbers.each.textContent = `${widths.length} × ${whole(each.band)} = ${whole(bands)}`;
      numbers.bins.textContent = `${whole(this.spectrum.bins)} × ${whole(each.bin)} = ${whole(bins)}, `
        + "whatever the bands";
      numbers.sequence.textContent = `${whole(sequence)}, whatever the bands`;
      const index = this.config.presets.findIndex((preset) => same(preset.widths, widths));
      const preset = this.config.presets[index];
      numbers.score.textContent = preset && preset.score !== null
        ? `${preset.label}: ${preset.score.toFixed(2)} dB uSDR on ${preset.target}, MUSDB18-HQ`
        : "none for these bands; only a training can tell";
      this.presets.querySelectorAll("button").forEach((node, other) =>
        node.setAttribute("aria-checked", other === index));
      const list = this.scheme.map(([wide, many]) => `(${wide}, ${many})`).join(", ");
      this.code.textContent = `bands=[${list}]`;
      this.drawBands();
      this.drawChart();
    }

    updateSound() {
      const { re, im, bins } = this.spectrum;
      const [low, high] = this.edges.slice(this.chosen, this.chosen + 2);
      const only = (part) => part.map((value, i) => (i % bins >= low && i % bins < high ? value : 0));
      this.player.replaceTrack(1, [Unmix.istft({ ...this.spectrum, re: only(re), im: only(im) })]);
    }

    // ---------------------------------------------------------------- pictures

    drawBands() {
      if (!this.axes.plot.clientWidth) return;
      const { context, width, height } = Unmix.fitCanvas(this.axes.overlay);
      const y = (edge) => height * (1 - this.heightOf(edge * this.perBin));
      const line = (at, color, thick) => {
        Object.assign(context, { strokeStyle: color, lineWidth: thick });
        context.beginPath();
        context.moveTo(0, at);
        context.lineTo(width, at);
        context.stroke();
      };
      for (const edge of this.edges.slice(1, -1)) {
        line(y(edge), "#0009", 2.5);
        line(y(edge), "#fffc", 1);
      }
      const [low, high] = this.edges.slice(this.chosen, this.chosen + 2);
      Object.assign(context, { fillStyle: palette.sky, globalAlpha: 0.3 });
      context.fillRect(0, y(high), width, y(low) - y(high));
      context.globalAlpha = 1;
      for (const edge of [low, high]) line(clamp(y(edge), 1, height - 1), palette.sky, 2);
    }

    drawChart() {
      const known = this.config.presets.filter(({ score, target }) => score !== null && target === "vocals");
      if (!known.length || !this.chart.clientWidth) return;
      const { context, width } = Unmix.fitCanvas(this.chart);
      const ink = getComputedStyle(this.chart).color;
      const counts = [...known.map(({ widths }) => widths.length), this.widths.length];
      const most = Math.max(45, ...counts);
      const scores = known.map(({ score }) => score);
      const [low, high] = [Math.floor(Math.min(...scores)) - 0.5, Math.ceil(Math.max(...scores))];
      const x = (count) => CHART.left + (count / most) * (width - CHART.left - CHART.right);
      const y = (score) => CHART.top + ((high - score) / (high - low)) * (CHART.height - CHART.top - CHART.bottom);
      Object.assign(context, { font: FONT, fillStyle: ink, strokeStyle: ink, lineWidth: 1, textBaseline: "middle" });
      const say = (align, text, at, down) => {
        context.textAlign = align;
        context.fillText(text, at, down);
      };
      const path = (points, color, thick, alpha = 1) => {
        Object.assign(context, { strokeStyle: color, lineWidth: thick, globalAlpha: alpha });
        context.beginPath();
        for (const point of points) context.lineTo(...point);
        context.stroke();
        context.globalAlpha = 1;
      };
      for (const tick of Unmix.ticks(low, high, 3)) {
        path([[CHART.left, y(tick)], [width - CHART.right, y(tick)]], ink, 1, 0.2);
        say("right", String(tick), CHART.left - 6, y(tick));
      }
      const floor = CHART.height - CHART.bottom;
      path([[CHART.left, CHART.top], [CHART.left, floor], [width - CHART.right, floor]], ink, 1);
      for (const tick of Unmix.ticks(0, most, 5)) say("center", String(tick), x(tick), floor + 10);
      say("center", "bands", (CHART.left + width - CHART.right) / 2, CHART.height - 6);
      context.save();
      context.translate(9, (CHART.top + floor) / 2);
      context.rotate(-Math.PI / 2);
      say("center", "uSDR (dB)", 0, 0);
      context.restore();
      path([[x(this.widths.length), CHART.top], [x(this.widths.length), floor]], palette.orange, 2);
      context.fillStyle = this.dark ? palette.sky : palette.blue;
      for (const { score, widths } of known) {
        context.beginPath();
        context.arc(x(widths.length), y(score), 4, 0, 2 * Math.PI);
        context.fill();
      }
      context.fillStyle = ink;
      // neighbours have their names above and below by turns
      [...known].sort((a, b) => a.widths.length - b.widths.length).forEach(({ label, score, widths }, i) =>
        say("center", label, x(widths.length), y(score) + (i % 2 ? 12 : -11)));
      this.chart.setAttribute("aria-label", "Published uSDR for vocals over the number of bands: "
        + `${known.map(({ label, score, widths }) => `${label} ${score.toFixed(2)} dB with ${widths.length}`)
          .join(", ")}. You have ${this.widths.length}.`);
    }
  }

  window.Unmix.define("unmix-band-splitter", BandSplitter);
})();
