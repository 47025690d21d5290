// A figure with a slider: slider, play button, linked sliders. It knows nothing about what is drawn.
//
// The figure's frames are JSON inside of the element: for every step of the slider its name and a
// sentence, the points of every line and the place of everything that moves. On every change the
// element gets an event kc-frame with the number of the step. The document's events kc-new, kc-link
// and kc-epoch are how the figures of a page whose steps are epochs hear of each other.
(() => {
  const STEP = 700;  // milliseconds a frame is shown while playing
  const tell = (name, detail) => document.dispatchEvent(new CustomEvent(name, {detail}));
  const hear = (name, answer) => document.addEventListener(name, e => answer(e.detail));

  const live = root => {
    if (root.kcSlides) return;
    root.kcSlides = true;
    const {epochs, steps, told, lines, moves} =
      JSON.parse(root.querySelector(".frames").textContent);
    const last = steps.length - 1;
    const time = root.querySelector(".time"), words = root.querySelector(".told");
    const slider = time.querySelector("[type=range]"), link = time.querySelector("[type=checkbox]");
    const now = time.querySelector("output"), play = time.querySelector("button");
    const groups = [...root.querySelectorAll("[data-line]")];
    const movers = [...root.querySelectorAll("[data-move]")];
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    let timer = null;
    time.hidden = false;
    slider.value = last;

    const pick = (values, at) => Array.isArray(values[0]) ? values[at] : values;
    const show = at => {
      slider.value = at;
      now.textContent = steps[at];
      slider.setAttribute("aria-valuetext", steps[at]);
      if (told) words.textContent = told[at];
      groups.forEach((group, i) => {
        const y = pick(lines[i][1], at);
        const points = pick(lines[i][0], at).map((x, j) => [x, y[j]]);
        const there = points.filter(p => p[0] !== null && p[1] !== null).map(p => p.join(" "));
        const [line, marks] = group.children;
        line.setAttribute("d", there.map((p, j) => (j ? "L" : "M") + p).join(""));
        marks?.setAttribute("d", there.map(p => `M${p}${group.dataset.line}`).join(""));
      });
      movers.forEach((mover, i) => {
        const [x, y] = [moves[i][0][at], moves[i][1][at]];
        mover.classList.toggle("off", x === null || y === null);
        mover.setAttribute("transform", `translate(${x ?? 0} ${y ?? 0})`);
      });
      root.dispatchEvent(new CustomEvent("kc-frame", {detail: at}));
    };
    const go = at => {
      show(at);
      if (link?.checked) tell("kc-epoch", {root, epoch: epochs[at]});
    };
    const stop = () => {
      if (!play) return;
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
      words.setAttribute("aria-live", "polite");
    };
    const start = () => {
      if (still.matches) return;
      words.setAttribute("aria-live", "off");  // nobody wants to hear every frame
      play.textContent = "Pause";
      if (Number(slider.value) === last) go(0);
      timer = setInterval(() => {
        const next = Math.min(Number(slider.value) + 1, last);
        if (next === last || !root.isConnected) stop();
        go(next);
      }, STEP);
    };

    slider.addEventListener("input", () => {
      stop();
      go(Number(slider.value));
    });
    if (!play) return;  // a slider that is not one of epochs
    play.addEventListener("click", () => timer ? stop() : start());
    still.addEventListener("change", stop);
    link.addEventListener("change", () => {
      tell("kc-link", link.checked);
      go(Number(slider.value));
    });
    hear("kc-link", on => { link.checked = on; });
    hear("kc-epoch", other => {
      if (other.root === root) return;
      stop();
      const far = epochs.map(epoch => Math.abs(epoch - other.epoch));
      show(far.indexOf(Math.min(...far)));
    });
    hear("kc-new", () => {
      link.parentNode.hidden = document.querySelectorAll(".kc-slides .link").length < 2;
    });
    tell("kc-new");
  };
  for (const root of document.querySelectorAll('[id="kc-figure"]')) live(root);
})();
