// Paper is white: a page that is printed takes the light theme, its figures too, and gets its own back.
(() => {
  const html = document.documentElement;
  let screen = null;
  const toPaper = () => { screen ??= html.dataset.theme; html.dataset.theme = "light"; };
  const back = () => { if (screen !== null) html.dataset.theme = screen; screen = null; };
  matchMedia("print").addEventListener("change", e => e.matches ? toPaper() : back());
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", back);
})();
