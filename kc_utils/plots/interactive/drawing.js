// A circuit drawing: slider, highlighting, keyboard. Defines nothing global.
//
// The element carries data-digits (decimals of a total); edges carry source, target, score and the
// rank in the other drawing of a pair; their rank is their place from the end. A drawing with an
// epoch slider has frames: for every epoch the strongest edges as (place from the end, score), by
// rank, and the total |score|.
(() => {
  const live = root => {
    if (root.kcLive) return;
    root.kcLive = true;
    const slider = root.querySelector(".slide input"), say = root.querySelector(".say");
    const hint = say.textContent, pair = root.classList.contains("pair");
    const frames = JSON.parse(root.querySelector(".frames")?.textContent ?? "null");
    let pinned = null, at = frames ? frames.epochs.length - 1 : 0;
    for (const part of root.querySelectorAll(".slide, .say")) part.hidden = false;

    const panels = [...root.querySelectorAll(".circuit")].map((svg, side) => {
      const nodes = [...svg.querySelectorAll(".n")];
      const edges = [...svg.querySelectorAll(".e")].reverse().map((path, i) => ({
        path, rank: i + 1, from: path.dataset.s, to: path.dataset.t.replace(/<.>$/, ""),
        key: path.dataset.s + " " + path.dataset.t, size: Math.abs(path.dataset.v),
        other: Number(path.dataset.o) || Infinity, text: path.textContent,
      }));
      for (const edge of edges) {  // thin lines are hard to hit: a wide clear one below each
        edge.hit = edge.path.cloneNode(true);
        edge.hit.setAttribute("class", "h");
        edge.hit.removeAttribute("stroke-width");
        edge.path.parentNode.prepend(edge.hit);
      }
      const links = [...svg.querySelectorAll(".link")];  // of an attribution graph
      return {svg, side, nodes, edges, links, tally: root.querySelectorAll(".tally")[side]};
    });

    const panelOf = part => panels.find(p => p.svg.contains(part));
    const shown = () => Number(slider.value);
    const drawn = panel => panel.edges.filter(e => e.rank <= shown());
    const touching = (panel, name) => drawn(panel).filter(e => e.from === name || e.to === name);
    const there = panel => panel.nodes.filter(n => !n.classList.contains("off"));
    const stop = (panel, node) => {
      for (const n of panel.nodes) n.setAttribute("tabindex", n === node ? 0 : -1);
    };

    const three = Intl.NumberFormat("en", {maximumSignificantDigits: 3, useGrouping: false});
    const since = () => `since epoch ${frames.steps[at - 1]}`;
    const label = (edge, score) => edge.rank === Infinity
      ? `${edge.from} → ${edge.path.dataset.t}: rank ${edge.other} at epoch ` +
        `${frames.steps[at - 1]}, not among the strongest now`
      : `${edge.from} → ${edge.path.dataset.t}: score ${score < 0 ? "" : "+"}` +
        `${three.format(score)}, rank ${edge.rank}, ` +
        `${(100 * edge.size / frames.totals[at]).toFixed(1)}% of total |score|`;

    const turn = () => {  // to the epoch with the index `at`
      const [now, before] = [frames.circuit[at], frames.circuit[at - 1] ?? []];
      const [panel] = panels, edges = panel.order ??= [...panel.edges];
      for (const edge of edges) [edge.rank, edge.other, edge.size] = [Infinity, Infinity, 0];
      before.forEach(([i], rank) => { edges[i].other = rank + 1; });
      now.forEach(([i, score], rank) => {
        [edges[i].rank, edges[i].size] = [rank + 1, Math.abs(score)];
      });
      const scores = new Map(now), most = edges[now[0]?.[0]]?.size || 1;
      edges.forEach((edge, i) => {
        const text = edge.text = label(edge, scores.get(i));
        for (const path of [edge.path, edge.hit]) path.firstChild.textContent = text;
        edge.path.setAttribute("stroke-width", Math.max(0.8, 6 * edge.size / most).toFixed(2));
      });
      panel.edges.sort((a, b) => a.rank - b.rank);
    };

    const changes = panel => {  // nodes that came and went, and what to say about the epoch
      const ends = edges => new Set(edges.flatMap(e => [e.from, e.to]));
      const now = drawn(panel), then = panel.edges.filter(e => e.other <= shown());
      const came = now.filter(e => !then.includes(e)), went = then.filter(e => !now.includes(e));
      const [here, there] = [ends(now), ends(then)];
      const only = (some, others) => panel.nodes.map(n => n.dataset.n)
        .filter(n => some.has(n) && !others.has(n) && !["input", "logits"].includes(n));
      const first = at === 0, nodes = first ? [[], []] : [only(here, there), only(there, here)];
      const list = names => names.join(", ") || "none";
      if (frames.told) return nodes;  // a figure around the drawing has its own sentence
      root.querySelector(".told").textContent = `Epoch ${frames.steps[at]}: ${now.length} ` +
        "strongest edges. " + (first ? "Nothing comes before this checkpoint." :
        `Of these, ${came.length} came ${since()}, and ${went.length} went. ` +
        `Nodes that came: ${list(nodes[0])}; that went: ${list(nodes[1])}.`);
      return nodes;
    };

    const draw = () => {
      for (const count of root.querySelectorAll(".count")) count.textContent = shown();
      for (const panel of panels) {
        let kept = 0;
        const [came, went] = frames ? changes(panel) : [[], []];
        for (const edge of panel.edges) {
          const on = edge.rank <= shown(), both = edge.other <= shown();
          const left = frames && both && !on, first = frames && at === 0;
          for (const path of [edge.path, edge.hit]) path.classList.toggle("off", !on && !left);
          if (!pair && !frames) continue;
          kept += on && both;
          edge.path.classList.remove("kept", "gone", "new", "d1", "d2");
          const own = (frames ? left : !panel.side) ? ["gone", "d2"] : ["new", "d1"];
          edge.path.classList.add(...(on && (both || first) ? ["kept"] : own));
        }
        if (pair) panel.tally.textContent = `${kept} kept, ${drawn(panel).length - kept} ` +
          ["vanished", "appeared"][panel.side];
        for (const node of panel.nodes) {
          const name = node.dataset.n, edges = touching(panel, name);
          const into = edges.filter(e => e.to === name).length;
          const total = edges.reduce((sum, e) => sum + e.size, 0);
          const role = node.dataset.r ? ", " + node.dataset.r : "";
          const change = came.includes(name) ? "came" : went.includes(name) ? "went" : "";
          const text = `${node.dataset.l ?? name}${role}: edges in ${into}, edges out ${edges.length - into}, ` +
            `total |score| ${total.toFixed(root.dataset.digits)}` +
            (change && `, ${change} ${since()}`);
          const idle = !edges.length && !change && !node.classList.contains("bar");
          node.classList.toggle("off", idle);
          for (const kind of ["came", "went"]) node.classList.toggle(kind, kind === change);
          node.setAttribute("aria-label", text);
          node.firstChild.textContent = text;
        }
        const seen = new Set(there(panel).map(n => n.dataset.n));
        for (const {classList, dataset: {a, b}} of panel.links) {
          classList.toggle("off", !seen.has(a) || !seen.has(b));
        }
        const nodes = there(panel);  // one stop for the Tab key; arrows lead on from there
        stop(panel, nodes.find(n => n.getAttribute("tabindex") === "0") || nodes[0]);
      }
      mark(pinned);
    };

    const mark = part => {
      const panel = part && panelOf(part);
      const node = panel && part.dataset.n;
      const edge = panel && !node && panel.edges.find(e => e.path === part || e.hit === part);
      for (const p of panels) {
        p.svg.classList.toggle("lit", Boolean(panel));
        const same = () => p.edges.filter(e => e.key === edge.key &&
          !e.path.classList.contains("off"));
        const on = !panel ? [] : node ? touching(p, node) : same();
        const names = new Set(on.flatMap(e => [e.from, e.to]).concat(node || []));
        for (const e of p.edges) e.path.classList.toggle("on", on.includes(e));
        for (const {classList, dataset: {a, b}} of p.links) {
          const own = a === node || b === node;
          classList.toggle("on", own);
          if (own) names.add(a).add(b);
        }
        for (const n of p.nodes) n.classList.toggle("on", names.has(n.dataset.n));
      }
      if (!panel) say.textContent = hint;
      else if (edge) say.textContent = edge.text;
      else say.textContent = [part.getAttribute("aria-label"),
        ...touching(panel, node).slice(0, 3).map(e => e.text)].join("; ");
    };

    const part = event => event.target.closest(".circuit :is(.n, .e, .h)");
    const middle = node => {
      const box = node.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    };
    const next = (panel, node, [right, down]) => {
      const [x, y] = middle(node);
      let best = null, least = Infinity;
      for (const other of there(panel)) {
        const [u, v] = middle(other), along = (u - x) * right + (v - y) * down;
        const far = along + 3 * Math.abs((u - x) * down + (v - y) * right);
        if (along > 1 && far < least) [best, least] = [other, far];
      }
      return best;
    };
    const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

    // Listeners sit on the root: an <svg> that listens to focus becomes a tab stop of its own.
    root.addEventListener("pointerover", event => mark(part(event) || pinned));
    root.addEventListener("pointerleave", () => mark(pinned));
    root.addEventListener("click", event => mark(pinned = part(event)));
    root.addEventListener("focusin", event => {
      pinned = part(event);
      if (pinned) stop(panelOf(pinned), pinned);
      mark(pinned);
    });
    root.addEventListener("focusout", () => mark(pinned = null));
    root.addEventListener("keydown", event => {
      if (event.key === "Escape") mark(pinned = null);
      const way = ways[event.key], node = part(event);
      if (!way || !node) return;
      event.preventDefault();
      next(panelOf(node), node, way)?.focus();
    });
    slider.addEventListener("input", draw);
    root.addEventListener("kc-frame", event => {
      at = event.detail;
      turn();
      draw();
    });
    if (frames) turn();
    draw();
  };
  for (const root of document.querySelectorAll('[id="kc-figure"]')) live(root);
})();
