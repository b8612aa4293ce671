// Heat maps and curves.

const MOST_CELLS = 40; // classes of a side that can still be read
const accent = () => getComputedStyle(document.documentElement).getPropertyValue("--accent");

// Rows are truth, columns predictions; a cell is the share of its truth. Arrows go from cell to cell.
function heat(root) {
  const counts = data.confusion;
  const names = data.classes.map((row) => row.name);
  const unit = root.dataset.unit;
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const totals = counts.map(sum);
  let shown = names.map((_, index) => index);
  let note = `Rows: truth. Columns: prediction. A cell: share of the truth's ${unit}, in %.`;
  if (shown.length > MOST_CELLS) {
    const wrong = shown.map((id) => totals[id] - counts[id][id]);
    for (const row of shown) for (const column of shown) if (row !== column) wrong[column] += counts[row][column];
    shown = shown.sort((a, b) => wrong[b] - wrong[a]).slice(0, 30).sort((a, b) => a - b);
    note += ` Of ${names.length} classes, the 30 with the most mistakes.`;
  }
  const share = (row, column) => (totals[row] > 0 ? counts[row][column] / totals[row] : null);
  const says = (row, column) => {
    const part = share(row, column);
    const amount = part === null ? `no ${unit} of it` : `${percent(part)} % of its ${unit} (${counts[row][column].toLocaleString("en")})`;
    return `truth ${names[row]} → prediction ${names[column]}: ${amount}`;
  };
  const cell = (row, column) => {
    const part = share(row, column);
    // The root shows rare confusions, too.
    const strength = part === null ? 0 : Math.sqrt(part);
    const text = part !== null && part >= 0.005 ? Math.round(100 * part) : "";
    const label = escaped(says(row, column));
    return `<td tabindex="-1" data-row="${row}" data-column="${column}" title="${label}" aria-label="${label}"` +
      ` class="${strength > 0.8 ? "full" : ""}" style="background:rgba(var(--accent),${strength.toFixed(3)})">${text}</td>`;
  };
  const head = shown.map((id) => `<th scope="col"><span>${escaped(names[id])}</span></th>`).join("");
  const line = (row) =>
    `<tr><th scope="row" title="${escaped(names[row])}">${escaped(names[row])}</th>${shown.map((column) => cell(row, column)).join("")}</tr>`;
  root.innerHTML = `<p class="hint">${escaped(note)} Hover, or arrow keys within.</p>` +
    `<div class="wide"><table role="grid" aria-label="confusion"><thead><tr><td></td>${head}</tr></thead>` +
    `<tbody>${shown.map(line).join("")}</tbody></table></div><p class="readout" role="status"></p>`;
  const readout = one(".readout", root);
  const cells = all("tbody tr", root).map((row) => all("td", row));
  cells[0][0].tabIndex = 0;
  const read = ({ target }) => {
    if (target.dataset.row !== undefined) readout.textContent = says(Number(target.dataset.row), Number(target.dataset.column));
  };
  root.addEventListener("mouseover", read);
  root.addEventListener("focusin", (event) => {
    read(event);
    cells.flat().forEach((other) => { other.tabIndex = other === event.target ? 0 : -1; });
  });
  root.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const row = cells.findIndex((line) => line.includes(event.target));
    if (!by || row < 0) return;
    event.preventDefault();
    cells[row + by[0]]?.[cells[row].indexOf(event.target) + by[1]]?.focus();
  });
}

// Round numbers from 0 (or the smallest, if below) to above the largest.
function ticks(low, high, count) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toFixed(digits)));
}

// Lines differ in their dashes as well as in their colour.
const DASHES = ["", "7 3", "2 3", "10 3 2 3", "4 4", "1 5", "12 4"];

function chart(figure, { title, axis, marks, lines }) {
  const [width, height, left, right, top, bottom] = [560, 330, 62, 18, 12, 52];
  const points = lines.flatMap((line) => line.points);
  const xs = ticks(0, Math.max(1, ...points.map((point) => point[0])), 6);
  const ys = ticks(Math.min(0, ...points.map((point) => point[1])), Math.max(...points.map((point) => point[1])), 6);
  const [last, low, high] = [Math.max(1, ...points.map((point) => point[0])), ys[0], ys[ys.length - 1]];
  const x = (step) => left + (step / last) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  let drawn = "";
  for (const value of ys) {
    drawn += `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(value)}" y2="${y(value)}"/>` +
      `<text x="${left - 8}" y="${y(value) + 4}" text-anchor="end">${value}</text>`;
  }
  for (const step of xs.filter((tick) => tick <= last)) {
    drawn += `<line class="axis" x1="${x(step)}" x2="${x(step)}" y1="${height - bottom}" y2="${height - bottom + 5}"/>` +
      `<text x="${x(step)}" y="${height - bottom + 19}" text-anchor="middle">${step}</text>`;
  }
  drawn += `<line class="axis" x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}"/>` +
    `<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle">training step</text>` +
    `<text transform="translate(16 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(axis)}</text>`;
  lines.forEach(({ color, points: line, name }, index) => {
    const path = line.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const dash = DASHES[index % DASHES.length];
    drawn += `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2.2" stroke-linejoin="round" stroke-dasharray="${dash}"/>`;
    if (!marks && line.length > 1) return;
    for (const [step, value] of line) {
      drawn += `<circle cx="${x(step)}" cy="${y(value)}" r="4" fill="${color}"><title>${escaped(name)}: ${value.toFixed(2)} at step ${step}</title></circle>`;
    }
  });
  const key = ({ name, color }, index) => `<li><svg viewBox="0 0 38 12" aria-hidden="true"><line x1="0" x2="38" y1="6" y2="6" stroke="${color}"` +
    ` stroke-width="3" stroke-dasharray="${DASHES[index % DASHES.length]}"/></svg>${escaped(name)}</li>`;
  const ends = lines.filter((line) => line.points.length)
    .map(({ name, points: line }) => `${name} ends at ${line[line.length - 1][1].toFixed(2)}`).join(", ");
  figure.innerHTML = `<figcaption>${escaped(title)}</figcaption><ul class="keys">${lines.map(key).join("")}</ul>` +
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(`${title}: ${axis} over training steps; ${ends}`)}">${drawn}</svg>`;
}

all(".heat").forEach(heat);
const charts = one("#charts");
if (charts) {
  if (!data.charts.length) charts.innerHTML = `<p class="hint">There is no log of the training (metrics.jsonl).</p>`;
  for (const drawn of data.charts) {
    const figure = document.createElement("figure");
    charts.append(figure);
    chart(figure, drawn);
  }
}
