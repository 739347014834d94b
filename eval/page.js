"use strict";
// Sorting and filtering of tables, and the list of disagreements. Nothing is fetched and nothing is kept.

const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  if (text.startsWith("<")) return 0; // a p-value too small to be told
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
};

// Undefined ("–") comes last in either order; numbers before texts.
const compare = (a, b, sign) => {
  if (a === "–" || b === "–") return (a === "–") - (b === "–");
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
};

const turn = (heading) => {
  const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of heading.parentElement.cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  return order === "ascending" ? 1 : -1;
};

for (const table of document.querySelectorAll("table:not(#answers-by-id)")) {
  table.tHead.addEventListener("click", (event) => {
    const heading = event.target.closest("button") && event.target.closest("th");
    if (!heading) return;
    const sign = turn(heading), body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, heading.cellIndex), row]);
    rows.sort((a, b) => compare(a[0], b[0], sign));
    body.append(...rows.map((pair) => pair[1]));
  });
}

for (const input of document.querySelectorAll("[data-filters]")) {
  const paragraph = input.closest("p"), rows = document.getElementById(input.dataset.filters).tBodies[0].rows;
  paragraph.hidden = false;
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    paragraph.querySelector("[role=status]").textContent = wanted ? `${shown} of ${rows.length} rows` : "";
  });
}

const source = document.getElementById("data");
if (source) {
  const { features, ids, rows, texts } = JSON.parse(source.textContent);
  const SIZE = 50, WORDS = { T: "true", F: "false", M: "missing", E: "failed", "?": "no label" };
  const table = document.getElementById("answers-by-id"), withTexts = Object.keys(texts).length > 0;
  const pick = (name) => document.getElementById(`pick-${name}`);
  const KINDS = {
    "all": (gold, said) => gold !== "?" && !said.includes(gold),
    "differ": (gold, said) => new Set(said).size > 1,
    "false-positive": (gold, said) => gold === "F" && said.includes("T"),
    "false-negative": (gold, said) => gold === "T" && said.includes("F"),
    "missing": (gold, said) => /[ME]/.test(said),
  };
  let order = rows, begin = 0;

  const cell = (row, text, tag = "td") => {
    const made = document.createElement(tag);
    made.textContent = text;
    made.dir = "auto";
    row.append(made);
    return made;
  };
  const draw = () => {
    const id = pick("id").value.trim().toLowerCase(), feature = pick("feature").value, kind = KINDS[pick("kind").value];
    const found = order.filter(([i, j, gold, said]) =>
      ids[i].toLowerCase().includes(id) && (feature === "" || j === Number(feature)) && (!kind || kind(gold, said)));
    begin = Math.max(0, Math.min(begin, found.length - 1));
    begin -= begin % SIZE;
    const shown = found.slice(begin, begin + SIZE);
    table.tBodies[0].replaceChildren(...shown.map(([i, j, gold, said]) => {
      const row = document.createElement("tr");
      cell(row, ids[i], "th").scope = "row";
      cell(row, features[j]);
      cell(row, WORDS[gold]);
      for (const letter of said) {
        const right = letter === gold, made = cell(row, WORDS[letter] + (gold === "?" ? "" : right ? " ✓" : " ✗"));
        if (!right && gold !== "?") made.className = "wrong";
      }
      if (withTexts) cell(row, texts[i] ?? "").className = "transcript";
      return row;
    }));
    document.getElementById("found").textContent = found.length
      ? `${begin + 1} to ${begin + shown.length} of ${found.length}` : "None of this kind.";
    document.getElementById("back").disabled = begin === 0;
    document.getElementById("on").disabled = begin + SIZE >= found.length;
  };
  const afresh = () => { begin = 0; draw(); };
  for (const name of ["id", "feature", "kind"]) pick(name).addEventListener("input", afresh);
  document.getElementById("back").addEventListener("click", () => { begin -= SIZE; draw(); });
  document.getElementById("on").addEventListener("click", () => { begin += SIZE; draw(); });
  table.tHead.addEventListener("click", (event) => {
    const heading = event.target.closest("button") && event.target.closest("th");
    if (!heading) return;
    const sign = turn(heading), by = heading.cellIndex === 0 ? (row) => ids[row[0]] : (row) => features[row[1]];
    order = [...rows].sort((a, b) => compare(by(a), by(b), sign));
    afresh();
  });
  document.getElementById("browser").hidden = false;
  draw();
}
