/* <unmix-permutation-game>: pairwise losses, an assignment by hand, and two algorithms.
 *
 * config: {title, sources, seconds, seed}
 * costs[r][e] is the loss of output e against reference r, in whole numbers; chosen[r] is an output.
 */
(() => {
  "use strict";
  const { h, Element, random } = window.Unmix;
  const SIZES = [2, 3, 4, 5];

  function permutations(n) {
    if (n === 0) return [[]];
    return permutations(n - 1).flatMap((p) =>
      Array.from({ length: n }, (_, place) => [...p.slice(0, place), n - 1, ...p.slice(place)]));
  }

  const total = (costs, order) => order.reduce((sum, e, r) => sum + costs[r][e], 0);

  /** Shortest augmenting paths with potentials; one step for each reference added. */
  function hungarian(costs) {
    const n = costs.length;
    const u = Array(n + 1).fill(0);
    const v = Array(n + 1).fill(0);
    const match = Array(n + 1).fill(0); // output -> reference, counted from 1
    const steps = [];
    for (let r = 1; r <= n; r++) {
      match[0] = r;
      const from = Array(n + 1).fill(0);
      const slack = Array(n + 1).fill(Infinity);
      const used = Array(n + 1).fill(false);
      let at = 0;
      do {
        used[at] = true;
        let delta = Infinity;
        let next = 0;
        for (let e = 1; e <= n; e++) {
          if (used[e]) continue;
          const rest = costs[match[at] - 1][e - 1] - u[match[at]] - v[e];
          if (rest < slack[e]) { slack[e] = rest; from[e] = at; }
          if (slack[e] < delta) { delta = slack[e]; next = e; }
        }
        for (let e = 0; e <= n; e++) {
          if (used[e]) { u[match[e]] += delta; v[e] -= delta; } else slack[e] -= delta;
        }
        at = next;
      } while (match[at] !== 0);
      while (at) { match[at] = match[from[at]]; at = from[at]; }
      const order = Array(n).fill(null);
      for (let e = 1; e <= n; e++) if (match[e]) order[match[e] - 1] = e - 1;
      steps.push(order);
    }
    return steps;
  }

  class PermutationGame extends Element {
    static label = "Permutation game";

    static css = `
      table { border-collapse: collapse; }
      th, td { padding: .15rem .3rem; text-align: center; font-weight: 400; }
      td button { min-width: 3rem; font-variant-numeric: tabular-nums; }

      .scroll { overflow-x: auto; }`;

    setup(config) {
      Object.assign(this, { size: config.sources, round: 0, timer: null });
      this.config = config;
      this.clock = h("span", { class: "readout push" });
      this.sizeChoice = Unmix.choice({ label: "Sources", options: SIZES.map(String),
        value: SIZES.indexOf(this.size), onChange: (i) => { this.size = SIZES[i]; this.deal(); } });
      this.board = h("div", { class: "scroll" });
      this.verdict = h("p", { class: "result", style: "min-height:3em" });
      this.panel.append(
        h("div", { class: "row" }, h("span", { class: "title" }, config.title), this.clock),
        h("div", { class: "row" }, h("span", { "aria-hidden": "true" }, "Sources"), this.sizeChoice,
          Unmix.button("New round", () => this.deal(), { class: "primary" })),
        this.board,
        h("div", { class: "row" },
          Unmix.button("Enumeration step", () => this.enumerate()),
          Unmix.button("Hungarian step", () => this.hungarianStep())),
        this.verdict,
        h("p", { class: "help" }, "Choose one output in each row so that the sum is smallest. "
          + "Arrow keys move, Enter chooses."));
      this.deal();
    }

    disconnectedCallback() {
      clearInterval(this.timer);
      super.disconnectedCallback?.();
    }

    deal() {
      const draw = random(this.config.seed * 1000 + this.round * 10 + this.size);
      this.round += 1;
      const n = this.size;
      this.costs = Array.from({ length: n }, () =>
        Array.from({ length: n }, () => 1 + Math.floor(20 * draw())));
      this.orders = permutations(n);
      this.best = Math.min(...this.orders.map((order) => total(this.costs, order)));
      this.steps = hungarian(this.costs);
      Object.assign(this, { chosen: Array(n).fill(null), tried: 0, lowest: Infinity, solved: 0 });
      Object.assign(this, { left: this.config.seconds, over: false });
      this.cells = this.costs.map((row, r) => row.map((cost, e) => Unmix.button(String(cost),
        () => this.choose(r, e), { "aria-label": `reference ${r + 1}, output ${e + 1}: loss ${cost}`,
          "aria-pressed": "false", onKeydown: (event) => this.move(event, r, e) })));
      this.board.replaceChildren(h("table", {},
        h("tr", {}, h("th"), this.costs.map((_, e) => h("th", { scope: "col" }, `output ${e + 1}`))),
        this.cells.map((row, r) => h("tr", {}, h("th", { scope: "row" }, `reference ${r + 1}`),
          row.map((cell) => h("td", {}, cell))))));
      this.say("The clock starts with your first choice.");
      clearInterval(this.timer);
      this.timer = null;
      this.tick(0);
    }

    tick(passed) {
      this.left = Math.max(0, this.left - passed);
      this.clock.textContent = `${this.left} s left`;
      if (this.left === 0) this.finish("Time is up.");
    }

    move(event, r, e) {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const n = this.size;
      this.cells[(r + step[0] + n) % n][(e + step[1] + n) % n].focus();
    }

    choose(r, e) {
      if (this.over) return;
      if (!this.timer) this.timer = setInterval(() => this.tick(1), 1000);
      this.chosen = this.chosen.map((one, other) => (other === r ? e : one === e ? null : one));
      this.show(this.chosen);
      if (!this.chosen.includes(null)) {
        const sum = total(this.costs, this.chosen);
        if (sum === this.best) this.finish(`Sum ${sum}: the best there is.`);
        else this.say(`Sum ${sum}. There is a better one.`);
      }
    }

    show(order) {
      this.cells.forEach((row, r) => row.forEach((cell, e) =>
        cell.setAttribute("aria-pressed", String(order[r] === e))));
    }

    finish(text) {
      this.over = true;
      clearInterval(this.timer);
      this.say(`${text} PIT takes the mean: ${(this.best / this.size).toFixed(2)}.`);
    }

    enumerate() {
      this.stop();
      const order = this.orders[this.tried % this.orders.length];
      this.tried = (this.tried % this.orders.length) + 1;
      if (this.tried === 1) this.lowest = Infinity;
      const sum = total(this.costs, order);
      this.lowest = Math.min(this.lowest, sum);
      this.show(order);
      this.say(`Assignment ${this.tried} of ${this.orders.length}: sum ${sum}, lowest so far ${this.lowest}.`);
    }

    hungarianStep() {
      this.stop();
      const order = this.steps[this.solved % this.size];
      this.solved = (this.solved % this.size) + 1;
      this.show(order);
      const sum = order.reduce((s, e, r) => s + (e === null ? 0 : this.costs[r][e]), 0);
      this.say(`Reference ${this.solved} of ${this.size} added: the best sum of these rows is ${sum}.`);
    }

    stop() {
      this.over = true;
      clearInterval(this.timer);
    }

    say(text) {
      this.verdict.textContent = text;
      this.announce(text);
    }
  }

  Unmix.define("unmix-permutation-game", PermutationGame);
})();
