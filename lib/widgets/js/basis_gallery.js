/* <unmix-basis-gallery>: the filters of a learned transform by centre frequency, and their masks.
 *
 * config: {title, names, sample_rate, stride, before, length, numbers, frequencies,
 *          encoder, decoder: (N, L), peaks: (N), features: (N, K), masks: (S, N, K)}
 * Features, by the peak of their filter, and masks are square roots that keep the sign.
 * A filter is a pair: the decoder's basis signal and the encoder's filter of the same number. They
 * are counted from the lowest centre frequency of the basis; `numbers` are their places in the network.
 * Source 0 is the mixture, source s + 1 the output s. Frame k begins at sample k * stride - before.
 */
(() => {
  "use strict";
  const { h, Element, Axes, Player, clamp, palette } = window.Unmix;

  const CELL = { width: 22, height: 24 }; // pixels of a picture in the gallery, or a little more
  const FONT = "11px system-ui, sans-serif";
  const LOUDNESS = 0.09; // root mean square of all that sounds
  const BURST = 0.7; // seconds
  const SLOWEST = 60; // Hz: repeats of a filter that has its peak at 0 Hz
  const RANGE = 50; // dB drawn
  const COLORS = [palette.blue, palette.orange, palette.green, palette.purple];
  const DASHES = [[], [5, 3], [2, 2], [7, 2, 2, 2]];

  const rms = (signal) => Math.sqrt(signal.reduce((sum, v) => sum + v * v, 0) / signal.length);
  const db = (ratio) => 20 * Math.log10(ratio);
  const decibels = (value) =>
    (Number.isFinite(value) ? `${value.toFixed(0)} dB`.replace("-", "\u2212") : "\u2212\u221e dB");
  const hertz = (value) => `${Math.round(value).toLocaleString("en")} Hz`;

  class BasisGallery extends Element {
    static label = "Basis gallery";

    static css = `
      .panel { container-type: inline-size; }
      .gallery { width: 100%; display: block; border-radius: 6px; cursor: pointer; touch-action: pan-y; }
      .pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: .6rem 1.2rem; }
      @container (max-width: 30rem) { .pair { grid-template-columns: minmax(0, 1fr); } }
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 4.2rem; }
      .keys { display: flex; flex-wrap: wrap; gap: .1rem 1rem; }
      .keys i { display: inline-block; width: 1.4rem; border-top: 3px solid; margin-right: .4rem;
        vertical-align: 3px; }
      .plot:not(.image) { background: var(--soft); }
      .plot.image { cursor: pointer; }
      .plot.image canvas:first-child { image-rendering: pixelated; }
      button { padding: .15rem .6rem; min-height: 1.9rem; }`;

    setup(config) {
      const [count, taps] = config.encoder.shape;
      Object.assign(this, { count, taps, rate: config.sample_rate, names: config.names });
      Object.assign(this, { stride: config.stride, before: config.before, length: config.length });
      Object.assign(this, { numbers: config.numbers, frequencies: config.frequencies });
      this.encoder = Unmix.array(config.encoder).data;
      this.decoder = Unmix.array(config.decoder).data;
      this.features = Unmix.array(config.features).data;
      this.frames = config.features.shape[1];
      const peaks = Unmix.array(config.peaks).data;
      this.features.forEach((value, i) => {
        this.features[i] = value * Math.abs(value) * peaks[Math.floor(i / this.frames)];
      });
      this.masks = Unmix.array(config.masks).data.map((root) => root * Math.abs(root));
      // rectified masks have no upper end: the last fiftieth is cut off in pictures
      this.highest = this.masks.slice().sort()[Math.floor(0.98 * this.masks.length)] || 1;
      this.sources = ["mixture, unmasked", ...this.names];
      this.wholes = this.sources.map((_, source) => rms(this.part(this.count - 1, source, true)));
      this.player = new Player({ sampleRate: this.rate });
      Object.assign(this, { filter: 0, sound: 0, upTo: false, picture: 0, side: 0 });
      this.build(config);
      this.choose(this.firstFilter());
      new ResizeObserver(() => this.draw()).observe(this.gallery);
    }

    /** The filter that carries most of the mixture. */
    firstFilter() {
      const energies = Array(this.count).fill(0);
      this.features.forEach((v, i) => { energies[Math.floor(i / this.frames)] += v * v; });
      return energies.indexOf(Math.max(...energies));
    }

    // -------------------------------------------------------------- sounds

    /** A basis signal repeated so that its copies agree at the centre frequency: j periods of it last P
     *  samples, P at most the filter's length, the nearest such pair. */
    period(filter) {
      const frequency = this.frequencies[filter] / this.rate;
      if (frequency * this.taps < 1) {
        return Math.round(1 / Math.max(frequency, SLOWEST / this.rate));
      }
      let best = [Infinity, 1];
      for (let samples = Math.ceil(this.taps / 4); samples <= this.taps; samples++) {
        const turns = Math.round(frequency * samples);
        const error = Math.abs(turns / samples - frequency);
        if (turns > 0 && error < best[0] - 1e-9) best = [error, samples];
      }
      return best[1];
    }

    burst(filter) {
      const length = Math.round(BURST * this.rate);
      const ramp = Math.round(0.03 * this.rate);
      const signal = new Float32Array(length);
      const period = this.period(filter);
      for (let start = 0; start < length; start += period) {
        for (let t = 0; t < this.taps && start + t < length; t++) {
          signal[start + t] += this.decoder[filter * this.taps + t];
        }
      }
      return signal.map((value, n) => value * Math.min(1, n / ramp, (length - 1 - n) / ramp));
    }

    /** What one filter, or all up to it, give to the mixture (source 0) or to an output. */
    part(filter, source, upTo) {
      const { taps, frames, count, stride, before, length } = this;
      const signal = new Float32Array(length);
      for (let f = upTo ? 0 : filter; f <= filter; f++) {
        const masks = (source - 1) * count * frames + f * frames;
        for (let k = 0; k < frames; k++) {
          const feature = this.features[f * frames + k] * (source ? this.masks[masks + k] : 1);
          if (feature === 0) continue;
          const start = k * stride - before;
          for (let t = Math.max(0, -start); t < taps && start + t < length; t++) {
            signal[start + t] += feature * this.decoder[f * taps + t];
          }
        }
      }
      return signal;
    }

    /** Sound 0 is the basis signal itself, 1 the mixture through it, 2 and on the outputs. */
    signal() {
      return this.sound === 0 ? this.burst(this.filter)
        : this.part(this.filter, this.sound - 1, this.upTo);
    }

    /** Take up what is chosen; what sounds goes on with it. */
    load() {
      const { playing } = this.player;
      this.player.pause();
      const signal = this.signal();
      const level = rms(signal);
      const peak = signal.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const gain = level > 1e-9 ? Math.min(LOUDNESS / level, 0.95 / peak) : 1;
      this.player.setTracks([{ channels: [signal.map((value) => value * gain)] }]);
      this.player.seek(0);
      if (this.sound === 0) {
        this.level.textContent = "The basis signal, again and again, in step with its centre frequency.";
      } else {
        const which = this.upTo ? `filters 1 to ${this.filter + 1}` : `filter ${this.filter + 1}`;
        this.level.textContent = `${this.sources[this.sound - 1]} through ${which}: `
          + `${decibels(db(level / this.wholes[this.sound - 1]))} against all filters, played equally loud.`;
      }
      if (playing) this.player.play();
    }

    hear() {
      this.load();
      return this.player.play();
    }

    // -------------------------------------------------------------- building

    build(config) {
      const row = (label, node, ...more) => h("div", { class: "labelled" },
        h("span", { "aria-hidden": "true" }, label), node, ...more);
      const ms = Number(((1000 * this.taps) / this.rate).toPrecision(3));
      this.gallery = h("canvas", { class: "gallery", tabindex: 0, role: "slider",
        "aria-label": "Filter, by centre frequency", "aria-valuemin": 1, "aria-valuemax": this.count });
      this.gallery.addEventListener("click", (event) => this.click(event));
      this.status = h("p", { role: "status", style: "margin-bottom:0" });
      this.level = h("p", { class: "note", style: "min-height:1.5em" });
      this.shape = new Axes({ height: 130,
        x: { min: 0, max: ms, count: 4, label: "Time (ms)" },
        y: { min: -1, max: 1, count: 2, label: "Weight, of its peak" } });
      this.response = new Axes({ height: 130,
        x: { min: 0, max: this.rate / 2000, count: 4, label: "Frequency (kHz)" },
        y: { min: -RANGE, max: 0, count: 3, label: "Response (dB)" } });
      const seconds = this.length / this.rate;
      const time = { min: 0, max: seconds, label: "Time (s)" };
      this.image = new Axes({ image: true, height: 200, x: time,
        y: { min: 0, max: this.count, count: 4, label: "Filter, low to high" } });
      this.caption = h("p", { class: "note", style: "margin-top:.2rem" });
      this.image.plot.addEventListener("click", (event) =>
        this.choose(clamp(Math.floor(this.image.at(event).y), 0, this.count - 1)));
      this.curves = new Axes({ height: 90, x: time,
        y: { min: 0, max: this.highest, count: 2, label: "Mask" } });
      const soundNames = ["basis signal", ...this.sources];
      this.soundChoice = Unmix.choice({ label: "Hear", options: soundNames, keys: true,
        onChange: (i) => { this.sound = i; this.hear(); } });
      this.upToSwitch = Unmix.toggle({ label: "All filters up to it", key: "A",
        title: "Hear the chosen filter together with all that lie below it",
        onChange: (on) => { this.upTo = on; this.hear(); } });
      this.sideChoice = Unmix.choice({ label: "Gallery",
        options: ["basis signals (decoder)", "filters of the encoder"],
        onChange: (i) => { this.side = i; this.drawGallery(); } });
      this.pictureChoice = Unmix.choice({ label: "Picture",
        options: ["features of the mixture", ...this.names.map((name) => `mask of ${name}`)],
        onChange: (i) => { this.picture = i; this.drawImage(); } });
      const key = (color, text) => h("span", {}, h("i", { style: `border-color:${color}` }), text);
      const dashed = (s) => ["solid", "dashed", "dotted", "dashed"][s % 4];
      this.panel.append(
        h("div", { class: "title" }, config.title),
        h("p", { class: "note" }, `${this.count} filters of ${ms} ms, each drawn by its own peak, from the `
          + "lowest centre frequency of the basis signals to the highest."),
        row("Gallery", this.sideChoice), this.gallery, this.status,
        row("Hear", this.soundChoice, this.upToSwitch, Unmix.playButton(this.player)), this.level,
        h("div", { class: "pair" }, this.shape.element, this.response.element),
        h("div", { class: "keys note" }, key(palette.blue, "basis signal"),
          key(palette.vermillion, "filter of the encoder")),
        row("Picture", this.pictureChoice), this.caption, this.image.element, this.curves.element,
        h("div", { class: "keys note" }, this.names.map((name, s) => h("span", {},
          h("i", { style: `border-color:${COLORS[s % 4]};border-top-style:${dashed(s)}` }),
          `mask of ${name}, chosen filter`))),
        h("p", { class: "help" }, "Click a filter to hear it. From the keyboard: give the gallery the focus; "
          + "\u2190 \u2192 step through the filters, \u2191 \u2193 by rows, Home and End go to the ends, "
          + "Enter plays. Digits choose what you hear, A adds the filters below, space plays and pauses."));
      const move = (step) => () => this.choose(clamp(this.filter + step(), 0, this.count - 1));
      const keys = { a: () => this.upToSwitch.set(!this.upTo), Enter: () => this.hear(),
        " ": () => (this.player.playing ? this.player.pause() : this.hear()),
        ArrowRight: move(() => 1), ArrowLeft: move(() => -1), ArrowDown: move(() => this.columns),
        ArrowUp: move(() => -this.columns), Home: () => this.choose(0), End: () => this.choose(this.count - 1) };
      soundNames.forEach((_, i) => { keys[String(i + 1)] = () => this.soundChoice.select(i); });
      Unmix.bindKeys(this.panel, keys);
    }

    onTheme() { if (this.gallery) this.draw(); }

    choose(filter) {
      this.filter = filter;
      const means = this.names.map((_, s) => {
        const from = (s * this.count + filter) * this.frames;
        let [sum, weight] = [0, 0];
        for (let k = 0; k < this.frames; k++) {
          const energy = this.features[filter * this.frames + k] ** 2;
          sum += energy * this.masks[from + k];
          weight += energy;
        }
        return weight > 0 ? sum / weight : 0;
      });
      const text = `Filter ${filter + 1} of ${this.count} (number ${this.numbers[filter]} in the network): `
        + `centre ${hertz(this.frequencies[filter])}. Mean mask, where it is loud: `
        + `${this.names.map((name, s) => `${name} ${means[s].toFixed(2)}`).join(", ")}.`;
      this.status.textContent = text;
      this.gallery.setAttribute("aria-valuenow", filter + 1);
      this.gallery.setAttribute("aria-valuetext",
        `filter ${filter + 1} of ${this.count}, ${hertz(this.frequencies[filter])}`);
      this.load();
      this.draw();
    }

    click(event) {
      const box = this.gallery.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
      const line = Math.floor((event.clientY - box.top) / CELL.height);
      const filter = line * this.columns + column;
      if (filter < 0 || filter >= this.count) return;
      this.choose(filter);
      this.hear();
    }

    // -------------------------------------------------------------- drawing

    draw() {
      if (!this.gallery.clientWidth) return;
      this.ink = getComputedStyle(this.panel).color;
      this.accent = this.dark ? palette.sky : palette.blue;
      this.drawGallery();
      this.drawShape();
      this.drawResponse();
      this.drawImage();
      this.drawCurves();
    }

    /** One filter as a line inside of a box. */
    line(context, weights, filter, [x, y, width, height], color, lineWidth) {
      const taps = weights.subarray(filter * this.taps, (filter + 1) * this.taps);
      const peak = taps.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
      context.beginPath();
      taps.forEach((value, t) => context.lineTo(x + ((t + 0.5) / this.taps) * width,
        y + (0.5 - 0.5 * (value / peak)) * height));
      Object.assign(context, { strokeStyle: color, lineWidth });
      context.stroke();
    }

    drawGallery() {
      const { gallery, count } = this;
      this.columns = Math.max(1, Math.floor(gallery.clientWidth / CELL.width));
      gallery.style.height = `${Math.ceil(count / this.columns) * CELL.height}px`;
      const { context, width } = Unmix.fitCanvas(gallery);
      const cell = width / this.columns;
      for (let filter = 0; filter < count; filter++) {
        const x = (filter % this.columns) * cell;
        const y = Math.floor(filter / this.columns) * CELL.height;
        const chosen = filter === this.filter;
        context.globalAlpha = chosen ? 1 : 0.07;
        context.fillStyle = chosen ? palette.yellow : this.ink;
        context.fillRect(x + 1, y + 1, cell - 2, CELL.height - 2);
        context.globalAlpha = 1;
        this.line(context, [this.decoder, this.encoder][this.side], filter, [x + 2, y + 4, cell - 4, CELL.height - 8],
          chosen ? "#000" : this.ink, chosen ? 1.5 : 1);
        if (chosen) {
          Object.assign(context, { strokeStyle: this.ink, lineWidth: 2 });
          context.strokeRect(x + 1, y + 1, cell - 2, CELL.height - 2);
        }
      }
    }

    /** Both partners of the chosen filter, for a plot: [weights, colour, width]. */
    partners() {
      return [[this.encoder, palette.vermillion, 1.2], [this.decoder, this.accent, 2.2]];
    }

    drawShape() {
      const { context, width, height } = Unmix.fitCanvas(this.shape.canvas);
      context.globalAlpha = 0.3;
      context.fillStyle = this.ink;
      context.fillRect(0, height / 2, width, 1);
      context.globalAlpha = 1;
      for (const [weights, color, thickness] of this.partners()) {
        this.line(context, weights, this.filter, [0, 0, width, height], color, thickness);
      }
    }

    drawResponse() {
      const { context, width, height } = Unmix.fitCanvas(this.response.canvas);
      for (const [weights, color, thickness] of this.partners()) {
        const levels = this.levels(weights, this.filter);
        context.beginPath();
        levels.forEach((level, bin) => context.lineTo((bin / (levels.length - 1)) * width,
          (-Math.max(level, -RANGE) / RANGE) * height));
        Object.assign(context, { strokeStyle: color, lineWidth: thickness });
        context.stroke();
      }
      const x = (this.frequencies[this.filter] / (this.rate / 2)) * width;
      context.setLineDash([4, 3]);
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, height);
      Object.assign(context, { strokeStyle: this.ink, lineWidth: 1 });
      context.stroke();
      context.setLineDash([]);
      Object.assign(context, { font: FONT, fillStyle: this.ink, textBaseline: "bottom" });
      context.textAlign = x > width / 2 ? "right" : "left";
      context.fillText(hertz(this.frequencies[this.filter]), x + (x > width / 2 ? -5 : 5), height - 4);
    }

    /** The frequency response of a filter in dB, its peak at 0. */
    levels(weights, filter) {
      const points = Math.max(2048, 2 ** Math.ceil(Math.log2(this.taps))); // as lib.filterbanks
      const [re, im] = [new Float64Array(points), new Float64Array(points)];
      re.set(weights.subarray(filter * this.taps, (filter + 1) * this.taps));
      Unmix.fft(re, im);
      const sizes = Array.from({ length: points / 2 + 1 }, (_, i) => Math.hypot(re[i], im[i]));
      const peak = Math.max(...sizes, 1e-12);
      return sizes.map((size) => db(Math.max(size / peak, 1e-6)));
    }

    drawImage() {
      const { count, frames, picture } = this;
      const values = new Float32Array(count * frames);
      const from = (picture - 1) * count * frames;
      const top = this.features.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
      for (let f = 0; f < count; f++) {
        for (let k = 0; k < frames; k++) {
          values[k * count + f] = picture ? this.masks[from + f * frames + k]
            : db(Math.abs(this.features[f * frames + k]) / top + 1e-9);
        }
      }
      Unmix.paintImage(this.image.canvas, { values, frames, bins: count,
        low: picture ? 0 : -RANGE, high: picture ? this.highest : 0,
        map: picture ? "cividis" : "magma" });
      this.caption.textContent = picture
        ? `Blue: 0. Yellow: ${this.highest.toPrecision(2)} and more. The line is the chosen filter.`
        : `Size of the features, ${RANGE} dB from black to white. The line is the chosen filter.`;
      const { context, width, height } = Unmix.fitCanvas(this.image.overlay);
      const y = (1 - (this.filter + 0.5) / count) * height;
      for (const [color, thickness] of [["#000", 3], ["#fff", 1]]) {
        context.fillStyle = color;
        context.fillRect(0, y - thickness / 2, width, thickness);
      }
    }

    drawCurves() {
      const { context, width, height } = Unmix.fitCanvas(this.curves.canvas);
      this.names.forEach((_, s) => {
        const from = (s * this.count + this.filter) * this.frames;
        context.beginPath();
        for (let k = 0; k < this.frames; k++) {
          const x = ((k * this.stride - this.before + this.taps / 2) / this.length) * width;
          context.lineTo(x, (1 - this.masks[from + k] / this.highest) * height);
        }
        context.setLineDash(DASHES[s % 4]);
        Object.assign(context, { strokeStyle: s ? COLORS[s % 4] : this.accent, lineWidth: 1.5 });
        context.stroke();
      });
      context.setLineDash([]);
    }
  }

  window.Unmix.define("unmix-basis-gallery", BasisGallery);
})();
