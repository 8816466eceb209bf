/* <unmix-encoder-decoder>: packets of samples on their way through encoder, RNN and decoder.
 *
 * config: {title, ranges: {depth, kernel_size, stride, packet: [low, high]}, resampling: [factors],
 *          presets: [{label, depth, kernel_size, stride, resampling, packet, sample_rate}]}
 * A layer is {name, kind, step, count(n), need(k), reads(k)}: of n items of the layer before it makes
 * count(n), item k needs need(k) of them and reads those from reads(k)[0] to reads(k)[1]; `step` are
 * input samples from one item to the next. A moment is {packet, layer}: the last packet that came
 * in, and the last layer that has worked on it.
 */
(() => {
  "use strict";
  const { h, Element, clamp, palette } = window.Unmix;

  const NEIGHBOURS = 56; // on each side, in the interpolation of lib.nn.interpolation
  const STAGE = { left: 84, right: 10, top: 24, bottom: 20, tallest: 400 };
  const WAITS = { height: 104, top: 10, bottom: 18 };
  const FONT = "11px system-ui, sans-serif";
  const SHOWN = 6; // strides behind the first that is ready
  const PACE = { work: 500, wait: 90, packets: 40 }; // ms of a step, and packets that are played
  const NAMES = { depth: "Levels, L", kernel_size: "Samples of a frame, K", stride: "Stride, S" };

  const whole = (value) => value.toLocaleString("en");
  const samples = (value) => `${whole(value)} sample${value === 1 ? "" : "s"}`;
  const span = (noun, first, last) => (first === last ? `${noun} ${whole(first)}`
    : `${noun}s ${whole(first)} to ${whole(last)}`);

  /** All layers from the input to the output, as lib.models.Denoiser has them. */
  function network({ depth, kernel_size: size, stride, resampling }) {
    const layers = [{ name: "input", kind: "input", step: 1 }];
    const add = (name, kind, factor, functions) =>
      layers.push({ name, kind, step: layers.at(-1).step * factor, ...functions });
    const doublings = Math.log2(resampling);
    for (let i = 1; i <= doublings; i++) {
      add(`rate × ${2 ** i}`, "double", 1 / 2, {
        count: (n) => 2 * Math.max(0, n - NEIGHBOURS), need: (k) => Math.floor(k / 2) + 1 + NEIGHBOURS,
        reads: (k) => [Math.floor(k / 2) - NEIGHBOURS + 1, Math.floor(k / 2) + NEIGHBOURS] });
    }
    for (let level = 1; level <= depth; level++) {
      add(`encoder ${level}`, "encoder", stride, {
        count: (n) => Math.max(0, Math.floor((n - size) / stride) + 1), need: (k) => k * stride + size,
        reads: (k) => [k * stride, k * stride + size - 1] });
    }
    add("RNN", "rnn", 1, { count: (n) => n, need: (k) => k + 1, reads: (k) => [k, k] });
    for (let level = depth; level >= 1; level--) {
      add(level === 1 && !doublings ? "output" : `decoder ${level}`, "decoder", 1 / stride, { level,
        count: (n) => n * stride, need: (k) => Math.floor(k / stride) + 1,
        reads: (k) => [Math.ceil((k - size + 1) / stride), Math.floor(k / stride)] });
    }
    for (let i = doublings; i >= 1; i--) {
      add(i === 1 ? "output" : "rate / 2", "halve", 2, {
        count: (n) => Math.max(0, Math.floor(n / 2) - NEIGHBOURS + 1), need: (k) => 2 * (k + NEIGHBOURS),
        reads: (k) => [2 * (k - NEIGHBOURS) + 1, 2 * (k + NEIGHBOURS) - 1] });
    }
    return layers;
  }

  class EncoderDecoder extends Element {
    static label = "Encoder-decoder animator";

    static css = `
      canvas { display: block; width: 100%; touch-action: pan-y; cursor: ew-resize; }
      .waits { height: ${WAITS.height}px; }
      .settings { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr));
        gap: 0 1.4rem; }
      .slider { flex-wrap: nowrap; } .slider label { min-width: 10.2rem; white-space: nowrap; }
      .slider input { min-width: 3rem; } .slider .readout { min-width: 2.9rem; }
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .caption { margin-bottom: 0; color: var(--quiet); font-size: 12.5px; }
      .results { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1.2rem;
        margin-bottom: 0; font-variant-numeric: tabular-nums; }
      dt { color: var(--quiet); } dd { margin: 0; } dd b { font-weight: 600; }
      .result { margin-bottom: 0; min-height: 3em; font-variant-numeric: tabular-nums; }
      .result.one { min-height: 1.5em; }`;

    setup(config) {
      Object.assign(this, { playing: false, timer: null });
      this.build(config);
      this.usePreset(0);
      new ResizeObserver(() => this.draw()).observe(this.stage);
    }

    disconnectedCallback() {
      this.pause();
      super.disconnectedCallback();
    }

    build(config) {
      this.presetChoice = Unmix.choice({ label: "Network", onChange: (i) => this.usePreset(i),
        options: config.presets.map(({ label }) => label) });
      this.sliders = Object.fromEntries(Object.keys(NAMES).map((name) => {
        const [min, max] = config.ranges[name];
        return [name, Unmix.slider({ label: NAMES[name], min, max, value: min,
          onInput: (value) => this.set({ [name]: value }) })];
      }));
      // logarithmic: one sample at 0, the longest packet at 1
      const longest = config.ranges.packet[1];
      this.packetSlider = Unmix.slider({ label: "Samples of a packet", min: 0, max: 1, step: "any",
        value: 0, format: () => whole(this.packet || 1),
        onInput: (place) => this.set({ packet: Math.round(longest ** place) }) });
      this.packetSlider.input.addEventListener("keydown", (event) => this.packetKey(event));
      this.rateChoice = Unmix.choice({ label: "Interpolation", onChange: (i) =>
        this.set({ resampling: config.resampling[i] }),
        options: config.resampling.map((factor) => (factor === 1 ? "none" : `× ${factor}`)) });
      this.playText = h("span");
      this.playButton = Unmix.button(this.playText, () => this.toggle(),
        { class: "primary play", "aria-keyshortcuts": "Space" });
      this.stage = h("canvas", { role: "img" });
      this.waits = h("canvas", { class: "waits", role: "img" });
      this.state = h("p", { class: "result", role: "status" });
      this.followState = h("p", { class: "result one", role: "status" });
      this.followSlider = Unmix.slider({ label: "Output followed", min: 0, max: 1, value: 0,
        format: whole, onInput: (value) => { this.followed = value; this.tell(); } });
      const names = { frame: "First frame of the RNN", hop: "Every further frame",
        ahead: "Look-ahead, sample by sample", waits: "Longest wait, packet by packet",
        ready: "Output so far" };
      this.values = Object.fromEntries(Object.keys(names).map((name) =>
        [name, h("dd", { "data-value": name })]));
      this.panel.append(
        h("div", { class: "row" }, h("span", { class: "title" }, config.title)),
        h("div", { class: "row" }, this.presetChoice),
        h("div", { class: "settings" }, Object.values(this.sliders), this.packetSlider),
        h("div", { class: "labelled" }, h("span", { "aria-hidden": "true" }, "Interpolation"),
          this.rateChoice),
        h("div", { class: "row" }, this.playButton,
          Unmix.button("Step back", () => this.step(-1)), Unmix.button("Step", () => this.step(1)),
          Unmix.button("From the start", () => this.restart())),
        this.stage, this.state,
        h("p", { class: "caption" }, "How long each output sample waits"),
        this.waits, this.followSlider, this.followState,
        h("dl", { class: "results" }, Object.entries(names).flatMap(([name, label]) =>
          [h("dt", {}, label), this.values[name]])),
        h("p", { class: "help" }, "Blue: ready. Orange: made in this step, from what the shaded area "
          + "leads to. Hatched: begun, waiting for the next frame to add to it. Yellow: the followed "
          + "output and, layer by layer, what it waits for. Dashed: now. Drag in the pictures to "
          + "follow another output. Keys: Space plays, arrow keys step, Home starts again."));
      this.dragFollow();
      Unmix.bindKeys(this.panel, { " ": () => this.toggle(), ArrowRight: () => this.step(1),
        ArrowLeft: () => this.step(-1), Home: () => this.restart() });
    }

    onTheme() { if (this.layers) this.draw(); }

    // ---------------------------------------------------------------- what the reader does

    usePreset(index) {
      const { sample_rate: rate, label, ...settings } = this.config.presets[index];
      this.rate = rate;
      this.set(settings);
    }

    set(change) {
      Object.assign(this, change);
      if (change.kernel_size) this.stride = Math.min(this.stride, this.kernel_size);
      this.kernel_size = Math.max(this.kernel_size, this.stride);
      this.packet = clamp(this.packet, ...this.config.ranges.packet);
      // the network's rate must come down to whole frames of the signal's
      while (this.stride ** this.depth % this.resampling) this.resampling /= 2;
      for (const [name, slider] of Object.entries(this.sliders)) slider.set(this[name], true);
      this.packetSlider.set(Math.log(this.packet) / Math.log(this.config.ranges.packet[1]), true);
      this.rateChoice.select(this.config.resampling.indexOf(this.resampling), true);
      this.layers = network(this);
      this.last = this.layers.length - 1;
      this.hop = this.stride ** this.depth / this.resampling;
      this.frame = this.needed(0, this.layers.findIndex(({ kind }) => kind === "rnn"));
      const shown = this.needed(0) + SHOWN * this.hop;
      this.packets = Math.ceil(shown / this.packet);
      this.shown = this.packets * this.packet;
      this.outputs = Math.max(1, this.counts(this.packets)[this.last]);
      this.ahead = Math.max(...this.firstOfFrames(1).map((place) => this.needed(place) - 1 - place));
      this.longest = Math.max(...this.firstOfFrames(this.packet).map((place) => this.wait(place)));
      this.followSlider.input.max = this.outputs - 1;
      this.followed = Math.min(Math.floor(1.6 * this.hop), this.outputs - 1);
      this.followSlider.set(this.followed, true);
      this.pause();
      this.goTo({ packet: Math.ceil(this.needed(0) / this.packet), layer: this.last });
    }

    packetKey(event) {
      const tenth = Math.max(1, Math.round(0.1 * this.packet));
      const change = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: tenth,
        PageDown: -tenth }[event.key];
      if (!change) return;
      event.preventDefault();
      this.set({ packet: this.packet + change });
    }

    dragFollow() {
      for (const canvas of [this.stage, this.waits]) {
        const follow = (event) => {
          const box = canvas.getBoundingClientRect();
          const room = box.width - STAGE.left - STAGE.right;
          const place = Math.floor(((event.clientX - box.left - STAGE.left) / room) * this.shown);
          this.followSlider.set(clamp(place, 0, this.outputs - 1));
        };
        canvas.addEventListener("pointerdown", (event) => {
          canvas.setPointerCapture(event.pointerId);
          this.followSlider.input.focus({ preventScroll: true });
          event.preventDefault();
          follow(event);
        });
        canvas.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
      }
    }

    // ---------------------------------------------------------------- time

    restart() {
      this.pause();
      this.goTo({ packet: 0, layer: this.last });
    }

    goTo(moment) {
      this.moment = moment;
      this.tell();
    }

    /** The moment after or before one; null at an end. */
    beside({ packet, layer }, direction) {
      const works = (p, i) => i === 0 || this.counts(p)[i] > this.counts(p - 1)[i];
      if (direction > 0) {
        for (let i = layer + 1; i <= this.last; i++) if (works(packet, i)) return { packet, layer: i };
        return packet < this.packets ? { packet: packet + 1, layer: 0 } : null;
      }
      if (packet === 0) return null;
      if (layer === 0) {
        for (let i = this.last; i > 0 && packet > 1; i--) {
          if (works(packet - 1, i)) return { packet: packet - 1, layer: i };
        }
        return packet > 1 ? { packet: packet - 1, layer: 0 } : { packet: 0, layer: this.last };
      }
      for (let i = layer - 1; i > 0; i--) if (works(packet, i)) return { packet, layer: i };
      return { packet, layer: 0 };
    }

    step(direction) {
      this.pause();
      const moment = this.beside(this.moment, direction);
      if (moment) this.goTo(moment);
    }

    toggle() { return this.playing ? this.pause() : this.play(); }

    play() {
      if (!this.beside(this.moment, 1)) this.moment = { packet: 0, layer: this.last };
      this.playing = true;
      this.tick();
      this.tell();
    }

    pause() {
      clearTimeout(this.timer);
      this.playing = false;
      if (this.layers) this.showPlaying();
    }

    /** One step now and the next after a while. Packets that no layer works on come quickly. */
    tick() {
      let moment = this.beside(this.moment, 1);
      const next = (one) => this.beside(one, 1);
      const quiet = (one) => one.layer === 0 && (!next(one) || next(one).layer === 0);
      for (let i = 1; i < this.packets / PACE.packets && moment && quiet(moment) && next(moment); i++) {
        moment = next(moment);
      }
      if (!moment) {
        this.pause();
        return;
      }
      this.goTo(moment);
      this.timer = setTimeout(() => this.tick(), quiet(moment) ? PACE.wait : PACE.work);
    }

    showPlaying() {
      this.playText.textContent = this.playing ? "❚❚\u2002Pause" : "▶\u2002Play";
      // a screen reader could not keep up
      this.state.setAttribute("aria-live", this.playing ? "off" : "polite");
    }

    // ---------------------------------------------------------------- what is ready when

    /** Items of each layer when so many packets have gone through all of them. */
    counts(packets) {
      const made = [packets * this.packet];
      for (const layer of this.layers.slice(1)) made.push(layer.count(made.at(-1)));
      return made;
    }

    /** Items of each layer now. */
    get made() {
      const [now, before] = [this.counts(this.moment.packet), this.counts(this.moment.packet - 1)];
      return now.map((count, i) => (i <= this.moment.layer ? count : Math.max(0, before[i])));
    }

    /** For each layer the item that an item of the output, or of layer `from`, waits for last. */
    chain(place, from = this.last) {
      const items = [place];
      for (let i = from; i > 0; i--) items.unshift(this.layers[i].need(items[0]) - 1);
      return items;
    }

    needed(place, from = this.last) { return this.chain(place, from)[0] + 1; }

    /** Samples that come in behind an output sample before it is ready. */
    wait(place) { return Math.ceil(this.needed(place) / this.packet) * this.packet - 1 - place; }

    /** The first outputs of so many frames of the RNN: they wait longest. */
    firstOfFrames(frames) {
      const rnn = this.layers.findIndex(({ kind }) => kind === "rnn");
      const beyond = this.chain(0)[rnn] + 1;
      return Array.from({ length: frames }, (_, i) => {
        let [low, high] = [0, (beyond + i) * this.hop];
        while (low < high) {
          const middle = Math.floor((low + high) / 2);
          if (this.chain(middle)[rnn] >= beyond + i) high = middle;
          else low = middle + 1;
        }
        return low;
      });
    }

    // ---------------------------------------------------------------- words

    time(count) {
      const ms = (1000 * count) / this.rate;
      return ms < 1000 ? `${ms.toFixed(ms < 10 ? 2 : 1)} ms` : `${(ms / 1000).toFixed(2)} s`;
    }

    happened() {
      const { packet, layer } = this.moment;
      if (packet === 0) return "Nothing has come in yet.";
      const { name, kind, level } = this.layers[layer];
      const [made, before] = [this.made, this.counts(packet - 1)];
      const [first, last] = [Math.max(0, before[layer]), made[layer] - 1];
      const from = this.layers[Math.max(0, layer - 1)].name;
      if (layer === 0) {
        const next = this.layers[1];
        const short = next.need(Math.max(0, before[1])) - made[0];
        return `Packet ${whole(packet)}: ${span("input sample", first, last)}. `
          + (short > 0 ? `Now ${next.name} waits for ${whole(short)} more.` : "");
      }
      if (kind === "encoder") {
        const [low, high] = [this.layers[layer].reads(first)[0], this.layers[layer].reads(last)[1]];
        return `${name}: ${span("frame", first, last)}, from ${span("item", low, high)} of ${from}.`;
      }
      if (kind === "rnn") {
        return `RNN: ${span("frame", first, last)}, with what it remembers of all before.`;
      }
      const ready = `${name}: ${span(name === "output" ? "sample" : "item", first, last)} ready.`;
      if (kind !== "decoder") return ready;
      const begun = this.kernel_size - this.stride;
      return `${ready} Added to ${from} was encoder ${level}, by the skip connection. `
        + (begun ? `${span("Item", last + 1, last + begun)} begun: the next frame adds to `
          + `${begun === 1 ? "it" : "them"}.` : "Frames do not overlap: nothing is half done.");
    }

    tell() {
      const { followed, values, moment } = this;
      const text = this.happened();
      this.state.textContent = text[0].toUpperCase() + text.slice(1);
      const needed = this.needed(followed);
      const packet = Math.ceil(needed / this.packet);
      this.followState.textContent = `Output ${whole(followed)} needs input 0 to ${whole(needed - 1)}: `
        + `ready with packet ${whole(packet)}, ${samples(this.wait(followed))} `
        + `(${this.time(this.wait(followed))}) later.`;
      const bold = (count, more = "") => [h("b", {}, samples(count)), `, ${this.time(count)}${more}`];
      values.frame.replaceChildren(...bold(this.frame));
      values.hop.replaceChildren(...bold(this.hop));
      values.ahead.replaceChildren(...bold(this.ahead));
      values.waits.replaceChildren(...bold(this.longest));
      const ready = this.made[this.last];
      const heard = moment.packet * this.packet;
      values.ready.replaceChildren(h("b", {}, whole(ready)), ` of ${samples(heard)} that came in`);
      this.stage.setAttribute("aria-label", `Layers from the input to the output, and how many items `
        + `of each are ready: ${this.layers.map(({ name }, i) => `${name} ${whole(this.made[i])}`)
          .join(", ")}. ${this.state.textContent}`);
      this.waits.setAttribute("aria-label", `Samples that each output sample waits, from `
        + `${whole(this.ahead - this.hop + 1)} to ${whole(this.longest)}. ${this.followState.textContent}`);
      this.showPlaying();
      this.draw();
    }

    // ---------------------------------------------------------------- pictures

    draw() {
      if (!this.stage.clientWidth || !this.moment) return;
      this.ink = getComputedStyle(this.stage).color;
      this.blue = this.dark ? palette.sky : palette.blue;
      this.yellow = this.dark ? palette.yellow : "#b89b00";
      this.drawStage();
      this.drawWaits();
    }

    say(context, align, text, x, y, color = this.ink) {
      Object.assign(context, { textAlign: align, textBaseline: "middle", fillStyle: color, font: FONT });
      context.fillText(text, x, y);
    }

    drawStage() {
      const { layers, moment, made } = this;
      const pitch = clamp(Math.floor(STAGE.tallest / layers.length), 22, 46);
      this.stage.style.height = `${STAGE.top + pitch * layers.length + STAGE.bottom}px`;
      const { context, width } = Unmix.fitCanvas(this.stage);
      const unit = (width - STAGE.left - STAGE.right) / this.shown;
      const x = (place) => STAGE.left + Math.min(place, this.shown) * unit;
      const row = (i) => ({ top: STAGE.top + i * pitch, thick: Math.min(16, pitch - 8) });
      const before = this.counts(moment.packet - 1);
      const fresh = (i) => (moment.packet > 0 && i === moment.layer
        ? [Math.max(0, before[i]), made[i]] : [made[i], made[i]]);
      this.drawLink(context, row, x, fresh(moment.layer));
      layers.forEach((layer, i) => {
        const { top, thick } = row(i);
        this.say(context, "right", layer.name, STAGE.left - 8, top + thick / 2);
        const items = Math.ceil(this.shown / layer.step);
        const [from, to] = fresh(i);
        const begun = layer.kind === "decoder" && to ? to + this.kernel_size - this.stride : to;
        const paint = (first, last, color, alpha, hatched = false) =>
          this.paintItems(context, { layer, top, thick, x, unit, first: Math.max(0, first),
            last: Math.min(last, items), color, alpha, hatched });
        paint(begun, items, this.ink, 0.13);
        paint(to, begun, this.blue, 1, true);
        paint(0, from, this.blue, 1);
        paint(from, to, palette.orange, 1);
      });
      this.drawChain(context, row, x, unit);
      const now = x(moment.packet * this.packet);
      Object.assign(context, { strokeStyle: this.ink, lineWidth: 1 });
      context.setLineDash([4, 3]);
      context.beginPath();
      context.moveTo(now, 16);
      context.lineTo(now, STAGE.top + pitch * layers.length);
      context.stroke();
      context.setLineDash([]);
      this.say(context, "center", "now", clamp(now, STAGE.left + 12, width - 20), 8);
      const bottom = STAGE.top + pitch * layers.length + 10;
      this.say(context, "left", "0", STAGE.left, bottom);
      this.say(context, "center", "time", (STAGE.left + width - STAGE.right) / 2, bottom);
      this.say(context, "right", this.time(this.shown), width - STAGE.right, bottom);
    }

    /** Items from `first` to before `last`: one by one where there is room, else as a band. */
    paintItems(context, { layer, top, thick, x, unit, first, last, color, alpha, hatched }) {
      if (first >= last) return;
      Object.assign(context, { fillStyle: color, strokeStyle: color, globalAlpha: alpha, lineWidth: 1.5 });
      const wide = layer.step * unit;
      const [from, to] = [x(first * layer.step), x(last * layer.step)];
      if (wide < 4) {
        if (hatched) this.hatch(context, from, top, Math.max(2, to - from), thick);
        else context.fillRect(from, top, Math.max(1, to - from), thick);
      } else {
        for (let k = first; k < last; k++) {
          const left = x(k * layer.step);
          const room = x((k + 1) * layer.step) - left - 1.5; // less at the end of the picture
          if (room <= 0) continue;
          if (layer.kind === "rnn" && wide > thick) {
            if (room < wide / 2) continue;
            context.beginPath();
            context.arc(left + wide / 2, top + thick / 2, thick / 2, 0, 2 * Math.PI);
            context.fill();
            if (k > 0) this.arrow(context, left - wide / 2 + thick / 2 + 1, left + wide / 2 - thick / 2 - 1,
              top + thick / 2);
          } else if (hatched) this.hatch(context, left + 0.5, top, room, thick);
          else context.fillRect(left + 0.5, top, room, thick);
        }
      }
      context.globalAlpha = 1;
    }

    hatch(context, left, top, width, thick) {
      context.save();
      context.beginPath();
      context.rect(left, top, width, thick);
      context.clip();
      context.beginPath();
      for (let at = left - thick; at < left + width; at += 4) {
        context.moveTo(at, top + thick);
        context.lineTo(at + thick, top);
      }
      context.stroke();
      context.restore();
    }

    arrow(context, from, to, y) {
      context.beginPath();
      context.moveTo(from, y);
      context.lineTo(to, y);
      context.moveTo(to - 4, y - 3);
      context.lineTo(to, y);
      context.lineTo(to - 4, y + 3);
      context.stroke();
    }

    /** What the items of this step were made from, as an area between two rows. */
    drawLink(context, row, x, [first, last]) {
      const i = this.moment.layer;
      if (i === 0 || first >= last) return;
      const [layer, source] = [this.layers[i], this.layers[i - 1]];
      const [low, high] = [layer.reads(first)[0], layer.reads(last - 1)[1]];
      const [above, below] = [row(i - 1), row(i)];
      context.beginPath();
      context.moveTo(x(Math.max(0, low) * source.step), above.top + above.thick);
      context.lineTo(x((high + 1) * source.step), above.top + above.thick);
      context.lineTo(x(last * layer.step), below.top);
      context.lineTo(x(first * layer.step), below.top);
      Object.assign(context, { fillStyle: palette.orange, globalAlpha: this.dark ? 0.45 : 0.3 });
      context.fill();
      context.globalAlpha = 1;
    }

    drawChain(context, row, x, unit) {
      Object.assign(context, { strokeStyle: this.yellow, fillStyle: this.yellow, lineWidth: 2 });
      const points = this.chain(this.followed).map((item, i) => {
        const { step } = this.layers[i];
        const { top, thick } = row(i);
        const wide = Math.max(3, step * unit);
        context.strokeRect(x(item * step), top - 1, wide, thick + 2);
        return [x(item * step) + wide / 2, top, thick];
      });
      context.lineWidth = 1.5;
      points.slice(1).forEach(([left, top], i) => {
        const [before, above, thick] = points[i];
        context.beginPath();
        context.moveTo(before, above + thick + 1);
        context.lineTo(left, top - 1);
        context.stroke();
      });
    }

    drawWaits() {
      const { context, width } = Unmix.fitCanvas(this.waits);
      const unit = (width - STAGE.left - STAGE.right) / this.shown;
      const high = WAITS.height - WAITS.top - WAITS.bottom;
      const y = (wait) => WAITS.top + high * (1 - wait / (this.longest || 1));
      const ready = this.made[this.last];
      context.lineWidth = 2;
      const columns = Math.min(this.outputs, 4 * Math.ceil(width));
      for (const [from, to, color, alpha] of [[0, ready, this.blue, 1],
        [ready, this.outputs, this.ink, 0.35]]) {
        Object.assign(context, { strokeStyle: color, globalAlpha: alpha });
        context.beginPath();
        for (let i = 0; i < columns; i++) {
          const place = Math.floor((i * this.outputs) / columns);
          if (place < from || place >= to) continue;
          const left = STAGE.left + place * unit;
          context.moveTo(left, y(this.wait(place)));
          context.lineTo(left + Math.max(1, unit), y(this.wait(place)));
        }
        context.stroke();
      }
      Object.assign(context, { globalAlpha: 1, strokeStyle: this.ink, lineWidth: 1, fillStyle: this.yellow });
      context.beginPath();
      context.moveTo(STAGE.left, WAITS.top);
      context.lineTo(STAGE.left, WAITS.top + high);
      context.lineTo(width - STAGE.right, WAITS.top + high);
      context.stroke();
      context.beginPath();
      context.arc(STAGE.left + (this.followed + 0.5) * unit, y(this.wait(this.followed)), 4.5, 0, 2 * Math.PI);
      context.fill();
      this.say(context, "right", this.time(this.longest), STAGE.left - 6, WAITS.top + 3);
      this.say(context, "right", "0", STAGE.left - 6, WAITS.top + high);
      this.say(context, "center", "output sample", (STAGE.left + width - STAGE.right) / 2,
        WAITS.top + high + 11);
    }
  }

  window.Unmix.define("unmix-encoder-decoder", EncoderDecoder);
})();
