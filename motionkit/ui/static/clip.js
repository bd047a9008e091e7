// A clip to be chosen: dropped, picked or drawn; looked at; and, where it moves, cut on a time line.
(() => {
  const { h, part, store, tell, hear, seconds } = mk;
  const TITLES = { reference: ["Character", "who is to move: a picture, a clip or a drawing"], driving: ["Motion", "the clip whose motion is taken"] };
  const KINDS = "image/png,image/jpeg,image/webp,image/gif,video/*,.mkv,.avi,.wmv,.ts,.mpg";

  part("clip", (root, { props, trigger, watch, upload }) => {
    const name = props.name, [title, what] = TITLES[name];
    let drawing = false, busy = "";

    async function take(file) {
      if (!file) return;
      busy = "Reading " + file.name; draw();
      try {
        const sent = await upload(file);
        props.value = { path: sent.path, url: sent.url, name: file.name };
        trigger("picked");
      } catch (error) {
        props.value = { error: "Not uploaded: " + mk.failed(error) };
      }
      drawing = false;
    }

    function set(value) { busy = ""; props.value = value; }

    function picker(label) {
      const input = h("input", { type: "file", accept: KINDS, ariaLabel: "choose a file for " + title, onchange: () => take(input.files[0]) });
      return h("label", { class: "mk-pick" }, input, h("span", {}, label));
    }

    function dropzone() {
      const zone = h("div", { class: "mk-drop" + (busy ? " busy" : "") },
        busy ? h("span", { class: "mk-busy" }, busy) : [h("span", { class: "mk-ghost " + name, ariaHidden: "true" }),
          h("div", {}, picker("Choose a file"), h("span", { class: "mk-soft" }, " or drop it here"))]);
      zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
      zone.addEventListener("dragleave", () => zone.classList.remove("over"));
      zone.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
      return zone;
    }

    function preview(value) {
      const still = h("img", { src: value.kind === "image" ? value.still : value.still, alt: value.name });
      if (value.kind !== "video") return still;
      const video = h("video", { src: value.url, muted: true, loop: true, autoplay: true, playsInline: true, ariaLabel: value.name });
      video.muted = true;
      video.addEventListener("error", () => video.replaceWith(still)); // a kind that the browser does not play
      video.addEventListener("timeupdate", () => {
        const end = props.value?.end ?? value.seconds, start = props.value?.start ?? 0;
        if (video.currentTime >= end || video.currentTime < start - 0.2) video.currentTime = start;
      });
      return video;
    }

    function timeline(value) {
      const whole = value.seconds, step = 1 / (value.fps || 8);
      const readout = h("output", {});
      const low = h("input", { type: "range", min: 0, max: whole, step, value: value.start ?? 0, ariaLabel: title + ": start" });
      const high = h("input", { type: "range", min: 0, max: whole, step, value: value.end ?? whole, ariaLabel: title + ": end" });
      const rail = h("div", { class: "mk-rail" }, h("img", { src: value.strip, alt: "" }), h("b", { class: "cut left" }), h("b", { class: "cut right" }), low, high);
      function show() {
        rail.style.setProperty("--a", (100 * low.value) / whole + "%");
        rail.style.setProperty("--b", (100 * high.value) / whole + "%");
        readout.textContent = `${(+low.value).toFixed(2)} – ${(+high.value).toFixed(2)} s of ${whole.toFixed(2)} s`;
      }
      function moved(event) {
        if (+high.value - +low.value < step) event.target === low ? (low.value = +high.value - step) : (high.value = +low.value + step);
        show();
      }
      function kept() {
        const start = +low.value > step / 2 ? +(+low.value).toFixed(3) : null, end = +high.value < whole - step / 2 ? +(+high.value).toFixed(3) : null;
        props.value = { ...props.value, start, end };
        store.clips[name] = props.value; tell("clips");
      }
      for (const input of [low, high]) { input.addEventListener("input", moved); input.addEventListener("change", kept); }
      show();
      return h("div", { class: "mk-time" }, rail, readout);
    }

    function pad() {
      const size = 512, canvas = h("canvas", { width: size, height: size, tabIndex: 0, ariaLabel: "drawing pad" });
      const ink = canvas.getContext("2d"), past = [];
      let pen = 7, down = false;
      const wipe = () => { ink.fillStyle = "#fff"; ink.fillRect(0, 0, size, size); };
      const at = (event) => { const box = canvas.getBoundingClientRect(); return [((event.clientX - box.left) * size) / box.width, ((event.clientY - box.top) * size) / box.height]; };
      wipe();
      canvas.addEventListener("pointerdown", (event) => {
        past.push(ink.getImageData(0, 0, size, size)); down = true; canvas.setPointerCapture(event.pointerId);
        Object.assign(ink, { lineWidth: pen, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
        ink.beginPath(); ink.moveTo(...at(event)); ink.lineTo(...at(event)); ink.stroke();
      });
      canvas.addEventListener("pointermove", (event) => { if (down) { ink.lineTo(...at(event)); ink.stroke(); } });
      canvas.addEventListener("pointerup", () => { down = false; });
      const button = (text, then, kind = "") => h("button", { type: "button", class: "mk-small " + kind, onclick: then }, text);
      return h("div", { class: "mk-pad" }, canvas, h("div", { class: "mk-row" },
        button("Undo", () => past.length && ink.putImageData(past.pop(), 0, 0)), button("Clear", () => { past.push(ink.getImageData(0, 0, size, size)); wipe(); }),
        h("label", { class: "mk-soft" }, "pen ", h("input", { type: "range", min: 2, max: 20, value: pen, ariaLabel: "pen width", oninput: (e) => { pen = +e.target.value; } })),
        button("Use this drawing", () => canvas.toBlob((blob) => take(new File([blob], "drawing.png", { type: "image/png" }))), "strong")));
    }

    function facts(value) {
      const size = value.size ? value.size.join(" × ") : "";
      return [value.kind === "video" ? [`${value.frames} frames`, `${(+value.fps).toFixed(value.fps % 1 ? 2 : 0)} fps`, seconds(value.seconds)] : ["picture"], size].flat().filter(Boolean).join(" · ");
    }

    function draw() {
      const value = props.value, card = store.facts?.methods.find((m) => m.name === store.form.method);
      const note = card ? card.needs[name] ?? card.uses[name] : "";
      const unread = card && !(name in card.needs) && !(name in card.uses);
      const there = value?.path && value.kind && !busy;
      const tools = [there && picker("Replace"), there && h("button", { type: "button", class: "mk-small", onclick: () => set(null) }, "Remove"),
        name === "reference" && h("button", { type: "button", class: "mk-small", ariaPressed: String(drawing), onclick: () => { drawing = !drawing; draw(); } }, drawing ? "Choose a file" : "Draw")];
      root.classList.toggle("unread", Boolean(unread));
      mk.fill(root, 
        h("div", { class: "mk-title" }, h("h2", {}, title), h("span", { class: "mk-soft" }, unread ? `not read by ${card.title}` : note || what), h("span", { class: "mk-tools" }, tools)),
        value?.error ? h("p", { class: "mk-error", role: "alert" }, value.error) : "",
        drawing ? pad() : there ? h("div", { class: "mk-seen" }, h("div", { class: "mk-light" }, preview(value)),
          value.strip ? timeline(value) : "", h("p", { class: "mk-meta" }, h("b", {}, value.name), " ", facts(value)), (value.notes || []).map((n) => h("p", { class: "mk-soft" }, n))) : dropzone());
    }

    watch("value", () => { busy = ""; store.clips[name] = props.value; tell("clips"); draw(); });
    hear("form", draw);
    draw();
  });
})();
