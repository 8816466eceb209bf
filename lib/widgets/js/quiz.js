/* <unmix-quiz>: questions with feedback for every answer, no kernel needed.
 *
 * config: {title, questions: [{question, multiple, answers: [{text, correct, feedback}]}
 *                             or {question, numeric: {value, tolerance, unit, feedback_right,
 *                                                     feedback_wrong}}]}
 * Texts come from lib.quiz, which escapes all HTML but a few inline tags; only they use innerHTML.
 */
(() => {
  "use strict";
  const { h, Element } = window.Unmix;

  function rich(tag, html, attributes) {
    const node = h(tag, attributes);
    node.innerHTML = html;
    return node;
  }

  function verdict(right, html) {
    const mark = right ? "✓" : "✗";
    return h("p", { class: right ? "verdict right" : "verdict wrong" },
      h("b", {}, `${mark} ${right ? "Right." : "Not quite."} `), rich("span", html));
  }

  /** "0,5", "−3 dB" and "1e-3" are numbers too. */
  function parseNumber(text) {
    const clean = text.trim().replace(/\u2212/g, "-").replace(",", ".");
    return /^[-+]?(\d|\.\d)/.test(clean) ? parseFloat(clean) : NaN;
  }

  class Quiz extends Element {
    static label = "Quiz";
    static css = `
      fieldset { border: 0; border-top: 1px solid var(--line); margin: .8rem 0 0;
        padding: .8rem 0 0; min-width: 0; }
      legend { float: left; width: 100%; padding: 0; margin: 0 0 .5rem; font-weight: 600; }
      legend + * { clear: both; }
      .number { color: var(--quiet); font-weight: 400; margin-right: .5em; }
      .answer { display: flex; gap: .6rem; align-items: baseline; padding: .35rem .6rem;
        border-radius: 8px; cursor: pointer; }
      .answer:hover { background: var(--soft); }
      .answer input { accent-color: var(--accent); margin: 0; transform: translateY(1px); }
      input[type=text] { font: inherit; color: inherit; background: transparent; width: 8rem;
        padding: .3rem .6rem; border: 1px solid var(--quiet); border-radius: 8px; min-height: 2.15rem; }
      .check { margin-top: .5rem; }
      .verdict { margin: .5rem 0 0; padding: .1rem 0 .1rem .8rem; border-left: 3px solid; }
      .verdict.right { border-color: var(--good); } .verdict.right b { color: var(--good); }
      .verdict.wrong { border-color: var(--bad); } .verdict.wrong b { color: var(--bad); }
      .score { margin: .9rem 0 0; padding-top: .7rem; border-top: 1px solid var(--line); }
      .score b { font-variant-numeric: tabular-nums; }
      code { font: .92em ui-monospace, SFMono-Regular, Menlo, monospace; }`;

    setup(config) {
      this.right = config.questions.map(() => null);
      this.score = h("p", { class: "score", role: "status" });
      this.panel.append(
        rich("div", config.title || "Quiz", { class: "title" }),
        ...config.questions.map((question, index) => this.question(question, index)),
        this.score);
      // typing an answer or choosing one must not reach Jupyter's command mode
      this.panel.addEventListener("keydown", (event) => event.stopPropagation());
      this.showScore();
    }

    question(question, index) {
      const legend = h("legend", {}, h("span", { class: "number" }, `${index + 1}.`),
        rich("span", question.question));
      const feedback = h("div", { "aria-live": "polite" });
      const part = question.numeric
        ? this.numeric(question.numeric) : this.choices(question, index);
      const check = () => {
        const results = part.judge();
        if (!results) {
          feedback.replaceChildren(h("p", { class: "note" }, part.prompt));
          return;
        }
        feedback.replaceChildren(...results.verdicts);
        this.right[index] = results.right;
        this.showScore();
      };
      const form = h("form", { onSubmit: (event) => { event.preventDefault(); check(); } },
        part.node, h("button", { type: "submit", class: "check" }, "Check"), feedback);
      return h("fieldset", {}, legend, form);
    }

    choices({ answers, multiple }, index) {
      const inputs = answers.map(() => h("input",
        { type: multiple ? "checkbox" : "radio", name: `question-${index}` }));
      const node = h("div", {}, multiple ? h("p", { class: "note" }, "Choose all that apply.") : null,
        answers.map((answer, i) => h("label", { class: "answer" }, inputs[i],
          rich("span", answer.text))));
      const judge = () => {
        const chosen = answers.filter((_, i) => inputs[i].checked);
        if (!chosen.length) return null;
        const verdicts = chosen.map((answer) => verdict(answer.correct, answer.feedback));
        const missing = answers.some((answer, i) => answer.correct && !inputs[i].checked);
        if (multiple && missing) verdicts.push(h("p", { class: "note" }, "Something is still missing."));
        return { verdicts, right: !missing && chosen.every((answer) => answer.correct) };
      };
      return { node, judge, prompt: "Choose an answer first." };
    }

    numeric({ value, tolerance, unit, feedback_right: good, feedback_wrong: bad }) {
      const input = h("input", { type: "text", inputmode: "decimal", autocomplete: "off",
        "aria-label": unit ? `Your answer in ${unit}` : "Your answer" });
      const node = h("div", { class: "row" }, input, unit ? h("span", {}, unit) : null);
      const judge = () => {
        const number = parseNumber(input.value);
        if (Number.isNaN(number)) return null;
        const right = Math.abs(number - value) <= tolerance;
        return { verdicts: [verdict(right, right ? good : bad)], right };
      };
      return { node, judge, prompt: "Type a number first." };
    }

    showScore() {
      const right = this.right.filter(Boolean).length;
      const open = this.right.filter((one) => one === null).length;
      this.score.replaceChildren(h("b", {}, `${right} of ${this.right.length}`), " right",
        open ? `, ${open} to go.` : right === this.right.length ? ". Well done." : ". Try again.");
    }
  }

  window.Unmix.define("unmix-quiz", Quiz);
})();
