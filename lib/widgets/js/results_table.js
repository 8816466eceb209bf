/* <unmix-results-table>: a table of scores in which every row can be heard.
 *
 * config: {title, caption, sample_rate, columns: [text], rows: [{method, group,
 *          cells: [[median, interval]], source: data URI, gain_db}]}
 */
(() => {
  "use strict";
  const { h, Element, Player } = window.Unmix;

  class ResultsTable extends Element {
    static label = "Results with sounds";

    static css = `
      :host { max-width: none; }
      .scroll { overflow-x: auto; }
      table { width: 100%; font-variant-numeric: tabular-nums; line-height: 1.25; }
      th, td { padding: .25rem .45rem; }
      thead th, td { white-space: nowrap; }
      td small { display: block; color: var(--quiet); font-size: 11px; }
      th:nth-child(2), td:nth-child(2), tbody th { text-align: left; }
      tbody th { font-weight: 400; border: 0; }
      tr.group th { font-weight: 600; padding-top: .8rem; border-bottom: 1px solid var(--line); }
      tr[data-heard] { background: var(--soft); }
      button.hear { min-height: 1.9rem; padding: .1rem .6rem; }`;

    async setup(config) {
      this.rows = config.rows;
      this.player = new Player({ sampleRate: config.sample_rate });
      this.buttons = this.rows.map((row, index) => Unmix.button("▶", () => this.hear(index), {
        class: "hear", "aria-label": `Hear ${row.method}`, "aria-pressed": false,
      }));
      if (config.title) this.panel.append(h("div", { class: "title" }, config.title));
      this.panel.append(h("p", { class: "note" }, config.caption));
      Unmix.bindKeys(this.panel, {
        " ": () => this.player.toggle(),
        l: () => this.player.setLoop(this.player.loop ? null : [0, this.player.duration]),
      });
      const buffers = await Promise.all(
        this.rows.map((row) => Unmix.decode(row.source, config.sample_rate)));
      this.player.setTracks(buffers.map((buffer, index) =>
        ({ buffer, level: 10 ** (this.rows[index].gain_db / 20) })));
      this.panel.append(
        h("div", { class: "scroll" }, this.table(config)),
        h("div", { class: "row" }, Unmix.playButton(this.player),
          h("span", { class: "push" }, Unmix.timeReadout(this.player))),
        h("p", { class: "help" }, "Every row plays the same item at the same loudness; pressing "
          + "another row switches at the playhead. Keys: space plays, L loops."));
      this.player.addEventListener("state", () => this.mark());
      this.mark();
    }

    table({ title, columns }) {
      const body = h("tbody");
      let group = null;
      this.lines = this.rows.map((row, index) => {
        if (row.group !== group) {
          group = row.group;
          body.append(h("tr", { class: "group" },
            h("th", { colspan: columns.length + 2, scope: "rowgroup" }, group)));
        }
        const line = h("tr", {},
          h("td", {}, this.buttons[index]),
          h("th", { scope: "row" }, row.method),
          ...row.cells.map(([median, interval]) =>
            h("td", {}, median, h("small", {}, interval))));
        body.append(line);
        return line;
      });
      return h("table", { "aria-label": title },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Hear"),
          h("th", { scope: "col" }, "Method"),
          ...columns.map((column) => h("th", { scope: "col" }, column)))),
        body);
    }

    /** Hear a row from the playhead on; pressing the row that plays pauses it. */
    hear(index) {
      const same = this.player.selected === index;
      if (this.player.playing && same) {
        this.player.pause();
        return;
      }
      this.player.select(index);
      if (!this.player.playing) this.player.play();
      this.announce(`Now hearing ${this.rows[index].method}`);
    }

    mark() {
      this.buttons.forEach((button, index) => {
        const heard = this.player.selected === index;
        const sounding = heard && this.player.playing;
        button.textContent = sounding ? "❚❚" : "▶";
        button.setAttribute("aria-pressed", sounding);
        this.lines[index].toggleAttribute("data-heard", heard);
      });
    }
  }

  window.Unmix.define("unmix-results-table", ResultsTable);
})();
