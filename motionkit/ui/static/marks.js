// Ready-made maps, and marks on the first frame: a box, a point or a mask where a setting is declared to be drawn.
(() => {
  const { h, say, fill } = mk;

  // A drawing surface over frame 0; `done` gets a list of shares, or a picture's blob for a mask.
  function surface(kind, frame, value, done, close) {
    const { width, height } = frame, canvas = h("canvas", { width, height, tabIndex: 0, ariaLabel: `frame 0 of the motion clip: draw the ${kind} on it` });
    const ink = canvas.getContext("2d"), past = [];
    let mark = Array.isArray(value) ? value : null, from = null, pen = Math.max(2, Math.round(width / 16)), erase = false;
    const at = (event) => { const box = canvas.getBoundingClientRect(); return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.min(1, Math.max(0, v))); };
    const share = (v) => Math.round(v * 1000) / 1000;
    const line = Math.max(1, width / 160);
    function show() {
      if (kind === "mask") return;
      ink.clearRect(0, 0, width, height);
      if (!mark) return;
      Object.assign(ink, { lineWidth: line, strokeStyle: "#c8371f", fillStyle: "#c8371f" });
      if (kind === "box") {
        const [l, t, r, b] = mark;
        ink.fillStyle = "rgba(20, 16, 12, 0.5)";
        ink.beginPath(); ink.rect(0, 0, width, height); ink.rect(l * width, t * height, (r - l) * width, (b - t) * height); ink.fill("evenodd");
        ink.strokeRect(l * width, t * height, (r - l) * width, (b - t) * height);
      } else { ink.beginPath(); ink.arc(mark[0] * width, mark[1] * height, 3 * line, 0, 7); ink.fill(); ink.strokeStyle = "#fff"; ink.stroke(); }
    }
    function stroke(x, y) {
      Object.assign(ink, { lineWidth: 2 * pen, lineCap: "round", lineJoin: "round", strokeStyle: "#c8371f", globalCompositeOperation: erase ? "destination-out" : "source-over" });
      ink.lineTo(x * width, y * height); ink.stroke();
    }
    canvas.addEventListener("pointerdown", (event) => {
      const [x, y] = at(event);
      canvas.setPointerCapture(event.pointerId); from = [x, y];
      if (kind === "mask") { past.push(ink.getImageData(0, 0, width, height)); ink.beginPath(); ink.moveTo(x * width, y * height); stroke(x, y); }
      if (kind === "point") mark = [share(x), share(y)];
      show();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [x, y] = at(event);
      if (kind === "mask") stroke(x, y);
      if (kind === "point") mark = [share(x), share(y)];
      if (kind === "box") mark = [Math.min(x, from[0]), Math.min(y, from[1]), Math.max(x, from[0]), Math.max(y, from[1])].map(share);
      show();
    });
    canvas.addEventListener("pointerup", () => { from = null; });
    const button = (text, then, more = "") => h("button", { type: "button", class: "mk-small " + more, onclick: then }, text);
    function use() {
      if (kind !== "mask") return mark && (kind === "point" || (mark[2] > mark[0] && mark[3] > mark[1])) ? done(mark) : null;
      const drawn = ink.getImageData(0, 0, width, height), out = h("canvas", { width, height }), white = out.getContext("2d");
      if (!drawn.data.some((v, i) => i % 4 === 3 && v > 127)) return null;
      for (let i = 0; i < drawn.data.length; i += 4) { const on = drawn.data[i + 3] > 127 ? 255 : 0; drawn.data.set([on, on, on, 255], i); }
      white.putImageData(drawn, 0, 0);
      return out.toBlob((blob) => done(blob), "image/png");
    }
    const eraser = button("Erase", () => { erase = !erase; eraser.ariaPressed = String(erase); });
    eraser.ariaPressed = "false";
    const brush = kind === "mask" ? [button("Undo", () => past.length && ink.putImageData(past.pop(), 0, 0)), eraser,
      h("label", { class: "mk-soft" }, "brush ", h("input", { type: "range", min: 1, max: Math.max(4, Math.round(width / 5)), value: pen, ariaLabel: "brush width", oninput: (e) => { pen = +e.target.value; } }))] : [];
    show();
    const told = { box: "Drag a box around the subject.", point: "Click on the subject.", mask: "Paint over the subject." }[kind];
    return h("div", { class: "mk-marking" }, h("p", { class: "mk-soft" }, told + " This is the first frame as the method sees it."),
      h("div", { class: "mk-frame" }, h("img", { src: frame.picture, alt: "" }), canvas), h("div", { class: "mk-row" }, brush, button(`Use this ${kind}`, use, "strong"), button("Close", close)));
  }

  // The control of a setting that may be drawn: what it is now, and a button that opens the surface below it.
  mk.marked = (kind, name, value, set, { frame, upload, typed }) => {
    const place = h("div", { class: "mk-marking-place" }), about = h("span", { class: "mk-soft" }), tools = h("span", { class: "mk-row" });
    let now = value;
    function put(next) { now = next; set(next); fill(place); draw(); }
    async function take(file) {
      try { const sent = await upload(file); put({ path: sent.path, name: file.name }); } catch (error) { fill(place, h("p", { class: "mk-error" }, mk.failed(error))); }
    }
    async function open() {
      fill(place, h("p", { class: "mk-soft" }, "Reading the clip…"));
      const got = await frame();
      if (got.error) return fill(place, h("p", { class: "mk-error", role: "alert" }, got.error));
      fill(place, surface(kind, got, now, (made) => (kind === "mask" ? take(new File([made], "mask.png", { type: "image/png" })) : put(made)), () => fill(place)));
    }
    function draw() {
      const picked = h("input", { type: "file", accept: "image/*", ariaLabel: "choose a picture for " + name, onchange: () => take(picked.files[0]) });
      about.textContent = kind === "mask" ? now?.name || "none" : "";
      fill(tools, kind === "mask" ? about : typed(now, put), h("button", { type: "button", class: "mk-small", onclick: open }, "Draw"),
        kind === "mask" ? h("label", { class: "mk-pick" }, picked, h("span", {}, "Upload")) : "", now ? h("button", { type: "button", class: "mk-small", ariaLabel: "remove " + name, onclick: () => put(null) }, "×") : "");
    }
    draw();
    return [tools, place];
  };

  // The control of a setting that may name a file: typed, as a word or a place, or uploaded.
  mk.filed = (name, value, set, { upload, usual, typed }) => {
    const line = h("span", { class: "mk-row" }), note = h("p", { class: "mk-error", hidden: true });
    let now = value;
    function put(next) { now = next; note.hidden = true; set(next); draw(); }
    async function take(file) {
      if (!file) return;
      try { const sent = await upload(file); put({ path: sent.path, name: file.name }); } catch (error) { note.textContent = mk.failed(error); note.hidden = false; }
    }
    function draw() {
      const picked = h("input", { type: "file", ariaLabel: "choose a file for " + name, onchange: () => take(picked.files[0]) }), sent = now?.path;
      fill(line, sent ? h("span", { class: "mk-soft" }, now.name) : typed(now ?? usual, put), h("label", { class: "mk-pick" }, picked, h("span", {}, "Upload")),
        sent ? h("button", { type: "button", class: "mk-small", ariaLabel: "remove " + name, onclick: () => put(undefined) }, "×") : "");
    }
    draw();
    return [line, note];
  };

  // A row for each map that the method reads; `put` gets all that are given.
  mk.maps = (card, names, given, put, { map, upload, opened, toggled }) => {
    const notes = { ...card.needs, ...card.uses }, rows = names.filter((name) => name in notes || given[name]);
    if (!rows.length) return "";
    const row = (name) => {
      const said = h("p", { class: "mk-soft" }, name in notes ? notes[name] : `not read by ${card.title}`), value = given[name];
      async function take(list) {
        if (!list.length) return;
        said.textContent = list.length > 1 ? `Reading ${list.length} files…` : "Reading " + list[0].name;
        try {
          const files = [];
          for (const file of list) files.push({ path: (await upload(file)).path, name: file.name });
          const got = await map({ name, files });
          if (got.error) { said.className = "mk-error"; said.textContent = got.error; return; }
          put({ ...given, [name]: got });
        } catch (error) { said.className = "mk-error"; said.textContent = mk.failed(error); }
      }
      const input = h("input", { type: "file", multiple: true, ariaLabel: "choose files for " + name, onchange: () => take([...input.files]) });
      const without = () => Object.fromEntries(Object.entries(given).filter(([key]) => key !== name));
      return h("div", { class: "mk-map" + (name in notes ? "" : " off") }, value?.still ? h("img", { src: value.still, alt: "" }) : h("i", { ariaHidden: "true" }),
        h("div", {}, h("b", {}, say(name)), value ? h("p", { class: "mk-meta" }, value.name, " · ", value.about) : said),
        h("span", { class: "mk-row" }, h("label", { class: "mk-pick" }, input, h("span", {}, value ? "Replace" : "Choose files")), value ? h("button", { type: "button", class: "mk-small", onclick: () => put(without()) }, "Remove") : ""));
    };
    const box = h("details", { class: "mk-settings", open: opened, ontoggle: () => toggled(box.open) },
      h("summary", {}, "Maps of your own", h("span", { class: "mk-count" }, Object.keys(given).length ? `${Object.keys(given).length} given` : "")), h("p", { class: "mk-soft" }, "Pictures, a video, npy, npz or JSON, one for each frame used, in place of what the method would estimate."), rows.map(row));
    return box;
  };
})();
