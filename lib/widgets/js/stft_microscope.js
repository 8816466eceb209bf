/* <unmix-stft-microscope>: one sound, every short-time Fourier transform of it.
 *
 * config: {title, sample_rate, max_frequency, sounds: [{name, source: data URI}], tone, gap}
 * A first sound, two tones and a click, is made here: its gap can be dragged.
 */
(() => {
  "use strict";
  const { h, Element, Player, Axes, clamp, fft, windowOf, palette } = window.Unmix;

  const WINDOWS = [["Hann", "hann"], ["Hamming", "hamming"], ["Blackman", "blackman"],
    ["rectangular", "rect"]];
  // main lobe from zero to zero, in bins
  const LOBES = { hann: 4, hamming: 4, blackman: 6, rect: 2 };
  const HOPS = [["1/16", 1 / 16], ["1/8", 1 / 8], ["1/4", 1 / 4], ["1/3", 1 / 3], ["1/2", 1 / 2],
    ["2/3", 2 / 3], ["3/4", 3 / 4], ["1", 1]];
  const PICTURES = ["Magnitude", "Phase", "Instantaneous frequency", "Group delay"];
  const SOUNDS = ["As it is", "Plain overlap-add", "Least squares", "Phase set to 0"];
  const RANGE = 80;
  const ZOOMS = [1000, 2000, 4000, 8000];

  const db = (power) => 10 * Math.log10(power + 1e-20);
  const wrap = (angle) => angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
  const signed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

  /** A colour ramp from 17 or so hexadecimal stops, as a function of 0 to 1. */
  function ramp(stops) {
    const values = stops.match(/../g).map((pair) => parseInt(pair, 16));
    const last = values.length / 3 - 1;
    return (place) => {
      const at = clamp(place, 0, 1) * last;
      const low = Math.min(last - 1, Math.floor(at));
      return [0, 1, 2].map((c) =>
        values[3 * low + c] + (at - low) * (values[3 * low + 3 + c] - values[3 * low + c]));
    };
  }
  // matplotlib's twilight, whose ends meet, and its RdBu_r, whose middle is nothing
  const CYCLIC = ramp("e2d9e2c4ced495b5c77297c16276ba5e51ad592a8f45135c2f14364a1342741e4f983550b25652"
    + "c27c63cca389d8c7bee2d9e2");
  const DIVERGING = ramp("0530612065ab4393c390c4ddd1e5f0f7f6f6fddbc7f3a481d6604db1182b67001f");
  const MAGMA = (() => {
    const bytes = Unmix.colormap("magma");
    return (place) => bytes.subarray(3 * Math.round(255 * clamp(place, 0, 1)));
  })();

  /** Sums over all shifts of a window (power 1) and of its square (power 2), over one hop. */
  function overlap(shape, hop) {
    const plain = new Float64Array(hop);
    const squared = new Float64Array(hop);
    shape.forEach((value, i) => {
      plain[i % hop] += value;
      squared[i % hop] += value * value;
    });
    const mean = plain.reduce((a, b) => a + b, 0) / hop;
    const deviation = Math.max(...plain.map((value) => Math.abs(value - mean))) / mean;
    const covered = Math.min(...squared) > 1e-8 * Math.max(...squared);
    return { plain, squared, mean, deviation, covered };
  }

  /** The spectrum of one frame, phase counted from its first sample: {re, im} (size). */
  function spectrumAt(signal, centre, shape) {
    const re = new Float64Array(shape.length);
    const im = new Float64Array(shape.length);
    const first = centre - shape.length / 2;
    for (let i = 0; i < shape.length; i++) {
      const j = first + i;
      if (j >= 0 && j < signal.length) re[i] = signal[j] * shape[i];
    }
    fft(re, im);
    return { re, im };
  }

  /** Level, phase, frequency and delay of each bin of the frame around `centre`. */
  function readFrame(signal, centre, shape, sampleRate) {
    const size = shape.length;
    const bins = size / 2 + 1;
    const now = spectrumAt(signal, centre, shape);
    const next = spectrumAt(signal, centre + 1, shape);
    const full = shape.reduce((a, b) => a + b, 0) / 2; // a sine of amplitude 1 reads 0 dB
    const level = new Float32Array(bins);
    const phase = new Float32Array(bins);
    const frequency = new Float32Array(bins);
    const delay = new Float32Array(bins);
    for (let k = 0; k < bins; k++) {
      level[k] = db((now.re[k] ** 2 + now.im[k] ** 2) / full ** 2);
      phase[k] = Math.atan2(now.im[k], now.re[k]);
      const advance = wrap(Math.atan2(next.im[k], next.re[k]) - phase[k]);
      frequency[k] = (advance * sampleRate) / (2 * Math.PI);
      if (k > 0) delay[k] = (-wrap(phase[k] - phase[k - 1] + Math.PI) * size) / (2 * Math.PI * sampleRate);
    }
    delay[0] = delay[1];
    return { level, phase, frequency, delay };
  }

  /** How deep the spectrum of two equal tones dips between them, in dB below the tones, averaged
   *  over their beat: then powers add, and their phases do not matter. */
  function dipBetween(shape, gap, sampleRate) {
    const power = (frequency) => {
      let re = 0;
      let im = 0;
      shape.forEach((value, n) => {
        const angle = (2 * Math.PI * frequency * n) / sampleRate;
        re += value * Math.cos(angle);
        im += value * Math.sin(angle);
      });
      return re * re + im * im;
    };
    return db(power(0) + power(gap)) - db(2 * power(gap / 2));
  }

  /** Two tones of equal level, and a click in the middle. */
  function tonesAndClick(sampleRate, seconds, low, high) {
    const length = Math.round(sampleRate * seconds);
    const samples = Float32Array.from({ length }, (_, n) => {
      const edge = Math.min(1, n / (0.02 * sampleRate), (length - n) / (0.02 * sampleRate));
      const turn = (2 * Math.PI * n) / sampleRate;
      return 0.2 * edge * (Math.sin(turn * low) + Math.sin(turn * high));
    });
    for (let i = 0; i < 4; i++) samples[Math.round(0.75 * length) + i] += [0.9, -0.9, 0.5, -0.3][i];
    return samples;
  }

  class Microscope extends Element {
    static label = "STFT microscope";

    static css = `
      .controls { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr));
        gap: .2rem 1.4rem; }
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 4.2rem; }
      .slider { flex-wrap: nowrap; }
      .slider label { min-width: 4.4rem; }
      .slider input[type=range] { min-width: 4rem; }
      .slider .readout { min-width: 7.2rem; }
      .bar { grid-template-columns: .6rem 3.4rem; }
      .small { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem; }
      .small .caption { font-weight: 600; font-size: 12px; margin-bottom: .3rem; }
      .cursor { font-variant-numeric: tabular-nums; border-left: 3px solid var(--accent);
        padding-left: .7rem; min-height: 2.9em; }
      .verdict { border-left: 3px solid var(--good); padding-left: .7rem; }
      .verdict[data-state=warn] { border-color: var(--focus); }
      .verdict[data-state=bad] { border-color: var(--bad); }
      .plot.image canvas:first-child { image-rendering: pixelated; }
      button { padding: .15rem .6rem; min-height: 1.9rem; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      this.panel.append(h("p", { class: "note" }, "Reading the sounds …"));
      const decoded = await Promise.all(
        config.sounds.map((sound) => Unmix.decode(sound.source, this.rate)));
      this.signals = [null, ...decoded.map((buffer) => buffer.getChannelData(0))];
      this.panel.replaceChildren();
      Object.assign(this, { sound: 0, shape: null, cursor: null, cache: new Map() });
      Object.assign(this, { window: "hann", size: 1024, hopIndex: 2, picture: 0, heard: 0 });
      Object.assign(this, { gap: config.gap, low: config.tone, zoom: ZOOMS[0] });
      this.makeTones();
      this.player = new Player({ sampleRate: this.rate });
      this.build(config);
      this.changeSound(0);
    }

    makeTones() {
      this.signals[0] = tonesAndClick(this.rate, 2, this.low, this.low + this.gap);
    }

    get signal() { return this.signals[this.sound]; }

    get hop() { return Math.max(1, Math.round(this.size * HOPS[this.hopIndex][1])); }

    get duration() { return this.signal.length / this.rate; }

    // -------------------------------------------------------------- building

    build(config) {
      const labelled = (text, node) => h("div", { class: "labelled" },
        h("span", { "aria-hidden": "true" }, text), node);
      const pick = (label, options, onChange) => labelled(label,
        Unmix.choice({ label, options, onChange }));
      if (config.title) this.panel.append(h("div", { class: "title" }, config.title));
      const sounds = ["Two tones and a click", ...config.sounds.map((sound) => sound.name)];
      this.gapSlider = Unmix.slider({ label: "Gap", min: 5, max: 200, step: 5, value: this.gap,
        format: (hertz) => `${hertz} Hz`,
        onInput: (hertz) => { this.gap = hertz; this.makeTones(); this.changed(true); } });
      this.zoomSlider = Unmix.slider({ label: "Up to", min: 0, max: ZOOMS.length - 1, value: 0,
        format: (i) => `${ZOOMS[i] / 1000} kHz`,
        onInput: (i) => { this.zoom = ZOOMS[i]; this.layOut(); this.draw(); } });
      const sizeSlider = Unmix.slider({ label: "Size N", min: 6, max: 12, value: 10,
        format: (power) => `${2 ** power} = ${((2 ** power / this.rate) * 1000).toFixed(0)} ms`,
        onInput: (power) => { this.size = 2 ** power; this.hopSlider.set(this.hopIndex, true);
          this.changed(); } });
      this.hopSlider = Unmix.slider({ label: "Hop H", min: 0, max: HOPS.length - 1, value: this.hopIndex,
        format: (i) => `${HOPS[i][0]} N = ${Math.max(1, Math.round(this.size * HOPS[i][1]))}`,
        onInput: (i) => { this.hopIndex = i; this.changed(); } });
      this.mainBox = h("div");
      this.cursorText = h("p", { class: "cursor" });
      this.frameBox = h("div");
      this.sliceBox = h("div");
      this.sumBox = h("div");
      this.resolutionText = h("p", { class: "verdict resolution" });
      this.colaText = h("p", { class: "verdict cola" });
      this.heardText = h("p", { class: "note heard" });
      this.panel.append(
        pick("Sound", sounds, (i) => this.changeSound(i)),
        pick("Window", WINDOWS.map(([name]) => name), (i) => {
          this.window = WINDOWS[i][1];
          this.changed();
        }),
        h("div", { class: "controls" }, sizeSlider, this.hopSlider, this.zoomSlider,
          this.gapSlider),
        pick("Picture", PICTURES, (i) => { this.picture = i; this.layOut(); this.draw(); }),
        this.mainBox, this.cursorText,
        h("div", { class: "small" },
          h("div", {}, h("div", { class: "caption" }, "The windowed frame"), this.frameBox),
          h("div", {}, h("div", { class: "caption" }, "Its spectrum"), this.sliceBox),
          h("div", {}, h("div", { class: "caption" }, "Shifted windows and their sum"), this.sumBox)),
        this.resolutionText, this.colaText,
        pick("Hear", SOUNDS, (i) => { this.heard = i; this.listen(); }),
        h("div", { class: "row" }, Unmix.playButton(this.player), this.heardText,
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        h("p", { class: "help" }, "Point at the picture, or give it the focus and use the arrow keys "
          + "(with Shift: larger steps), to move the cursor. A click also moves the playhead. "
          + "Space plays."));
      Unmix.bindKeys(this.panel, { " ": () => this.player.toggle() });
      this.player.addEventListener("tick", () => this.moveHead());
    }

    onTheme() { if (this.axes) this.draw(); }

    /** Axes that suit the sound, the zoom and the frame. */
    layOut() {
      const kilo = (value) => String(value / 1000);
      const hertz = { min: 0, max: this.zoom, count: 4, format: kilo };
      this.axes = new Axes({ image: true, height: 230, x: { min: 0, max: this.duration,
        label: "Time (s)" }, y: { ...hertz, label: "Frequency (kHz)" }, side: this.legend() });
      this.head = h("div", { class: "head", style: "left:0" });
      this.axes.plot.append(this.head);
      this.bindCursor(this.axes.plot);
      this.mainBox.replaceChildren(this.axes.element);
      const milliseconds = (this.size / this.rate) * 1000;
      this.frameAxes = new Axes({ height: 110, x: { min: 0, max: milliseconds, count: 3,
        label: "Time in frame (ms)" }, y: { min: -1, max: 1, count: 2, label: "Amplitude" } });
      this.sliceAxes = new Axes({ height: 110, x: { ...hertz, label: "Frequency (kHz)" },
        y: { min: -RANGE, max: 0, count: 2, label: "Level (dB)" } });
      this.sumAxes = new Axes({ height: 110, x: { min: 0, max: 2 * milliseconds, count: 3,
        label: "Time (ms)" }, y: { min: 0, max: this.sumTop(), count: 3, label: "Weight" } });
      this.frameBox.replaceChildren(this.frameAxes.element);
      this.sliceBox.replaceChildren(this.sliceAxes.element);
      this.sumBox.replaceChildren(this.sumAxes.element);
      this.moveHead();
    }

    sumTop() { return Math.max(1, Math.max(...this.cola.plain)) * 1.15; }

    /** What the colours mean, at the side of the picture. */
    scale() {
      const span = this.size / this.rate;
      return [
        { map: MAGMA, min: -RANGE, max: 0, unit: "dB" },
        { map: CYCLIC, min: -1, max: 1, unit: "π rad" },
        { map: DIVERGING, min: -2 / span, max: 2 / span, unit: "Hz" },
        { map: DIVERGING, min: -span * 500, max: span * 500, unit: "ms" },
      ][this.picture];
    }

    legend() {
      const { map, min, max, unit } = this.scale();
      const stops = Array.from({ length: 17 }, (_, i) =>
        `rgb(${Array.from(map(i / 16)).slice(0, 3).map(Math.round).join(",")})`);
      const text = (value) => signed(value, Math.abs(value) < 10 && value % 1 ? 1 : 0);
      const ticks = [min, (min + max) / 2, max].map((value, i) =>
        h("span", { style: `bottom:${50 * i}%` }, i === 2 ? `${text(value)} ${unit}` : text(value)));
      return h("div", { class: "bar", "aria-hidden": "true" },
        h("div", { class: "ramp", style: `background:linear-gradient(to top,${stops.join(",")})` }),
        h("div", { class: "yticks" }, ticks));
    }

    bindCursor(plot) {
      plot.setAttribute("role", "application");
      plot.setAttribute("tabindex", "0");
      plot.setAttribute("aria-label", "Spectrogram: arrow keys move the cursor");
      plot.style.cursor = "crosshair";
      const point = (event) => {
        const { x, y } = this.axes.at(event);
        this.setCursor(x, y);
      };
      plot.addEventListener("pointermove", point);
      plot.addEventListener("pointerdown", (event) => {
        point(event);
        this.player.seek(this.cursor.time);
      });
      plot.addEventListener("keydown", (event) => {
        const far = event.shiftKey ? 10 : 1;
        const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
        const [right, up] = step[event.key] || [0, 0];
        if (!right && !up) return;
        event.preventDefault();
        event.stopPropagation();
        this.setCursor(this.cursor.time + (right * far * this.hop) / this.rate,
          this.cursor.frequency + (up * far * this.rate) / this.size, true);
      });
    }

    // -------------------------------------------------------------- what changes

    changeSound(index) {
      this.player.pause();
      this.player.rest = 0;
      this.sound = index;
      this.gapSlider.hidden = index !== 0;
      this.zoomSlider.set(index === 0 ? 0 : 2, true);
      this.zoom = ZOOMS[this.zoomSlider.value];
      this.cursor = { time: 0.4 * this.duration, frequency: index === 0 ? this.low : 500 };
      this.changed(true);
    }

    /** The window, its size, the hop or the sound is another. */
    changed(anotherSound = false) {
      this.shape = windowOf(this.size, this.window);
      this.cola = overlap(this.shape, this.hop);
      this.cache.clear();
      if (anotherSound) this.top = null;
      this.layOut();
      this.draw();
      this.describeResolution();
      this.describeOverlap();
      clearTimeout(this.soundTimer);
      this.soundTimer = setTimeout(() => this.listen(), anotherSound ? 0 : 200);
    }

    frame(index) {
      if (!this.cache.has(index)) {
        this.cache.set(index, readFrame(this.signal, index * this.hop, this.shape, this.rate));
      }
      return this.cache.get(index);
    }

    frameIndex(time) {
      return clamp(Math.round((time * this.rate) / this.hop), 0,
        Math.ceil(this.signal.length / this.hop));
    }

    binIndex(frequency) {
      return clamp(Math.round((frequency * this.size) / this.rate), 0, this.size / 2);
    }

    setCursor(time, frequency, speak = false) {
      this.cursor = { time: clamp(time, 0, this.duration), frequency: clamp(frequency, 0, this.zoom) };
      this.drawCursor();
      if (speak) this.announce(this.cursorText.textContent);
    }

    // -------------------------------------------------------------- drawing

    draw() {
      this.drawPicture();
      this.drawSum();
      this.drawCursor();
    }

    /** Each pixel shows the frame and the bin whose centres are nearest. */
    drawPicture() {
      const { canvas } = this.axes;
      const width = 640;
      const height = 230;
      const frames = Array.from({ length: width }, (_, x) =>
        this.frame(this.frameIndex(((x + 0.5) / width) * this.duration)));
      const bins = Array.from({ length: height }, (_, y) =>
        this.binIndex((1 - (y + 0.5) / height) * this.zoom));
      this.top = Math.max(...frames.map((frame) => frame.level.reduce((a, b) => Math.max(a, b))));
      const { map, min, max } = this.scale();
      canvas.width = width;
      canvas.height = height;
      const context = canvas.getContext("2d");
      const image = context.createImageData(width, height);
      frames.forEach((frame, x) => bins.forEach((bin, y) => {
        const level = frame.level[bin] - this.top;
        // where there is hardly any sound, phase means nothing: fade it to black
        const light = this.picture === 0 ? 1 : clamp((level + 70) / 25, 0, 1);
        const color = map((this.value(frame, bin) - min) / (max - min));
        const pixel = 4 * (y * width + x);
        for (let c = 0; c < 3; c++) image.data[pixel + c] = light * color[c];
        image.data[pixel + 3] = 255;
      }));
      context.putImageData(image, 0, 0);
    }

    /** What the picture shows of one bin, in the unit of its scale. */
    value(frame, bin) {
      if (this.picture === 0) return frame.level[bin] - this.top;
      if (this.picture === 1) return frame.phase[bin] / Math.PI;
      if (this.picture === 2) return frame.frequency[bin] - (bin * this.rate) / this.size;
      return 1000 * frame.delay[bin];
    }

    curve(axes, points, color, width = 1.5) {
      const { context, w, height } = axes.drawing;
      const { x, y } = axes;
      context.beginPath();
      points.forEach(([a, b]) => context.lineTo(
        ((a - x.min) / (x.max - x.min)) * w, (1 - (b - y.min) / (y.max - y.min)) * height));
      Object.assign(context, { strokeStyle: color, lineWidth: width });
      context.stroke();
    }

    begin(axes) {
      const { context, width, height } = Unmix.fitCanvas(axes.canvas);
      axes.drawing = { context, w: width, height };
      context.strokeStyle = "#8886";
      context.strokeRect(0.5, 0.5, width - 1, height - 1);
    }

    get colors() {
      return this.dark ? { main: palette.sky, other: palette.orange, faint: "#fff6" }
        : { main: palette.blue, other: palette.vermillion, faint: "#0006" };
    }

    drawCursor() {
      const { time, frequency } = this.cursor;
      const index = this.frameIndex(time);
      const bin = this.binIndex(frequency);
      const frame = this.frame(index);
      const { context, width, height } = Unmix.fitCanvas(this.axes.overlay);
      const x = (((index * this.hop) / this.rate) / this.duration) * width;
      const y = (1 - ((bin * this.rate) / this.size) / this.zoom) * height;
      context.fillStyle = "#fff3";
      const half = (((this.size / this.rate) / this.duration) * width) / 2;
      context.fillRect(x - half, 0, 2 * half, height);
      for (const [color, line] of [["#000c", 3], ["#fff", 1]]) {
        Object.assign(context, { strokeStyle: color, lineWidth: line });
        context.beginPath();
        context.moveTo(x, 0);
        context.lineTo(x, height);
        context.moveTo(0, y);
        context.lineTo(width, y);
        context.stroke();
      }
      this.drawFrame(index);
      this.drawSlice(frame, bin);
      this.describeCursor(frame, index, bin);
    }

    drawFrame(index) {
      const { frameAxes: axes, shape, colors } = this;
      const first = index * this.hop - this.size / 2;
      const step = 1000 / this.rate;
      const samples = Array.from(shape, (value, i) => value * (this.signal[first + i] || 0));
      const peak = Math.max(1e-6, ...samples.map(Math.abs));
      this.begin(axes);
      this.curve(axes, Array.from(shape, (value, i) => [i * step, value]), colors.other);
      this.curve(axes, samples.map((value, i) => [i * step, (0.9 * value) / peak]), colors.main, 1);
    }

    drawSlice(frame, bin) {
      const { sliceAxes: axes, colors } = this;
      this.begin(axes);
      const hertz = this.rate / this.size;
      this.curve(axes, [[bin * hertz, -RANGE], [bin * hertz, 0]], colors.other, 1);
      this.curve(axes, Array.from(frame.level, (level, k) =>
        [k * hertz, clamp(level - this.top, -RANGE, 0)]).filter(([f]) => f <= this.zoom + hertz),
      colors.main);
    }

    drawSum() {
      const { sumAxes: axes, colors, shape, hop, size } = this;
      const step = 1000 / this.rate;
      const skip = Math.max(1, size >> 8);
      this.begin(axes);
      for (let first = -size; first < 2 * size; first += hop) {
        const points = [];
        for (let i = 0; i <= size; i += skip) points.push([(first + i) * step, shape[i] || 0]);
        this.curve(axes, points, colors.faint, 1);
      }
      const sum = [];
      // the shifts start at -size, so phase 0 of a hop falls on -size
      for (let n = 0; n < 2 * size; n += skip) sum.push([n * step, this.cola.plain[(n + size) % hop]]);
      this.curve(axes, sum, colors.main, 2.5);
    }

    moveHead() {
      if (this.head) this.head.style.left = `${(100 * this.player.position) / this.duration}%`;
    }

    // -------------------------------------------------------------- words

    describeCursor(frame, index, bin) {
      const level = frame.level[bin];
      const centre = (bin * this.rate) / this.size;
      const time = (index * this.hop) / this.rate;
      const parts = [
        `Frame ${index} at ${time.toFixed(3)} s, bin ${bin} at ${centre.toFixed(1)} Hz`,
        `level ${signed(Math.max(level - this.top, -RANGE), 1)} dB`
          + (level - this.top < -RANGE ? " (at the floor)" : ""),
        `phase ${signed(frame.phase[bin], 2)} rad`,
        `instantaneous frequency ${signed(frame.frequency[bin], 1)} Hz`,
        `group delay ${signed(1000 * frame.delay[bin], 1)} ms`,
      ];
      this.cursorText.textContent = `${parts.join("; ")}.`;
    }

    describeResolution() {
      const lobe = (LOBES[this.window] * this.rate) / this.size;
      const dip = dipBetween(this.shape, this.gap, this.rate);
      const tones = this.sound === 0;
      const found = dip >= 3
        ? `two peaks: the spectrum dips by ${dip.toFixed(1)} dB between them.`
        : `one peak: the dip between them is ${signed(dip, 1)} dB, less than 3.`;
      this.resolutionText.textContent = `This window draws a steady tone as a ridge ${lobe.toFixed(0)} `
        + `Hz wide and blurs a click over ${((1000 * this.size) / this.rate).toFixed(0)} ms. `
        + (tones ? `Averaged over their beat, two tones ${this.gap} Hz apart make ${found}` : "");
      this.resolutionText.dataset.state = dip >= 3 || !tones ? "good" : "warn";
    }

    describeOverlap() {
      const { deviation, covered } = this.cola;
      const percent = `${(100 * deviation).toFixed(deviation < 0.1 ? 2 : 0)} %`;
      const constant = deviation < 1e-6;
      const state = constant && covered ? "good" : covered ? "warn" : "bad";
      this.colaText.dataset.state = state;
      this.colaText.textContent = {
        good: "COLA holds: the shifted windows add up to a constant. Plain overlap-add rebuilds the "
          + "sound.",
        warn: `COLA is broken: the sum of the windows strays ${percent} from its mean. Plain `
          + "overlap-add wobbles; least squares still rebuilds the sound.",
        bad: constant
          ? "COLA holds, but some sample has no weight in any squared window."
          : `COLA is broken (${percent}), and some samples are seen by no window: no inverse can `
            + "rebuild them.",
      }[state];
    }

    // -------------------------------------------------------------- sound

    /** The chosen way back from the STFT to a sound. */
    rebuilt() {
      const { signal } = this;
      if (this.heard === 0) return signal;
      const spectrum = Unmix.stft(signal, { nFft: this.size, hop: this.hop, window: this.window });
      if (this.heard === 1) return this.plainOverlapAdd(spectrum);
      if (this.heard === 3) {
        spectrum.re = spectrum.re.map((value, i) => {
          // zero phase at the centre of each frame: alternate signs, as phase is counted from its start
          const sign = (i % spectrum.bins) % 2 ? -1 : 1;
          return sign * Math.hypot(value, spectrum.im[i]);
        });
        spectrum.im.fill(0);
      }
      return Unmix.istft(spectrum);
    }

    /** Add the windowed frames up again, and divide by one number for all samples. */
    plainOverlapAdd() {
      const { signal, hop, shape, cola } = this;
      const result = new Float32Array(signal.length);
      const shift = (shape.length / 2) % hop;
      for (let n = 0; n < signal.length; n++) {
        result[n] = (signal[n] * cola.plain[(n + shift) % hop]) / cola.mean;
      }
      return result;
    }

    listen() {
      const sound = this.rebuilt();
      let error = 0;
      let power = 0;
      this.signal.forEach((value, n) => {
        error += (value - sound[n]) ** 2;
        power += value * value;
      });
      const ratio = error > 0 ? db(error / power) : -Infinity;
      const size = ratio < -120 ? "under \u2212120 dB: rounding" : `${signed(ratio, 1)} dB`;
      this.heardText.textContent = this.heard === 0 ? "The sound itself."
        : `Error against the sound: ${size}.`;
      const position = this.player.position;
      this.player.setTracks([{ channels: [sound] }]);
      if (!this.player.playing) this.player.rest = position;
      this.player.emit("tick");
    }
  }

  Unmix.define("unmix-stft-microscope", Microscope);
})();
