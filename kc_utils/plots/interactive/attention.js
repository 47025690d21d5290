// The button that shows attention as CircuitsVis draws it. The page loads its script, once among the
// book's static files, when a reader asks for it.
(() => {
  const file = () => {
    const part = document.querySelector("link[href*='_static/'], script[src*='_static/']");
    const url = part && (part.href || part.src);
    return url && url.slice(0, url.lastIndexOf("_static/") + 8) + "circuitsvis.js";
  };
  const load = () => document.kcCircuitsVis ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = file();
    script.addEventListener("load", done);
    script.addEventListener("error", failed);
    document.head.append(script);
  });
  for (const root of document.querySelectorAll('[id="kc-figure"]')) {
    const more = root.querySelector(".more"), button = more.querySelector("button");
    if (!file() || !more.hidden) continue;
    more.hidden = false;
    button.addEventListener("click", () => {
      const view = more.querySelector(".view");
      const props = JSON.parse(more.querySelector("[type='application/json']").textContent);
      view.id = `circuitsvis-${document.querySelectorAll("[id^=circuitsvis-]").length + 1}`;
      button.disabled = true;
      load().then(() => {
        more.querySelector(".image").hidden = false;
        CircuitsVis.render(view.id, CircuitsVis.AttentionHeads, props);
      }).catch(() => { button.textContent = "CircuitsVis is not among the files of this page"; });
    });
  }
})();
