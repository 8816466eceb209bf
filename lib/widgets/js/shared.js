/* What every widget of the course builds on: one global object, window.Unmix.
 *
 * No dependencies, no requests, no eval: it works in a static page, in JupyterLab, in an
 * opaque-origin iframe (Colab) and under a strict content security policy. Every output of a
 * notebook carries its own copy; the first copy on a page wins.
 *
 *   Element      base class of the custom elements: config, shadow root, theme, announcements
 *   h, svg       build DOM without innerHTML
 *   button, choice, toggle, slider, playButton, timeReadout, bindKeys      controls
 *   decode, array, Player                                                  data and sound
 *   fft, stft, istft, powerSpectrogram                                     analysis
 *   colormap, palette, Axes, SpectrogramView, colorBar, fitCanvas          pictures
 */
(() => {
  "use strict";

  const VERSION = "1.2";
  if (window.Unmix && window.Unmix.version === VERSION) return;

  // ---------------------------------------------------------------- DOM

  function applyAttributes(node, attributes) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2).toLowerCase(), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    return node;
  }

  /** h("button", {class: "big", onClick: f}, "text", child): an HTML element. */
  function h(tag, attributes, ...children) {
    const node = applyAttributes(document.createElement(tag), attributes);
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }

  /** The same for SVG elements. */
  function svg(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    applyAttributes(node, attributes).append(...children);
    return node;
  }

  /** Give the browser a turn, so that long work does not freeze the page. */
  const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

  /** A generator of numbers from 0 to 1 that a seed repeats (mulberry32). */
  function random(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** The numbers from 0 to count - 1 in an order of chance. */
  function shuffled(count, chance = Math.random) {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(chance() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  // ---------------------------------------------------------------- theme

  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  /** Any CSS colour as [red, green, blue], 0 to 255: the canvas knows every notation. */
  function rgb(color) {
    probe.fillStyle = "#000";
    probe.fillStyle = color;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  }

  const themed = new Set();

  // Light text means a dark page. Reading the text colour needs no knowledge of the host's theme.
  function applyTheme(element) {
    const [red, green, blue] = rgb(getComputedStyle(element).color);
    const dark = 0.299 * red + 0.587 * green + 0.114 * blue > 140;
    if (element.dark === dark) return;
    element.dark = dark;
    element.toggleAttribute("data-dark", dark);
    if (element.onTheme) element.onTheme(dark);
  }

  const applyThemes = () => setTimeout(() => themed.forEach(applyTheme), 0);

  function watchThemes() {
    const observer = new MutationObserver(applyThemes);
    const options = { attributes: true, attributeFilter: ["class", "style", "theme", "data-theme"] };
    observer.observe(document.documentElement, options);
    if (document.body) {
      options.attributeFilter.push("data-jp-theme-light", "data-vscode-theme-kind");
      observer.observe(document.body, options);
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyThemes);
  }

  // ---------------------------------------------------------------- style

  const CSS = `
    :host { display: block; max-width: 46rem; margin: .75rem 0; color: inherit;
      font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
      --accent: #0a5fa8; --on-accent: #fff; --good: #00734d; --bad: #b3400a;
      --line: color-mix(in srgb, currentColor 20%, transparent);
      --soft: color-mix(in srgb, currentColor 6%, transparent);
      --quiet: color-mix(in srgb, currentColor 72%, transparent);
      --focus: #e69f00; }
    :host([data-dark]) { color-scheme: dark; --accent: #7cc0f5; --on-accent: #10202c; --good: #4fd0a0; --bad: #ff9d6b; }
    *, *::before { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .panel { border: 1px solid var(--line); border-radius: 12px; padding: .85rem 1rem .75rem; }
    .panel > * + * { margin-top: .7rem; }
    .row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
    .push { margin-left: auto; }
    .title { font-weight: 600; font-size: 15px; }
    .note, .help { color: var(--quiet); font-size: 12.5px; margin-bottom: 0; }
    .panel > .note + .note, .panel > .note + .help { margin-top: .15rem; }
    .readout, .time { font-variant-numeric: tabular-nums; white-space: nowrap; }
    .time { color: var(--quiet); }
    button { font: inherit; color: inherit; background: transparent; cursor: pointer;
      border: 1px solid var(--line); border-radius: 8px; padding: .3rem .75rem; min-height: 2.15rem; }
    button:hover { background: var(--soft); }
    button:disabled { opacity: .5; cursor: default; }
    button.primary, button[aria-checked=true]:not([role=switch]) {
      background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
    button.play { min-width: 6.4rem; font-weight: 600; }
    button[aria-pressed=true] { border-color: var(--accent); color: var(--accent);
      box-shadow: inset 0 0 0 1px var(--accent); }
    button[role=switch] { display: inline-flex; align-items: center; gap: .5rem;
      border-color: transparent; padding-inline: .35rem; }
    button[role=switch]::before { content: ""; width: 2rem; height: 1.1rem; border-radius: 1rem;
      border: 1px solid var(--quiet); transition: background .12s;
      background: radial-gradient(circle at .52rem 50%, var(--quiet) .34rem, transparent .37rem); }
    button[role=switch][aria-checked=true]::before { border-color: var(--accent);
      background: radial-gradient(circle at calc(100% - .52rem) 50%, var(--on-accent) .34rem,
        transparent .37rem) var(--accent); }
    .choice { display: flex; flex-wrap: wrap; gap: .35rem; }
    kbd { font: 11px/1 ui-monospace, SFMono-Regular, Menlo, monospace; opacity: .7;
      margin-left: .45em; }
    :focus { outline: none; }
    :focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
    input[type=range] { accent-color: var(--accent); flex: 1 1 9rem; min-width: 7rem; height: 1.6rem; }
    .slider { display: flex; flex-wrap: wrap; align-items: center; gap: .1rem .7rem; }
    .slider label { min-width: 8.5rem; }
    .slider .readout { min-width: 4.8rem; text-align: right; }
    .spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
      white-space: nowrap; }
    .axes { display: grid; grid-template-columns: 1.35rem 2.3rem minmax(0, 1fr) auto;
      font-size: 11.5px; color: var(--quiet); font-variant-numeric: tabular-nums; }
    .axes .ylabel { writing-mode: vertical-rl; transform: rotate(180deg); text-align: center; }
    .axes .xlabel { grid-column: 3; text-align: center; }
    .axes .yticks, .axes .xticks, .bar .yticks { position: relative; }
    .axes .yticks span { position: absolute; right: .4rem; transform: translateY(50%); line-height: 1; }
    .axes .xticks { grid-column: 3; height: 1.25rem; }
    .axes .xticks span { position: absolute; top: .25rem; transform: translateX(-50%); line-height: 1; }
    .plot { position: relative; border-radius: 6px; touch-action: pan-y; }
    .plot.image { background: #000; overflow: hidden; }
    .plot > * { position: absolute; inset: 0; }
    .plot canvas { width: 100%; height: 100%; border-radius: 6px; }
    .plot .overlay, .plot .head, .plot .region { pointer-events: none; }
    .plot .head { width: 2px; margin-left: -1px; right: auto; background: #fff;
      box-shadow: 0 0 0 1px #000a; }
    .plot .region { right: auto; border: solid #8fdcff; border-width: 0 2px;
      box-shadow: 0 0 0 100rem #0009; }
    .bar { display: grid; grid-template-columns: .6rem 2.4rem; margin-left: .7rem; }
    .bar .ramp { border-radius: 3px; }
    .bar .yticks span { left: .35rem; right: auto; }
    table { border-collapse: collapse; } th, td { padding: .2rem .7rem; text-align: right; }
    th { font-weight: 600; border-bottom: 1px solid var(--line); }
    @media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
    @media (forced-colors: active) { button[aria-checked=true], button[aria-pressed=true] {
      outline: 2px solid Highlight; } }`;

  // ---------------------------------------------------------------- element

  /** Base of the widgets. A subclass gives `static css` and `setup(config)`, which may be async.
   *
   *  this.panel     where the widget puts its controls; this.announce(text) speaks to a screen reader
   *  this.player    if set, it pauses when the element leaves the page
   *  data-ready     set on the element when setup has ended; data-failed when it threw
   */
  class Element extends HTMLElement {
    connectedCallback() {
      if (!this.ready) this.ready = this.start();
    }

    disconnectedCallback() {
      cancelAnimationFrame(this.pending);
      clearTimeout(this.soundTimer);
      if (this.player) this.player.pause();
    }

    async start() {
      this.config = JSON.parse(this.getAttribute("data-config"));
      const root = this.attachShadow({ mode: "open" });
      const label = this.config.title || this.constructor.label || "Interactive figure";
      this.panel = h("section", { class: "panel", role: "group", "aria-label": label });
      this.live = h("div", { class: "spoken", "aria-live": "polite" });
      root.append(h("style", {}, CSS + (this.constructor.css || "")), this.panel, this.live);
      this.joinPage();
      try {
        await this.setup(this.config);
        this.setAttribute("data-ready", "");
      } catch (error) {
        this.setAttribute("data-failed", "");
        this.panel.replaceChildren(
          h("p", { role: "alert" }, `This panel could not start: ${error.message || error}`),
          h("slot"));
        console.error(error);
      }
    }

    joinPage() {
      // The book's theme puts HTML outputs on a light card in dark mode; the panel needs none.
      const card = this.closest(".cell_output .text_html");
      if (card) Object.assign(card.style, { background: "none", color: "inherit", padding: 0 });
      themed.add(this);
      applyTheme(this);
    }

    announce(text) {
      this.live.textContent = text;
    }

    /** For panels with update() and updateSound(): picture and numbers follow with the next frame,
     *  sound when the hand rests. */
    changed() {
      if (!this.pending) {
        this.pending = requestAnimationFrame(() => {
          this.pending = null;
          this.update();
        });
      }
      clearTimeout(this.soundTimer);
      this.soundTimer = setTimeout(() => this.updateSound(), 150);
    }

    /** Take up lib.widgets.mixture's part of the config: names, sources, mixture and their STFTs. */
    async readSources(config) {
      this.panel.append(h("p", { class: "note" }, "Reading the sounds \u2026"));
      const decoded = await Promise.all(
        config.sources.map(({ source }) => decode(source, config.sample_rate)));
      this.panel.replaceChildren();
      this.names = config.sources.map(({ name }) => name);
      this.sources = decoded.map((buffer) => buffer.getChannelData(0));
      this.mixture = Float32Array.from(this.sources[0],
        (_, n) => this.sources.reduce((sum, source) => sum + source[n], 0));
      const size = { nFft: config.n_fft, hop: config.hop_length };
      this.spectrum = stft(this.mixture, size);
      this.spectra = this.sources.map((source) => stft(source, size));
    }
  }

  /** Define a custom element unless an earlier output of the page has done so. */
  function define(tag, elementClass) {
    if (!customElements.get(tag)) customElements.define(tag, elementClass);
  }

  // ---------------------------------------------------------------- controls

  function button(text, onClick, attributes) {
    return h("button", { type: "button", onClick, ...attributes }, text);
  }

  /** A radio group of buttons: {label, options: [text], value: index, onChange(index), keys: bool}.
   *  The returned element has .select(index, silent) and .value. */
  function choice({ label, options, value = 0, onChange, keys = false }) {
    const buttons = options.map((text, index) => h("button",
      { type: "button", role: "radio", onClick: () => group.select(index) }, text,
      keys && index < 9 ? h("kbd", { "aria-hidden": "true" }, String(index + 1)) : null));
    const group = h("div", { class: "choice", role: "radiogroup", "aria-label": label }, buttons);
    group.select = (index, silent = false) => {
      group.value = index;
      buttons.forEach((item, other) => {
        item.setAttribute("aria-checked", other === index);
        item.tabIndex = other === index ? 0 : -1;
      });
      if (!silent && onChange) onChange(index);
    };
    group.focusSelected = () => buttons[group.value].focus();
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      group.select((group.value + step + buttons.length) % buttons.length);
      group.focusSelected();
      event.preventDefault();
      event.stopPropagation();
    });
    group.select(value, true);
    return group;
  }

  /** An on/off switch: {label, value, onChange(boolean), key: "M"}; the element has .set(boolean), .on. */
  function toggle({ label, value = false, onChange, key = null, title = null }) {
    const node = h("button", { type: "button", role: "switch", title,
      onClick: () => node.set(!node.on) }, label,
      key ? h("kbd", { "aria-hidden": "true" }, key) : null);
    node.set = (state, silent = false) => {
      node.on = state; // not .value: a button's value is always a text
      node.setAttribute("aria-checked", state);
      if (!silent && onChange) onChange(state);
    };
    node.set(value, true);
    return node;
  }

  let sliderCount = 0;

  /** A labelled slider: {label, min, max, step, value, unit, format(value), onInput(value)}.
   *  The returned element has .value and .set(value, silent). */
  function slider({ label, min, max, step = 1, value, unit = "", format, onInput }) {
    const id = `unmix-slider-${sliderCount++}`;
    const show = format || ((number) => `${number}${unit && ` ${unit}`}`.replace("-", "\u2212"));
    const input = h("input", { type: "range", id, min, max, step });
    const readout = h("output", { class: "readout", for: id });
    const node = h("div", { class: "slider" }, h("label", { for: id }, label), input, readout);
    node.input = input;
    node.set = (number, silent = false) => {
      input.value = number;
      node.value = Number(input.value);
      readout.textContent = show(node.value);
      input.setAttribute("aria-valuetext", readout.textContent);
      if (!silent && onInput) onInput(node.value);
    };
    input.addEventListener("input", () => node.set(input.value));
    node.set(value, true);
    return node;
  }

  /** Keys of a panel: {" ": f, "l": g}. Handled keys do not reach Jupyter's command mode. Keys that
   *  the focused control needs for itself (typing, moving a slider, pressing a button) stay its own. */
  function bindKeys(panel, bindings) {
    panel.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      event.stopPropagation();
      const target = event.composedPath()[0];
      const range = target.type === "range";
      if (target.matches("input:not([type=range]), select, textarea")) return;
      if (range && /^(Arrow|Home|End|Page)/.test(event.key)) return;
      const pressable = target.matches("button:not(.play):not([role=radio])");
      if (pressable && (event.key === " " || event.key === "Enter")) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (!bindings[key]) return;
      event.preventDefault();
      bindings[key](event);
    });
  }

  // ---------------------------------------------------------------- data

  function bytes(base64) {
    const text = atob(base64);
    const result = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) result[i] = text.charCodeAt(i);
    return result;
  }

  const TYPES = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array };

  /** An array written by lib.widgets.element.encode_array: {data: Float32Array, shape}. */
  function array({ data, dtype, shape, scale, offset }) {
    const raw = new TYPES[dtype](bytes(data).buffer);
    return { data: Float32Array.from(raw, (value) => value * scale + offset), shape };
  }

  /** A data: URI of audio as an AudioBuffer at `sampleRate`. atob instead of fetch, because content
   *  security policies forbid fetch("data:"); an offline context needs no user gesture. */
  function decode(uri, sampleRate) {
    const context = new OfflineAudioContext(1, 1, sampleRate);
    return context.decodeAudioData(bytes(uri.slice(uri.indexOf(",") + 1)).buffer);
  }

  const channelsOf = (audio) => Array.from({ length: audio.numberOfChannels },
    (_, channel) => audio.getChannelData(channel));

  function toBuffer(channels, sampleRate) {
    const buffer = new AudioBuffer(
      { length: channels[0].length, numberOfChannels: channels.length, sampleRate });
    channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
    return buffer;
  }

  // ---------------------------------------------------------------- sound

  const contexts = new Map();

  /** One context per rate and page (browsers allow few), made on the first click. */
  function audioContext(sampleRate) {
    if (!contexts.has(sampleRate)) contexts.set(sampleRate, new AudioContext({ sampleRate }));
    return contexts.get(sampleRate);
  }

  const FADE = 0.006; // seconds: long enough to hide a step, short enough to compare
  // Gains change a little ahead of the clock: an event that falls into a block of samples which is
  // being rendered already would take effect in one step, and click.
  const LEAD = 0.02;
  let active = null; // the one player that sounds

  /** Tracks that start on the same sample and switch without a click.
   *
   *  setTracks([{buffer | channels: [Float32Array], level: 1}]); every track sounds as gain * level.
   *  select(i): hear one; setGains([...]): hear a blend; setLevels([...]): for loudness matching.
   *  play() pause() toggle() seek(s) setLoop([a, b] | null) replaceTrack(i, channels)
   *  position duration playing loop selected
   *  Events: "state" (started, stopped, loop or track changed) and "tick" (playhead moved).
   */
  class Player extends EventTarget {
    constructor({ sampleRate, context = null }) {
      super();
      Object.assign(this, { sampleRate, context, tracks: [], selected: 0, loop: null });
      Object.assign(this, { playing: false, rest: 0, voices: null });
    }

    setTracks(tracks) {
      this.tracks = tracks.map(({ buffer, channels, level = 1 }, index) => ({
        buffer: buffer || toBuffer(channels, this.sampleRate),
        level,
        gain: index === this.selected ? 1 : 0,
      }));
      this.restart();
    }

    replaceTrack(index, channels) {
      this.tracks[index].buffer = toBuffer(channels, this.sampleRate);
      this.restart();
    }

    get duration() {
      return Math.min(...this.tracks.map((track) => track.buffer.duration));
    }

    get position() {
      return this.playing && this.voices ? this.positionAt(this.context.currentTime) : this.rest;
    }

    positionAt(time) {
      const { start, from } = this.voices;
      const position = from + Math.max(0, time - start);
      if (!this.loop) return Math.min(position, this.duration);
      const [a, b] = this.loop;
      return position < b ? position : a + ((position - a) % (b - a));
    }

    // -- which track sounds

    select(index) {
      this.selected = index;
      this.setGains(this.tracks.map((_, other) => (other === index ? 1 : 0)));
      this.emit("state");
    }

    setGains(gains) {
      this.tracks.forEach((track, index) => { track.gain = gains[index]; });
      this.applyGains();
    }

    setLevels(levels) {
      this.tracks.forEach((track, index) => { track.level = levels[index]; });
      this.applyGains();
    }

    // Exponential approaches with one time constant: the gains of old and new track sum to the same
    // value at each moment, so equal signals cross without any change, and no step is left to click.
    applyGains() {
      if (!this.voices) return;
      const time = this.context.currentTime + LEAD;
      this.voices.gains.forEach((node, index) => {
        const { gain, level } = this.tracks[index];
        node.gain.setTargetAtTime(gain * level, time, FADE / 4);
      });
    }

    // -- transport

    async play() {
      if (this.playing) return;
      this.context = this.context || audioContext(this.sampleRate);
      if (active && active !== this) active.pause();
      active = this;
      this.playing = true;
      if (this.rest >= this.duration - 0.01) this.rest = 0;
      this.emit("state");
      const live = this.context instanceof AudioContext;
      if (live && this.context.state !== "running") await this.context.resume();
      if (this.playing && !this.voices) this.startVoices(this.rest);
      this.follow();
    }

    pause() {
      if (!this.playing) return;
      this.rest = this.position;
      this.playing = false;
      this.stopVoices(this.context.currentTime + LEAD);
      this.emit("state");
      this.emit("tick");
    }

    toggle() {
      return this.playing ? this.pause() : this.play();
    }

    seek(position) {
      this.rest = clamp(position, 0, Math.max(0, this.duration - 0.02));
      if (this.playing) this.startVoices(this.rest);
      this.emit("tick");
    }

    setLoop(region) {
      const position = this.position;
      const long = region && region[1] - region[0] >= 0.1;
      this.loop = long ? [Math.max(0, region[0]), Math.min(this.duration, region[1])] : null;
      this.rest = position;
      this.restart();
      this.emit("state");
      this.emit("tick");
    }

    /** Take up changed tracks or another loop at the playhead. */
    restart() {
      if (!this.playing || !this.voices) return;
      this.startVoices(this.position);
    }

    // -- voices: one set of sources that started together, behind one fading bus

    startVoices(from) {
      const context = this.context;
      const start = context.currentTime + LEAD;
      if (this.loop && (from < this.loop[0] || from >= this.loop[1])) from = this.loop[0];
      this.stopVoices(start);
      const bus = new GainNode(context, { gain: 0 });
      bus.gain.setTargetAtTime(1, start, FADE / 4);
      bus.connect(context.destination);
      const gains = this.tracks.map(({ gain, level }) => new GainNode(context, { gain: gain * level }));
      const sources = this.tracks.map(({ buffer }, index) => {
        const source = new AudioBufferSourceNode(context, { loop: Boolean(this.loop) });
        source.buffer = this.loop ? this.loopBuffer(buffer) : buffer;
        source.connect(gains[index]).connect(bus);
        source.start(start, this.loop ? from - this.loop[0] : from);
        return source;
      });
      this.voices = { start, from, bus, gains, sources };
      const voices = this.voices;
      sources[0].onended = () => { if (this.voices === voices) this.finish(); };
    }

    stopVoices(time) {
      if (!this.voices) return;
      const { bus, sources } = this.voices;
      this.voices = null;
      bus.gain.cancelScheduledValues(time);
      bus.gain.setTargetAtTime(0, time, FADE / 4);
      sources.forEach((source) => source.stop(time + 4 * FADE));
    }

    finish() {
      this.voices = null;
      this.playing = false;
      this.rest = 0;
      this.emit("state");
      this.emit("tick");
    }

    // The looped region as a buffer whose last milliseconds run over into what precedes its first
    // sample: the seam is continuous, and the period stays exact to the sample.
    loopBuffer(buffer) {
      const first = Math.round(this.loop[0] * this.sampleRate);
      const length = Math.round(this.loop[1] * this.sampleRate) - first;
      const fade = Math.round(FADE * this.sampleRate);
      return toBuffer(channelsOf(buffer).map((samples) => {
        const region = new Float32Array(length);
        region.set(samples.subarray(first, first + length));
        for (let i = 0; i < fade; i++) {
          const before = samples[first - fade + i] || 0;
          const weight = (i + 1) / fade;
          region[length - fade + i] += weight * (before - region[length - fade + i]);
        }
        return region;
      }), this.sampleRate);
    }

    follow() {
      if (!this.playing) return;
      this.emit("tick");
      requestAnimationFrame(() => this.follow());
    }

    emit(type) {
      this.dispatchEvent(new Event(type));
    }
  }

  /** A play/pause button that follows the player. */
  function playButton(player) {
    const text = h("span");
    const node = button(text, () => player.toggle(), { class: "primary play" });
    const update = () => { text.textContent = player.playing ? "❚❚\u2002Pause" : "▶\u2002Play"; };
    node.setAttribute("aria-keyshortcuts", "Space");
    player.addEventListener("state", update);
    update();
    return node;
  }

  /** "1.2 / 6.0 s", following the player. */
  function timeReadout(player) {
    const node = h("span", { class: "time", "aria-hidden": "true" });
    const update = () => {
      node.textContent = `${player.position.toFixed(1)} / ${player.duration.toFixed(1)} s`;
    };
    player.addEventListener("tick", update);
    update();
    return node;
  }

  // ---------------------------------------------------------------- analysis

  const tables = new Map();

  function fftTables(size) {
    if (tables.has(size)) return tables.get(size);
    const table = { reversed: new Uint32Array(size), cos: new Float64Array(size / 2),
      sin: new Float64Array(size / 2) };
    const bits = Math.log2(size);
    for (let i = 0; i < size; i++) {
      table.reversed[i] = (table.reversed[i >> 1] >> 1) | ((i & 1) << (bits - 1));
    }
    for (let i = 0; i < size / 2; i++) {
      table.cos[i] = Math.cos((2 * Math.PI * i) / size);
      table.sin[i] = -Math.sin((2 * Math.PI * i) / size);
    }
    tables.set(size, table);
    return table;
  }

  /** In-place complex FFT of radix 2; fft(im, re) is the inverse times the size. */
  function fft(re, im) {
    const size = re.length;
    const { reversed, cos, sin } = fftTables(size);
    for (let i = 0; i < size; i++) {
      const j = reversed[i];
      if (j > i) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let block = 0; block < size; block += 2 * half) {
        for (let k = 0; k < half; k++) {
          const c = cos[k * stride];
          const s = sin[k * stride];
          const a = block + k;
          const b = a + half;
          const bre = re[b] * c - im[b] * s;
          const bim = re[b] * s + im[b] * c;
          re[b] = re[a] - bre;
          im[b] = im[a] - bim;
          re[a] += bre;
          im[a] += bim;
        }
      }
    }
  }

  const WINDOWS = {
    hann: (phase) => 0.5 - 0.5 * Math.cos(phase),
    hamming: (phase) => 0.54 - 0.46 * Math.cos(phase),
    blackman: (phase) => 0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase),
    sqrt_hann: (phase) => Math.abs(Math.sin(phase / 2)),
    rectangular: () => 1,
  };

  /** A periodic window by a name of WINDOWS, which are those of lib.stft. */
  function windowOf(size, name = "hann") {
    return Float64Array.from({ length: size }, (_, i) => WINDOWS[name]((2 * Math.PI * i) / size));
  }

  /** Frame `signal` around `centre`, windowed, into re (im becomes 0). Outside the signal: zeros. */
  function loadFrame(signal, centre, shape, re, im) {
    const offset = centre - (shape.length >> 1);
    re.fill(0);
    im.fill(0);
    for (let i = 0; i < shape.length; i++) {
      const j = offset + i;
      if (j >= 0 && j < signal.length) re[i] = signal[j] * shape[i];
    }
  }

  /** STFT with frames centred on multiples of the hop, zeros outside the signal.
   *  Returns {re, im: Float32Array [frame * bins + bin], frames, bins, nFft, hop, window, length}. */
  function stft(signal, { nFft, hop, window = "hann" }) {
    const bins = nFft / 2 + 1;
    const frames = 1 + Math.ceil(signal.length / hop);
    const shape = windowOf(nFft, window);
    const re = new Float64Array(nFft);
    const im = new Float64Array(nFft);
    const spectrum = { re: new Float32Array(frames * bins), im: new Float32Array(frames * bins) };
    for (let frame = 0; frame < frames; frame++) {
      loadFrame(signal, frame * hop, shape, re, im);
      fft(re, im);
      spectrum.re.set(re.subarray(0, bins), frame * bins);
      spectrum.im.set(im.subarray(0, bins), frame * bins);
    }
    return { ...spectrum, frames, bins, nFft, hop, window, length: signal.length };
  }

  /** Least-squares overlap-add of what stft() returns (re and im may have been changed). */
  function istft({ re, im, frames, bins, nFft, hop, window = "hann", length }) {
    const shape = windowOf(nFft, window);
    const sum = new Float64Array(length);
    const weight = new Float64Array(length);
    const real = new Float64Array(nFft);
    const imag = new Float64Array(nFft);
    for (let frame = 0; frame < frames; frame++) {
      for (let bin = 0; bin < bins; bin++) {
        const mirror = (nFft - bin) % nFft;
        real[bin] = real[mirror] = re[frame * bins + bin];
        imag[bin] = im[frame * bins + bin];
        imag[mirror] = -imag[bin];
      }
      // a real signal has no imaginary part at 0 Hz and at the Nyquist frequency
      imag[0] = imag[nFft / 2] = 0;
      fft(imag, real);
      const offset = frame * hop - nFft / 2;
      for (let i = Math.max(0, -offset); i < nFft && offset + i < length; i++) {
        sum[offset + i] += (real[i] / nFft) * shape[i];
        weight[offset + i] += shape[i] * shape[i];
      }
    }
    return Float32Array.from(sum, (value, i) => (weight[i] > 1e-8 ? value / weight[i] : 0));
  }

  /** A picture's worth of levels: {values: dB [frame * bins + bin], frames, bins, top}, summed over
   *  channels, up to `maxFrequency`, in at most `columns` frames. 0 dB: a full-scale sine. */
  function powerSpectrogram(channels, { sampleRate, maxFrequency, columns = 640, nFft = null }) {
    const size = nFft || 2 ** Math.round(Math.log2(0.04 * sampleRate));
    const length = channels[0].length;
    const frames = clamp(Math.ceil(length / (size / 8)), 1, columns);
    const bins = Math.min(size / 2, Math.ceil((maxFrequency / sampleRate) * size)) + 1;
    const shape = windowOf(size);
    const re = new Float64Array(size);
    const im = new Float64Array(size);
    const power = new Float32Array(frames * bins);
    for (const signal of channels) {
      for (let frame = 0; frame < frames; frame++) {
        loadFrame(signal, Math.round(((frame + 0.5) * length) / frames), shape, re, im);
        fft(re, im);
        for (let bin = 0; bin < bins; bin++) {
          power[frame * bins + bin] += re[bin] * re[bin] + im[bin] * im[bin];
        }
      }
    }
    let top = -Infinity;
    const scale = (16 / size ** 2) / channels.length;
    const values = power.map((value) => {
      const level = 10 * Math.log10(value * scale + 1e-14);
      top = Math.max(top, level);
      return level;
    });
    return { values, frames, bins, top };
  }

  /** SI-SDR in dB, as lib.metrics.si_sdr without removing means; -Infinity where nothing fits. */
  function siSdr(estimate, reference) {
    let cross = 0;
    let power = 0;
    let energy = 0;
    for (let n = 0; n < reference.length; n++) {
      cross += estimate[n] * reference[n];
      power += reference[n] ** 2;
      energy += estimate[n] ** 2;
    }
    const target = cross ** 2 / (power || 1);
    return target === 0 ? -Infinity
      : 10 * Math.log10(target / Math.max(energy - target, 1e-12 * energy));
  }

  // ---------------------------------------------------------------- pictures

  /** Okabe and Ito's colours, told apart by colour-blind readers. */
  const palette = { blue: "#0072b2", orange: "#e69f00", green: "#009e73", vermillion: "#d55e00",
    sky: "#56b4e9", purple: "#cc79a7", yellow: "#f0e442", grey: "#888888" };

  // Sixteen stops of matplotlib's perceptually uniform maps; interpolation does the rest.
  const STOPS = {
    magma: "0000040b092420114b3b0f7057157e721f818c2981a8327dc43c75de4968f1605dfa7f5efe9f6dfebf84"
      + "fddea0fcfdbf",
    viridis: "440154481a6c472f7d41448739568c31688e2a788e23888e1f988b22a88435b77954c5687ad151a5db36"
      + "d2e21bfde725",
    cividis: "00224e002e6c1e3a6f35456c47516c575d6d666970757575848279948e77a59c74b7a96ec8b866dbc75a"
      + "eed649fee838",
  };
  const ramps = {};

  /** A Uint8Array of 256 * 3 values. */
  function colormap(name) {
    if (ramps[name]) return ramps[name];
    const stops = STOPS[name].match(/../g).map((pair) => parseInt(pair, 16));
    const count = stops.length / 3 - 1;
    ramps[name] = Uint8Array.from({ length: 768 }, (_, i) => {
      const place = (Math.floor(i / 3) / 255) * count;
      const stop = Math.min(count - 1, Math.floor(place));
      const low = stops[3 * stop + (i % 3)];
      return Math.round(low + (place - stop) * (stops[3 * stop + 3 + (i % 3)] - low));
    });
    return ramps[name];
  }

  /** Paint values [frame * bins + bin] between low and high, the first bin at the bottom. */
  function paintImage(canvas, { values, frames, bins, low, high, map = "magma" }) {
    const ramp = colormap(map);
    canvas.width = frames;
    canvas.height = bins;
    const context = canvas.getContext("2d");
    const image = context.createImageData(frames, bins);
    for (let bin = 0; bin < bins; bin++) {
      for (let frame = 0; frame < frames; frame++) {
        const place = clamp((values[frame * bins + bin] - low) / (high - low), 0, 1);
        const color = 3 * Math.round(255 * place);
        const pixel = 4 * ((bins - 1 - bin) * frames + frame);
        image.data.set(ramp.subarray(color, color + 3), pixel);
        image.data[pixel + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Give a canvas the pixels of its box; returns {context, width, height} in CSS pixels, cleared. */
  function fitCanvas(canvas) {
    const { clientWidth: width, clientHeight: height } = canvas;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return { context, width, height };
  }

  /** Round numbers between min and max, about `count` of them. */
  function ticks(min, max, count = 5) {
    const raw = (max - min) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999);
    const first = Math.ceil(min / step - 1e-9);
    const last = Math.floor(max / step + 1e-9);
    return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(6)));
  }

  const tickText = (value) => String(value).replace("-", "\u2212");

  function yTicks(min, max, count, format = tickText) {
    return h("div", { class: "yticks", "aria-hidden": "true" }, ticks(min, max, count).map((value) =>
      h("span", { style: `bottom:${(100 * (value - min)) / (max - min)}%` }, format(value))));
  }

  /** A plot area with labelled axes that need no redrawing when the page is resized.
   *  x, y: {min, max, label, count, format}; .element, .plot, .canvas, .overlay, .at(event). */
  class Axes {
    constructor({ x, y, height = 170, image = false, side = null }) {
      Object.assign(this, { x, y });
      this.canvas = h("canvas");
      this.overlay = h("canvas", { class: "overlay" });
      this.plot = h("div", { class: image ? "plot image" : "plot", style: `height:${height}px` },
        this.canvas, this.overlay);
      const xSpan = x.max - x.min;
      this.element = h("div", { class: "axes" },
        h("div", { class: "ylabel" }, y.label), yTicks(y.min, y.max, y.count, y.format),
        this.plot, side || h("div"),
        h("div", { class: "xticks", "aria-hidden": "true" },
          ticks(x.min, x.max, x.count || 6).map((value) =>
            h("span", { style: `left:${(100 * (value - x.min)) / xSpan}%` },
              (x.format || tickText)(value)))),
        h("div", { class: "xlabel" }, x.label));
    }

    /** The point under the pointer in the units of the axes, kept inside the plot. */
    at(event) {
      const box = this.plot.getBoundingClientRect();
      const right = clamp((event.clientX - box.left) / box.width, 0, 1);
      const up = clamp((box.bottom - event.clientY) / box.height, 0, 1);
      return { x: this.x.min + right * (this.x.max - this.x.min),
        y: this.y.min + up * (this.y.max - this.y.min) };
    }
  }

  /** A colour scale with ticks, for the `side` of Axes. */
  function colorBar({ map = "magma", min, max, label = "dB", count = 4 }) {
    const ramp = colormap(map);
    const stops = Array.from({ length: 9 }, (_, i) => {
      const color = 3 * Math.round((255 * i) / 8);
      return `rgb(${ramp.slice(color, color + 3).join(",")})`;
    });
    const format = (value) => (value === max ? `${tickText(value)} ${label}` : tickText(value));
    return h("div", { class: "bar", "aria-hidden": "true" },
      h("div", { class: "ramp", style: `background:linear-gradient(to top,${stops.join(",")})` }),
      yTicks(min, max, count, format));
  }

  /** A spectrogram with axes, colour scale, playhead and loop region.
   *  show({values, frames, bins}, top): levels in dB, drawn from top - range to top. */
  class SpectrogramView extends Axes {
    constructor({ duration, maxFrequency, height = 180, range = 80, map = "magma" }) {
      const kilo = maxFrequency >= 2000;
      super({
        image: true,
        height,
        x: { min: 0, max: duration, label: "Time (s)" },
        y: { min: 0, max: maxFrequency, count: 4,
          label: kilo ? "Frequency (kHz)" : "Frequency (Hz)",
          format: (value) => tickText(kilo ? value / 1000 : value) },
        side: colorBar({ map, min: -range, max: 0 }),
      });
      Object.assign(this, { duration, range, map });
      this.region = h("div", { class: "region", hidden: true });
      this.head = h("div", { class: "head" });
      this.plot.append(this.region, this.head);
    }

    show(levels, top) {
      paintImage(this.canvas, { ...levels, low: top - this.range, high: top, map: this.map });
    }

    setPlayhead(position) {
      this.head.style.left = `${(100 * position) / this.duration}%`;
    }

    setRegion(region) {
      this.region.hidden = !region;
      if (!region) return;
      this.region.style.left = `${(100 * region[0]) / this.duration}%`;
      this.region.style.width = `${(100 * (region[1] - region[0])) / this.duration}%`;
    }

    /** Playhead, click to seek, drag to loop, and the keys of a slider, all tied to a player. */
    follow(player, label = "Position") {
      const { plot } = this;
      applyAttributes(plot, { role: "slider", tabindex: 0, "aria-label": label,
        "aria-valuemin": 0, "aria-valuemax": this.duration.toFixed(1) });
      const update = () => {
        const text = player.position.toFixed(1);
        this.setPlayhead(player.position);
        if (plot.getAttribute("aria-valuenow") === text) return;
        plot.setAttribute("aria-valuenow", text);
        plot.setAttribute("aria-valuetext", `${text} seconds`);
      };
      player.addEventListener("tick", update);
      player.addEventListener("state", () => this.setRegion(player.loop));
      update();
      this.dragToLoop(player);
    }

    dragToLoop(player) {
      const { plot } = this;
      let start = null;
      const region = (event) => [start, this.at(event).x].sort((a, b) => a - b);
      const isDrag = ([a, b]) => b - a > Math.max(0.1, this.duration / 100);
      plot.style.cursor = "crosshair";
      plot.addEventListener("pointerdown", (event) => {
        start = this.at(event).x;
        plot.setPointerCapture(event.pointerId);
      });
      plot.addEventListener("pointermove", (event) => {
        if (start !== null && isDrag(region(event))) this.setRegion(region(event));
      });
      plot.addEventListener("pointercancel", () => {
        start = null;
        this.setRegion(player.loop);
      });
      plot.addEventListener("pointerup", (event) => {
        if (start === null) return;
        const span = region(event);
        start = null;
        if (isDrag(span)) {
          player.setLoop(span);
          player.seek(span[0]);
        } else {
          const { x } = this.at(event);
          if (player.loop && (x < player.loop[0] || x > player.loop[1])) player.setLoop(null);
          player.seek(x);
        }
      });
    }
  }

  window.Unmix = { version: VERSION, Element, define, h, svg, turn, clamp, random, shuffled, rgb,
    button, choice, toggle, slider, bindKeys, playButton, timeReadout, bytes, array, decode, channelsOf,
    toBuffer, audioContext, Player, fft, windowOf, stft, istft, powerSpectrogram, siSdr, palette,
    colormap, paintImage, fitCanvas, ticks, Axes, SpectrogramView, colorBar };
  watchThemes();
})();
