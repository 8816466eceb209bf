/* <unmix-guess-the-score>: rank clips blind, then compare your order with the metrics'.
 *
 * config: {title, sample_rate, note, reference: track, clips: [track], metrics: [{name, digits,
 *          values: [number per clip]}]}, where a track is {name, source, original_db, matched_db}
 */
(() => {
  "use strict";
  const { h, svg, Element, Player } = window.Unmix;

  const LETTERS = "ABCDEFGH";
  const QUESTIONS = [
    { short: "sound", choice: "Which sounds best?", you: "You: sound", best: "best", worst: "worst" },
    { short: "words", choice: "Whose words are easiest to write down?", you: "You: words",
      best: "easiest", worst: "hardest" },
  ];

  const plain = (name) => name.replace(/ \(.*\)$/, ""); // without its unit
  const number = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

  /** Ranks from 1 for the highest value; equal values share the mean of their ranks. */
  function ranks(values) {
    return values.map((value) => {
      const above = values.filter((other) => other > value).length;
      const equal = values.filter((other) => other === value).length;
      return above + (equal + 1) / 2;
    });
  }

  /** Correlation coefficient; of two lists of ranks it is Spearman's. NaN if one is constant. */
  function correlation(first, second) {
    const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
    const [a, b] = [first, second].map((list) => list.map((value) => value - mean(list)));
    const dot = (p, q) => p.reduce((sum, value, i) => sum + value * q[i], 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  }

  /** In what part of all possible orders a random one would agree with `fixed` as well as this. */
  function chance(fixed, found) {
    let count = 0;
    let total = 0;
    const order = fixed.map((_, i) => i + 1);
    const visit = (k) => { // Heap's algorithm: every order once
      if (k === 1) {
        total += 1;
        if (correlation(order, fixed) >= found - 1e-9) count += 1;
        return;
      }
      for (let i = 0; i < k; i++) {
        visit(k - 1);
        const other = k % 2 ? 0 : i;
        if (i < k - 1) [order[other], order[k - 1]] = [order[k - 1], order[other]];
      }
    };
    visit(order.length);
    return count / total;
  }

  class GuessTheScore extends Element {
    static label = "Guess the score";
    static css = `
      ol { list-style: none; margin: 0; padding: 0; }
      li { display: flex; align-items: center; gap: .5rem; padding: .2rem .45rem; border-radius: 8px;
        border: 1px solid transparent; }
      li + li { margin-top: .15rem; }
      li.heard { background: var(--soft); border-color: var(--line); }
      li.dragged { border-color: var(--accent); box-shadow: 0 2px 8px #0004; }
      li .rank { width: 1.6rem; text-align: right; color: var(--quiet);
        font-variant-numeric: tabular-nums; }
      li .hint { color: var(--quiet); font-size: 12.5px; }
      button.grip { cursor: grab; touch-action: none; padding: .3rem .6rem; color: var(--quiet); }
      button.hear { min-width: 4.6rem; font-weight: 600; text-align: left; }
      button.move { padding: .3rem .6rem; }
      li .unheard { color: var(--bad); font-size: 12.5px; }
      .end { display: flex; justify-content: space-between; color: var(--quiet); font-size: 12.5px; }
      .scroll { overflow-x: auto; }
      table { font-size: 13px; width: 100%; }
      td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
      td small { color: var(--quiet); }
      td.strong { font-weight: 700; color: var(--good); }
      tr.heard td { background: var(--soft); }
      svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
      svg .head { font-weight: 600; }
      svg path { fill: none; stroke: var(--quiet); stroke-width: 1.6; opacity: .55; }
      svg circle { fill: var(--quiet); }
      svg g.heard path { stroke: var(--accent); stroke-width: 4; opacity: 1; }
      svg g.heard circle { fill: var(--accent); }
      h4 { margin: .9rem 0 .3rem; font-size: 14px; }
      .verdict b { color: var(--good); }`;

    async setup(config) {
      this.clips = config.clips;
      this.metrics = config.metrics;
      this.matched = true;
      const loading = h("p", { class: "note" }, "Reading the sounds …");
      this.panel.append(h("div", { class: "title" }, config.title), loading);
      this.sources = [...this.clips, config.reference];
      const buffers = await Promise.all(
        this.sources.map(({ source }) => Unmix.decode(source, config.sample_rate)));
      this.player = new Player({ sampleRate: config.sample_rate });
      this.player.selected = this.clips.length;
      this.player.setTracks(buffers.map((buffer, i) => ({ buffer, level: this.level(i) })));
      this.player.setLoop([0, this.player.duration]);
      loading.remove();
      this.build(config);
      this.begin();
    }

    level(index) {
      const { matched_db: matched, original_db: original } = this.sources[index];
      return 10 ** ((this.matched ? matched : original) / 20);
    }

    // ---------------------------------------------------------------- controls

    build(config) {
      this.question = Unmix.choice({ label: "By what you rank",
        options: QUESTIONS.map(({ choice }) => choice), onChange: (index) => this.ask(index) });
      this.referenceButton = Unmix.button("Reference", () => this.hear(this.clips.length),
        { "aria-pressed": true });
      this.referenceButton.append(h("kbd", { "aria-hidden": "true" }, "R"));
      this.match = Unmix.toggle({ label: "Loudness match", key: "M", value: true,
        title: "Play every clip equally loud; off: play the levels as they are",
        onChange: (on) => {
          this.matched = on;
          this.player.setLevels(this.sources.map((_, index) => this.level(index)));
        } });
      this.list = h("ol", { "aria-label": "Your order, best first" });
      this.ends = [h("div", { class: "end" }), h("div", { class: "end" })];
      this.revealButton = Unmix.button("Reveal the scores", () => this.reveal(),
        { class: "primary" });
      this.againButton = Unmix.button("Shuffle and start again", () => this.begin());
      this.status = h("span", { class: "note" });
      this.results = h("div", { class: "results" });
      const last = LETTERS[this.clips.length - 1];
      this.panel.append(
        this.question,
        h("div", { class: "row" }, Unmix.playButton(this.player), this.referenceButton, this.match,
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        this.ends[0], this.list, this.ends[1],
        h("div", { class: "row" }, this.revealButton, this.againButton, this.status),
        this.results,
        ...(config.note ? [h("p", { class: "note" }, config.note)] : []),
        h("p", { class: "help" }, `Keys: A–${last} hear a clip, R the reference, space plays, `
          + "M switches loudness matching. Drag a clip by its grip, or use ▲ ▼, or ↑ ↓ on the grip."));
      const keys = { " ": () => this.player.toggle(), r: () => this.hear(this.clips.length),
        m: () => this.match.set(!this.matched) };
      this.clips.forEach((_, letter) => {
        keys[LETTERS[letter].toLowerCase()] = () => this.hear(this.order[letter]);
      });
      Unmix.bindKeys(this.panel, keys);
      this.buildRows();
    }

    // One row per letter, made once: reordering moves them, so that focus and drag survive.
    buildRows() {
      this.rows = this.clips.map((_, letter) => {
        const name = `Clip ${LETTERS[letter]}`;
        const row = h("li", { "data-letter": LETTERS[letter] });
        row.rank = h("span", { class: "rank" });
        row.grip = Unmix.button("⠿", () => {}, { class: "grip", title: "Drag, or press ↑ ↓",
          "aria-roledescription": "sortable" });
        row.hear = Unmix.button(`▶ ${LETTERS[letter]}`, () => {
          this.hear(this.order[letter]);
          this.player.play();
        }, { class: "hear", "aria-pressed": false, "aria-label": `Hear clip ${LETTERS[letter]}` });
        row.up = Unmix.button("▲", () => this.move(letter, -1),
          { class: "move", "aria-label": `${name}: one up` });
        row.down = Unmix.button("▼", () => this.move(letter, 1),
          { class: "move", "aria-label": `${name}: one down` });
        row.hint = h("span", { class: "hint" });
        row.append(row.rank, row.grip, row.hear, row.up, row.down, row.hint);
        row.grip.addEventListener("keydown", (event) => {
          const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
          if (!step) return;
          this.move(letter, step);
          event.preventDefault();
          event.stopPropagation();
        });
        this.makeDraggable(row, letter);
        return row;
      });
    }

    makeDraggable(row, letter) {
      let dragging = false;
      row.grip.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        dragging = true;
        row.grip.setPointerCapture(event.pointerId);
        row.classList.add("dragged");
      });
      row.grip.addEventListener("pointermove", (event) => {
        if (!dragging) return;
        const others = this.ranking.filter((other) => other !== letter);
        const place = others.filter((other) => {
          const box = this.rows[other].getBoundingClientRect();
          return event.clientY > box.top + box.height / 2;
        }).length;
        this.place(letter, place);
      });
      const stop = () => {
        if (!dragging) return;
        dragging = false;
        row.classList.remove("dragged");
        this.say(letter);
      };
      row.grip.addEventListener("pointerup", stop);
      row.grip.addEventListener("pointercancel", stop);
    }

    // ---------------------------------------------------------------- the game

    begin() {
      this.player.pause();
      this.order = Unmix.shuffled(this.clips.length); // letter -> clip
      this.rankings = QUESTIONS.map(() => this.clips.map((_, letter) => letter));
      this.touched = QUESTIONS.map(() => false);
      this.listened = new Set();
      this.revealed = false;
      this.results.replaceChildren();
      this.revealButton.disabled = false;
      this.question.select(0);
      this.hear(this.clips.length);
      this.announce("The clips have new letters.");
    }

    get ranking() {
      return this.rankings[this.asked];
    }

    ask(index) {
      this.asked = index;
      const { best, worst } = QUESTIONS[index];
      this.ends[0].replaceChildren(`▲ ${best}`);
      this.ends[1].replaceChildren(`▼ ${worst}`);
      this.arrange();
    }

    hear(clip) {
      this.player.select(clip);
      const letter = this.order.indexOf(clip);
      if (letter >= 0) this.listened.add(letter);
      this.referenceButton.setAttribute("aria-pressed", letter < 0);
      this.announce(letter < 0 ? "Now hearing the reference" : `Now hearing ${LETTERS[letter]}`);
      this.mark();
    }

    /** Show which clip is heard, and which have not been. */
    mark() {
      const heard = this.order.indexOf(this.player.selected);
      this.rows.forEach((row, letter) => {
        row.classList.toggle("heard", letter === heard);
        row.hear.setAttribute("aria-pressed", letter === heard);
        row.hint.textContent = this.revealed ? this.clips[this.order[letter]].name
          : (this.listened.has(letter) ? "" : "not heard yet");
      });
      this.results.querySelectorAll("[data-of]").forEach((node) =>
        node.classList.toggle("heard", node.dataset.of === LETTERS[heard]));
      const left = this.clips.length - this.listened.size;
      this.status.textContent = this.revealed || left === 0 ? ""
        : `${left} of ${this.clips.length} clips not heard yet.`;
    }

    move(letter, step) {
      const from = this.ranking.indexOf(letter);
      const focused = this.shadowRoot.activeElement;
      this.place(letter, Math.max(0, Math.min(this.clips.length - 1, from + step)));
      if (focused) {
        // a disabled button loses the focus: hand it to its neighbour in the row
        const row = this.rows[letter];
        (focused.disabled ? row.grip : focused).focus();
      }
      this.say(letter);
    }

    /** Put a clip at a place of the order (0 is the best). */
    place(letter, index) {
      if (this.revealed) return;
      const from = this.ranking.indexOf(letter);
      this.touched[this.asked] = true;
      if (from === index) return;
      this.ranking.splice(from, 1);
      this.ranking.splice(index, 0, letter);
      this.arrange();
    }

    say(letter) {
      this.announce(`${LETTERS[letter]} is number ${this.ranking.indexOf(letter) + 1} `
        + `of ${this.clips.length}`);
    }

    arrange() {
      this.ranking.forEach((letter, index) => {
        const row = this.rows[letter];
        // moving only what stands wrong keeps focus and pointer capture of the row in hand
        if (this.list.children[index] !== row && !row.classList.contains("dragged")) {
          this.list.insertBefore(row, this.list.children[index] || null);
        }
      });
      this.settle();
      this.ranking.forEach((letter, index) => {
        const row = this.rows[letter];
        row.rank.textContent = `${index + 1}.`;
        row.grip.setAttribute("aria-label", `Clip ${LETTERS[letter]}, number ${index + 1} of `
          + `${this.clips.length}. Arrow keys move it.`);
        row.up.disabled = this.revealed || index === 0;
        row.down.disabled = this.revealed || index === this.clips.length - 1;
        row.grip.disabled = this.revealed;
      });
      this.mark();
    }

    // While a row is dragged, the others walk around it.
    settle() {
      const held = this.rows.findIndex((row) => row.classList.contains("dragged"));
      if (held < 0) return;
      const index = this.ranking.indexOf(held);
      this.ranking.forEach((letter, place) => {
        if (place < index) this.list.insertBefore(this.rows[letter], this.rows[held]);
      });
      this.ranking.slice(index + 1).forEach((letter) => this.list.append(this.rows[letter]));
    }

    // ---------------------------------------------------------------- the result

    reveal() {
      if (!this.touched.some(Boolean)) {
        this.status.textContent = "Put the clips in your order first: move at least one.";
        this.announce(this.status.textContent);
        return;
      }
      this.revealed = true;
      this.revealButton.disabled = true;
      const mine = QUESTIONS.map((question, index) => ({ question, index }))
        .filter(({ index }) => this.touched[index])
        .map(({ question, index }) => ({ name: question.you, short: question.short,
          ranks: this.order.map((_, letter) => this.rankings[index].indexOf(letter) + 1) }));
      const theirs = this.metrics.map(({ name, digits, values }) => {
        const own = this.order.map((clip) => values[clip]);
        return { name, digits, values: own, ranks: ranks(own) };
      });
      this.agreement = mine.map((you) => theirs.map((metric) => {
        const rho = correlation(you.ranks, metric.ranks);
        return { rho, chance: chance(metric.ranks, rho) };
      }));
      this.results.replaceChildren(
        h("h4", {}, "How well each metric follows your order"),
        this.agreementTable(mine, theirs), this.verdict(mine, theirs),
        h("h4", {}, "Rank by rank"), this.chart([...mine, ...theirs]),
        h("h4", {}, "What you heard"), this.table(mine, theirs));
      this.arrange();
      this.announce("The scores are shown below.");
    }

    agreementTable(mine, theirs) {
      const head = h("tr", {}, h("th", {}, "Your order by"), h("th", {}, "Metric"),
        h("th", {}, "Spearman ρ"), h("th", {}, "a random order does as well"));
      const rows = mine.flatMap((you, i) => theirs.map((metric, j) => {
        const { rho, chance: luck } = this.agreement[i][j];
        return h("tr", { "data-pair": `${you.short}/${plain(metric.name)}` }, h("td", {}, you.short),
          h("td", {}, plain(metric.name)),
          h("td", { class: luck < 0.05 ? "strong" : null }, number(rho, 2)),
          h("td", {}, luck < 0.001 ? "1 in 1000 or less" : `${(100 * luck).toFixed(luck < 0.1 ? 1 : 0)} %`));
      }));
      return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows)));
    }

    verdict(mine, theirs) {
      const sentences = mine.map((you, i) => {
        const row = this.agreement[i];
        const best = row.reduce((top, pair, j) => (pair.rho > row[top].rho ? j : top), 0);
        return row[best].chance < 0.05
          ? [`Your order by ${you.short} is followed best by `, h("b", {}, plain(theirs[best].name)), ". "]
          : [`No metric follows your order by ${you.short} better than chance. `];
      });
      const among = theirs.flatMap((one, i) => theirs.slice(i + 1).map((two) =>
        `${plain(one.name)} and ${plain(two.name)} ${number(correlation(one.ranks, two.ranks), 2)}`));
      return h("p", { class: "verdict" }, sentences.flat(),
        among.length ? `Among themselves the metrics agree like this: ${among.join(", ")}.` : null);
    }

    chart(columns) {
      const count = this.clips.length;
      const [width, top, step, side] = [640, 34, 22, 46];
      const height = top + step * count;
      const at = (column) => side + (column * (width - 2 * side)) / Math.max(1, columns.length - 1);
      const y = (rank) => top + step * (rank - 0.5);
      const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img",
        "aria-label": "Rank of each clip by you and by each metric; the table below says the same" });
      columns.forEach(({ name }, column) => {
        const anchor = column === 0 ? "start" : (column === columns.length - 1 ? "end" : "middle");
        const x = column === 0 ? 0 : (column === columns.length - 1 ? width : at(column));
        root.append(svg("text", { x, y: 14, class: "head", "text-anchor": anchor }, name));
      });
      this.order.forEach((_, letter) => {
        const points = columns.map((column, i) => [at(i), y(column.ranks[letter])]);
        const end = points[points.length - 1];
        root.append(svg("g", { "data-of": LETTERS[letter] },
          svg("path", { d: `M${points.map((point) => point.join(" ")).join("L")}` }),
          ...points.map(([cx, cy]) => svg("circle", { cx, cy, r: 3.5 })),
          svg("text", { x: points[0][0] - 14, y: points[0][1] + 4, "text-anchor": "end" },
            LETTERS[letter]),
          svg("text", { x: end[0] + 14, y: end[1] + 4 }, LETTERS[letter])));
      });
      return root;
    }

    table(mine, theirs) {
      const head = h("tr", {}, h("th", {}, "Clip"), h("th", {}, "What it was"),
        mine.map((you) => h("th", {}, you.name)), theirs.map((metric) => h("th", {}, metric.name)));
      const first = mine[0].ranks;
      const letters = this.order.map((_, letter) => letter).sort((a, b) => first[a] - first[b]);
      const rows = letters.map((letter) => h("tr", { "data-of": LETTERS[letter] },
        h("td", {}, LETTERS[letter]), h("td", {}, this.clips[this.order[letter]].name),
        mine.map((you) => h("td", {}, `${you.ranks[letter]}.`)),
        theirs.map((metric) => h("td", {}, number(metric.values[letter], metric.digits),
          h("small", {}, ` (${metric.ranks[letter]}.)`)))));
      return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows)));
    }
  }

  window.Unmix.define("unmix-guess-the-score", GuessTheScore);
})();
