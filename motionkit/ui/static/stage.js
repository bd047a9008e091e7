// What runs and what came of it: progress by stage, a wall of players in step, what the methods saw.
(() => {
  const { h, part, tell, say, seconds, number } = mk;

  // Players in step: one clock, a slider, a wipe between any two.
  function wall(state) {
    const frames = state.frames || 1, fps = state.fps || 8;
    let at = 0, playing = true, speed = 1, last = null, late = 0;
    const films = [], strips = [];
    const panels = [...Object.entries(state.inputs || {}).map(([name, url]) => ({ name, label: say(name), url, input: true })), ...state.cells.filter((c) => c.video).map((c) => ({ name: c.method, label: c.method, url: c.video, cell: c }))];
    const media = (panel) => {
      if (/\.png$/.test(panel.url)) return h("img", { src: panel.url, alt: panel.label });
      const video = h("video", { src: panel.url, playsInline: true, preload: "auto", ariaLabel: panel.label });
      video.muted = true;
      films.push(video);
      return video;
    };
    const seek = h("input", { type: "range", min: 0, max: frames - 1, value: 0, step: 1, class: "mk-seek", ariaLabel: "frame", oninput: () => { pause(); show(+seek.value); } });
    const count = h("output", {}), play = h("button", { type: "button", class: "mk-small strong mk-play", onclick: () => (playing ? pause() : start()) }, "Pause");
    function show(index) {
      at = index; seek.value = index;
      count.textContent = `${String(index + 1).padStart(2, "0")} / ${frames}`;
      for (const film of films) { const to = (index + 0.5) / fps; if (Math.abs(film.currentTime - to) > 0.3 / fps) film.currentTime = to; }
      for (const [strip, n] of strips) strip.style.backgroundPositionX = n > 1 ? (100 * Math.min(index, n - 1)) / (n - 1) + "%" : "0";
    }
    const pause = () => { playing = false; play.textContent = "Play"; };
    const start = () => { playing = true; play.textContent = "Pause"; last = null; };
    const root = h("div", { class: "mk-wall", tabIndex: 0, ariaLabel: "players in step: space plays, arrows step" });
    root.addEventListener("keydown", (event) => {
      if (event.target.tagName === "INPUT" || event.target.tagName === "SELECT" || event.target.tagName === "BUTTON") return;
      if (event.key === " ") playing ? pause() : start();
      else if (event.key === "ArrowRight" || event.key === "ArrowLeft") { pause(); show((at + (event.key === "ArrowRight" ? 1 : frames - 1)) % frames); }
      else return;
      event.preventDefault();
    });
    function tick(now) {
      if (!root.isConnected && last !== null) return;
      // The clock waits for a frame that is still being decoded: seeking on would put it off for ever on a slow machine.
      if (now - last < 3000 && films.some((film) => film.isConnected && film.seeking)) late = now;
      if (playing && (last === null || (now - last >= 1000 / fps / speed && now - late >= 40))) { show((at + (last === null ? 0 : 1)) % frames); last = now; }
      requestAnimationFrame(tick);
    }
    const rate = h("select", { ariaLabel: "speed", onchange: () => { speed = +rate.value; } }, [[0.25, "¼×"], [0.5, "½×"], [1, "1×"], [2, "2×"]].map(([v, t]) => h("option", { value: v, selected: v === 1 }, t)));
    const wiper = h("div", { class: "mk-wipe", hidden: true });
    const wipe = panels.length > 1 ? h("button", { type: "button", class: "mk-small", ariaPressed: "false", onclick: () => {
      const on = wiper.hidden; wiper.hidden = !on; wipe.ariaPressed = String(on);
      if (on) mk.fill(wiper, ...wiping(panels, media)); else { films.splice(panels.filter((p) => !/\.png$/.test(p.url)).length); mk.fill(wiper); }
      show(at);
    } }, "Wipe") : "";
    const grid = h("div", { class: "mk-panels n" + Math.min(panels.length, 4) }, panels.map((panel) => h("figure", { class: panel.input ? "input" : "made" }, h("div", { class: "mk-light" }, media(panel)),
      h("figcaption", {}, h("b", {}, panel.label), h("span", {}, panel.input ? "given" : [panel.cell.backbone, seconds(panel.cell.seconds)].filter(Boolean).join(" · "))))));
    const seen = state.cells.filter((c) => c.shown?.length).map((cell) => h("div", { class: "mk-saw" }, h("h3", {}, `What ${cell.method} saw`), h("div", { class: "mk-row" }, cell.shown.map((item) => {
      if (!item.frames) return h("figure", { class: "mk-film" }, h("div", {}, h("img", { src: item.url, alt: item.name })), h("figcaption", {}, say(item.name)));
      const strip = h("div", { class: "mk-strip", role: "img", ariaLabel: item.name });
      strip.style.backgroundImage = `url("${item.url}")`;
      strip.style.backgroundSize = `${item.frames * 100}% 100%`;
      const probe = new Image(); probe.onload = () => { strip.style.aspectRatio = `${probe.width / item.frames} / ${probe.height}`; }; probe.src = item.url;
      strips.push([strip, item.frames]);
      return h("figure", {}, strip, h("figcaption", {}, say(item.name)));
    }))));
    root.append(h("div", { class: "mk-bar" }, play, seek, count, rate, wipe), wiper, grid, ...seen);
    requestAnimationFrame(tick);
    return root;
  }

  function wiping(panels, media) {
    const choose = (index) => h("select", { ariaLabel: index ? "right of the wipe" : "left of the wipe" }, panels.map((p, i) => h("option", { value: i, selected: i === (index ? panels.length - 1 : 0) }, p.label)));
    const left = choose(0), right = choose(1), box = h("div", { class: "mk-light" });
    const edge = h("input", { type: "range", min: 0, max: 100, value: 50, ariaLabel: "edge of the wipe", oninput: () => box.style.setProperty("--edge", edge.value + "%") });
    const fill = () => mk.fill(box, media(panels[+left.value]), h("div", { class: "over" }, media(panels[+right.value])), h("i"));
    left.onchange = right.onchange = fill;
    fill();
    return [box, h("div", { class: "mk-row" }, left, edge, right)];
  }

  function facts(cell) {
    if (!cell.video) return h("p", { class: "mk-error" }, h("b", {}, cell.method), " ", cell.reason);
    const stages = Object.entries(cell.stages).map(([name, took]) => `${name} ${cell.cached?.includes(name) ? "from the cache" : seconds(took)}`).join(", ");
    const memory = cell.peak_memory ? Object.values(cell.peak_memory).map((v) => Math.round(v) + " MB").join(" + ") : "";
    const rows = [["time", `${seconds(cell.seconds)}: ${stages}`], ["size", cell.size ? `${cell.size.width} × ${cell.size.height}, ${cell.frames} frames` : ""], ["memory", memory], ["read", (cell.inputs_used || []).map(say).join(", ")], ["seed", String(cell.seed ?? "")], ["folder", cell.folder]].filter(([, v]) => v);
    return h("details", { class: "mk-facts" }, h("summary", {}, h("b", {}, cell.method), h("span", { class: "mk-soft" }, seconds(cell.seconds)), h("span", { class: "mk-tools" }, h("a", { href: cell.video, download: cell.method + ".mp4" }, "mp4"), cell.manifest ? h("a", { href: cell.manifest, target: "_blank" }, "manifest") : "")),
      h("dl", {}, rows.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)])), (cell.remarks || []).map((r) => h("p", { class: "mk-soft" }, r)));
  }

  function bars(state) {
    return state.stages.map((s) => h("div", { class: "mk-step" + (s.over ? " over" : "") }, h("span", {}, say(s.name)), h("progress", { max: s.total, value: s.over ? s.total : s.done, ariaLabel: s.name }), h("span", { class: "mk-num" }, s.over ? seconds(s.seconds) : `${s.done} / ${s.total}${s.left !== null && s.left !== undefined ? ` · ${seconds(s.left)} left` : ""}`)));
  }

  function board(draw_empty, extra = () => "", main = false) {
    return (root, { props, trigger, watch }) => {
      let drawn = null;
      const name = h("h2", {}), beside = h("span", { class: "mk-soft" }), made = h("div", { class: "mk-made" }), rest = h("div", {});
      // The button stays the same while all around it is drawn anew, so that a click on it is not lost.
      const cancel = h("button", { type: "button", class: "mk-small mk-cancel", onclick: () => { cancel.textContent = "Stopping…"; trigger("cancel"); } }, "Cancel");
      const top = h("div", { class: "mk-now", ariaLive: "polite", hidden: true }, h("div", { class: "mk-title" }, name, beside, cancel), rest), below = made;
      root.append(top, below);
      const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
      let job = null;
      function now(state) {
        const busy = ["waiting", "running"].includes(state.state);
        root.dataset.state = state.state;
        put(name, { waiting: state.ahead ? `Waiting: ${state.ahead} before this one` : "Starting", running: state.now ? `${state.now} is running` : "Running", done: "Done", failed: "It did not run", cancelled: "Cancelled" }[state.state]);
        put(beside, busy ? state.title : state.state === "cancelled" ? "stopped as you asked; finished parts are kept" : state.seconds ? seconds(state.seconds) : "");
        if (state.job !== job || !busy) cancel.textContent = "Cancel";
        job = state.job; cancel.hidden = !busy; top.hidden = false;
        mk.fill(rest, state.line && state.state === "failed" ? h("p", { class: "mk-error", role: "alert" }, state.line) : "",
          busy && state.picture ? h("img", { class: "mk-preview", src: state.picture, alt: "the clip as it is being made" }) : "",
          bars(state), busy && state.to_come?.length ? h("p", { class: "mk-soft" }, "Then: " + state.to_come.join(", ")) : "",
          state.state !== "failed" ? state.notes?.map((n) => h("p", { class: "mk-soft" }, n)) : "");
      }
      function draw() {
        const state = props.value;
        if (main) tell("job", state);
        if (!state) { root.dataset.state = "empty"; top.hidden = true; mk.fill(below, draw_empty(trigger)); drawn = null; return; }
        now(state);
        const sign = JSON.stringify([state.inputs, state.cells.map((c) => [c.method, c.video, c.reason]), state.report]);
        if (sign === drawn) return;
        drawn = sign;
        const parts = state.cells.some((c) => c.video) ? [wall(state), extra(state), h("div", {}, state.cells.map(facts))] : state.cells.map(facts);
        mk.fill(below, ...parts.flat(9).filter(Boolean));
      }
      watch("value", draw);
      draw();
    };
  }

  mk.board = board; mk.wall = wall; mk.facts_of = facts;
  part("stage", board((trigger) => h("div", { class: "mk-hero" }, h("div", { class: "mk-orbit", ariaHidden: "true" }, h("i"), h("i"), h("i"), h("i"), h("i"), h("i")),
    h("h2", {}, "See it move first"), h("p", {}, "A giraffe that stands, a cat that runs. One click, and the giraffe runs: first in a second by moving pixels, then by each model as it finishes."),
    h("button", { type: "button", class: "mk-run", onclick: (e) => { e.target.disabled = true; e.target.textContent = "Starting…"; trigger("example"); } }, "Make the example move"),
    h("p", { class: "mk-soft" }, "Or give a character and a motion of your own.")), () => "", true));
})();
