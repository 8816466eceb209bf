/* Unmix.BlindTest: what the blind listening tests share. <unmix-abx> and <unmix-mushra> extend it.
 *
 * config: {title, sample_rate, format: {format, format_version}, test: {kind, name, version,
 *          items: [name], systems: [name], ...}, clips: [[data URI per system] per item]}
 *
 * The listener types an id. Test and id give a seed, the seed gives the order of everything, so an
 * id meets the same test again wherever it is typed. Answers and the page at work are written to
 * localStorage with every change, one entry per listener.
 *
 * A subclass gives
 *   instructions      paragraphs for the first page; minutes: what one trial takes, roughly
 *   plan(random)      the trials in their order, each with `item`, an index
 *   tracks(trial)     what a trial plays: indices of systems, the first of them selected
 *   build(trial, draft)   the controls of a trial
 *   keys              what keys do during a trial; help: says it in words
 *   sounds(index)     called when track `index` starts to sound
 *   missing()         what is left to do before the next trial, "" if nothing
 *   answer(trial)     the trial's part of the exported file
 *   result()          says what was heard, for the end
 */
(() => {
  "use strict";
  const { h, Element, Player } = window.Unmix;

  /** A 32-bit number that a text gives each time: FNV-1a, mixed so that near texts part. */
  function hash(text) {
    let value = 0x811c9dc5;
    for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
    value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
    value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
    return (value ^ (value >>> 16)) >>> 0;
  }

  // A sandboxed frame has no storage, and a full one takes no more: memory serves until the page goes.
  const store = {
    memory: new Map(),
    lasts: true,
    read(key) {
      let text = null;
      try {
        text = localStorage.getItem(key);
      } catch {
        this.lasts = false;
      }
      try {
        return JSON.parse(text ?? this.memory.get(key) ?? "null");
      } catch {
        return null;
      }
    },
    write(key, value) {
      const text = JSON.stringify(value);
      this.memory.set(key, text);
      try {
        localStorage.setItem(key, text);
      } catch {
        this.lasts = false;
      }
    },
  };

  class BlindTest extends Element {
    static css = `
      .stage > * { margin: 0; }
      .stage > * + * { margin-top: .7rem; }
      h4 { font-size: 15px; }
      input[type=text] { font: inherit; color: inherit; background: transparent; padding: .3rem .6rem;
        border: 1px solid var(--quiet); border-radius: 8px; min-height: 2.15rem; width: 11rem; }
      .status { color: var(--bad); }
      textarea { width: 100%; height: 9rem; font: 12px/1.4 ui-monospace, Menlo, monospace;
        color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 8px; }
      .scroll { overflow-x: auto; }
      td:first-child, th:first-child { text-align: left; }`;

    async setup(config) {
      const { name, version, items, systems } = config.test;
      Object.assign(this, { test: config.test, items, systems });
      // another test under the same name, by mistake, must not take up these answers
      this.key = `unmix-${name}-${version}-${hash(JSON.stringify(config.test))}`;
      this.headline = h("div", { class: "title" }, config.title);
      const loading = h("p", { class: "note" }, "Reading the sounds …");
      this.panel.append(this.headline, loading);
      this.clips = await Promise.all(config.clips.map((item) => Promise.all(
        item.map((source) => Unmix.decode(source, config.sample_rate)))));
      const player = new Player({ sampleRate: config.sample_rate });
      player.addEventListener("state", () => {
        if (!this.trial || !player.playing || this.sounding === player.selected) return;
        this.sounding = player.selected;
        this.sounds(this.sounding);
      });
      this.player = player;
      this.playButton = Unmix.playButton(player);
      this.time = h("span", { class: "push" }, Unmix.timeReadout(player));
      this.status = h("span", { class: "note status" });
      const listener = store.read(this.key);
      if (listener) this.begin(listener);
      else this.ask();
    }

    /** Replace everything below the title; `keys` work there. */
    stage(nodes, keys = {}) {
      const stage = h("div", { class: "stage" }, nodes);
      Unmix.bindKeys(stage, keys);
      this.status.textContent = "";
      this.panel.replaceChildren(this.headline, stage);
    }

    /** Hear a track, from the start if nothing plays. */
    hear(index) {
      this.player.select(index);
      this.player.play();
    }

    /** Load what is played next: one item's clips of these systems, looped. */
    load(item, systems) {
      const { player } = this;
      player.pause();
      player.selected = 0;
      this.sounding = null;
      player.loop = null;
      player.setTracks(systems.map((system) => ({ buffer: this.clips[item][system] })));
      player.seek(0);
      player.setLoop([0, player.duration]);
    }

    // ---------------------------------------------------------------- the listener

    ask(focus = false) {
      this.trial = null;
      this.load(0, [this.systems.length - 2]); // of a MUSHRA test the reference
      const count = this.plan(Unmix.random(0)).length;
      const field = h("input", { type: "text", id: "listener", autocomplete: "off",
        autocapitalize: "none", spellcheck: "false", "aria-describedby": "about" });
      const start = () => {
        const listener = field.value.normalize("NFC").trim().toLowerCase();
        if (/^[\p{L}\p{N}][\p{L}\p{N}._-]{0,39}$/u.test(listener)) this.begin(listener, true);
        else this.complain("Type an id first: letters and digits, with . _ - between them.");
      };
      field.addEventListener("keydown", (event) => { if (event.key === "Enter") start(); });
      this.stage([
        ...this.instructions.map((text) => h("p", {}, text)),
        h("p", {}, `${count} trials, about ${Math.ceil(count * this.minutes)} minutes. Use headphones. `
          + "Set your volume with this sample, and then leave it:"),
        h("div", { class: "row" }, this.playButton),
        h("div", { class: "row" }, h("label", { for: "listener" }, "Your listener id"), field,
          Unmix.button("Start", start, { class: "primary" }), this.status),
        h("p", { class: "note", id: "about" }, "The id that you were given, or any nickname. It "
          + "decides the order of the test, and stands in the file that you hand in. Nothing is sent "
          + "anywhere; your answers stay in this browser."),
      ], { " ": () => this.player.toggle() });
      if (focus) field.focus();
    }

    begin(listener, focus = false) {
      const { name, version } = this.test;
      this.seed = hash(`${name} ${version} ${listener}`);
      this.trials = this.plan(Unmix.random(this.seed));
      this.state = store.read(`${this.key}-${listener}`)
        || { listener, started: new Date().toISOString(), answers: [], draft: null };
      this.save();
      this.next(focus);
    }

    save(draft = this.state.draft) {
      this.state.draft = draft;
      store.write(`${this.key}-${this.state.listener}`, this.state);
      store.write(this.key, this.state.listener);
    }

    leave() {
      store.write(this.key, null);
      this.ask(true);
    }

    // ---------------------------------------------------------------- trials

    next(focus = true) {
      const { answers, draft, listener } = this.state;
      const number = answers.length;
      this.trial = this.trials[number];
      if (!this.trial) {
        this.end(focus);
        return;
      }
      this.load(this.trial.item, this.tracks(this.trial));
      this.shown = performance.now();
      const heading = h("h4", { tabindex: -1 }, `Trial ${number + 1} of ${this.trials.length}`);
      const last = number === this.trials.length - 1;
      const onward = Unmix.button(last ? "Finish" : "Next", () => this.proceed(),
        { class: "primary next" });
      onward.append(h("kbd", { "aria-hidden": "true" }, "N"));
      this.stage([
        heading,
        ...this.build(this.trial, draft),
        h("div", { class: "row" }, onward, this.status,
          Unmix.button("Another listener", () => this.leave(), { class: "push" })),
        h("p", { class: "help" }, `Keys: ${this.help}, space plays and pauses, N goes on. `
          + `You are listener ${listener}. ${store.lasts
            ? "Your answers are kept in this browser: you can close the page and go on later."
            : "This page cannot keep your answers: finish before you close or reload it."}`),
      ], { " ": () => this.player.toggle(), n: () => this.proceed(), ...this.keys });
      if (focus) heading.focus();
    }

    complain(text) {
      this.status.textContent = text;
      this.announce(text);
    }

    proceed() {
      const missing = this.missing();
      if (missing) {
        this.complain(missing);
        return;
      }
      const seconds = Math.round(performance.now() - this.shown) / 1000;
      this.state.answers.push({ item: this.items[this.trial.item], ...this.answer(this.trial), seconds,
        answered: new Date().toISOString() });
      this.save(null);
      this.next();
    }

    // ---------------------------------------------------------------- the end

    /** The file that is handed in; lib.course.listening reads it. */
    get record() {
      const { listener, started, answers } = this.state;
      return { ...this.config.format, test: this.test, listener, seed: this.seed, started,
        finished: answers[answers.length - 1].answered, answers };
    }

    end(focus) {
      this.player.pause();
      const { name, version } = this.test;
      const { listener } = this.state;
      const text = `${JSON.stringify(this.record, null, 1)}\n`;
      const heading = h("h4", { tabindex: -1 }, `Done: ${this.trials.length} trials. Thank you!`);
      const download = () => {
        const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
        h("a", { href: url, download: `${name}-v${version}-${listener}.json` }).click();
        setTimeout(() => URL.revokeObjectURL(url), 10_000);
      };
      const result = h("div", { "aria-live": "polite" });
      const reveal = Unmix.button("Show what I heard", () => {
        result.replaceChildren(this.result());
        reveal.disabled = true;
      });
      this.stage([
        heading,
        h("p", {}, "Save the file with your answers and hand it in."),
        h("div", { class: "row" }, Unmix.button("Save my answers", download, { class: "primary" }), reveal,
          Unmix.button("Another listener", () => this.leave(), { class: "push" })),
        h("details", {}, h("summary", {}, "If nothing is saved, copy this text into a file"),
          h("textarea", { readonly: true, "aria-label": "Your answers" }, text)),
        result,
      ]);
      if (focus) heading.focus();
    }
  }

  window.Unmix.BlindTest = BlindTest;
})();
