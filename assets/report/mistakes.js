// The sheet of a classifier's mistakes.

function mistakes() {
  const [filter, sheet] = [one("#filter"), one("#sheet")];
  const name = (id) => data.classes[id].name;
  const seen = [...new Set(data.mistakes.flatMap(({ truth, top }) => [truth, top[0]]))].sort((a, b) => a - b);
  filter.innerHTML = `<option value="">all</option>` + seen.map((id) => `<option value="${id}">${escaped(name(id))}</option>`).join("");
  const figure = ({ name: file, picture, truth, top, confidence }) => {
    const made = document.createElement("figure");
    const image = document.createElement("img");
    image.alt = `${file}: ${name(truth)}, taken for ${name(top[0])}`;
    image.src = picture;
    const caption = document.createElement("figcaption");
    const others = top.slice(1).map(name).join(", ");
    caption.innerHTML = `${escaped(name(truth))} → <b>${escaped(name(top[0]))}</b>, ${percent(confidence, 1)} %` +
      `<div class="top">${others ? `then ${escaped(others)}` : ""}</div><div class="top">${escaped(file)}</div>`;
    made.append(image, caption);
    return made;
  };
  const show = () => {
    const wanted = filter.value === "" ? null : Number(filter.value);
    const shown = data.mistakes.filter(({ truth, top }) => wanted === null || truth === wanted || top[0] === wanted);
    sheet.replaceChildren(...shown.map(figure));
    one("#count").textContent = `${shown.length} of ${data.mistakes.length}`;
  };
  filter.addEventListener("change", show);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || takesKeys(event.target)) return;
    event.preventDefault();
    filter.focus();
  });
  show();
}

if (one("#mistakes")) mistakes();
