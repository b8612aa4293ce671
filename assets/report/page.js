"use strict";
// What every page has: its data, light and dark, tables that sort.

const data = JSON.parse(document.getElementById("data").textContent);
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const escaped = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
const percent = (share, digits = 2) => (share === null || share === undefined ? "–" : (100 * share).toFixed(digits));
// Nothing that is typed into or moved by arrows is disturbed by the keys of a page.
const takesKeys = (target) => ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName) || target.closest(".heat") !== null;

function themes() {
  const button = one("#theme");
  const root = document.documentElement;
  const prefers = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefers.matches);
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  // A page on the disk may have no storage.
  try {
    const kept = localStorage.getItem("infoseg-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* the system's */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("infoseg-theme", root.dataset.theme); } catch { /* for this time only */ }
    show();
  });
  prefers.addEventListener("change", show);
  show();
}

// A click on a header sorts by its column: numbers from the largest, words from A; another click the other way round.
// What has no value stays below.
function sortable(table) {
  const headers = all("thead th", table);
  headers.forEach((header, column) => {
    const button = one("button", header);
    const isNumber = button.dataset.kind === "number";
    button.addEventListener("click", () => {
      const first = isNumber ? "descending" : "ascending";
      const second = isNumber ? "ascending" : "descending";
      const order = header.getAttribute("aria-sort") === first ? second : first;
      headers.forEach((other) => other.setAttribute("aria-sort", other === header ? order : "none"));
      const value = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => (isNumber ? Number(a) - Number(b) : a.localeCompare(b));
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => {
        const [left, right] = [value(a), value(b)];
        if (left === "" || right === "") return (left === "") - (right === "");
        return order === "ascending" ? compare(left, right) : compare(right, left);
      });
      body.append(...rows);
    });
  });
}

themes();
all("table.sortable").forEach(sortable);
