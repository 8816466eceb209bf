/* <unmix-denoise-by-hand>: draw the profile of a noise, subtract it, hear what is left.
 *
 * config: {title, sample_rate, n_fft, stretch: [s, s], over_subtraction, floor,
 *          mixture, reference: data URIs of mono audio}
 * The reference serves the scores only; all gains come from mixture, profile and sliders.
 */
(() => {
  "use strict";
  const { h, Element, Player, Axes, clamp, palette, siSdr } = window.Unmix;

  const TRACKS = ["Mixture", "Estimate", "What was removed", "Reference"];
  const DOMAINS = ["Magnitudes", "Powers"];
  const RANGE = 60; // dB of the average spectrum that can be seen and drawn
  const TOP = 5;
  const STEPS = 48; // of the keyboard's cursor over the frequency axis
  const db = (power) => 10 * Math.log10(power + 1e-20);
  const signed = (value, digits = 1) => {
    const text = value.toFixed(digits);
    return (Number(text) > 0 ? `+${text}` : text).replace("-", "\u2212");
  };
  const energy = (signal) => signal.reduce((sum, value) => sum + value * value, 0);

  /** Power of a spectrogram, [frame * bins + bin]. */
  const powerOf = ({ re, im }) => re.map((value, i) => value * value + im[i] * im[i]);

  /** lib.classical.subtraction_gain: magnitudes (exponent 1) or powers (2). */
  function gainOf(power, noise, { alpha, beta, exponent }) {
    let ratio = noise / (power > 0 ? power : 1);
    if (exponent === 1) ratio = Math.sqrt(ratio);
    const left = Math.max(1 - alpha * ratio, Math.min(beta * ratio, 1));
    return exponent === 1 ? left : Math.sqrt(left);
  }

  function subtract(spectrum, profile, options) {
    const re = new Float32Array(spectrum.re.length);
    const im = new Float32Array(spectrum.im.length);
    for (let i = 0; i < re.length; i++) {
      const gain = gainOf(spectrum.power[i], profile[i % spectrum.bins], options);
      re[i] = gain * spectrum.re[i];
      im[i] = gain * spectrum.im[i];
    }
    return Unmix.istft({ ...spectrum, re, im });
  }

  /** Kurtosis about zero of the power over time, for each bin; 0 where there is none. */
  function kurtosis(power, bins) {
    const frames = power.length / bins;
    return Float64Array.from({ length: bins }, (_, bin) => {
      let peak = 0;
      for (let k = 0; k < frames; k++) peak = Math.max(peak, power[k * bins + bin]);
      if (peak === 0) return 0;
      let second = 0;
      let fourth = 0;
      for (let k = 0; k < frames; k++) {
        const square = (power[k * bins + bin] / peak) ** 2;
        second += square / frames;
        fourth += (square * square) / frames;
      }
      return fourth / (second * second);
    });
  }

  class DenoiseByHand extends Element {
    static label = "Denoise by hand";

    static css = `
      .controls { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr));
        gap: .2rem 1.4rem; }
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 5.5rem; }
      .slider { flex-wrap: nowrap; }
      .slider label { min-width: 8.2rem; }
      .slider input[type=range] { min-width: 4rem; }
      .slider .readout { min-width: 4.2rem; }
      .caption { font-weight: 600; font-size: 12.5px; }
      .mark { right: auto; border: solid #f0e442; border-width: 0 2px; background: #f0e44233;
        pointer-events: none; }
      .draw { touch-action: none; cursor: crosshair; }
      .legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: 12px; }
      .legend span::before { content: ""; display: inline-block; width: 1.2rem; height: .25rem;
        margin-right: .4rem; vertical-align: middle; background: var(--ink); }
      .scores { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr));
        gap: .5rem; }
      .scores div { border: 1px solid var(--line); border-radius: 8px; padding: .35rem .6rem; }
      .scores b { display: block; font-size: 18px; font-variant-numeric: tabular-nums; }
      .scores span { font-size: 12px; color: var(--quiet); }
      .verdict { border-left: 3px solid var(--good); padding-left: .7rem; min-height: 2.9em; }
      .verdict[data-state=warn] { border-color: var(--focus); }
      .verdict[data-state=bad] { border-color: var(--bad); }
      button { padding: .15rem .6rem; min-height: 1.9rem; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      this.panel.append(h("p", { class: "note" }, "Reading the clip …"));
      const [mixture, reference] = (await Promise.all(
        [config.mixture, config.reference].map((uri) => Unmix.decode(uri, this.rate))))
        .map((buffer) => buffer.getChannelData(0));
      this.panel.replaceChildren();
      const noise = mixture.map((value, n) => value - reference[n]);
      const shape = { nFft: config.n_fft, hop: config.n_fft / 4 };
      const analyse = (signal) => {
        const spectrum = Unmix.stft(signal, shape);
        return { ...spectrum, power: powerOf(spectrum) };
      };
      Object.assign(this, { mixture, reference, noise, shape, bins: config.n_fft / 2 + 1 });
      this.X = analyse(mixture);
      this.N = analyse(noise);
      this.noiseKurtosis = kurtosis(this.N.power, this.bins);
      this.average = this.meanPower(this.X, 0, this.X.frames - 1);
      this.trueProfile = this.meanPower(this.N, 0, this.N.frames - 1);
      this.zero = Math.max(...this.average); // 0 dB of the drawing
      Object.assign(this, { stretch: config.stretch, cursor: 0.25, drawn: false, shown: 1,
        options: { alpha: config.over_subtraction, beta: config.floor, exponent: 1 } });
      this.profile = this.learned();
      this.player = new Player({ sampleRate: this.rate });
      this.player.selected = 1;
      this.player.setTracks([mixture, mixture, mixture, reference].map((signal) =>
        ({ channels: [signal] })));
      this.build(config);
      this.update();
      this.updateSound();
    }

    get duration() { return this.mixture.length / this.rate; }

    // -------------------------------------------------------------- the profile

    meanPower({ power, bins }, first, last) {
      const mean = new Float64Array(bins);
      for (let k = first; k <= last; k++) {
        for (let f = 0; f < bins; f++) mean[f] += power[k * bins + f] / (last - first + 1);
      }
      return mean;
    }

    /** Mean power of the frames that lie within the marked stretch, as lib.classical does it. */
    learned() {
      const { hop, nFft } = this.shape;
      const [start, stop] = this.stretch.map((seconds) => Math.round(seconds * this.rate));
      const first = Math.ceil((start + nFft / 2) / hop);
      const last = Math.floor((stop - nFft / 2) / hop);
      return this.meanPower(this.X, first, Math.max(first, last));
    }

    learn() {
      this.drawn = false;
      this.profile = this.learned();
      this.changed();
    }

    setStretch(start, stop) {
      const shortest = (2 * this.shape.nFft) / this.rate;
      const from = clamp(Math.min(start, stop), 0, this.duration - shortest);
      const to = clamp(Math.max(start, stop), from + shortest, this.duration);
      this.stretch = [from, to];
      this.startSlider.set(from, true);
      this.lengthSlider.set(to - from, true);
      this.learn();
    }

    flat() {
      const mean = this.profile.reduce((sum, value) => sum + value, 0) / this.bins;
      this.profile.fill(mean);
      this.drawn = true;
      this.changed();
    }

    level(power) { return clamp(db(power) - db(this.zero), -RANGE, TOP); }

    powerAt(level) { return this.zero * 10 ** (level / 10); }

    binAt(hertz) { return clamp(Math.round((hertz / this.rate) * this.shape.nFft), 0, this.bins - 1); }

    /** Set the profile along a straight line between two points {x: Hz, y: dB}. */
    paint(from, to) {
      const [left, right] = from.x < to.x ? [from, to] : [to, from];
      const first = this.binAt(left.x);
      const last = this.binAt(right.x);
      for (let bin = first; bin <= last; bin++) {
        const place = last > first ? (bin - first) / (last - first) : 1;
        this.profile[bin] = this.powerAt(left.y + place * (right.y - left.y));
      }
      this.drawn = true;
      this.changed();
    }

    /** Raise the profile around the keyboard's cursor. */
    nudge(decibels) {
      const centre = this.cursor * (this.bins - 1);
      const width = (this.bins - 1) / STEPS;
      this.profile = this.profile.map((power, bin) => this.powerAt(clamp(
        this.level(power) + decibels * Math.exp(-0.5 * ((bin - centre) / width) ** 2), -RANGE, TOP)));
      this.drawn = true;
      this.changed();
    }

    // -------------------------------------------------------------- building

    build(config) {
      const labelled = (text, node) => h("div", { class: "labelled" },
        h("span", { "aria-hidden": "true" }, text), node);
      const seconds = (value) => `${value.toFixed(2)} s`;
      const shortest = (2 * config.n_fft) / this.rate;
      this.startSlider = Unmix.slider({ label: "Stretch begins at", min: 0, step: 0.05,
        max: this.duration - shortest, value: this.stretch[0], format: seconds,
        onInput: (value) => this.setStretch(value, value + this.lengthSlider.value) });
      this.lengthSlider = Unmix.slider({ label: "and lasts", min: shortest, max: 1.5, step: 0.01,
        value: this.stretch[1] - this.stretch[0], format: seconds,
        onInput: (value) => this.setStretch(this.startSlider.value, this.startSlider.value + value) });
      this.alphaSlider = Unmix.slider({ label: "Over-subtraction α", min: 0, max: 6, step: 0.1,
        value: this.options.alpha, format: (value) => value.toFixed(1),
        onInput: (value) => { this.options.alpha = value; this.changed(); } });
      this.betaSlider = Unmix.slider({ label: "Floor β", min: 0, max: 0.5, step: 0.01,
        value: this.options.beta, format: (value) => value.toFixed(2),
        onInput: (value) => { this.options.beta = value; this.changed(); } });
      this.view = new Unmix.SpectrogramView({ duration: this.duration, height: 170,
        maxFrequency: this.rate / 2, range: 70 });
      this.mark = h("div", { class: "mark" });
      this.view.plot.append(this.mark);
      this.bindStretch(this.view.plot);
      this.axes = new Axes({ height: 190,
        x: { min: 0, max: this.rate / 2, label: "Frequency (kHz)", format: (v) => String(v / 1000) },
        y: { min: -RANGE, max: TOP, count: 4, label: "Mean power (dB)" } });
      this.axes.plot.classList.add("draw");
      this.bindDrawing(this.axes.plot);
      this.viewCaption = h("div", { class: "caption" });
      this.truthSwitch = Unmix.toggle({ label: "Show the true noise", key: "N",
        onChange: () => this.drawProfile() });
      this.matchSwitch = Unmix.toggle({ label: "Loudness match", value: true, key: "M",
        onChange: () => this.applyLevels() });
      this.trackChoice = Unmix.choice({ label: "What you hear and see", options: TRACKS, value: 1,
        keys: true, onChange: (index) => this.choose(index) });
      const preset = (text, alpha, beta) => Unmix.button(text, () => {
        this.alphaSlider.set(alpha);
        this.betaSlider.set(beta);
      });
      this.scoreBox = h("div", { class: "scores" });
      this.verdict = h("p", { class: "verdict", "aria-live": "polite" });
      this.legend = h("div", { class: "legend", "aria-hidden": "true" });
      this.panel.append(
        h("div", { class: "title" }, config.title),
        labelled("Hear", this.trackChoice),
        h("div", { class: "row" }, Unmix.playButton(this.player), this.matchSwitch,
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        this.viewCaption, this.view.element,
        h("div", { class: "caption" }, "Average spectrum, and your noise profile"),
        this.axes.element, this.legend,
        h("div", { class: "row" },
          Unmix.button("Take the profile from the stretch", () => this.learn()),
          Unmix.button("Flat profile", () => this.flat()), this.truthSwitch),
        h("div", { class: "controls" }, this.startSlider, this.lengthSlider, this.alphaSlider,
          this.betaSlider),
        labelled("Subtract", Unmix.choice({ label: "Subtract", options: DOMAINS,
          onChange: (index) => { this.options.exponent = index + 1; this.changed(); } })),
        h("div", { class: "row" }, preset("Textbook: α 1, β 0", 1, 0),
          preset("Cured: α 2, β 0.1", 2, 0.1)),
        this.scoreBox, this.verdict,
        h("p", { class: "help" }, "Drag over the spectrogram to mark a stretch of noise, click to "
          + "move the playhead. Drag in the average spectrum to draw the profile; with the focus on "
          + "it, left and right move the cursor, up and down (with Shift: more) raise and lower the "
          + "profile there. Space plays, 1 to 4 switch, M matches loudness, N shows the true noise."));
      const keys = { " ": () => this.player.toggle(), m: () => this.matchSwitch.set(!this.matchSwitch.on),
        n: () => this.truthSwitch.set(!this.truthSwitch.on) };
      TRACKS.forEach((_, i) => { keys[String(i + 1)] = () => {
        this.trackChoice.select(i);
        this.trackChoice.focusSelected();
      }; });
      Unmix.bindKeys(this.panel, keys);
      this.player.addEventListener("tick", () => this.view.setPlayhead(this.player.position));
      this.top = Unmix.powerSpectrogram([this.mixture],
        { sampleRate: this.rate, maxFrequency: this.rate / 2 }).top;
      new ResizeObserver(() => this.drawProfile()).observe(this.axes.plot);
    }

    bindStretch(plot) {
      plot.style.cursor = "crosshair";
      let start = null;
      plot.addEventListener("pointerdown", (event) => {
        start = this.view.at(event).x;
        plot.setPointerCapture(event.pointerId);
      });
      plot.addEventListener("pointermove", (event) => {
        const now = this.view.at(event).x;
        if (start !== null && Math.abs(now - start) > 0.05) this.placeMark([start, now].sort((a, b) => a - b));
      });
      plot.addEventListener("pointercancel", () => { start = null; this.placeMark(this.stretch); });
      plot.addEventListener("pointerup", (event) => {
        if (start === null) return;
        const now = this.view.at(event).x;
        if (Math.abs(now - start) > 0.05) this.setStretch(start, now);
        else this.player.seek(now);
        start = null;
      });
    }

    bindDrawing(plot) {
      for (const [name, value] of Object.entries({ role: "slider", tabindex: "0",
        "aria-label": "Noise profile: left and right move along the frequencies, up and down change it",
        "aria-valuemin": -RANGE, "aria-valuemax": TOP })) plot.setAttribute(name, value);
      let last = null;
      plot.addEventListener("pointerdown", (event) => {
        last = this.axes.at(event);
        plot.setPointerCapture(event.pointerId);
        this.paint(last, last);
      });
      plot.addEventListener("pointermove", (event) => {
        if (!last) return;
        const now = this.axes.at(event);
        this.paint(last, now);
        last = now;
      });
      for (const end of ["pointerup", "pointercancel"]) {
        plot.addEventListener(end, () => { last = null; });
      }
      for (const change of ["focus", "blur"]) {
        plot.addEventListener(change, () => this.drawProfile());
      }
      plot.addEventListener("keydown", (event) => {
        const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        const up = { ArrowDown: -1, ArrowUp: 1 }[event.key];
        if (!across && !up) return;
        event.preventDefault();
        event.stopPropagation();
        if (up) this.nudge(up * (event.shiftKey ? 6 : 1));
        else this.cursor = clamp(this.cursor + (across * (event.shiftKey ? 4 : 1)) / STEPS, 0, 1);
        this.drawProfile();
      });
    }

    // -------------------------------------------------------------- computing

    update() {
      const { X, N, profile, options } = this;
      this.estimate = subtract(X, profile, options);
      this.removed = this.mixture.map((value, n) => value - this.estimate[n]);
      const left = subtract(N, profile, options);
      const power = powerOf(Unmix.stft(left, this.shape));
      const after = kurtosis(power, this.bins);
      let sum = 0;
      let count = 0;
      after.forEach((value, bin) => {
        if (value > 0 && this.noiseKurtosis[bin] > 0) {
          sum += Math.log(value / this.noiseKurtosis[bin]);
          count += 1;
        }
      });
      this.scores = {
        before: siSdr(this.mixture, this.reference),
        after: siSdr(this.estimate, this.reference),
        left: db(energy(left)) - db(energy(this.noise)),
        index: count ? sum / count : 0,
      };
      this.placeMark(this.stretch);
      this.drawProfile();
      this.drawView();
      this.writeScores();
    }

    updateSound() {
      if (this.pending) this.update();
      this.player.tracks[2].buffer = Unmix.toBuffer([this.removed], this.rate);
      this.player.replaceTrack(1, [this.estimate]);
      this.applyLevels();
    }

    applyLevels() {
      const signals = [this.mixture, this.estimate, this.removed, this.reference];
      const target = energy(this.mixture);
      this.player.setLevels(signals.map((signal) => {
        if (!this.matchSwitch.on) return 1;
        const peak = signal.reduce((top, value) => Math.max(top, Math.abs(value)), 1e-9);
        return Math.min(Math.sqrt(target / Math.max(energy(signal), 1e-9)), 0.99 / peak);
      }));
    }

    choose(index) {
      this.shown = index;
      this.player.select(index);
      this.drawView();
    }

    // -------------------------------------------------------------- pictures and words

    onTheme() { if (this.axes) this.drawProfile(); }

    placeMark([start, stop]) {
      this.mark.style.left = `${(100 * start) / this.duration}%`;
      this.mark.style.width = `${(100 * (stop - start)) / this.duration}%`;
    }

    drawView() {
      const signal = [this.mixture, this.estimate, this.removed, this.reference][this.shown];
      const levels = Unmix.powerSpectrogram([signal],
        { sampleRate: this.rate, maxFrequency: this.rate / 2, columns: 440 });
      this.view.show(levels, this.top);
      this.viewCaption.textContent = `${TRACKS[this.shown]}; marked: the stretch that the profile is `
        + "taken from";
    }

    drawProfile() {
      if (!this.axes.plot.clientWidth) return;
      const { context, width, height } = Unmix.fitCanvas(this.axes.canvas);
      const ink = this.dark ? { profile: palette.orange, truth: palette.sky, average: "#bbb" }
        : { profile: palette.vermillion, truth: palette.blue, average: "#666" };
      const x = (bin) => (bin / (this.bins - 1)) * width;
      const y = (power) => ((TOP - this.level(power)) / (TOP + RANGE)) * height;
      const trace = (powers) => {
        context.beginPath();
        powers.forEach((power, bin) => context.lineTo(x(bin), y(power)));
      };
      const line = (powers, color, lineWidth, dash = []) => {
        trace(powers);
        Object.assign(context, { strokeStyle: color, lineWidth });
        context.setLineDash(dash);
        context.stroke();
        context.setLineDash([]);
      };
      trace(this.average);
      context.lineTo(width, height);
      context.lineTo(0, height);
      context.fillStyle = "#8883";
      context.fill();
      line(this.average, ink.average, 1.2);
      if (this.truthSwitch.on) line(this.trueProfile, ink.truth, 2, [6, 4]);
      line(this.profile, ink.profile, 2.5);
      const bin = Math.round(this.cursor * (this.bins - 1));
      const hertz = Math.round((bin * this.rate) / this.shape.nFft);
      if (this.axes.plot.matches(":focus-visible")) {
        context.beginPath();
        context.arc(x(bin), y(this.profile[bin]), 6, 0, 2 * Math.PI);
        Object.assign(context, { strokeStyle: ink.profile, lineWidth: 2 });
        context.stroke();
      }
      const level = this.level(this.profile[bin]);
      this.axes.plot.setAttribute("aria-valuenow", level.toFixed(1));
      this.axes.plot.setAttribute("aria-valuetext", `${signed(level)} dB at ${hertz} Hz`);
      const entries = [["mixture", ink.average],
        [this.drawn ? "your profile, drawn" : "your profile, from the stretch", ink.profile]];
      if (this.truthSwitch.on) entries.push(["true noise", ink.truth]);
      this.legend.replaceChildren(...entries.map(([text, color]) =>
        h("span", { style: `--ink:${color}` }, text)));
    }

    writeScores() {
      const { before, after, left, index } = this.scores;
      const box = (name, value, text) => h("div", {},
        h("b", { "data-score": name }, value), h("span", {}, text));
      this.scoreBox.replaceChildren(
        box("si_sdr", `${signed(after)} dB`, "SI-SDR of the estimate"),
        box("si_sdr_i", `${signed(after - before)} dB`, "improvement over the mixture"),
        box("left", `${signed(left)} dB`, "noise alone, after treatment"),
        box("index", signed(index, 2), "musical noise index"));
      const [state, text] = this.judge(after - before, left, index);
      this.verdict.dataset.state = state;
      if (this.verdict.textContent !== text) this.verdict.textContent = text;
    }

    judge(gain, left, index) {
      if (left > -3) return ["warn", "Most of the noise is still there: raise α or the profile."];
      if (gain < 0) return ["bad", "The voice has suffered more than the noise: lower α or the profile."];
      if (index > 1 && left > -26) {
        return ["bad", "Musical noise: what is left of the noise is lone, short tones. Listen to the "
          + "pauses, then raise β, or α, or both."];
      }
      if (index > 1) {
        return ["warn", "What is left of the noise is spiky, but very soft: listen to the pauses."];
      }
      return ["good", "What is left of the noise still sounds like noise."];
    }
  }

  Unmix.define("unmix-denoise-by-hand", DenoiseByHand);
})();
