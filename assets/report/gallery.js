// Pictures with a slider between each and one of its layers.

function gallery() {
  // With all 256 classes no grey is left for it: labels have their high byte in green.
  const WIDE = data.classes.length > 255;
  const IGNORED = WIDE ? 256 : 255;
  const stage = one("#stage");
  const [under, over, cross] = [one(".under", stage), one(".over", stage), one(".cross", stage)];
  const [filter, order, slide, pixel, thumbs] = ["filter", "order", "slide", "pixel", "thumbs"].map((id) => one(`#${id}`));
  const several = data.preds.length > 1;
  const colors = data.classes.map(({ color }) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  const className = (id) => (id === IGNORED ? "ignored" : data.classes[id].name);
  const layers = [
    { name: "picture", kind: "picture" },
    { name: "truth", kind: "truth" },
    ...data.preds.map((name, index) => ({ name, kind: "prediction", index })),
    several ? { name: "differences", kind: "differences" } : { name: "errors", kind: "errors", index: 0 },
  ];
  let shown = [];
  let current = null; // a picture
  let decoded = null; // its pixels, once they are there
  let layer = several ? layers.length - 1 : 2;
  let at = null; // the pixel that is read, [x, y]

  // Pixels of a data: address.
  const pixels = (address) => new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      done(context.getImageData(0, 0, canvas.width, canvas.height));
    };
    image.onerror = () => failed(new Error("a picture of this page is damaged"));
    image.src = address;
  });
  const numbers = async (address) => (await pixels(address)).data.filter((_, index) => index % 4 === 0);
  const wideNumbers = async (address) => {
    const bytes = (await pixels(address)).data;
    return Uint16Array.from({ length: bytes.length / 4 }, (_, i) => bytes[4 * i] + 256 * bytes[4 * i + 1]);
  };
  const decode = async (item) => ({
    picture: await pixels(item.picture),
    truth: WIDE ? await wideNumbers(item.truth) : await numbers(item.truth),
    preds: await Promise.all(item.preds.map(async (pred) => ({ ids: await numbers(pred.ids), confidence: await numbers(pred.confidence) }))),
  });

  // RGB of pixel i of a layer, into `target` at byte k.
  const painters = {
    picture: ({ picture }) => (i, target, k) => { for (let c = 0; c < 3; c++) target[k + c] = picture.data[k + c]; },
    truth: ({ truth }) => (i, target, k) => paintClass(truth[i], target, k),
    prediction: ({ preds }, { index }) => (i, target, k) => paintClass(preds[index].ids[i], target, k),
    errors: ({ picture, truth, preds }, { index }) => (i, target, k) =>
      paintMark(truth[i] === IGNORED ? null : truth[i] !== preds[index].ids[i], picture.data, target, k),
    differences: ({ picture, preds }) => (i, target, k) =>
      paintMark(preds.some(({ ids }) => ids[i] !== preds[0].ids[i]), picture.data, target, k),
  };
  const paintClass = (id, target, k) => {
    const color = colors[id] ?? [0, 0, 0];
    for (let c = 0; c < 3; c++) target[k + c] = color[c];
  };
  // As the panels of segeval: red where wrong, dim where right, black where nothing is labelled.
  const paintMark = (wrong, from, target, k) => {
    const grey = 0.299 * from[k] + 0.587 * from[k + 1] + 0.114 * from[k + 2];
    const shades = wrong === null ? [0, 0, 0] : wrong ? [180 + 0.29 * grey, 0.25 * grey, 0.22 * grey] : Array(3).fill(40 + 0.35 * grey);
    for (let c = 0; c < 3; c++) target[k + c] = shades[c];
  };
  const paint = (canvas, of) => {
    const { width, height } = decoded.picture;
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const painter = painters[of.kind](decoded, of);
    for (let i = 0, k = 0; i < width * height; i++, k += 4) {
      painter(i, image.data, k);
      image.data[k + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };

  const showLayer = () => {
    all(".layers button").forEach((button, index) => button.setAttribute("aria-pressed", String(index === layer)));
    one("#layer-name").textContent = layers[layer].name;
    stage.setAttribute("aria-label", current ? `${current.name}: picture and ${layers[layer].name}` : "no picture");
    if (decoded) paint(over, layers[layer]);
  };
  const showSlide = () => {
    over.style.clipPath = `inset(0 0 0 ${slide.value}%)`;
    one(".divider", stage).style.left = `${slide.value}%`;
  };
  const showPixel = () => {
    cross.hidden = !at || !decoded;
    if (cross.hidden) {
      pixel.textContent = "Click a pixel to read its classes.";
      return;
    }
    const { width, height } = decoded.picture;
    at = [Math.min(Math.max(at[0], 0), width - 1), Math.min(Math.max(at[1], 0), height - 1)];
    const i = at[1] * width + at[0];
    // Places are of the picture on the disk, which may be larger than what is shown.
    const place = [0, 1].map((axis) => Math.floor((at[axis] + 0.5) * current.size[1 - axis] / current.shown[1 - axis]));
    const said = decoded.preds.map(({ ids, confidence }, index) =>
      `${several ? data.preds[index] : "prediction"} ${className(ids[i])} (confidence ${percent(confidence[i] / 255, 1)} %)`);
    pixel.textContent = `x ${place[0]}, y ${place[1]}: truth ${className(decoded.truth[i])} · ${said.join(" · ")}`;
    [cross.style.left, cross.style.top] = [`${100 * (at[0] + 0.5) / width}%`, `${100 * (at[1] + 0.5) / height}%`];
  };
  const showText = () => {
    const rank = shown.indexOf(current);
    const scores = current ? current.preds.map(({ miou }) => `${percent(miou, 1)} %`) : [];
    const differing = current && current.differing !== null ? ` · ${percent(current.differing, 1)} % of pixels differ` : "";
    one("#caption").textContent = current
      ? `${rank + 1} of ${shown.length}: ${current.name} · mIoU ${scores.join(" | ")}${differing}`
      : data.pictures.length ? "No picture has this class." : "There is no picture to show.";
    one("#legend").innerHTML = (current ? current.classes : []).map((id) =>
      `<li><span class="swatch" style="background:${data.classes[id].color}"></span>${escaped(className(id))}</li>`).join("");
    all("button", thumbs).forEach((button, index) => button.setAttribute("aria-current", String(index === rank)));
  };
  const showRuns = () => {
    if (!several) return;
    const figures = layers.filter(({ kind }) => kind === "prediction").flatMap((of) => [of, { ...of, kind: "errors" }]).map((of) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      paint(canvas, of);
      const caption = document.createElement("figcaption");
      const { miou, wrong } = current.preds[of.index];
      caption.textContent = of.kind === "errors" ? `${of.name}: errors, ${percent(wrong, 1)} % of labelled pixels` : `${of.name}: mIoU ${percent(miou, 1)} %`;
      figure.append(canvas, caption);
      return figure;
    });
    one("#runs").replaceChildren(...figures);
  };
  const choose = async (item) => {
    [current, decoded] = [item, null];
    showText();
    if (!item) {
      [under.width, over.width] = [0, 0];
      one("#runs").replaceChildren();
      showLayer();
      return showPixel();
    }
    const made = await decode(item);
    if (current !== item) return; // another was chosen meanwhile
    decoded = made;
    paint(under, layers[0]);
    showLayer();
    showPixel();
    showRuns();
    stage.dataset.shown = item.name;
  };
  const go = (by) => {
    const next = shown[shown.indexOf(current) + by];
    if (next) choose(next);
  };
  const arrange = () => {
    const wanted = filter.value === "" ? null : Number(filter.value);
    const iou = ({ preds }) => Math.min(...preds.map((pred) => (wanted === null ? pred.miou : pred.iou[wanted]) ?? Infinity));
    const ways = {
      differing: (a, b) => b.differing - a.differing,
      worst: (a, b) => iou(a) - iou(b),
      best: (a, b) => (iou(a) === Infinity) - (iou(b) === Infinity) || iou(b) - iou(a),
      name: (a, b) => a.name.localeCompare(b.name),
    };
    const compare = ways[order.value];
    // Infinity less itself is no number; such pictures stay as they are.
    shown = data.pictures.filter(({ classes }) => wanted === null || classes.includes(wanted)).sort((a, b) => compare(a, b) || 0);
    one("#count").textContent = `${shown.length} of ${data.pictures.length} pictures`;
    thumbs.replaceChildren(...shown.map((item) => {
      const button = document.createElement("button");
      button.type = "button";
      const image = document.createElement("img");
      [image.alt, image.loading, image.decoding] = ["", "lazy", "async"];
      image.src = item.picture;
      const score = wanted === null ? "mIoU" : className(wanted);
      const values = item.preds.map((pred) => percent(wanted === null ? pred.miou : pred.iou[wanted], 1));
      button.title = item.name;
      button.append(image, `${score} ${values.join(" | ")} %`);
      button.addEventListener("click", () => choose(item));
      return button;
    }));
    choose(shown[0] ?? null);
  };

  const there = [...new Set(data.pictures.flatMap(({ classes }) => classes))].sort((a, b) => a - b);
  filter.innerHTML = `<option value="">all</option>` + there.map((id) => `<option value="${id}">${escaped(className(id))}</option>`).join("");
  order.innerHTML = (several ? `<option value="differing">largest difference first</option>` : "") +
    `<option value="worst">worst IoU first</option><option value="best">best IoU first</option><option value="name">by name</option>`;
  one(".last-layer").textContent = String(Math.min(layers.length, 9));
  one(".layers").replaceChildren(...layers.map(({ name }, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.innerHTML = `${index < 9 ? `<kbd>${index + 1}</kbd> ` : ""}${escaped(name)}`;
    button.addEventListener("click", () => { layer = index; showLayer(); });
    return button;
  }));
  filter.addEventListener("change", arrange);
  order.addEventListener("change", arrange);
  slide.addEventListener("input", showSlide);
  one("#previous").addEventListener("click", () => go(-1));
  one("#next").addEventListener("click", () => go(1));
  stage.addEventListener("click", (event) => {
    if (!decoded) return;
    const box = stage.getBoundingClientRect();
    const place = (from, length, count) => Math.floor((from / length) * count);
    at = [place(event.clientX - box.left, box.width, decoded.picture.width), place(event.clientY - box.top, box.height, decoded.picture.height)];
    showPixel();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || takesKeys(event.target)) return;
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const number = /^Digit[1-9]$/.test(event.code) ? Number(event.code[5]) : Number(event.key);
    if (event.shiftKey && by && decoded) {
      const middle = () => [decoded.picture.width >> 1, decoded.picture.height >> 1];
      at = at ? [at[0] + by[0], at[1] + by[1]] : middle();
      showPixel();
    } else if (!event.shiftKey && by && by[0]) {
      go(by[0]);
    } else if (!event.shiftKey && number >= 1 && number <= layers.length) {
      layer = number - 1;
      showLayer();
    } else if (event.key === "/") {
      filter.focus();
    } else {
      return;
    }
    event.preventDefault();
  });
  showSlide();
  arrange();
}

if (one("#gallery")) gallery();
