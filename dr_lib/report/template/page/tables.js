// Tables that ask for it are sorted by a click on a heading. Without scripts they stay in the order they come in.
// A heading's data-sort is "number" or "text", a cell's data-value what it is sorted by. Cells without one stand last,
// rows that are equal keep their order, rows with data-fixed their place.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];

  const sort = (column, down) => {
    const value = (row) => row.cells[column]?.dataset.value;
    const number = heads[column].dataset.sort === "number";
    const compare = (a, b) => (number ? a - b : a.localeCompare(b, "en", { numeric: true }));
    const given = rows.filter((row) => !("fixed" in row.dataset));
    const known = given.filter((row) => value(row) !== undefined);
    known.sort((a, b) => (down ? compare(value(b), value(a)) : compare(value(a), value(b))));
    const sorted = [...known, ...given.filter((row) => value(row) === undefined)];
    body.append(...rows.map((row) => ("fixed" in row.dataset ? row : sorted.shift())));
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  heads.forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      sort(column, now ? now === "ascending" : head.dataset.sort === "number");
    });
  });
  table.classList.add("sorts");
}
