// The page of all parameters: a box that shows the rows with all of its words, and opens their
// folds. Without this script every row is still there, in its fold.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector(".kc-parameters");
  if (!box) return;
  const folds = [...box.querySelectorAll("details")].map(fold => ({
    fold,
    rows: [...fold.querySelectorAll("tbody tr")].map(row => ({
      row, text: (fold.querySelector("summary").textContent + row.textContent).toLowerCase(),
    })),
  }));
  const total = folds.reduce((sum, {rows}) => sum + rows.length, 0);

  const form = document.createElement("form");
  form.className = "kc-find";
  form.setAttribute("role", "search");
  form.innerHTML = '<label for="kc-find">Find a parameter</label>' +
    '<input id="kc-find" type="search" autocomplete="off" spellcheck="false">' +
    '<output for="kc-find" aria-live="polite"></output>';
  box.prepend(form);
  const input = form.querySelector("input"), told = form.querySelector("output");

  const find = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const {fold, rows} of folds) {
      let here = 0;
      for (const {row, text} of rows) {
        row.hidden = !words.every(word => text.includes(word));
        here += !row.hidden;
      }
      fold.hidden = here === 0;
      fold.open = words.length > 0 && here > 0;
      shown += here;
    }
    told.textContent = words.length ? `${shown} of ${total}` : `${total} in all`;
  };
  input.addEventListener("input", find);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    input.value = "";
    find();
  });
  find();
});
