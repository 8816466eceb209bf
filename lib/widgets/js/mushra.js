/* <unmix-mushra>: rate versions side by side, among them the reference and the anchor, unnamed.
 *
 * config: that of Unmix.BlindTest; the last two systems are the reference and the anchor, and
 *         `question` is what the listener judges.
 */
(() => {
  "use strict";
  const { h, BlindTest } = window.Unmix;

  const LETTERS = "ABCDEFGH";
  const GRADES = ["bad", "poor", "fair", "good", "excellent"];
  const MIDDLE = 50; // where a slider rests until it is moved

  const grade = (value) => GRADES[Math.min(4, Math.floor(value / 20))];

  class Mushra extends BlindTest {
    static label = "MUSHRA listening test";
    static css = `${BlindTest.css}
      .stimulus, .scale { display: grid; grid-template-columns: 4.8rem minmax(0, 1fr) 7rem;
        column-gap: .8rem; align-items: center; padding: .15rem .45rem; border-radius: 8px;
        border: 1px solid transparent; }
      .stimulus.heard { background: var(--soft); border-color: var(--line); }
      .stimulus .slider { display: contents; }
      .stimulus.unrated input { opacity: .45; }
      .stimulus .readout { text-align: left; }
      .stimulus button { font-weight: 600; }
      .scale div { display: flex; grid-column: 2; font-size: 12.5px; color: var(--quiet); }
      .scale span { flex: 1; text-align: center; }
      .scale span + span { border-left: 1px solid var(--line); }
      @media (max-width: 560px) {
        .stimulus { grid-template-columns: 4.8rem minmax(0, 1fr); }
        .stimulus input { grid-column: 1 / 3; grid-row: 2; }
        .scale { display: none; }
      }`;

    minutes = 1.5;

    get instructions() {
      return [this.config.question, "You rate several versions of each recording from 0 to 100, side by "
        + "side with the reference. One of them is the reference itself: find it, and give it 100. "
        + "All run in step and are equally loud."];
    }

    plan(random) {
      return Unmix.shuffled(this.items.length, random).map((item) =>
        ({ item, order: Unmix.shuffled(this.systems.length, random) }));
    }

    // the open reference comes first, then the letters
    tracks({ order }) {
      return [this.systems.length - 2, ...order];
    }

    build({ order }, draft) {
      this.ratings = draft || order.map(() => null);
      this.referenceButton = Unmix.button("Reference", () => this.hear(0), { "aria-pressed": "false" });
      this.referenceButton.append(h("kbd", { "aria-hidden": "true" }, "R"));
      this.rows = this.ratings.map((rating, index) => this.row(rating, index));
      return [
        h("div", { class: "row" }, this.playButton, this.referenceButton, this.time),
        h("div", { class: "scale", "aria-hidden": "true" },
          h("div", {}, GRADES.map((name) => h("span", {}, name)))),
        h("div", { role: "group", "aria-label": "Versions" }, this.rows),
      ];
    }

    row(rating, index) {
      const letter = LETTERS[index];
      const row = h("div", { class: "stimulus" });
      row.button = Unmix.button(`▶ ${letter}`, () => this.hear(index + 1),
        { "aria-pressed": "false", "aria-label": `Hear ${letter}` });
      const slider = Unmix.slider({
        label: `Rating of ${letter}`, min: 0, max: 100, value: rating ?? MIDDLE,
        format: (value) => (this.ratings[index] === null ? "not rated" : `${value} ${grade(value)}`),
        onInput: (value) => {
          this.ratings[index] = value;
          row.classList.remove("unrated");
          slider.set(value, true); // again: it is rated now
          // who rates a version should hear that one
          if (this.player.selected !== index + 1) this.hear(index + 1);
          this.save(this.ratings);
        },
      });
      slider.querySelector("label").className = "spoken";
      row.classList.toggle("unrated", rating === null);
      row.append(row.button, slider);
      return row;
    }

    sounds(index) {
      this.referenceButton.setAttribute("aria-pressed", index === 0);
      this.rows.forEach((row, other) => {
        row.classList.toggle("heard", other === index - 1);
        row.button.setAttribute("aria-pressed", other === index - 1);
      });
      this.announce(`Now hearing ${index ? LETTERS[index - 1] : "the reference"}`);
    }

    get help() {
      return `A–${LETTERS[this.rows.length - 1]} hear a version, R the reference, ← → move the slider `
        + "that has the focus, Page Up and Page Down by more";
    }

    get keys() {
      const keys = { r: () => this.hear(0) };
      this.rows.forEach((_, index) => {
        keys[LETTERS[index].toLowerCase()] = () => this.hear(index + 1);
      });
      return keys;
    }

    missing() {
      const left = this.ratings.flatMap((rating, index) => (rating === null ? [LETTERS[index]] : []));
      return left.length ? `Rate every version; still without: ${left.join(", ")}.` : "";
    }

    answer({ order }) {
      const names = order.map((system) => this.systems[system]);
      return { order: names,
        ratings: Object.fromEntries(names.map((name, index) => [name, this.ratings[index]])) };
    }

    result() {
      const { answers } = this.state;
      const mean = (name) =>
        answers.reduce((sum, { ratings }) => sum + ratings[name], 0) / answers.length;
      const names = [...this.systems].sort((one, other) => mean(other) - mean(one));
      const missed = answers.filter(({ ratings }) =>
        ratings[this.systems[this.systems.length - 2]] < 90).length;
      const head = h("tr", {}, h("th", {}, "Version"),
        answers.map((_, index) => h("th", {}, `Trial ${index + 1}`)), h("th", {}, "Mean"));
      const rows = names.map((name) => h("tr", {}, h("td", {}, name),
        answers.map(({ ratings }) => h("td", {}, String(ratings[name]))),
        h("td", {}, mean(name).toFixed(0))));
      return h("div", {},
        h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
        h("p", {}, missed === 0 ? "You gave the hidden reference at least 90 every time."
          : `You gave the hidden reference less than 90 in ${missed} of ${answers.length} trials.`));
    }
  }

  window.Unmix.define("unmix-mushra", Mushra);
})();
