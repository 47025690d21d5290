"""The script of a circuit drawing: slider, highlighting, keyboard. Without it all is still there.

It looks only at elements with the drawing's own id and defines nothing global. The element carries
``data-digits`` (decimals of a total); edges carry source, target, score and the rank in the other
drawing of a pair; their rank is their place from the end.
"""

from __future__ import annotations

_SCRIPT = """
(() => {
  const live = root => {
    if (root.kcLive) return;
    root.kcLive = true;
    const slider = root.querySelector("input"), say = root.querySelector(".say");
    const hint = say.textContent, pair = root.classList.contains("pair");
    let pinned = null;
    for (const part of root.querySelectorAll("[hidden]")) part.hidden = false;

    const panels = [...root.querySelectorAll(".circuit")].map((svg, side) => {
      const nodes = [...svg.querySelectorAll(".n")];
      const edges = [...svg.querySelectorAll(".e")].reverse().map(path => ({
        path, from: path.dataset.s, to: path.dataset.t.replace(/<.>$/, ""),
        key: path.dataset.s + " " + path.dataset.t, size: Math.abs(path.dataset.v),
        other: Number(path.dataset.o) || Infinity, text: path.textContent,
      }));
      for (const edge of edges) {  // thin lines are hard to hit: a wide clear one below each
        edge.hit = edge.path.cloneNode(true);
        edge.hit.setAttribute("class", "h");
        edge.hit.removeAttribute("stroke-width");
        edge.path.parentNode.prepend(edge.hit);
      }
      return {svg, side, nodes, edges, tally: root.querySelectorAll(".tally")[side]};
    });

    const panelOf = part => panels.find(p => p.svg.contains(part));
    const shown = () => Number(slider.value);
    const drawn = panel => panel.edges.slice(0, shown());
    const touching = (panel, name) => drawn(panel).filter(e => e.from === name || e.to === name);
    const there = panel => panel.nodes.filter(n => !n.classList.contains("off"));
    const stop = (panel, node) => {
      for (const n of panel.nodes) n.setAttribute("tabindex", n === node ? 0 : -1);
    };

    const draw = () => {
      for (const count of root.querySelectorAll(".count")) count.textContent = shown();
      for (const panel of panels) {
        let kept = 0;
        panel.edges.forEach((edge, i) => {
          const off = i >= shown(), both = edge.other <= shown();
          edge.path.classList.toggle("off", off);
          edge.hit.classList.toggle("off", off);
          if (!pair) return;
          kept += !off && both;
          edge.path.classList.remove("kept", "gone", "new", "d1", "d2");
          const own = [["gone", "d2"], ["new", "d1"]][panel.side];
          edge.path.classList.add(...(both ? ["kept"] : own));
        });
        if (pair) panel.tally.textContent = `${kept} kept, ${drawn(panel).length - kept} ` +
          ["vanished", "appeared"][panel.side];
        for (const node of panel.nodes) {
          const name = node.dataset.n, edges = touching(panel, name);
          const into = edges.filter(e => e.to === name).length;
          const total = edges.reduce((sum, e) => sum + e.size, 0);
          const role = node.dataset.r ? ", " + node.dataset.r : "";
          const text = `${name}${role}: edges in ${into}, edges out ${edges.length - into}, ` +
            `total |score| ${total.toFixed(root.dataset.digits)}`;
          node.classList.toggle("off", !edges.length && !node.classList.contains("bar"));
          node.setAttribute("aria-label", text);
          node.firstChild.textContent = text;
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
        const same = () => drawn(p).filter(e => e.key === edge.key);
        const on = !panel ? [] : node ? touching(p, node) : same();
        const names = new Set(on.flatMap(e => [e.from, e.to]).concat(node || []));
        for (const e of p.edges) e.path.classList.toggle("on", on.includes(e));
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
    draw();
  };
  for (const root of document.querySelectorAll('[id="&"]')) live(root);
})();
"""


def script(name: str) -> str:
    """The script for the elements with the id ``name``."""
    return _SCRIPT.replace('"&"', f'"{name}"')
