// Methods side by side, and lists of such jobs.
(() => {
  const { h, part, store, hear, say, number, seconds } = mk;
  const ARROWS = { higher: "↑", lower: "↓", one: "→ 1", none: "" };

  // Ticks for methods; `put` gets the names.
  function ticks(chosen, put) {
    const box = h("fieldset", { class: "mk-ticks" }, h("legend", {}, "Methods"));
    for (const item of store.facts?.methods || []) {
      const tick = h("input", { type: "checkbox", value: item.name, checked: chosen.includes(item.name), onchange: () => put([...box.querySelectorAll("input:checked")].map((i) => i.value)) });
      box.append(h("label", {}, tick, h("span", {}, h("b", {}, item.title), h("small", {}, "needs " + Object.keys(item.needs).map(say).join(", ")))));
    }
    return box;
  }

  part("choose", (root, { props, trigger, watch }) => {
    function draw() {
      const given = ["driving", "reference"].map((name) => { const clip = store.clips[name]; return h("figure", {}, clip?.still ? h("img", { src: clip.still, alt: clip.name }) : h("div", { class: "mk-none" }, "none yet"), h("figcaption", {}, h("b", {}, say(name)), h("span", {}, clip?.name || ""))); });
      const button = h("button", { type: "button", class: "mk-run", onclick: () => trigger("run") }, "Compare");
      mk.fill(root, h("div", { class: "mk-title" }, h("h2", {}, "Compare"), h("span", { class: "mk-soft mk-hint" }, "the clips, texts and sizes of Transfer, through each ticked method")),
        h("div", { class: "mk-given" }, given), store.form.prompt ? h("p", { class: "mk-soft" }, "“" + store.form.prompt + "”") : "",
        ticks(props.value?.methods || [], (methods) => { props.value = { ...props.value, methods }; }), button);
    }
    hear("clips", draw); hear("form", draw); watch("value", () => {}); draw();
  });

  function table(state) {
    if (!state.columns?.length) return "";
    const cells = state.cells.filter((c) => c.metrics);
    const best = (column) => {
      const values = cells.map((c) => c.metrics[column.name]).filter((v) => v !== null && v !== undefined);
      if (values.length < 2 || column.better === "none") return null;
      const key = { higher: (v) => -v, lower: (v) => v, one: (v) => Math.abs(v - 1) }[column.better];
      return values.reduce((a, b) => (key(b) < key(a) ? b : a));
    };
    return h("div", { class: "mk-scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Method"), state.columns.map((c) => h("th", { title: c.legend }, c.title, " ", ARROWS[c.better], h("small", {}, c.unit))), h("th", {}, "Time"))),
      h("tbody", {}, cells.map((cell) => h("tr", {}, h("td", {}, cell.method), state.columns.map((c) => { const v = cell.metrics[c.name]; return h("td", { class: v !== undefined && v !== null && v === best(c) ? "best" : "" }, number(v)); }), h("td", {}, seconds(cell.seconds)))))),
      h("details", { class: "mk-group" }, h("summary", {}, "What the figures mean"), h("dl", { class: "wide" }, state.columns.flatMap((c) => [h("dt", {}, c.title), h("dd", {}, c.legend)]))));
  }

  mk.board && part("compared", mk.board(() => h("div", { class: "mk-blank" }, h("h2", {}, "Side by side"), h("p", {}, "Tick methods and compare them on the same clips: players in step, a wipe between any two, and the figures of the report.")),
    (state) => [h("div", { class: "mk-figures" }, table(state)), state.report ? h("p", {}, h("a", { href: state.report, target: "_blank" }, "Open the report")) : ""]));

  part("batch", (root, { props, trigger, upload }) => {
    let said = "", wrong = "";
    const put = (more) => { props.value = { ...props.value, ...more }; };
    async function take(list) {
      said = "Reading…"; wrong = ""; draw();
      const files = [...(props.value.files || [])];
      for (const file of list) { try { const sent = await upload(file); files.push({ path: sent.path, name: file.name }); } catch (error) { wrong = "Not uploaded: " + mk.failed(error); break; } }
      said = ""; put({ files }); draw();
    }
    function draw() {
      const files = props.value?.files || [], input = h("input", { type: "file", multiple: true, ariaLabel: "choose a CSV file and its clips", onchange: () => take(input.files) });
      const zone = h("div", { class: "mk-drop" }, said || [h("label", { class: "mk-pick" }, input, h("span", {}, "Choose files")), h("span", { class: "mk-soft" }, "one CSV, and the clips it names")]);
      zone.addEventListener("dragover", (event) => event.preventDefault());
      zone.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
      mk.fill(root, h("div", { class: "mk-title" }, h("h2", {}, "Batch"), h("span", { class: "mk-soft mk-hint" }, "a row of the CSV is a job: columns name, reference, driving, prompt, truth, seed, …")), zone, wrong ? h("p", { class: "mk-error", role: "alert" }, wrong) : "",
        files.length ? h("ul", { class: "mk-files" }, files.map((f) => h("li", {}, f.name, h("button", { type: "button", class: "mk-link", onclick: () => { put({ files: files.filter((g) => g !== f) }); draw(); } }, "remove")))) : "",
        ticks(props.value?.methods || [], (methods) => put({ methods })), h("button", { type: "button", class: "mk-run", onclick: () => trigger("run") }, "Run the jobs"));
    }
    hear("form", draw); draw();
  });

  part("batched", (root, { props, trigger, watch }) => {
    const head = h("div", { class: "mk-title" }), body = h("div", {}), name = h("h2", {}), count = h("span", { class: "mk-soft" }), links = h("span", {}), cancel = h("button", { type: "button", class: "mk-small mk-cancel", onclick: () => trigger("cancel") }, "Cancel");
    head.append(name, count, h("span", { class: "mk-tools" }, links, cancel)); // the button stays, so that a click on it is not lost
    root.append(head, body);
    function draw() {
      const state = props.value;
      root.dataset.state = state?.state || "empty";
      head.hidden = !state;
      if (!state) return mk.fill(body, h("div", { class: "mk-blank" }, h("h2", {}, "Jobs, one after another"), h("p", {}, "Each row becomes a comparison. A job that fails is reported and the others run; the results come as a zip.")));
      const busy = ["waiting", "running"].includes(state.state), done = (state.rows || []).filter((r) => ["done", "failed", "cancelled"].includes(r.state)).length;
      const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
      put(name, { waiting: "Waiting", running: "Running", done: "Done", failed: "It did not run", cancelled: "Cancelled" }[state.state]);
      put(count, state.rows ? `${done} of ${state.rows.length}` : "");
      cancel.hidden = !busy;
      mk.fill(links, state.zip ? h("a", { class: "mk-small strong", href: state.zip, download: "results.zip" }, "Results as a zip") : "", " ", state.index ? h("a", { class: "mk-small", href: state.index, target: "_blank" }, "Overview") : "");
      mk.fill(body,
        state.line && state.state === "failed" ? h("p", { class: "mk-error", role: "alert" }, state.line) : "",
        state.rows ? h("div", { class: "mk-scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["Job", "State", ""].map((t) => h("th", {}, t)))), h("tbody", {}, state.rows.map((r) => h("tr", {}, h("td", {}, r.name), h("td", { class: "is-" + r.state }, r.state), h("td", {}, r.report ? h("a", { href: r.report, target: "_blank" }, "report") : "", " ", r.line)))))) : "");
    }
    watch("value", draw); draw();
  });
})();
