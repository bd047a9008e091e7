// What is there already: past runs, tables, a blind study, the state of the installation.
(() => {
  const { h, part, store, say, seconds, number, tab, hear } = mk;

  // Calls `then` whenever the part comes into view: its tab was opened.
  function seen(root, then) { new IntersectionObserver((found) => { if (found.some((f) => f.isIntersecting)) then(); }).observe(root); }

  // What stands in place of a list that the server did not give.
  const unread = (what, error) => `${what} cannot be read: ${mk.failed(error)}. Does motionkit ui still run?`;
  const answered = (list) => { if (!list) throw new Error("no answer came"); return list; }; // Gradio keeps a broken call to itself
  const again_after = (wrong, load) => [h("p", { class: "mk-error", role: "alert" }, wrong), h("p", {}, h("button", { type: "button", class: "mk-small", onclick: load }, "Look again"))];

  part("gallery", (root, { server }) => {
    let runs = null, wanted = "", most = 24, open = null, wrong = "";
    async function load() { try { runs = answered(await server.runs_of()); wrong = ""; } catch (error) { wrong = unread("The runs", error); } draw(); }
    function card(run) {
      const film = run.video ? h("video", { src: run.video + "#t=0.3", muted: true, loop: true, playsInline: true, preload: "metadata", ariaLabel: run.method }) : h("div", { class: "mk-none" }, run.status === "complete" ? "" : run.status);
      if (run.video) { film.muted = true; film.addEventListener("mouseenter", () => film.play().catch(() => {})); film.addEventListener("mouseleave", () => film.pause()); }
      const note = h("p", { class: "mk-error", hidden: true });
      const fail = (error) => { note.textContent = error; note.hidden = false; };
      const again = async () => { const form = await server.form_of_run(run.name); if (form.error) return fail(form.error); mk.again(form); };
      const remove = h("button", { type: "button", class: "mk-small danger", onclick: async () => {
        if (remove.dataset.sure) { const done = await server.delete_run(run.name); if (done.error) return fail(done.error); return load(); }
        remove.dataset.sure = "1"; remove.textContent = "Really?"; setTimeout(() => { delete remove.dataset.sure; remove.textContent = "Delete"; }, 3000);
      } }, "Delete");
      return h("article", { class: "mk-run-card is-" + run.status }, h("div", { class: "mk-light" }, film), h("h3", {}, run.method, h("small", {}, run.backbone || "")),
        h("p", { class: "mk-soft" }, run.prompt || run.clips.filter(Boolean).join(" + ")), h("p", { class: "mk-meta" }, (run.started || "").slice(0, 16).replace("T", " "), " · ", run.status === "complete" ? seconds(run.seconds) : run.status), run.error ? h("p", { class: "mk-soft" }, run.error) : "",
        h("div", { class: "mk-row" }, run.video ? h("button", { type: "button", class: "mk-small", onclick: async () => { open = await server.run_of(run.name); draw(); root.scrollIntoView({ behavior: "smooth" }); } }, "Open") : "", h("button", { type: "button", class: "mk-small", onclick: again }, "Change and run"), run.removable ? remove : ""), note);
    }
    function draw() {
      if (wrong) return mk.fill(root, ...again_after(wrong, load));
      if (!runs) return mk.fill(root, h("p", { class: "mk-soft" }, "Reading the runs…"));
      const names = [...new Set(runs.map((r) => r.method))].sort(), shown = runs.filter((r) => !wanted || r.method === wanted);
      const filter = h("select", { ariaLabel: "method", onchange: () => { wanted = filter.value; most = 24; draw(); } }, h("option", { value: "" }, "every method"), names.map((n) => h("option", { value: n, selected: n === wanted }, n)));
      mk.fill(root, h("div", { class: "mk-title" }, h("h2", {}, "Past runs"), h("span", { class: "mk-soft" }, `${shown.length} of ${runs.length}`), h("span", { class: "mk-tools" }, filter, h("button", { type: "button", class: "mk-small", onclick: load }, "Look again"))),
        open ? h("section", { class: "mk-opened" }, h("button", { type: "button", class: "mk-small", onclick: () => { open = null; draw(); } }, "Close"), open.error ? h("p", { class: "mk-error" }, open.error) : [mk.wall(open), open.cells.map(mk.facts_of)]) : "",
        shown.length ? h("div", { class: "mk-grid" }, shown.slice(0, most).map(card)) : h("div", { class: "mk-blank" }, h("h2", {}, "Nothing has run yet"), h("p", {}, "What you make is kept in the folder of runs and shown here."), h("button", { type: "button", class: "mk-small", onclick: () => tab("Transfer") }, "Make something move")),
        shown.length > most ? h("button", { type: "button", class: "mk-small", onclick: () => { most += 48; draw(); } }, "More") : "");
    }
    seen(root, load); draw();
  });

  part("tables", (root, { server }) => {
    let tables = null, wrong = "";
    async function load() { try { tables = answered(await server.tables_of()); wrong = ""; } catch (error) { wrong = unread("The tables", error); } draw(); }
    function figure(f) { return !f || f.mean === null || f.mean === undefined ? "–" : h("span", { title: f.low !== null ? `${number(f.low)} to ${number(f.high)}` : "" }, number(f.mean), f.low !== null && f.low !== undefined ? h("small", {}, `${number(f.low)} – ${number(f.high)}`) : ""); }
    function draw() {
      if (wrong) return mk.fill(root, ...again_after(wrong, load));
      if (!tables) return mk.fill(root, h("p", { class: "mk-soft" }, "Reading the tables…"));
      if (!tables.length) return mk.fill(root, h("div", { class: "mk-blank" }, h("h2", {}, "No table yet"), h("p", {}, h("code", {}, "motionkit bench"), " measures every method against a known truth; its tables are shown here.")));
      mk.fill(root, h("div", { class: "mk-title" }, h("h2", {}, "Tables"), h("span", { class: "mk-soft mk-hint" }, "of motionkit bench: mean, and its 95% interval")), tables.map((t) => h("section", {}, h("h3", {}, t.title), h("p", { class: "mk-soft" }, t.name, " ", t.page ? h("a", { href: t.page, target: "_blank" }, "the page with pictures") : ""),
        h("div", { class: "mk-scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, ""), t.columns.map((c) => h("th", { title: c.meaning }, c.title, " ", { higher: "↑", lower: "↓", one: "→ 1" }[c.better] || "", h("small", {}, c.unit))), h("th", {}, "Time, s"))),
          h("tbody", {}, t.rows.map((r) => r.refused ? h("tr", {}, h("td", {}, r.label), h("td", { colSpan: t.columns.length + 1, class: "mk-soft" }, r.refused)) : h("tr", {}, h("td", {}, r.label), t.columns.map((c) => h("td", { class: r.figures[c.name]?.rank === 1 ? "best" : "" }, figure(r.figures[c.name]))), h("td", {}, figure(r.costs.seconds))))))))));
    }
    seen(root, load); draw();
  });

  part("study", (root, { props, trigger, watch, server }) => {
    let found = null, chosen = [], at = 0, rates = null, wrong = "";
    const voter = Math.random().toString(16).slice(2, 12);
    async function load() { if (props.value?.pairs) return; try { found = answered(await server.comparisons_of()); wrong = ""; } catch (error) { wrong = unread("The comparisons", error); } draw(); }
    const film = (url) => { if (/\.png$/.test(url)) return h("img", { src: url, alt: "" }); const v = h("video", { src: url, loop: true, autoplay: true, playsInline: true }); v.muted = true; return v; };
    async function vote(pair, choice) {
      const answer = await server.vote_of({ study: props.value.study, pair: pair.id, question: pair.question, choice, voter });
      if (answer.error) return root.append(h("p", { class: "mk-error" }, answer.error));
      rates = answer.rates; at += 1; draw();
    }
    function result() {
      return h("div", {}, h("h2", {}, at ? "Preferred" : "No vote yet"), Object.entries(props.value.questions).map(([name, question]) => h("section", {}, h("h3", {}, question), (rates || []).some((r) => r.question === name) ? "" : h("p", { class: "mk-soft" }, "No vote yet."), (rates || []).filter((r) => r.question === name).map((r) => h("div", { class: "mk-rate" }, h("span", {}, r.method), h("div", {}, h("i", { style: `left:${100 * r.low}%;width:${100 * (r.high - r.low)}%` }), h("b", { style: `left:${100 * r.rate}%` })), h("span", { class: "mk-num" }, `${Math.round(100 * r.rate)}% (${Math.round(100 * r.low)}–${Math.round(100 * r.high)}), ${r.n} vote${r.n > 1 ? "s" : ""}`))))),
        h("p", { class: "mk-soft" }, "The mark is how often a method was preferred, the bar its 95% Wilson interval. Votes: ", props.value.folder, "/votes.csv"), h("p", {}, h("button", { type: "button", class: "mk-small", onclick: () => { props.value = null; at = 0; rates = null; load(); } }, "Another study")));
    }
    function draw() {
      const value = props.value;
      if (wrong) return mk.fill(root, ...again_after(wrong, load));
      if (value?.error || !value?.pairs) {
        const boxes = (found || []).map((c) => { const tick = h("input", { type: "checkbox", checked: chosen.includes(c.name), onchange: () => { chosen = tick.checked ? [...chosen, c.name] : chosen.filter((n) => n !== c.name); } }); return h("label", {}, tick, h("span", {}, h("b", {}, c.methods.join(", ")), h("small", {}, `${c.name}, ${c.cases} case${c.cases > 1 ? "s" : ""}`))); });
        return mk.fill(root, h("div", { class: "mk-title" }, h("h2", {}, "Which one is better?"), h("span", { class: "mk-soft mk-hint" }, "two results at a time, without names, in random order")), value?.error ? h("p", { class: "mk-error", role: "alert" }, value.error) : "",
          boxes.length ? [h("fieldset", { class: "mk-ticks" }, h("legend", {}, "Comparisons"), boxes), h("button", { type: "button", class: "mk-run", onclick: () => { props.value = { names: chosen }; trigger("begin"); } }, "Begin"), h("p", { class: "mk-soft" }, "For other people’s browsers: motionkit study runs=FOLDER writes a page that sends nothing.")] : h("div", { class: "mk-blank" }, h("h2", {}, "Nothing to judge yet"), h("p", {}, "A study shows the results of comparisons, two at a time."), h("button", { type: "button", class: "mk-small", onclick: () => tab("Compare") }, "Make a comparison")));
      }
      const pair = value.pairs[at];
      if (!pair) return mk.fill(root, result());
      const sides = pair.turned ? ["b", "a"] : ["a", "b"];
      mk.fill(root, h("div", { class: "mk-title" }, h("h2", {}, value.questions[pair.question]), h("span", { class: "mk-num" }, `${at + 1} of ${value.pairs.length}`)), h("progress", { max: value.pairs.length, value: at, ariaLabel: "how far" }),
        h("div", { class: "mk-given" }, Object.entries(pair.inputs).map(([name, url]) => h("figure", {}, h("div", { class: "mk-light" }, film(url)), h("figcaption", {}, h("b", {}, { driving: "the motion", reference: "the character" }[name] || name))))),
        h("div", { class: "mk-pair" }, sides.map((side, i) => h("figure", {}, h("div", { class: "mk-light" }, film(pair[side])), h("button", { type: "button", class: "mk-run", onclick: () => vote(pair, side) }, i ? "The right one" : "The left one")))),
        h("div", { class: "mk-row" }, h("button", { type: "button", class: "mk-small", onclick: () => vote(pair, "same") }, "No difference"), h("button", { type: "button", class: "mk-small", onclick: () => { at = value.pairs.length; draw(); } }, "Stop, and show the rates")));
    }
    watch("value", () => { at = 0; rates = null; draw(); });
    seen(root, load); draw();
  });

  part("doctor", (root, { server }) => {
    let rows = null, unheard = "";
    async function load() { if (rows) return; try { rows = answered(await server.health_of()); unheard = ""; } catch (error) { unheard = unread("This installation", error); } draw(); }
    function draw() {
      if (unheard) return mk.fill(root, ...again_after(unheard, load));
      if (!rows) return mk.fill(root, h("p", { class: "mk-soft" }, "Looking at this installation…"));
      const wrong = rows.filter((r) => r[1] === "WRONG").length, groups = [["WRONG", "Wrong", true], ["missing", "Optional, not here", innerWidth > 560], ["ok", "In order", false]];
      mk.fill(root, h("div", { class: "mk-title" }, h("h2", {}, wrong ? `${wrong} thing${wrong > 1 ? "s" : ""} wrong` : "All is well"), h("span", { class: "mk-soft mk-hint" }, "what ", h("code", {}, "motionkit doctor"), " finds on this machine")),
        groups.map(([state, title, open]) => { const mine = rows.filter((r) => r[1] === state); return mine.length ? h("details", { class: "mk-group", open }, h("summary", {}, title, h("span", { class: "mk-soft" }, String(mine.length))), h("dl", { class: "wide is-" + state }, mine.flatMap(([what, , detail]) => [h("dt", {}, what), h("dd", {}, detail.replaceAll("`", "").replace(/^optional: /, ""))]))) : ""; }));
    }
    seen(root, load); draw();
  });
})();
