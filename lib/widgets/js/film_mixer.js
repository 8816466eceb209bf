/* <unmix-film-mixer>: turn the condition of a C-U-Net, or its scales and shifts, and hear what emerges.
 *
 * config: {title, names, sample_rate, n_fft, hop, sources: [data URI of mono audio], log,
 *          mean, scale, control: [[weight, bias]], down: [[weight, bias]], up: [[weight, bias]]}
 * The page runs the network. Maps are {data: Float32Array, channels, rows (frames), columns (bins)}.
 */
(() => {
  "use strict";
  const { h, Element, Player, clamp } = window.Unmix;

  const TRACKS = ["Mixture", "Estimate", "What is left"];
  const TAPS = 5; // of a kernel, along each axis
  const SLOPE = 0.2; // of the leaky ReLUs on the way down
  const FLOOR = 1e-6; // of lib.nn.spectral, as a share of the mixture's mean power
  const LOWEST = -40; // dB: the left end of the bars
  const HEIGHT = 170;
  const signed = (value, digits) => {
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
  };
  const db = (power) => 10 * Math.log10(power + 1e-20);
  const energy = (signal) => signal.reduce((sum, value) => sum + value * value, 0);
  const title = (name) => name[0].toUpperCase() + name.slice(1);

  // ---------------------------------------------------------------- the network

  const emptyMap = (channels, rows, columns) => ({ channels, rows, columns,
    data: new Float32Array(channels * rows * columns) });

  const plane = (map, channel) => {
    const size = map.rows * map.columns;
    return map.data.subarray(channel * size, (channel + 1) * size);
  };

  /** Where index 2 n + tap - 2 lies within a length: the first n, and the last. */
  const reach = (tap, length, count) => [Math.max(0, Math.ceil((2 - tap) / 2)),
    Math.min(count - 1, Math.floor((length + 1 - tap) / 2))];

  /** Go through all taps between a large plane and one of half its size: visit(large, small, weight)
   *  is called for each row, with offsets into both. */
  function overTaps(large, small, kernel, visit) {
    for (let i = 0; i < TAPS; i++) {
      const [firstRow, lastRow] = reach(i, large.rows, small.rows);
      for (let j = 0; j < TAPS; j++) {
        const weight = kernel[i * TAPS + j];
        const [first, last] = reach(j, large.columns, small.columns);
        for (let row = firstRow; row <= lastRow; row++) {
          visit((2 * row + i - 2) * large.columns + j - 2, row * small.columns, first, last, weight);
        }
      }
    }
  }

  /** Convolution with stride 2, then scale, shift and leaky ReLU. */
  function halve(map, [weight, bias], gamma, beta) {
    const [outputs, inputs] = weight.shape;
    const result = emptyMap(outputs, map.rows / 2, map.columns / 2);
    for (let output = 0; output < outputs; output++) {
      const target = plane(result, output).fill(bias.data[output]);
      for (let input = 0; input < inputs; input++) {
        const source = plane(map, input);
        const start = (output * inputs + input) * TAPS * TAPS;
        overTaps(map, result, weight.data.subarray(start, start + TAPS * TAPS),
          (large, small, first, last, value) => {
            for (let n = first; n <= last; n++) target[small + n] += value * source[large + 2 * n];
          });
      }
      for (let n = 0; n < target.length; n++) {
        const value = gamma * target[n] + beta;
        target[n] = value > 0 ? value : SLOPE * value;
      }
    }
    return result;
  }

  /** Transposed convolution with stride 2. */
  function double(map, [weight, bias]) {
    const [inputs, outputs] = weight.shape;
    const result = emptyMap(outputs, 2 * map.rows, 2 * map.columns);
    for (let output = 0; output < outputs; output++) {
      const target = plane(result, output).fill(bias.data[output]);
      for (let input = 0; input < inputs; input++) {
        const source = plane(map, input);
        const start = (input * outputs + output) * TAPS * TAPS;
        overTaps(result, map, weight.data.subarray(start, start + TAPS * TAPS),
          (large, small, first, last, value) => {
            for (let n = first; n <= last; n++) target[large + 2 * n] += value * source[small + n];
          });
      }
    }
    return result;
  }

  function rectify(map) {
    for (let n = 0; n < map.data.length; n++) map.data[n] = Math.max(0, map.data[n]);
    return map;
  }

  function beside(first, second) {
    const both = emptyMap(first.channels + second.channels, first.rows, first.columns);
    both.data.set(first.data);
    both.data.set(second.data, first.data.length);
    return both;
  }

  class FilmMixer extends Element {
    static label = "FiLM mixer";

    static css = `
      .grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 1.4rem; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 5.2rem; }
      .slider input { min-width: 4rem; } .slider .readout { min-width: 3.4rem; }
      .caption { font-weight: 600; font-size: 12.5px; margin-bottom: -.4rem; }
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .through { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: .25rem .8rem;
        align-items: center; margin-bottom: 0; font-variant-numeric: tabular-nums; }
      .through dd { margin: 0; } .through dd.number { text-align: right; min-width: 5rem; }
      .track { height: .7rem; border-radius: 4px; background: var(--soft); }
      .fill { height: 100%; border-radius: 4px; background: var(--accent); }
      .result { margin-bottom: 0; min-height: 1.5em; }
      button { padding: .15rem .6rem; min-height: 1.9rem; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      this.panel.append(h("p", { class: "note" }, "Reading the sounds …"));
      this.sources = (await Promise.all(config.sources.map((uri) => Unmix.decode(uri, this.rate))))
        .map((buffer) => buffer.getChannelData(0));
      this.panel.replaceChildren();
      this.readNetwork(config);
      this.analyse(config);
      this.player = new Player({ sampleRate: this.rate });
      this.player.selected = 1;
      this.player.setTracks([this.mixture, this.mixture, this.mixture].map((signal) =>
        ({ channels: [signal] })));
      this.build(config);
      this.ask(0);
      this.update();
      this.updateSound();
    }

    readNetwork({ control, down, up, mean, scale }) {
      const layers = (list) => list.map((parts) => parts.map(Unmix.array));
      Object.assign(this, { controlLayers: layers(control), down: layers(down), up: layers(up),
        mean: Unmix.array(mean).data, scale: Unmix.array(scale).data });
      this.depth = this.down.length;
    }

    /** Spectrograms of mixture and sources, and what the network sees of the mixture. */
    analyse({ n_fft: nFft, hop, log }) {
      this.mixture = this.sources[0].map((_, n) =>
        this.sources.reduce((sum, source) => sum + source[n], 0));
      const shape = { nFft, hop };
      this.X = Unmix.stft(this.mixture, shape);
      const powerOf = ({ re, im }) => re.map((value, i) => value * value + im[i] * im[i]);
      this.powers = this.sources.map((source) => powerOf(Unmix.stft(source, shape)));
      const { frames, bins } = this.X;
      const power = powerOf(this.X);
      const level = Math.max(power.reduce((sum, value) => sum + value, 0) / power.length, 1e-20);
      const even = (count) => Math.ceil(count / 2 ** this.depth) * 2 ** this.depth;
      this.input = emptyMap(1, even(frames), even(bins - 1));
      for (let k = 0; k < frames; k++) {
        for (let f = 0; f < bins - 1; f++) {
          const relative = power[k * bins + f] / level;
          const seen = log ? Math.log(relative + FLOOR) / 2 : Math.sqrt(relative);
          this.input.data[k * this.input.columns + f] = (seen - this.mean[f]) / this.scale[f];
        }
      }
    }

    /** Scales and shifts, one of each per layer, for a condition. */
    control(condition) {
      let x = Float64Array.from(condition);
      this.controlLayers.forEach(([weight, bias], layer) => {
        const y = Float64Array.from(bias.data);
        for (let n = 0; n < y.length; n++) {
          for (let m = 0; m < x.length; m++) y[n] += weight.data[n * x.length + m] * x[m];
          if (layer < this.controlLayers.length - 1) y[n] = Math.max(0, y[n]);
        }
        x = y;
      });
      return { gamma: [...x.slice(0, this.depth)], beta: [...x.slice(this.depth)] };
    }

    /** The mask [frame * bins + bin] that the network gives with the scales and shifts of now. */
    maskOf({ gamma, beta }) {
      const levels = [];
      let x = this.input;
      this.down.forEach((layer, level) => {
        x = halve(x, layer, gamma[level], beta[level]);
        levels.push(x);
      });
      levels.pop();
      this.up.slice(0, -1).forEach((layer) => { x = beside(rectify(double(x, layer)), levels.pop()); });
      const logits = double(x, this.up[this.depth - 1]);
      const { frames, bins } = this.X;
      const mask = new Float32Array(frames * bins);
      for (let k = 0; k < frames; k++) {
        for (let f = 0; f < bins; f++) { // the highest repeats the one below
          const logit = logits.data[k * logits.columns + Math.min(f, bins - 2)];
          mask[k * bins + f] = 1 / (1 + Math.exp(-logit));
        }
      }
      return mask;
    }

    // ---------------------------------------------------------------- building

    build({ title: heading, names }) {
      const pairs = names.flatMap((_, a) => names.slice(a + 1).map((_, b) => [a, a + 1 + b]));
      this.pair = pairs[0];
      const ask = [...names.map((name, index) => Unmix.button(title(name), () => this.ask(index))),
        Unmix.button("All at once", () => this.setCondition(names.map(() => 1))),
        Unmix.button("Nothing", () => this.setCondition(names.map(() => 0)))];
      this.conditionSliders = names.map((name, index) => Unmix.slider({ label: title(name), min: 0,
        max: 1, step: 0.01, value: 0, format: (value) => value.toFixed(2),
        onInput: (value) => this.setCondition(this.condition.map((old, other) =>
          (other === index ? value : old))) }));
      this.pairChoice = Unmix.choice({ label: "Walk between",
        options: pairs.map(([a, b]) => `${names[a]} → ${names[b]}`),
        onChange: (index) => { this.pair = pairs[index]; this.walk(this.way.value / 100); } });
      this.way = Unmix.slider({ label: "Way", min: 0, max: 100, value: 0, unit: "%",
        onInput: (value) => this.walk(value / 100) });
      const dials = (kind, letter) => this.down.map((_, level) => {
        const span = Math.max(...names.map((_, one) => Math.abs(
          this.control(names.map((_, other) => Number(other === one)))[kind][level])));
        return Unmix.slider({ label: `${letter}, layer ${level + 1}`, min: -2 * Math.max(1, span),
          max: 2 * Math.max(1, span), step: "any", value: 0, format: (value) => signed(value, 2),
          onInput: (value) => this.setModulation(kind, level, value) });
      });
      this.dials = { gamma: dials("gamma", "γ"), beta: dials("beta", "β") };
      this.view = new Unmix.SpectrogramView({ duration: this.mixture.length / this.rate,
        maxFrequency: this.rate / 2, height: HEIGHT, range: 70 });
      this.view.follow(this.player);
      this.top = Unmix.powerSpectrogram([this.mixture],
        { sampleRate: this.rate, maxFrequency: this.rate / 2 }).top;
      this.trackChoice = Unmix.choice({ label: "What you hear and see", options: TRACKS, value: 1,
        keys: true, onChange: (index) => { this.player.select(index); this.drawView(); } });
      this.matchSwitch = Unmix.toggle({ label: "Loudness match", value: true, key: "M",
        onChange: () => this.applyLevels() });
      this.fills = names.map(() => h("div", { class: "fill" }));
      this.numbers = names.map((name) => h("dd", { class: "number", "data-value": name }));
      this.state = h("p", { class: "result", role: "status" });
      const caption = (text) => h("div", { class: "caption" }, text);
      const labelled = (text, ...nodes) => h("div", { class: "labelled" },
        h("span", { "aria-hidden": "true" }, text), ...nodes);
      this.panel.append(
        h("div", { class: "title" }, heading),
        labelled("Ask for", ...ask),
        caption("The condition z"), h("div", { class: "grid" }, this.conditionSliders),
        labelled("Walk", this.pairChoice), this.way,
        caption("Scales γ and shifts β of the layers on the way down"),
        h("div", { class: "grid" }, this.dials.gamma.flatMap((dial, n) => [dial, this.dials.beta[n]])),
        h("div", { class: "row" },
          Unmix.button("Back to the control network", () => this.setCondition(this.condition))),
        this.state,
        labelled("Hear", this.trackChoice),
        h("div", { class: "row" }, Unmix.playButton(this.player), this.matchSwitch,
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        this.view.element,
        caption("What comes through of each source, in power"),
        h("dl", { class: "through" }, names.flatMap((name, index) => [h("dt", {}, title(name)),
          h("dd", { class: "track", "aria-hidden": "true" }, this.fills[index]), this.numbers[index]])),
        h("p", { class: "help" }, "The sliders of z go through the control network, which sets γ and "
          + "β. Move these by hand, and z no longer says what they are. Space plays, 1 to 3 switch, "
          + "M matches loudness. Drag over the spectrogram for a loop."));
      const keys = { " ": () => this.player.toggle(),
        m: () => this.matchSwitch.set(!this.matchSwitch.on) };
      TRACKS.forEach((_, i) => { keys[String(i + 1)] = () => {
        this.trackChoice.select(i);
        this.trackChoice.focusSelected();
      }; });
      Unmix.bindKeys(this.panel, keys);
    }

    // ---------------------------------------------------------------- what the reader does

    ask(index) { this.setCondition(this.sources.map((_, other) => Number(other === index))); }

    walk(share) {
      const [from, to] = this.pair;
      this.setCondition(this.sources.map((_, index) =>
        (index === from ? 1 - share : index === to ? share : 0)));
    }

    setCondition(values) {
      Object.assign(this, { condition: values, byHand: false, modulation: this.control(values) });
      this.conditionSliders.forEach((slider, index) => slider.set(values[index], true));
      for (const kind of ["gamma", "beta"]) {
        this.dials[kind].forEach((dial, level) => dial.set(this.modulation[kind][level], true));
      }
      this.changed();
    }

    setModulation(kind, level, value) {
      this.modulation[kind][level] = value;
      this.byHand = true;
      this.changed();
    }

    // ---------------------------------------------------------------- what follows

    update() {
      const { X } = this;
      this.mask = this.maskOf(this.modulation);
      const masked = (part) => part.map((value, i) => value * this.mask[i]);
      this.estimate = Unmix.istft({ ...X, re: masked(X.re), im: masked(X.im) });
      this.left = this.mixture.map((value, n) => value - this.estimate[n]);
      this.through = this.powers.map((power) => {
        let passed = 0;
        let all = 0;
        power.forEach((value, i) => {
          passed += this.mask[i] * this.mask[i] * value;
          all += value;
        });
        return db(passed / all);
      });
      this.drawView();
      this.write();
    }

    updateSound() {
      if (this.pending) this.update();
      this.player.tracks[2].buffer = Unmix.toBuffer([this.left], this.rate);
      this.player.replaceTrack(1, [this.estimate]);
      this.applyLevels();
    }

    applyLevels() {
      const target = energy(this.mixture);
      this.player.setLevels([this.mixture, this.estimate, this.left].map((signal) => {
        if (!this.matchSwitch.on) return 1;
        const peak = signal.reduce((top, value) => Math.max(top, Math.abs(value)), 1e-9);
        return Math.min(Math.sqrt(target / Math.max(energy(signal), 1e-9)), 0.99 / peak);
      }));
    }

    drawView() {
      const signal = [this.mixture, this.estimate, this.left][this.trackChoice.value];
      this.view.show(Unmix.powerSpectrogram([signal],
        { sampleRate: this.rate, maxFrequency: this.rate / 2, columns: 440 }), this.top);
    }

    write() {
      const { names } = this.config;
      this.through.forEach((level, index) => {
        this.numbers[index].textContent = `${signed(level, 1)} dB`;
        this.fills[index].style.width = `${100 * clamp(1 - level / LOWEST, 0, 1)}%`;
      });
      const order = names.map((_, index) => index).sort((a, b) => this.through[b] - this.through[a]);
      const ahead = this.through[order[0]] - this.through[order[1]];
      const asked = this.byHand ? "scales and shifts by hand"
        : `z = (${this.condition.map((value) => Number(value.toFixed(2))).join(", ")})`;
      const heard = ahead < 3 ? `${names[order[0]]} and ${names[order[1]]} alike`
        : `mostly ${names[order[0]]}, ${ahead.toFixed(0)} dB above ${names[order[1]]}`;
      const text = `With ${asked}: ${heard}.`;
      if (this.state.textContent !== text) this.state.textContent = text;
    }
  }

  Unmix.define("unmix-film-mixer", FilmMixer);
})();
