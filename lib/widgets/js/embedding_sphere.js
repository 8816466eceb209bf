/* <unmix-embedding-sphere>: embeddings on a sphere, and k-means by hand.
 *
 * config: {title, names, bins, points: encode_array (N, 3), owners: one letter a point (a, b, ...,
 *          or - for silence), clusters, seed}
 * Point k * bins + f is frame k, frequency f. Silent points are neither drawn nor clustered.
 */
(() => {
  "use strict";
  const { h, Element, clamp, palette, random } = window.Unmix;

  // sources and clusters have colours of their own: which cluster is which source is not known
  const SOURCE_COLORS = [palette.blue, palette.orange, palette.grey, palette.yellow];
  const CLUSTER_COLORS = [palette.green, palette.purple, palette.sky, palette.vermillion];
  const STEP = 5; // degrees of an arrow key
  const GRASP = 18; // pixels within which a pointer takes a centre
  const LONGEST = 50; // steps of "Run to the end"

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2],
    a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => {
    const length = Math.hypot(...a);
    return length > 1e-9 ? a.map((value) => value / length) : null;
  };
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  /** The largest sum of table[cluster][source] over one-to-one pairs. */
  function bestMatch(table, cluster = 0, used = 0) {
    if (cluster === table.length) return 0;
    let best = bestMatch(table, cluster + 1, used); // this cluster gets nobody
    table[cluster].forEach((count, source) => {
      if (used & (1 << source)) return;
      best = Math.max(best, count + bestMatch(table, cluster + 1, used | (1 << source)));
    });
    return best;
  }

  class EmbeddingSphere extends Element {
    static label = "Embedding sphere";

    static css = `
      .board { display: grid; grid-template-columns: minmax(0, 1.25fr) minmax(0, 1fr); gap: .6rem 1.2rem;
        align-items: start; }
      @container (max-width: 30rem) { .board { grid-template-columns: minmax(0, 1fr); } }
      .panel { container-type: inline-size; }
      .sphere { width: 100%; aspect-ratio: 1; display: block; touch-action: none; cursor: grab;
        border-radius: 8px; }
      .pictures { display: grid; gap: .6rem; }
      figure { margin: 0; } figcaption { font-size: 12.5px; color: var(--quiet); }
      .picture { width: 100%; height: 118px; display: block; border-radius: 5px;
        image-rendering: pixelated; background: #000; }
      .keys { display: flex; flex-wrap: wrap; gap: .1rem 1rem; }
      .keys i { display: inline-block; width: .75rem; height: .75rem; border-radius: 50%;
        margin-right: .35rem; vertical-align: -1px; }
      .numbers { display: grid; grid-template-columns: auto auto; gap: .1rem .9rem;
        justify-content: start; font-variant-numeric: tabular-nums; }
      .numbers b { text-align: right; }
      button { padding: .15rem .6rem; min-height: 1.9rem; }
      .labelled { display: flex; flex-wrap: wrap; gap: .2rem .7rem; align-items: center; }
      .labelled > span { min-width: 4.4rem; }`;

    setup(config) {
      const all = Unmix.array(config.points).data;
      this.names = config.names;
      this.bins = config.bins;
      this.frames = config.owners.length / config.bins;
      const kept = [];
      [...config.owners].forEach((letter, index) => { if (letter !== "-") kept.push(index); });
      this.place = Uint32Array.from(kept);
      this.owner = Uint8Array.from(kept, (i) => config.owners.charCodeAt(i) - 97);
      // int8 storage has shortened or lengthened the vectors a little
      this.points = new Float32Array(3 * kept.length);
      kept.forEach((from, to) => {
        const vector = all.subarray(3 * from, 3 * from + 3);
        this.points.set(unit([...vector]) || [0, 0, 1], 3 * to);
      });
      this.nearest = new Uint8Array(kept.length);
      this.random = random(config.seed);
      Object.assign(this, { byCluster: false, moves: 0, steps: 0, settled: false });
      this.view = this.firstView();
      this.build(config);
      this.scatter(config.clusters);
      new ResizeObserver(() => this.draw()).observe(this.canvas);
    }

    /** The first two sources to the left and right, what lies between them in front. */
    firstView() {
      const sums = this.names.map(() => [0, 0, 0]);
      this.owner.forEach((owner, i) => {
        for (let d = 0; d < 3; d++) sums[owner][d] += this.points[3 * i + d];
      });
      const [first, second] = sums.map((sum) => unit(sum) || [1, 0, 0]);
      const right = unit(second.map((value, d) => value - first[d])) || [1, 0, 0];
      const between = first.map((value, d) => value + second[d]);
      const along = dot(between, right);
      const other = Math.abs(right[2]) < 0.9 ? [0, 0, 1] : [0, 1, 0];
      const front = unit(between.map((value, d) => value - along * right[d]))
        || unit(cross(right, other));
      return this.turned([right, cross(front, right), front], 0.25, 0.3);
    }

    /** Rows of a view, turned by angles about the vertical and the horizontal of the screen. */
    turned([right, up, front], yaw, pitch) {
      const mix = (a, b, angle) => [
        a.map((value, d) => Math.cos(angle) * value + Math.sin(angle) * b[d]),
        b.map((value, d) => Math.cos(angle) * value - Math.sin(angle) * a[d])];
      [right, front] = mix(right, front, yaw);
      [up, front] = mix(up, front, pitch);
      right = unit(right); // rounding must not add up
      front = unit(front.map((value, d) => value - dot(front, right) * right[d]));
      return [right, cross(front, right), front];
    }

    build(config) {
      const row = (label, node) =>
        h("div", { class: "labelled" }, h("span", { "aria-hidden": "true" }, label), node);
      this.canvas = h("canvas", { class: "sphere", tabindex: 0, role: "application",
        "aria-label": "Sphere of embeddings. Arrow keys turn it, or move the chosen centre." });
      this.bindPointer();
      this.truth = h("canvas", { class: "picture", role: "img",
        "aria-label": "Who owns each point, over time and frequency" });
      this.mask = h("canvas", { class: "picture", role: "img",
        "aria-label": "Cluster of each point, over time and frequency" });
      this.sourceKey = h("div", { class: "keys" }, this.names.map((name, s) =>
        h("span", {}, h("i", { style: `background:${SOURCE_COLORS[s]}` }), name)));
      this.clusterKey = h("div", { class: "keys" });
      this.colorChoice = Unmix.choice({ label: "Colour", options: ["true source", "cluster"],
        onChange: (i) => { this.byCluster = i === 1; this.draw(); } });
      this.countChoice = Unmix.choice({ label: "Centres", options: ["2", "3", "4"],
        value: config.clusters - 2, onChange: (i) => this.scatter(i + 2) });
      this.moveBox = h("div");
      this.agreement = h("b", { "data-value": "agreement" });
      this.cost = h("b", { "data-value": "cost" });
      this.count = h("b", { "data-value": "steps" });
      this.state = h("span", { class: "note", role: "status" });
      this.panel.append(
        config.title ? h("div", { class: "title" }, config.title) : "",
        h("div", { class: "row" },
          Unmix.button("k-means step", () => this.step(), { class: "primary" }),
          Unmix.button("Run to the end", () => this.run()),
          Unmix.button("New start", () => this.scatter(this.centres.length)), this.state),
        row("Colour", this.colorChoice), row("Centres", this.countChoice), this.moveBox,
        h("div", { class: "board" }, this.canvas,
          h("div", { class: "pictures" },
            h("figure", {}, this.truth, h("figcaption", {}, "True owner of each point (time \u2192, "
              + "frequency \u2191)", this.sourceKey)),
            h("figure", {}, this.mask, h("figcaption", {}, "Your clusters: each is a mask",
              this.clusterKey)),
            h("div", { class: "numbers" },
              h("span", {}, "Points in the right cluster"), this.agreement,
              h("span", {}, "Mean squared distance to the centre"), this.cost,
              h("span", {}, "k-means steps"), this.count))),
        h("p", { class: "help" }, "Drag the sphere to turn it; drag a numbered centre to move it. "
          + "From the keyboard: give the sphere the focus and use the arrow keys; V, 1, 2, \u2026 choose "
          + "what they move; S steps, R runs to the end, N starts anew, C changes the colours. "
          + "Faint dots and dashed centres lie behind."));
      Unmix.bindKeys(this.panel, {
        s: () => this.step(), r: () => this.run(), n: () => this.scatter(this.centres.length),
        c: () => this.colorChoice.select(this.byCluster ? 0 : 1), v: () => this.choose(0),
        1: () => this.choose(1), 2: () => this.choose(2), 3: () => this.choose(3),
        4: () => this.choose(4),
        ArrowLeft: () => this.arrow(-1, 0), ArrowRight: () => this.arrow(1, 0),
        ArrowUp: () => this.arrow(0, 1), ArrowDown: () => this.arrow(0, -1) });
      this.paint(this.truth, this.owner, SOURCE_COLORS);
    }

    onTheme() { if (this.canvas) this.draw(); }

    // -------------------------------------------------------------- the view and the centres

    choose(index) {
      if (index > this.centres.length) return;
      this.moveChoice.select(index);
    }

    /** What the arrow keys move: 0 the view, else a centre. */
    buildMoveChoice() {
      const options = ["view", ...this.centres.map((_, i) => `centre ${i + 1}`)];
      this.moves = 0;
      this.moveChoice = Unmix.choice({ label: "Arrow keys move", options,
        onChange: (i) => { this.moves = i; this.announce(`Arrow keys move ${options[i]}`); } });
      this.moveBox.replaceChildren(h("div", { class: "labelled" },
        h("span", { "aria-hidden": "true" }, "Arrows"), this.moveChoice));
      this.clusterKey.replaceChildren(...this.centres.map((_, c) =>
        h("span", {}, h("i", { style: `background:${CLUSTER_COLORS[c]}` }), `cluster ${c + 1}`)));
    }

    arrow(x, y) {
      const angle = (STEP * Math.PI) / 180;
      if (this.moves === 0) {
        this.view = this.turned(this.view, x * angle, y * angle);
        this.draw();
        return;
      }
      const c = this.moves - 1;
      const [right, up] = this.view;
      const axis = x ? up : right.map((value) => -value);
      this.moveCentre(c, this.rotated(this.centres[c], axis, (x || y) * angle));
    }

    rotated(vector, axis, angle) {
      const side = cross(axis, vector);
      const along = dot(axis, vector) * (1 - Math.cos(angle));
      return vector.map((value, d) =>
        Math.cos(angle) * value + Math.sin(angle) * side[d] + along * axis[d]);
    }

    moveCentre(index, vector) {
      this.centres[index] = vector;
      this.settled = false;
      this.changed(`Centre ${index + 1} moved.`);
    }

    scatter(count) {
      const places = new Set();
      while (places.size < count) places.add(Math.floor(this.random() * this.place.length));
      this.centres = [...places].map((i) => [...this.points.subarray(3 * i, 3 * i + 3)]);
      Object.assign(this, { steps: 0, settled: false });
      this.buildMoveChoice();
      this.changed(`${count} centres on points drawn at random.`);
    }

    // -------------------------------------------------------------- k-means

    /** Give each point to its nearest centre; sums for the next step. */
    assign() {
      const { points, centres } = this;
      const sums = centres.map(() => [0, 0, 0, 0]);
      const table = centres.map(() => this.names.map(() => 0));
      let cost = 0;
      for (let i = 0; i < this.nearest.length; i++) {
        let best = 0;
        let least = Infinity;
        for (let c = 0; c < centres.length; c++) {
          let distance = 0;
          for (let d = 0; d < 3; d++) distance += (points[3 * i + d] - centres[c][d]) ** 2;
          if (distance < least) { least = distance; best = c; }
        }
        this.nearest[i] = best;
        cost += least;
        for (let d = 0; d < 3; d++) sums[best][d] += points[3 * i + d];
        sums[best][3] += 1;
        table[best][this.owner[i]] += 1;
      }
      this.sums = sums;
      return { cost: cost / this.nearest.length, right: bestMatch(table) / this.nearest.length };
    }

    /** Move each centre to the mean of its points; a centre without points stays. */
    moveToMeans() {
      let way = 0;
      this.centres = this.centres.map((centre, c) => {
        const [x, y, z, count] = this.sums[c];
        if (!count) return centre;
        const mean = [x / count, y / count, z / count];
        way = Math.max(way, Math.hypot(...mean.map((value, d) => value - centre[d])));
        return mean;
      });
      this.settled = way < 1e-4;
      if (!this.settled) this.steps += 1;
      return way;
    }

    step() {
      this.moveToMeans();
      this.changed(this.settled ? "Settled: the centres are the means of their points."
        : "Each centre moved to the mean of its points.");
    }

    run() {
      for (let i = 0; i < LONGEST && !this.settled; i++) {
        this.moveToMeans();
        this.assign();
      }
      this.changed(this.settled ? "Settled: the centres are the means of their points."
        : `Not settled after ${LONGEST} steps.`);
    }

    changed(text) {
      const { cost, right } = this.assign();
      this.agreement.textContent = percent(right);
      this.cost.textContent = cost.toFixed(3);
      this.count.textContent = String(this.steps);
      this.state.textContent = `${text} ${percent(right)} right.`;
      this.paint(this.mask, this.nearest, CLUSTER_COLORS);
      this.draw();
    }

    // -------------------------------------------------------------- drawing

    paint(canvas, indices, colors) {
      canvas.width = this.frames;
      canvas.height = this.bins;
      const context = canvas.getContext("2d");
      const image = context.createImageData(this.frames, this.bins);
      const values = colors.map(Unmix.rgb);
      for (let i = 0; i < image.data.length; i += 4) image.data[i + 3] = 255;
      this.place.forEach((place, i) => {
        const frame = Math.floor(place / this.bins);
        const pixel = 4 * ((this.bins - 1 - (place % this.bins)) * this.frames + frame);
        image.data.set(values[indices[i]], pixel);
      });
      context.putImageData(image, 0, 0);
    }

    draw() {
      if (!this.centres || !this.canvas.clientWidth) return;
      const { context, width, height } = Unmix.fitCanvas(this.canvas);
      const [right, up, front] = this.view;
      const radius = Math.min(width, height) / 2 - 14;
      Object.assign(this, { radius, middle: [width / 2, height / 2] });
      const ink = getComputedStyle(this.canvas).color;
      context.strokeStyle = ink;
      context.globalAlpha = 0.35;
      context.beginPath();
      context.arc(width / 2, height / 2, radius, 0, 2 * Math.PI);
      context.stroke();
      const colors = this.byCluster ? CLUSTER_COLORS : SOURCE_COLORS;
      const groups = this.byCluster ? this.nearest : this.owner;
      const size = radius > 130 ? 2 : 1.5;
      for (const behind of [true, false]) {
        context.globalAlpha = behind ? 0.15 : 0.7;
        for (let i = 0; i < groups.length; i++) {
          const point = this.points.subarray(3 * i, 3 * i + 3);
          if (dot(point, front) < 0 !== behind) continue;
          context.fillStyle = colors[groups[i]];
          context.fillRect(width / 2 + radius * dot(point, right) - size / 2,
            height / 2 - radius * dot(point, up) - size / 2, size, size);
        }
      }
      context.globalAlpha = 1;
      this.drawCentres(context, ink);
    }

    at(vector) {
      const [right, up] = this.view;
      return [this.middle[0] + this.radius * dot(vector, right),
        this.middle[1] - this.radius * dot(vector, up)];
    }

    drawCentres(context, ink) {
      context.font = "600 12px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      this.centres.forEach((centre, c) => {
        const [x, y] = this.at(centre);
        const behind = dot(centre, this.view[2]) < 0;
        context.beginPath();
        context.arc(x, y, 11, 0, 2 * Math.PI);
        context.globalAlpha = behind ? 0.55 : 1;
        context.fillStyle = CLUSTER_COLORS[c];
        context.fill();
        context.setLineDash(behind ? [3, 3] : []);
        context.lineWidth = 2;
        context.strokeStyle = ink;
        context.stroke();
        context.setLineDash([]);
        context.globalAlpha = 1;
        context.fillStyle = "#000";
        context.fillText(String(c + 1), x, y + 0.5);
      });
    }

    // -------------------------------------------------------------- the pointer

    bindPointer() {
      let last = null;
      let held = null;
      const place = (event) => {
        const box = this.canvas.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
      };
      this.canvas.addEventListener("pointerdown", (event) => {
        last = place(event);
        this.canvas.setPointerCapture(event.pointerId);
        const near = this.centres.map((centre) => {
          const [x, y] = this.at(centre);
          return Math.hypot(x - last[0], y - last[1]);
        });
        const least = near.indexOf(Math.min(...near));
        held = near[least] < GRASP ? least : null;
        if (held !== null) this.moveChoice.select(held + 1);
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (!last) return;
        const now = place(event);
        if (held === null) {
          const [x, y] = now.map((value, d) => (value - last[d]) / this.radius);
          this.view = this.turned(this.view, x, -y);
          this.draw();
        } else {
          this.moveCentre(held, this.onSphere(now));
        }
        last = now;
      });
      for (const end of ["pointerup", "pointercancel"]) {
        this.canvas.addEventListener(end, () => { last = null; });
      }
    }

    /** The point of the front of the sphere under a place of the canvas. */
    onSphere([x, y]) {
      let a = (x - this.middle[0]) / this.radius;
      let b = (this.middle[1] - y) / this.radius;
      const length = Math.hypot(a, b);
      if (length > 1) { a /= length; b /= length; }
      const c = Math.sqrt(clamp(1 - a * a - b * b, 0, 1));
      const [right, up, front] = this.view;
      return right.map((value, d) => a * value + b * up[d] + c * front[d]);
    }
  }

  window.Unmix.define("unmix-embedding-sphere", EmbeddingSphere);
})();
