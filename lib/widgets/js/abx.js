/* <unmix-abx>: X is A or B. Which?
 *
 * config: that of Unmix.BlindTest, with two systems and test.repeats, the trials per item.
 */
(() => {
  "use strict";
  const { h, BlindTest } = window.Unmix;

  const LETTERS = "ABX";

  /** In what part of all tests of n trials a guesser finds at least k. */
  function chance(k, n) {
    let term = 2 ** -n; // of no hit
    let sum = 0;
    for (let i = 0; i <= n; i++) {
      if (i >= k) sum += term;
      term *= (n - i) / (i + 1);
    }
    return Math.min(1, sum);
  }

  class Abx extends BlindTest {
    static label = "ABX listening test";
    static css = `${BlindTest.css}
      .clips button, .reply button { min-width: 5.5rem; font-weight: 600; }`;

    minutes = 0.4;
    instructions = ["A and B are two versions of one recording, and X is one of these two. Which? "
      + "The three run in step and are equally loud; switch between them as often as you like. "
      + "A and B change places from trial to trial. If you hear no difference, guess."];

    plan(random) {
      const count = this.items.length;
      return Unmix.shuffled(count * this.test.repeats, random).map((place) =>
        ({ item: place % count, a: Number(random() < 0.5), x: Number(random() < 0.5) }));
    }

    tracks({ a, x }) {
      return [a, 1 - a, x];
    }

    build(trial, draft) {
      this.heard = new Set();
      this.choice = draft;
      this.buttons = [...LETTERS].map((letter, index) => Unmix.button(`▶ ${letter}`,
        () => this.hear(index), { "aria-pressed": "false", "aria-label": `Hear ${letter}` }));
      this.replies = ["a", "b"].map((letter, index) => {
        const button = Unmix.button(`X is ${letter.toUpperCase()}`, () => this.choose(letter),
          { "aria-pressed": String(letter === draft) });
        button.append(h("kbd", { "aria-hidden": "true" }, String(index + 1)));
        return button;
      });
      return [
        h("div", { class: "row clips", role: "group", "aria-label": "What you hear" }, this.buttons,
          this.playButton, this.time),
        h("div", { class: "row reply", role: "group", "aria-label": "Your answer" }, this.replies),
      ];
    }

    sounds(index) {
      this.heard.add(index);
      this.buttons.forEach((button, other) => button.setAttribute("aria-pressed", other === index));
      this.announce(`Now hearing ${LETTERS[index]}`);
    }

    choose(letter) {
      this.choice = letter;
      this.replies.forEach((button, index) =>
        button.setAttribute("aria-pressed", "ab"[index] === letter));
      this.save(letter);
      this.announce(`Your answer: X is ${letter.toUpperCase()}`);
    }

    help = "A, B and X hear, 1 and 2 answer";

    get keys() {
      return { a: () => this.hear(0), b: () => this.hear(1), x: () => this.hear(2),
        1: () => this.choose("a"), 2: () => this.choose("b") };
    }

    missing() {
      const left = [...LETTERS].filter((_, index) => !this.heard.has(index));
      if (left.length) return `Hear ${left.join(" and ")} first.`;
      return this.choice ? "" : "Answer first: is X the same as A, or as B?";
    }

    answer({ a, x }) {
      return { a: this.systems[a], b: this.systems[1 - a], x: this.systems[x], answer: this.choice };
    }

    result() {
      const { answers } = this.state;
      const right = answers.filter((one) => one[one.answer] === one.x).length;
      const luck = chance(right, answers.length);
      const percent = luck < 0.001 ? "less than 0.1" : (100 * luck).toFixed(luck < 0.1 ? 1 : 0);
      return h("p", {}, `You heard ${this.systems.join(" against ")}, and found X in ${right} of `
        + `${answers.length} trials. Guessing does at least as well in ${percent} % of such tests. `
        + (luck < 0.05 ? "So you very likely hear a difference."
          : "So this does not show that you hear a difference."));
    }
  }

  window.Unmix.define("unmix-abx", Abx);
})();
