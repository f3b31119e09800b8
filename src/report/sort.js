for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const key = (row) => row.cells[at].dataset.value;
    const text = (row) => row.cells[at].textContent;
    button.addEventListener("click", () => {
      const [start, other] = body.rows[0] && key(body.rows[0]) !== undefined
        ? ["descending", "ascending"] : ["ascending", "descending"];
      const next = head.getAttribute("aria-sort") === start ? other : start;
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", next);
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x !== undefined && y !== undefined) return Number(x) - Number(y);
        if (x !== undefined || y !== undefined) return x === undefined ? -1 : 1;
        return text(a).localeCompare(text(b));
      });
      body.append(...(next === "ascending" ? rows : rows.reverse()));
    });
  });
}
