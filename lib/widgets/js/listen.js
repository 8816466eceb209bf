/* <unmix-listen>: compare signals that run in step.
 *
 * config: {title, caption, sample_rate, max_frequency, start, match, notes: [text],
 *          tracks: [{name, source: data URI, gain_db}]}
 */
(() => {
  "use strict";
  const { h, Element, Player } = window.Unmix;

  class Listen extends Element {
    static label = "Listening panel";

    async setup(config) {
      this.tracks = config.tracks;
      this.matched = config.match;
      const loading = h("p", { class: "note" }, "Reading the sounds …");
      if (config.title) this.panel.append(h("div", { class: "title" }, config.title));
      this.panel.append(loading);

      this.player = new Player({ sampleRate: config.sample_rate });
      this.player.selected = config.start;
      const buffers = await Promise.all(
        this.tracks.map((track) => Unmix.decode(track.source, config.sample_rate)));
      this.player.setTracks(
        buffers.map((buffer, index) => ({ buffer, level: this.level(index) })));

      loading.remove();
      this.build(config);
      await this.analyse(buffers, config);
    }

    /** The factor by which a track is played: its gain when loudness is matched. */
    level(index) {
      return this.matched ? 10 ** (this.tracks[index].gain_db / 20) : 1;
    }

    build(config) {
      const { player } = this;
      this.choice = Unmix.choice({
        label: "Which signal you hear",
        options: this.tracks.map((track) => track.name),
        value: config.start,
        keys: true,
        onChange: (index) => this.select(index),
      });
      this.view = new Unmix.SpectrogramView(
        { duration: player.duration, maxFrequency: config.max_frequency });
      this.view.follow(player, "Position in seconds");
      this.loopButton = Unmix.button("Loop", () => this.toggleLoop(), {
        "aria-pressed": false,
        title: "Repeat everything, or the region that you drag over the spectrogram",
      });
      this.loopButton.append(h("kbd", { "aria-hidden": "true" }, "L"));
      this.matchSwitch = Unmix.toggle({
        label: "Loudness match", key: "M", value: this.matched,
        title: "Play every signal equally loud; off: play the levels as they are",
        onChange: (on) => this.setMatched(on),
      });
      player.addEventListener("state", () =>
        this.loopButton.setAttribute("aria-pressed", Boolean(player.loop)));

      this.levels = h("p", { class: "note levels" });
      this.panel.append(
        this.choice,
        this.view.element,
        h("div", { class: "row" }, Unmix.playButton(player), this.loopButton, this.matchSwitch,
          h("span", { class: "push" }, Unmix.timeReadout(player))),
        this.levels,
        ...config.notes.map((note) => h("p", { class: "note" }, note)),
        h("p", { class: "help" }, "Click the spectrogram to seek, drag to loop. Keys: space plays, "
          + "1–9 switch, ← → seek, Home returns."));
      this.describeLevels();
      this.bindKeys();
    }

    bindKeys() {
      const { player } = this;
      const keys = {
        " ": () => player.toggle(),
        k: () => player.toggle(),
        l: () => this.toggleLoop(),
        m: () => this.matchSwitch.set(!this.matched),
        ArrowLeft: () => player.seek(player.position - 1),
        ArrowRight: () => player.seek(player.position + 1),
        Home: () => player.seek(player.loop ? player.loop[0] : 0),
      };
      this.tracks.slice(0, 9).forEach((_, index) => {
        keys[String(index + 1)] = () => {
          this.choice.select(index);
          // the focus ring follows where it stood on another track
          if (this.choice.contains(this.shadowRoot.activeElement)) this.choice.focusSelected();
        };
      });
      Unmix.bindKeys(this.panel, keys);
    }

    /** Spectrograms of all tracks on one dB scale; the panel already plays while they are made. */
    async analyse(buffers, config) {
      this.spectrograms = [];
      for (const buffer of buffers) {
        await Unmix.turn();
        this.spectrograms.push(Unmix.powerSpectrogram(Unmix.channelsOf(buffer),
          { sampleRate: config.sample_rate, maxFrequency: config.max_frequency }));
      }
      this.top = Math.max(...this.spectrograms.map((one) => one.top));
      this.paint();
    }

    paint() {
      const levels = this.spectrograms && this.spectrograms[this.player.selected];
      if (levels && this.top !== undefined) this.view.show(levels, this.top);
    }

    select(index) {
      this.player.select(index);
      this.paint();
      this.describeLevels();
      this.announce(`Now hearing ${this.tracks[index].name}`);
    }

    toggleLoop() {
      const { player } = this;
      player.setLoop(player.loop ? null : [0, player.duration]);
      this.announce(player.loop ? "Loop on" : "Loop off");
    }

    setMatched(on) {
      this.matched = on;
      this.player.setLevels(this.tracks.map((_, index) => this.level(index)));
      this.describeLevels();
      this.announce(on ? "Loudness matched" : "Original levels");
    }

    describeLevels() {
      const { name, gain_db: gain } = this.tracks[this.player.selected];
      const sign = gain < 0 ? "\u2212" : "+";
      this.levels.textContent = this.matched
        ? `Equally loud: “${name}” is played at ${sign}${Math.abs(gain).toFixed(1)} dB.`
        : `Original levels: “${name}” is played as it is.`;
    }
  }

  window.Unmix.define("unmix-listen", Listen);
})();
