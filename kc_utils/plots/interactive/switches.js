// Switches for the parts of a circuit: looks the combination up and redraws the bars.
(() => {
  const live = root => {
    if (root.kcSwitches) return;
    root.kcSwitches = true;
    const {parts, answers, permille} = JSON.parse(root.querySelector(".frames").textContent);
    const boxes = [...root.querySelectorAll("[data-part]")];
    const bars = [...root.querySelectorAll(".bars li")], words = root.querySelector(".told");
    const percent = value => `${(value / 10).toFixed(1)} %`;
    root.querySelector(".parts").hidden = false;

    const show = () => {
      const off = boxes.filter(box => !box.checked).map(box => Number(box.dataset.part));
      const now = permille[off.reduce((state, part) => state + 2 ** part, 0)];
      bars.forEach((bar, i) => {
        bar.querySelector("b").style.width = `${now[i] / 10}%`;
        bar.querySelector("output").textContent = percent(now[i]);
      });
      const best = now.indexOf(Math.max(...now));
      const names = off.map(part => parts[part]).join(", ");
      const start = off.length ? `Without ${names} the circuit` : "The whole circuit";
      const first = best === 0 ? "" : `; the most probable of these is “${answers[best]}”`;
      words.textContent = `${start} gives “${answers[0]}” ${percent(now[0])}${first}.`;
      root.dispatchEvent(new CustomEvent("kc-switch", {detail: off}));
    };
    boxes.forEach(box => box.addEventListener("change", show));
    for (const button of root.querySelectorAll("[data-all]")) {
      button.addEventListener("click", () => {
        boxes.forEach(box => { box.checked = button.dataset.all === "on"; });
        show();
      });
    }
  };
  for (const root of document.querySelectorAll('[id="kc-figure"]')) live(root);
})();
