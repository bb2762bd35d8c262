// A click on the head of a column sorts its table; a second click turns the order round.
"use strict";
for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    table.querySelectorAll("th[data-sort]").forEach((head) => {
        head.addEventListener("click", () => {
            const column = head.cellIndex;
            const down = head.dataset.sort === "up";
            const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
            const rows = [...body.rows].sort((a, b) => {
                const [x, y] = [value(a), value(b)];
                const order = x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
                return down ? -order : order;
            });
            table.querySelectorAll("th[data-sort]").forEach((other) => (other.dataset.sort = ""));
            head.dataset.sort = down ? "down" : "up";
            body.append(...rows);
        });
    });
}
// What belongs to the step that is pointed at or tapped is marked everywhere: its box, its block, its rows.
const mark = (event) => {
    const step = event.target.closest("[data-step]")?.dataset.step;
    for (const one of document.querySelectorAll("[data-step]")) {
        one.classList.toggle("on", one.dataset.step === step);
    }
};
document.addEventListener("pointerover", mark);
document.addEventListener("click", mark);
document.documentElement.dataset.ready = "yes";
