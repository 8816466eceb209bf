/* <unmix-dataset-atlas>: corpora as a chart (hours by year, size by number of items) and a table to
 * sort, filter and search; what each holds, its licence and its trap; one of them to hear.
 *
 * config: {title, clip: {name, what, source: data URI, sample_rate}, rows: [{name, year, tasks: [text],
 *          items, unit, hours, sample_rate, channels, licence, licence_class, access, contents, trap,
 *          source, from_memory, verified}]}; a missing number is null.
 */
(() => {
  "use strict";
  const { h, svg, Element, Player, palette } = window.Unmix;

  const WIDTH = 720;
  const HEIGHT = 330;
  const EDGE = { left: 52, right: 12, top: 12, bottom: 40 };
  const HOURS = { min: 0.03, max: 2000, ticks: [0.1, 1, 10, 100, 1000] };
  // A colour and a letter for each class of licence: nobody has to tell colours apart.
  const LICENCES = {
    open: ["O", palette.green],
    "non-commercial": ["N", palette.sky],
    "ask the source": ["?", palette.yellow],
    paid: ["P", palette.orange],
    "not available": ["×", palette.grey],
  };
  const COLUMNS = [
    ["name", "Name", (row) => row.name],
    ["year", "Year", (row) => row.year],
    ["task", "Task", (row) => row.tasks.join(", ")],
    ["items", "Items", (row) => row.items],
    ["hours", "Hours", (row) => row.hours],
    ["sample_rate", "kHz", (row) => row.sample_rate],
    ["licence", "Licence", (row) => `${row.licence_class} ${row.licence}`],
  ];
  const SHORT = { "speech corpus": "corpus", "speech separation": "speakers",
    "speech enhancement": "enhancement", "music separation": "music" };

  const grouped = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  const hoursText = (hours) => (hours === null ? "?" : hours < 0.1 ? hours.toFixed(2)
    : hours < 20 ? hours.toFixed(1) : grouped(Math.round(hours)));
  const radius = (items) => (items === null ? 6 : 4 + 2.4 * Math.log10(items));

  class DatasetAtlas extends Element {
    static label = "Dataset atlas";

    static css = `
      :host { max-width: none; }
      .scroll { overflow: auto; max-height: 25rem; border: 1px solid var(--line); border-radius: 8px; }
      .filters label { display: inline-flex; gap: .4rem; align-items: center; }
      .filters input, .filters select { font: inherit; color: inherit; background: transparent;
        border: 1px solid var(--line); border-radius: 8px; padding: .3rem .5rem; min-height: 2.15rem;
        max-width: 13rem; }
      .filters option { color: #111; background: #fff; }
      svg.chart { display: block; width: 100%; max-width: 52rem; height: auto; }
      svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
      svg .grid { stroke: var(--line); }
      svg .bubble { cursor: pointer; outline: none; }
      svg .bubble circle { stroke: var(--quiet); stroke-width: 1; fill-opacity: .75; }
      svg .bubble text.mark { font-weight: 700; text-anchor: middle; fill: #111; }
      svg .bubble text.tag { fill: var(--quiet); }
      svg .bubble[aria-pressed=true] circle { stroke: var(--accent); stroke-width: 3.5; }
      svg .bubble[aria-pressed=true] text.tag { fill: currentColor; font-weight: 600; }
      svg .bubble:focus-visible circle { stroke: var(--focus); stroke-width: 4; }
      .legend { display: flex; flex-wrap: wrap; gap: .15rem 1rem; font-size: 12.5px; }
      .legend i { display: inline-block; width: 1.15rem; height: 1.15rem; border-radius: 50%;
        margin-right: .35rem; text-align: center; font: 700 11px/1.15rem system-ui; color: #111; }
      table { width: 100%; font-variant-numeric: tabular-nums; font-size: 13px; }
      thead th { position: sticky; top: 0; background: Canvas; padding: 0; z-index: 1; }
      :host([data-dark]) thead th { background: #1c1c1c; }
      thead button { border: 0; border-radius: 0; width: 100%; text-align: inherit; white-space: nowrap;
        font-weight: 600; padding: .3rem .5rem; }
      td, tbody th { border-bottom: 1px solid var(--line); vertical-align: top; padding: .15rem .5rem; }
      tbody th { font-weight: 400; } tbody th, td.text, th.text { text-align: left; }
      tbody th button { min-height: 0; border: 0; padding: .1rem 0; text-align: left;
        text-decoration: underline; text-underline-offset: .15em; }
      tbody tr[data-chosen] { background: var(--soft); }
      dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem .9rem; margin: .4rem 0 0; }
      dt { color: var(--quiet); } dd { margin: 0; }
      .details { border-left: 3px solid var(--accent); padding-left: .9rem; }
      .memory { color: var(--bad); }
      .axes-note { font-size: 12.5px; color: var(--quiet); }`;

    async setup(config) {
      this.rows = config.rows;
      this.sort = { column: "year", down: false };
      this.filter = { task: "", licence: "", text: "" };
      this.clip = config.clip;
      this.player = new Player({ sampleRate: config.clip.sample_rate });
      const buffer = await Unmix.decode(config.clip.source, config.clip.sample_rate);
      this.player.setTracks([{ buffer, level: 1 }]);
      this.count = h("p", { class: "note", role: "status" });
      this.body = h("tbody");
      this.details = h("div", { class: "details" });
      this.chart = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group",
        "aria-label": "Hours by year; arrow keys go from bubble to bubble" });
      this.sound = h("div", { class: "row" }, Unmix.playButton(this.player),
        Unmix.timeReadout(this.player), h("span", { class: "note" }, config.clip.what));
      this.panel.append(
        h("div", { class: "title" }, config.title), this.buildFilters(), this.count, this.chart,
        this.buildLegend(), this.details, this.buildTable(),
        h("p", { class: "help" }, "Choose a bubble or a name for its licence and its trap. Press a "
          + "heading to sort, again to turn the order. Keys: / searches, arrows go through the "
          + "bubbles, space plays the one that comes with the course."));
      Unmix.bindKeys(this.panel, {
        "/": () => this.search.focus(),
        " ": () => this.player.toggle(),
      });
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      this.chart.addEventListener("keydown", (event) => {
        if (event.key in steps) this.step(steps[event.key]);
        else if (event.key === "Enter") event.target.dispatchEvent(new MouseEvent("click"));
        else return;
        event.preventDefault();
      });
      this.chosen = this.rows[this.rows.length - 1];
      this.update();
    }

    // ---------------------------------------------------------------- controls

    buildFilters() {
      const pick = (key, label, options, names) => {
        const field = h("select", { "aria-label": label, onChange: () => {
          this.filter[key] = field.value;
          this.update(true);
        } }, h("option", { value: "" }, "all"),
        options.map((option) => h("option", { value: option }, names ? names[option] : option)));
        return h("label", {}, label, field);
      };
      const tasks = [...new Set(this.rows.flatMap((row) => row.tasks))];
      const licences = Object.keys(LICENCES).filter((name) =>
        this.rows.some((row) => row.licence_class === name));
      this.search = h("input", { type: "search", "aria-label": "Search",
        onInput: () => {
          this.filter.text = this.search.value.trim().toLowerCase();
          this.update(true);
        } });
      return h("div", { class: "row filters" }, pick("task", "Task", tasks),
        pick("licence", "Licence", licences), h("label", {}, "Search", this.search));
    }

    buildLegend() {
      return h("div", { class: "legend" }, Object.entries(LICENCES).map(([name, [mark, color]]) =>
        h("span", {}, h("i", { style: `background:${color}`, "aria-hidden": "true" }, mark), name)),
      h("span", { class: "axes-note" }, "Size: number of songs, utterances or mixtures "
        + "(each tenfold is one step)"));
    }

    buildTable() {
      this.headings = Object.fromEntries(COLUMNS.map(([key, text]) => {
        const heading = h("th", { scope: "col", class: this.isText(key) ? "text" : null },
          h("button", { type: "button", onClick: () => this.sortBy(key) }, text));
        return [key, heading];
      }));
      return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of corpora" },
        h("table", {}, h("thead", {}, h("tr", {}, Object.values(this.headings))), this.body));
    }

    isText(key) {
      return ["name", "task", "licence"].includes(key);
    }

    // ---------------------------------------------------------------- what is shown

    get shown() {
      const { task, licence, text } = this.filter;
      const [, , value] = COLUMNS.find(([key]) => key === this.sort.column);
      const sign = this.sort.down ? -1 : 1;
      const words = (row) => [row.name, row.contents, row.licence, row.licence_class, row.access,
        row.trap, row.unit, ...row.tasks].join(" ").toLowerCase();
      return this.rows
        .filter((row) => (!task || row.tasks.includes(task))
          && (!licence || row.licence_class === licence) && (!text || words(row).includes(text)))
        .sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === null || y === null) return (x === null) - (y === null); // unknown comes last
          if (typeof x === "string") return sign * x.localeCompare(y, "en");
          return sign * (x - y) || a.name.localeCompare(b.name, "en");
        });
    }

    sortBy(column) {
      const same = this.sort.column === column;
      this.sort = { column, down: same ? !this.sort.down : !this.isText(column) };
      this.update();
      this.announce(`Sorted by ${column}, ${this.sort.down ? "falling" : "rising"}`);
    }

    choose(row, { focus = false } = {}) {
      this.chosen = row;
      if (row.name !== this.clip.name) this.player.pause();
      this.mark();
      const bubble = this.bubbles.get(row);
      if (focus && bubble) bubble.focus();
      this.announce(`${row.name}: ${row.trap}`);
    }

    /** The next bubble in time, and in hours within a year. */
    step(by) {
      const order = this.drawn;
      if (!order.length) return;
      const at = order.indexOf(this.chosen);
      const next = at < 0 ? 0 : (at + by + order.length) % order.length;
      this.choose(order[next], { focus: true });
    }

    update(filtered = false) {
      const rows = this.shown;
      const drawn = rows.filter((row) => row.hours !== null);
      this.drawn = [...drawn].sort((a, b) => a.year - b.year || a.hours - b.hours);
      const hidden = rows.length - drawn.length;
      this.count.textContent = `${rows.length} of ${this.rows.length} corpora shown`
        + (hidden ? `; ${hidden} of them only in the table, because their hours are not known here` : "")
        + ".";
      if (filtered) this.announce(this.count.textContent);
      Object.entries(this.headings).forEach(([key, heading]) => {
        const sorted = key === this.sort.column;
        heading.setAttribute("aria-sort",
          !sorted ? "none" : this.sort.down ? "descending" : "ascending");
        const arrow = sorted ? (this.sort.down ? " ▾" : " ▴") : "";
        const name = COLUMNS.find(([column]) => column === key)[1];
        heading.firstChild.textContent = name + arrow;
      });
      this.lines = new Map(rows.map((row) => [row, this.line(row)]));
      this.body.replaceChildren(...this.lines.values());
      this.draw(this.drawn);
      this.mark();
    }

    /** Show which one is chosen; nothing is built anew, so the focus stays where it is. */
    mark() {
      const stop = this.drawn.includes(this.chosen) ? this.chosen : this.drawn[0];
      this.lines.forEach((line, row) => line.toggleAttribute("data-chosen", row === this.chosen));
      this.bubbles.forEach((node, row) => {
        node.setAttribute("aria-pressed", row === this.chosen);
        node.setAttribute("tabindex", row === stop ? 0 : -1);
      });
      this.describe(this.chosen);
    }

    line(row) {
      const cells = [
        h("th", { scope: "row" }, Unmix.button(row.name, () => this.choose(row))),
        h("td", {}, String(row.year)),
        h("td", { class: "text" }, row.tasks.map((task) => SHORT[task] || task).join(", ")),
        h("td", {}, row.items === null ? "?" : grouped(row.items)),
        h("td", {}, hoursText(row.hours)),
        h("td", {}, row.sample_rate === null ? "?" : String(row.sample_rate / 1000)),
        h("td", { class: "text" }, `${row.licence_class}: ${row.licence}`),
      ];
      return h("tr", {}, cells);
    }

    describe(row) {
      const entries = [
        ["Holds", row.contents],
        ["Size", `${row.items === null ? "an unknown number of" : grouped(row.items)} ${row.unit}, `
          + `${hoursText(row.hours)} hours, ${row.sample_rate / 1000} kHz, `
          + `${row.channels === 2 ? "stereo" : "one channel"}`],
        ["Licence", `${row.licence} (${row.licence_class})`],
        ["Access", row.access],
        ["Trap", row.trap],
        ["Source", row.source],
        ["Checked", row.verified ? "every entry found again in a source"
          : h("span", { class: "memory" }, `from memory: ${row.from_memory.replace(/_/g, " ")}`)],
      ];
      this.details.replaceChildren(
        h("strong", {}, `${row.name}, ${row.year}`),
        h("dl", {}, entries.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
        ...(row.name === this.clip.name ? [this.sound] : []));
    }

    // ---------------------------------------------------------------- the chart

    x(year) {
      return EDGE.left + ((year - 1991) / (2028 - 1991)) * (WIDTH - EDGE.left - EDGE.right);
    }

    y(hours) {
      const place = Math.log(hours / HOURS.min) / Math.log(HOURS.max / HOURS.min);
      return HEIGHT - EDGE.bottom - place * (HEIGHT - EDGE.top - EDGE.bottom);
    }

    draw(rows) {
      const bottom = HEIGHT - EDGE.bottom;
      const parts = [];
      HOURS.ticks.forEach((hours) => parts.push(
        svg("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: this.y(hours), y2: this.y(hours) }),
        svg("text", { x: EDGE.left - 6, y: this.y(hours) + 4, "text-anchor": "end" }, grouped(hours))));
      [1995, 2000, 2005, 2010, 2015, 2020, 2025].forEach((year) => parts.push(
        svg("line", { class: "grid", x1: this.x(year), x2: this.x(year), y1: EDGE.top, y2: bottom }),
        svg("text", { x: this.x(year), y: bottom + 15, "text-anchor": "middle" }, String(year))));
      parts.push(
        svg("text", { x: (EDGE.left + WIDTH) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "Year"),
        svg("text", { transform: `translate(12 ${(EDGE.top + bottom) / 2}) rotate(-90)`,
          "text-anchor": "middle" }, "Hours (logarithmic)"));
      const places = this.placeNames(rows);
      this.bubbles = new Map(rows.map((row, index) => [row, this.bubble(row, places[index])]));
      // large ones first, so that small ones stay on top and can be pressed
      const order = [...this.bubbles].sort(([a], [b]) => radius(b.items) - radius(a.items));
      this.chart.replaceChildren(...parts, ...order.map(([, node]) => node));
    }

    /** Where the names stand: right, left, below or above, the first place that is free. */
    placeNames(rows) {
      const spots = rows.map((row) => ({ x: this.x(row.year), y: this.y(row.hours),
        r: radius(row.items) }));
      const taken = spots.map(({ x, y, r }) => [x - r, y - r, x + r, y + r]);
      const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
      return rows.map((row, index) => {
        const { x, y, r } = spots[index];
        const width = 6.3 * row.name.length;
        const places = [[x + r + 4, y + 4, "start"], [x - r - 4, y + 4, "end"],
          [x, y + r + 11, "middle"], [x, y - r - 4, "middle"], [x - r, y - r - 2, "end"],
          [x - r, y + r + 9, "end"], [x + r, y - r - 2, "start"], [x + r, y + r + 9, "start"]];
        const box = ([left, base, anchor]) => {
          const start = left - { start: 0, end: width, middle: width / 2 }[anchor];
          return [start, base - 9, start + width, base + 2];
        };
        const free = places.find((place) => {
          const area = box(place);
          return area[0] > EDGE.left && area[2] < WIDTH
            && taken.every((other, at) => at === index || !overlap(area, other));
        }) || places[1];
        taken.push(box(free));
        return free;
      });
    }

    bubble(row, [tagX, tagY, anchor]) {
      const [mark, color] = LICENCES[row.licence_class];
      const [x, y, r] = [this.x(row.year), this.y(row.hours), radius(row.items)];
      const size = row.items === null ? "" : `, ${row.items} ${row.unit}`;
      return svg("g", { class: "bubble", role: "button",
        "aria-label": `${row.name}, ${row.year}, ${hoursText(row.hours)} hours${size}, ${row.licence_class}`,
        onClick: () => this.choose(row, { focus: true }) },
      svg("circle", { cx: x, cy: y, r, fill: color }),
      svg("text", { class: "mark", x, y: y + 4 }, mark),
      svg("text", { class: "tag", x: tagX, y: tagY, "text-anchor": anchor }, row.name));
    }
  }

  window.Unmix.define("unmix-dataset-atlas", DatasetAtlas);
})();
