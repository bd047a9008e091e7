// What is asked: a card for each method, the texts, the settings from their schema, and the button.
(() => {
  const { h, part, store, tell, hear, say, copy } = mk;

  function control(name, fact, value, set, tools) {
    const drawn = fact["x-drawn"];
    if (drawn && tools) return mk.marked(drawn, name, value, set, { ...tools, typed: (now, put) => control(name, fact, now, put) });
    if (fact["x-file"] === "read" && tools) return mk.filed(name, value, set, { upload: tools.upload, usual: fact.default, typed: (now, put) => control(name, fact, now, put) });
    const kinds = [fact.type].flat(), id = "set-" + name;
    const common = { id, ariaLabel: name, title: fact.description || "" };
    if (fact.enum) {
      const box = h("select", { ...common, onchange: () => set(box.value === "" ? null : box.value) },
        fact.enum.map((word, i) => h("option", { value: word ?? "", selected: (value ?? "") === (word ?? "") }, word ?? "automatic")));
      return box;
    }
    if (kinds.includes("boolean")) {
      const box = h("input", { type: "checkbox", ...common, checked: Boolean(value), onchange: () => set(box.checked) });
      return box;
    }
    if (kinds.includes("integer") || kinds.includes("number")) {
      const whole = !kinds.includes("number"), both = fact.minimum !== undefined && fact.maximum !== undefined && fact.maximum - fact.minimum <= 1000;
      const box = h("input", { type: "number", ...common, value: value ?? "", min: fact.minimum, max: fact.maximum, step: whole ? 1 : "any", placeholder: "automatic" });
      const put = (text) => set(text === "" ? null : whole ? parseInt(text, 10) : parseFloat(text));
      box.addEventListener("change", () => { if (slide) slide.value = box.value; put(box.value); });
      const slide = both ? h("input", { type: "range", min: fact.minimum, max: fact.maximum, step: whole ? 1 : (fact.maximum - fact.minimum) / 100, value: value ?? fact.minimum, tabIndex: -1, ariaHidden: "true", oninput: () => { box.value = slide.value; }, onchange: () => put(slide.value) }) : null;
      return h("span", { class: "mk-both" }, slide, box);
    }
    if (kinds.includes("array")) {
      const inner = fact.items?.type;
      const read = (text) => (inner === "integer" || inner === "number" ? Number(text) : text);
      const box = h("input", { type: "text", ...common, value: (value || []).join(", "), placeholder: kinds.includes("null") ? "automatic" : "comma between values", onchange: () => { const list = box.value.split(",").map((t) => t.trim()).filter(Boolean).map(read); set(list.length || !kinds.includes("null") ? list : null); } });
      return box;
    }
    const box = h("input", { type: "text", ...common, value: value ?? "", placeholder: kinds.includes("null") ? "automatic" : "", onchange: () => set(box.value === "" && kinds.includes("null") ? null : box.value) });
    return box;
  }

  function fields(schema, prefix, values, set, tools) {
    return Object.entries(schema.properties).filter(([key]) => prefix || !["name", "preset"].includes(key)).map(([key, fact]) => {
      const name = prefix + key;
      if (fact.type === "object" && fact.properties) {
        const inside = fields(fact, name + ".", values, set, tools), changed = Object.keys(values).some((k) => k.startsWith(name + "."));
        const box = h("details", { class: "mk-group", open: changed || tools.open.has(name), ontoggle: () => (box.open ? tools.open.add(name) : tools.open.delete(name)) }, h("summary", {}, fact.title, h("span", { class: "mk-soft" }, mk.coded(fact.description))), inside);
        return box;
      }
      const mine = name in values, value = mine ? values[name] : fact.default;
      const row = h("div", { class: "mk-field" + (mine ? " changed" : "") });
      const put = (next) => { set(name, JSON.stringify(next) === JSON.stringify(fact.default) ? undefined : next); row.classList.toggle("changed", name in values); };
      const meaning = fact.enum ? fact.enumDescriptions?.[fact.enum.indexOf(value)] : "";
      row.append(...[h("label", { htmlFor: "set-" + name }, fact.title, fact["x-unit"] ? h("small", {}, " " + fact["x-unit"]) : ""), control(name, fact, value, put, tools)].flat(),
        h("p", {}, mk.coded(fact.description), meaning ? h("em", {}, ` ${value}: ${meaning}.`) : ""));
      return row;
    });
  }

  part("form", (root, { props, trigger, watch, server, upload }) => {
    const facts = (store.facts = props.facts);
    let known = null, asked = "", words = null, state = { settings: {}, maps: {}, ...props.value }, opened = false, maps_open = false;
    let seen = null, timer = 0, turn = 0;
    const groups = new Set(); // of settings that are open
    const method = () => facts.methods.find((m) => m.name === state.method) || facts.methods[0];
    const reads = (name) => name in method().needs || name in method().uses;

    function push() { store.form = state; props.value = { ...state, settings: { ...state.settings }, maps: { ...state.maps } }; tell("form"); look_ahead(); }
    const asks = () => ({ form: state, clips: mk.slim(store.clips) });

    // What the run would be refused for, whether it fits and how long it takes: asked anew a moment after each change.
    function look_ahead() {
      clearTimeout(timer);
      const mine = ++turn; // what was asked before has no say any more
      timer = setTimeout(async () => {
        let got = null;
        try { got = await server.ahead_of(asks()); } catch { got = null; }
        if (mine === turn) { seen = got; readiness(); }
      }, 300);
    }

    async function refresh() {
      const now = JSON.stringify([state.method, state.backbone, state.preset]);
      if (now === asked) return;
      asked = now;
      try { known = await server.form_of({ method: state.method, backbone: state.backbone, preset: state.preset }); } catch { known = null; }
      draw();
    }

    function change(more) { Object.assign(state, more); push(); draw(); refresh(); }

    function card(item) {
      const chosen = item.name === state.method;
      const input = h("input", { type: "radio", name: "mk-method", value: item.name, checked: chosen, onchange: () => change({ method: item.name, backbone: "", preset: "", settings: {} }) });
      const chips = [...Object.keys(item.needs).map((n) => [n, "need", "needs " + (item.needs[n] || say(n))]), ...Object.keys(item.uses).map((n) => [n, "use", "takes " + (item.uses[n] || say(n))])];
      return h("label", { class: "mk-card" + (chosen ? " on" : "") }, input,
        h("span", { class: "mk-name" }, item.title, item.year ? h("small", {}, item.year) : "", item.state ? h("small", { class: "mk-flag", title: item.state }, "paper’s figures not reached") : ""),
        h("span", { class: "mk-what" }, item.summary),
        h("span", { class: "mk-chips" }, chips.map(([n, kind, told]) => h("span", { class: "mk-chip " + kind, title: told }, say(n))), item.from !== "motionkit" ? h("span", { class: "mk-chip from" }, "from " + item.from) : ""),
        chosen ? h("span", { class: "mk-licence" }, item.licence, item.paper ? [" · ", h("a", { href: item.paper, target: "_blank", rel: "noreferrer" }, "paper")] : "") : "");
    }

    function text(name, label) {
      const on = reads(name), box = h(name === "prompt" ? "textarea" : "input", { value: state[name] || "", disabled: !on, rows: 2, id: "mk-" + name, placeholder: on ? method().needs[name] || method().uses[name] || "" : "not read" });
      box.addEventListener("input", () => { state[name] = box.value; push(); readiness(); });
      return h("div", { class: "mk-text" + (on ? "" : " off") }, h("label", { htmlFor: "mk-" + name }, label, name in method().needs ? h("small", {}, " needed") : ""), box);
    }

    function option(name, label, attributes = {}) {
      const box = h("input", { value: state[name] ?? "", placeholder: "auto", id: "mk-" + name, ...attributes });
      box.addEventListener("change", () => { state[name] = box.value; push(); });
      return h("div", { class: "mk-option" }, h("label", { htmlFor: "mk-" + name }, label), box);
    }

    function choice(name, label, words, more = {}) {
      const box = h("select", { id: "mk-" + name, onchange: () => change({ [name]: box.value, ...more }) }, words.map(([value, shown]) => h("option", { value, selected: value === (state[name] || "") }, shown)));
      return h("div", { class: "mk-option wide" }, h("label", { htmlFor: "mk-" + name }, label), box);
    }

    function missing() {
      const clip = (name) => store.clips[name]?.path && store.clips[name]?.kind;
      const there = (name) => (["reference", "driving"].includes(name) ? clip(name) : Boolean((state[name] || "").trim()));
      return Object.keys(method().needs).filter((name) => !there(name));
    }

    function verdict(gone) {
      if (gone.length) return h("strong", { class: "mk-need" }, "Still needed: " + gone.map((n) => ({ reference: "a character", driving: "a motion" })[n] || "a " + say(n)).join(", "));
      if (!seen) return h("strong", {}, "Looking…");
      if (seen.wrong) return h("p", { class: "mk-error", role: "alert" }, seen.wrong);
      const time = seen.seconds ? `about ${mk.seconds(seen.seconds)}` : "";
      return seen.fits === false ? h("strong", { class: "mk-need" }, "Does not fit this machine" + (seen.nearest ? `: try ${seen.nearest}` : "")) : h("strong", { class: "mk-fine" }, ["Ready", seen.fits ? "fits" : "", time].filter(Boolean).join(" · "));
    }

    function readiness() {
      const place = root.querySelector(".mk-ready");
      if (!place) return;
      const gone = missing(), plan = known?.plan || [], lacks = plan.filter((line) => line.startsWith("weights missing"));
      const more = seen && !seen.wrong && !gone.length ? [seen.shape, seen.memory, seen.seconds && seen.by ? "time from " + seen.by : ""].filter(Boolean).join(" · ") : "";
      const cards = seen && !seen.wrong && seen.cards.length ? h("span", { class: "mk-cards-fit" }, "Cards ", seen.cards.map(([size, fits]) => h("i", { class: fits ? "yes" : "no", title: fits ? "fits" : "does not fit" }, `${size} GB ${fits ? "✓" : "✗"}`))) : "";
      mk.fill(place, verdict(gone), lacks.map((line) => h("span", { class: "mk-need" }, line)), more ? h("span", {}, more) : "", cards, gone.length ? "" : (seen?.notes || []).map((line) => h("span", {}, line)));
      root.querySelector(".mk-run").classList.toggle("waits", gone.length > 0 || seen?.fits === false);
    }

    async function show(kind) {
      words = await server.words_of(asks());
      const text = words[kind], out = root.querySelector(".mk-words");
      out.hidden = false;
      if (words.error) return mk.fill(out, h("p", { class: "mk-error", role: "alert" }, words.error));
      const button = h("button", { type: "button", class: "mk-small strong", onclick: () => copy(text, button) }, "Copy");
      mk.fill(out, h("pre", {}, text), button);
    }

    function settings() {
      if (known?.wrong) return h("p", { class: "mk-error" }, known.wrong);
      if (!known?.schema) return "";
      const set = (name, value) => { value === undefined ? delete state.settings[name] : (state.settings[name] = value); push(); count(); };
      const rows = fields(known.schema, "", state.settings, set, { frame: () => server.frame_of(asks()), upload, open: groups });
      const sum = h("summary", {}, rows.length ? "Settings" : "No settings of its own", h("span", { class: "mk-count" }));
      const box = h("details", { class: "mk-settings", open: opened, ontoggle: () => { opened = box.open; } }, sum, rows);
      const count = () => { const n = Object.keys(state.settings).length; sum.querySelector(".mk-count").textContent = n ? `${n} changed` : ""; };
      count();
      return box;
    }

    function draw() {
      const item = method(), scroll = root.querySelector(".mk-cards")?.scrollTop || 0, focus = document.activeElement;
      const back = root.contains(focus) && (focus.id ? "#" + CSS.escape(focus.id) : focus.name === "mk-method" ? "input[name=mk-method]:checked" : null);
      const presets = known?.schema?.properties?.preset;
      const state_of = (name) => ({ missing: " (weights missing)", unusable: " (weights unusable)" })[facts.backbones[name]?.state] || "";
      mk.fill(root, 
        h("div", { class: "mk-title" }, h("h2", {}, "Method"), h("span", { class: "mk-soft mk-hint" }, "filled: needed · outlined: taken when given")),
        h("div", { class: "mk-cards", role: "radiogroup", ariaLabel: "method" }, facts.methods.map(card)),
        facts.broken.map((line) => h("p", { class: "mk-soft" }, "not loaded: " + line)),
        text("prompt", "Prompt"), h("div", { class: "mk-two" }, text("source_prompt", "What the motion clip shows"), text("negative_prompt", "To avoid")),
        h("div", { class: "mk-options" },
          item.backbones.length ? choice("backbone", "Backbone", [["", `${item.default} (default)`], ...item.backbones.filter((n) => n !== item.default).map((n) => [n, n + state_of(n)])], { settings: {} }) : "",
          item.backbones.length ? choice("sampler", "Sampler", facts.samplers.map((word, i) => [i ? word : "", word])) : "",
          presets ? choice("preset", "Preset", [["", presets.default], ...presets.enum.filter((w) => w !== presets.default).map((w) => [w, w])], { settings: {} }) : "",
          option("seed", "Seed", { type: "number", min: 0, placeholder: "0", disabled: !item.seeded }), option("frames", "Frames", { type: "number", min: 1 }),
          option("size", "Size", { placeholder: "auto" }), option("fps", "Rate, fps", { type: "number", min: 1, step: "any" })),
        mk.maps(item, facts.maps, state.maps || {}, (maps) => change({ maps }), { map: (given) => server.map_of(given), upload, opened: maps_open, toggled: (open) => { maps_open = open; } }),
        settings(),
        h("div", { class: "mk-go" },
          h("button", { type: "button", class: "mk-run", onclick: () => { if (root.classList.contains("running")) return; trigger("run"); document.querySelector("#mk-stage")?.scrollIntoView({ block: "nearest", behavior: "smooth" }); } }, "Make it move"),
          h("div", { class: "mk-ready", ariaLive: "polite" })),
        h("div", { class: "mk-row" }, h("button", { type: "button", class: "mk-link", onclick: () => show("command") }, "Copy as command"), h("button", { type: "button", class: "mk-link", onclick: () => show("python") }, "Copy as Python")),
        h("div", { class: "mk-words", hidden: true }));
      root.querySelector(".mk-cards").scrollTop = scroll;
      if (back) root.querySelector(back)?.focus();
      readiness();
    }

    watch("value", () => { if (props.value && JSON.stringify(props.value) !== JSON.stringify(state)) { state = { settings: {}, maps: {}, ...props.value }; store.form = state; tell("form"); draw(); refresh(); look_ahead(); } });
    hear("clips", () => { seen = null; readiness(); look_ahead(); });
    hear("job", (job) => { const busy = job && ["waiting", "running"].includes(job.state); root.classList.toggle("running", Boolean(busy)); const b = root.querySelector(".mk-run"); if (b) b.textContent = busy ? "Running…" : "Make it move"; });
    mk.again = (form) => { // a past run, to be changed and run again
      const { clips, ...asked } = form;
      state = { settings: {}, maps: {}, ...asked };
      push(); draw(); refresh(); mk.tab("Transfer");
      const here = [store.clips.reference, store.clips.driving].map((clip) => clip?.name?.replace(/\.[^.]*$/, "")), gone = clips.filter((name) => name && !here.includes(name));
      if (gone.length) root.querySelector(".mk-ready").prepend(h("span", { class: "mk-need" }, "It was made with " + gone.join(" and ") + ": choose them again for the same clips"));
    };
    store.form = state;
    draw(); refresh(); look_ahead(); setTimeout(() => tell("form"), 0);
  });
})();
