/* <unmix-mixing-desk>: mix a voice and a noise, see and hear the sum, predict the gain for an SNR.
 *
 * config: {title, sample_rate, voice: {name, source}, noises: [{name, source}], targets_db: [dB]}
 */
(() => {
  "use strict";
  const { h, Element, Player, clamp } = window.Unmix;

  const FADER = { min: -40, max: 12, step: 0.1 };
  const PEAK = 0.99;
  const TOLERANCE_DB = 0.5;

  const toDb = (factor) => 20 * Math.log10(factor);
  const fromDb = (db) => 10 ** (db / 20);
  const norm = (signal) => Math.sqrt(signal.reduce((sum, sample) => sum + sample * sample, 0));
  const text = (number, digits = 1) => {
    const fixed = number.toFixed(digits);
    return Number(fixed) === 0 ? fixed.replace("-", "") : fixed.replace("-", "\u2212");
  };
  const signed = (number, digits = 1) => (Number(number.toFixed(digits)) > 0 ? "+" : "")
    + text(number, digits);

  /** "0,5" and "−3" are numbers too; NaN for anything else. */
  function parse(typed) {
    const clean = typed.trim().replace(/\u2212/g, "-").replace(",", ".");
    return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(clean) ? parseFloat(clean) : NaN;
  }

  /** What each slip of the pen would have given, and what to say to whoever made it. */
  function slips(target, ratio) {
    return [
      [fromDb(target) * ratio, "The sign of the exponent is turned: this is the gain for "
        + `${signed(-target, 0)} dB. A higher SNR needs less noise, so the exponent is minus SNR / 20.`],
      [10 ** (-target / 10) * ratio, "You divided by 10. That turns decibels into a ratio of powers; "
        + "α multiplies amplitudes, so divide by 20."],
      [fromDb(-target), "You left out ‖s‖ / ‖n‖: the two clips are not equally loud before you start."],
      [fromDb(-target) / ratio, "The ratio stands upside down: it is ‖s‖ / ‖n‖. "
        + "A loud noise needs a small gain."],
    ];
  }

  class MixingDesk extends Element {
    static label = "Mixing desk";
    static css = `
      .numbers { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; align-items: baseline;
        font-variant-numeric: tabular-nums; padding: .5rem .75rem; border-radius: 8px;
        background: var(--soft); }
      .numbers b { font-size: 17px; }
      .numbers .peak { color: var(--quiet); }
      .numbers .peak.over { color: var(--bad); font-weight: 600; }
      .swatch { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px;
        margin-right: .35rem; vertical-align: -1px; }
      .keyed { font-size: 12.5px; color: var(--quiet); margin-right: .9rem; }
      form { border-left: 3px solid var(--accent); padding-left: .8rem; }
      form p { margin: 0 0 .5rem; }
      input[type=text] { font: inherit; color: inherit; background: transparent; width: 6.5rem;
        padding: .3rem .6rem; border: 1px solid var(--quiet); border-radius: 8px;
        min-height: 2.15rem; }
      .verdict { margin: .5rem 0 0; }
      .verdict.right b { color: var(--good); } .verdict.wrong b { color: var(--bad); }
      .slider[data-locked] { opacity: .55; }
      .plot.wave { background: var(--soft); }
      .beside { width: 3.7rem; }`;

    async setup(config) {
      this.rate = config.sample_rate;
      this.targets = config.targets_db;
      const loading = h("p", { class: "note" }, "Reading the sounds …");
      this.panel.append(h("div", { class: "title" }, config.title), loading);
      const read = async ({ name, source }) => {
        const samples = (await Unmix.decode(source, this.rate)).getChannelData(0);
        return { name, samples, norm: norm(samples) };
      };
      this.voice = await read(config.voice);
      this.noises = await Promise.all(config.noises.map(read));
      this.noise = this.noises[0];
      Object.assign(this, { gains: [1, 1], heard: 0, safe: true, predicting: false, round: 0 });

      this.player = new Player({ sampleRate: this.rate });
      this.player.setTracks([{ channels: [this.voice.samples] }, { channels: [this.noise.samples] }]);
      this.player.setLoop([0, this.player.duration]);

      loading.remove();
      this.build();
      this.analyse();
      this.setMode(0);
      new ResizeObserver(() => this.refresh()).observe(this.wave.plot);
    }

    // ---------------------------------------------------------------- controls

    build() {
      const fader = (label, index) => {
        const node = Unmix.slider({ label, ...FADER, value: 0,
          format: (db) => `${signed(db)} dB`,
          onInput: (db) => { this.gains[index] = fromDb(db); this.refresh(); } });
        node.input.addEventListener("change", () => this.announce(`SNR ${text(this.snr())} decibels`));
        return node;
      };
      this.mode = Unmix.choice({ label: "What to do", options: ["Mix freely", "Predict the gain α"],
        onChange: (index) => this.setMode(index) });
      this.noiseChoice = Unmix.choice({ label: "Which noise",
        options: this.noises.map(({ name }) => name), onChange: (index) => this.setNoise(index) });
      this.faders = [fader(`${this.voice.name} fader`, 0), fader("noise fader", 1)];
      this.hear = Unmix.choice({ label: "What you hear",
        options: ["mixture", this.voice.name, "noise"], keys: true,
        onChange: (index) => { this.heard = index; this.refresh(); } });
      this.safety = Unmix.toggle({ label: "One gain for all", key: "G", value: true,
        title: "Lower voice and noise together whenever their sum would clip",
        onChange: (on) => { this.safe = on; this.refresh(); } });
      this.numbers = h("div", { class: "numbers" });
      this.buildPictures();
      this.buildTask();
      this.panel.append(
        h("div", { class: "row" }, this.mode,
          this.noises.length > 1 ? h("div", { class: "row push" }, "Noise:", this.noiseChoice) : null),
        this.task, ...this.faders, this.numbers,
        this.wave.element, this.legend, this.view.element,
        h("div", { class: "row" }, Unmix.playButton(this.player), this.hear,
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        h("div", { class: "row" }, this.safety, this.common),
        h("p", { class: "help" }, "Keys: space plays, 1–3 choose what you hear, G switches the common "
          + "gain, ← → move the fader you are on. Click the spectrogram to seek, drag to loop a part."));
      const keys = { " ": () => this.player.toggle(), g: () => this.safety.set(!this.safe) };
      [0, 1, 2].forEach((index) => { keys[index + 1] = () => this.hear.select(index); });
      Unmix.bindKeys(this.panel, keys);
    }

    buildPictures() {
      const { duration } = this.player;
      this.wave = new Unmix.Axes({ height: 110, x: { min: 0, max: duration, label: "Time (s)" },
        y: { min: -1, max: 1, count: 2, label: "Amplitude" },
        side: h("div", { class: "beside" }) });
      this.wave.plot.classList.add("wave");
      const { palette } = Unmix;
      this.colours = { mixture: palette.grey, noise: palette.orange, voice: palette.blue };
      const key = (name, colour) => h("span", { class: "keyed" },
        h("span", { class: "swatch", style: `background:${colour}` }), name);
      this.legend = h("div", {}, key("mixture", palette.grey), key("noise", palette.orange),
        key(this.voice.name, palette.blue));
      this.common = h("span", { class: "note" });
      this.view = new Unmix.SpectrogramView({ duration, maxFrequency: this.rate / 2, height: 150 });
      // the whole clip loops by default: that is no region worth marking
      const mark = this.view.setRegion.bind(this.view);
      this.view.setRegion = (region) =>
        mark(region && region[1] - region[0] < duration - 0.01 ? region : null);
      this.view.follow(this.player, "Position in seconds");
    }

    buildTask() {
      this.question = h("p");
      this.answer = h("input", { type: "text", inputmode: "decimal", autocomplete: "off",
        "aria-label": "Your gain alpha" });
      this.feedback = h("div", { "aria-live": "polite" });
      const check = (event) => { event.preventDefault(); this.judge(); };
      this.task = h("form", { onSubmit: check }, this.question,
        h("div", { class: "row" }, h("span", {}, "α ="), this.answer,
          h("button", { type: "submit", class: "primary" }, "Check"),
          Unmix.button("Show α", () => this.reveal()),
          Unmix.button("Another target", () => this.ask(this.round + 1))),
        this.feedback);
    }

    // ---------------------------------------------------------------- the mixture

    /** The true SNR of what the faders make. */
    snr() {
      return toDb((this.gains[0] * this.voice.norm) / (this.gains[1] * this.noise.norm));
    }

    level(signal, gain) {
      return toDb((gain * signal.norm) / Math.sqrt(signal.samples.length));
    }

    setGain(index, gain) {
      this.gains[index] = gain;
      this.faders[index].set(clamp(toDb(gain), FADER.min, FADER.max), true);
      this.refresh();
    }

    setNoise(index) {
      this.noise = this.noises[index];
      this.player.replaceTrack(1, [this.noise.samples]);
      this.analyse();
      if (this.predicting) this.ask(this.round);
      this.refresh();
    }

    analyse() {
      const nFft = 2 ** Math.round(Math.log2(0.032 * this.rate));
      const hop = Math.max(nFft / 8, Math.ceil(this.voice.samples.length / 420));
      const spectrum = (signal) => Unmix.stft(signal.samples, { nFft, hop });
      this.spectra = [spectrum(this.voice), spectrum(this.noise)];
      const strongest = Math.max(...this.spectra.map(({ re, im }) =>
        re.reduce((top, value, i) => Math.max(top, value * value + im[i] * im[i]), 1e-12)));
      this.top = 10 * Math.log10(strongest) + 3;
    }

    // One picture per screen refresh, however fast a fader moves; the sound follows at once.
    refresh() {
      if (!this.spectra) return;
      this.findPeak();
      const common = this.commonGain();
      this.player.setGains([this.heard === 2 ? 0 : this.gains[0] * common,
        this.heard === 1 ? 0 : this.gains[1] * common]);
      this.showNumbers(common);
      if (this.pending) return;
      this.pending = true;
      requestAnimationFrame(() => {
        this.pending = false;
        this.drawWave();
        this.drawSpectrogram();
      });
    }

    findPeak() {
      const { samples: voice } = this.voice;
      const { samples: noise } = this.noise;
      const [a, b] = this.gains;
      let peak = 0;
      for (let i = 0; i < voice.length; i++) {
        peak = Math.max(peak, Math.abs(a * voice[i] + b * noise[i]));
      }
      this.peak = peak;
    }

    commonGain() {
      return this.safe ? Math.min(1, PEAK / this.peak) : 1;
    }

    showNumbers(common) {
      const hidden = this.predicting && !this.answered;
      const levels = [this.level(this.voice, this.gains[0]), this.level(this.noise, this.gains[1])];
      const sum = hidden ? "SNR = ?"
        : `SNR = ${text(levels[0])} \u2212 (${text(levels[1])}) = `;
      const over = this.peak > 1;
      this.numbers.replaceChildren(
        h("span", {}, `${this.voice.name} level ${hidden ? "?" : text(levels[0])} dB`),
        h("span", {}, `noise level ${hidden ? "?" : text(levels[1])} dB`),
        h("span", { class: "snr" }, sum,
          hidden ? null : h("b", {}, `${text(levels[0] - levels[1])} dB`)),
        h("span", { class: over ? "peak over" : "peak" },
          `peak of the sum ${text(this.peak, 2)}${over ? " (above 1: clips)" : ""}`));
      this.common.textContent = !this.safe
        ? (over ? "Off: what you hear is clipped." : "Off: nothing clips at these faders.")
        : `Everything × ${text(common, 2)} on the way to your ears; the SNR stays what it is.`;
      this.snrDb = levels[0] - levels[1];
    }

    // ---------------------------------------------------------------- pictures

    drawWave() {
      const { context, width, height } = Unmix.fitCanvas(this.wave.canvas);
      const columns = Math.max(1, Math.floor(width));
      const voice = this.voice.samples;
      const noise = this.noise.samples;
      const common = this.commonGain();
      const [a, b] = this.gains.map((gain) => gain * common);
      const layers = [
        ["mixture", 0.55, (i) => a * voice[i] + b * noise[i]],
        ["noise", 0.75, (i) => b * noise[i]],
        ["voice", 0.8, (i) => a * voice[i]],
      ];
      const y = (value) => ((1 - clamp(value, -1, 1)) / 2) * height;
      for (const [name, alpha, at] of layers) {
        context.fillStyle = this.colours[name];
        context.globalAlpha = alpha;
        for (let column = 0; column < columns; column++) {
          const last = Math.floor(((column + 1) * voice.length) / columns);
          let low = 0;
          let high = 0;
          for (let i = Math.floor((column * voice.length) / columns); i < last; i++) {
            const value = at(i);
            if (value < low) low = value;
            if (value > high) high = value;
          }
          context.fillRect(column, y(high), 1, Math.max(0.5, y(low) - y(high)));
        }
      }
    }

    // The STFT is linear: the picture of the mixture is computed from those of its two parts.
    drawSpectrogram() {
      const [voice, noise] = this.spectra;
      const common = this.commonGain();
      const a = this.heard === 2 ? 0 : this.gains[0] * common;
      const b = this.heard === 1 ? 0 : this.gains[1] * common;
      const values = new Float32Array(voice.re.length);
      for (let i = 0; i < values.length; i++) {
        const re = a * voice.re[i] + b * noise.re[i];
        const im = a * voice.im[i] + b * noise.im[i];
        values[i] = 10 * Math.log10(re * re + im * im + 1e-12);
      }
      this.view.show({ values, frames: voice.frames, bins: voice.bins }, this.top);
    }

    // ---------------------------------------------------------------- the task

    setMode(index) {
      this.predicting = index === 1;
      this.task.hidden = !this.predicting;
      this.faders.forEach((fader) => {
        fader.input.disabled = this.predicting;
        fader.toggleAttribute("data-locked", this.predicting);
      });
      if (this.predicting) this.ask(this.round);
      this.refresh();
    }

    get target() {
      return this.targets[this.round % this.targets.length];
    }

    get alpha() {
      return fromDb(-this.target) * (this.voice.norm / this.noise.norm);
    }

    ask(round) {
      this.round = round;
      this.answered = false;
      this.answer.value = "";
      this.feedback.replaceChildren();
      this.question.replaceChildren(
        `The voice has norm ‖s‖ = ${text(this.voice.norm, 2)}, the noise ‖n‖ = `
        + `${text(this.noise.norm, 2)}. Both faders stand at 0 dB. By which factor α must the noise `
        + "be multiplied for an SNR of ", h("b", {}, `${signed(this.target, 0)} dB`), "?");
      this.setGain(0, 1);
      this.setGain(1, 1);
    }

    judge() {
      const given = parse(this.answer.value);
      if (Number.isNaN(given)) {
        this.feedback.replaceChildren(h("p", { class: "note" }, "Type a number first, such as 0.5."));
        return;
      }
      if (given <= 0) {
        this.say(false, "α is a factor, not a number of decibels: it must be positive. "
          + "Below 1 it makes the noise softer.");
        return;
      }
      this.answered = true;
      this.setGain(1, given);
      const off = this.snr() - this.target;
      const near = (other) => Math.abs(toDb(given / other)) < TOLERANCE_DB / 2;
      if (Math.abs(off) <= TOLERANCE_DB) {
        this.say(true, `Your α gives ${text(this.snr())} dB. ${this.working()} Press play to hear it.`);
        return;
      }
      const slip = slips(this.target, this.voice.norm / this.noise.norm).find(([other]) => near(other));
      this.say(false, `Your α gives ${text(this.snr())} dB: the noise is ${text(Math.abs(off))} dB too `
        + `${off > 0 ? "soft" : "loud"}. ${slip ? slip[1] : "Press play to hear it, then try again."}`);
    }

    reveal() {
      this.answered = true;
      this.setGain(1, this.alpha);
      this.feedback.replaceChildren(h("p", { class: "verdict" }, this.working()));
    }

    working() {
      return `α = 10^(\u2212SNR / 20) × ‖s‖ / ‖n‖ = 10^(${text(-this.target, 0)} / 20) × `
        + `${text(this.voice.norm, 2)} / ${text(this.noise.norm, 2)} = ${text(this.alpha, 3)}.`;
    }

    say(right, sentence) {
      this.feedback.replaceChildren(h("p", { class: right ? "verdict right" : "verdict wrong" },
        h("b", {}, right ? "✓ Right. " : "✗ Not yet. "), sentence));
    }
  }

  window.Unmix.define("unmix-mixing-desk", MixingDesk);
})();
