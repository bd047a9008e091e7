// Shared by all parts of the page: making elements, what parts tell each other, small formats.
window.mk = (() => {
  const kinds = {}, store = { form: {}, clips: {}, facts: null }, bus = new EventTarget();

  function h(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "class") node.className = value;
      else if (name in node && !["list", "form", "style"].includes(name)) node[name] = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(9)) if (child !== null && child !== undefined && child !== false) node.append(child);
    return node;
  }

  // Children in place of those that are there; lists are flattened, what is nothing is left out.
  const fill = (root, ...children) => root.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));

  function mount(kind, context) {
    const root = context.element.querySelector(".mk-" + kind);
    if (!root || root.dataset.mounted) return;
    root.dataset.mounted = "1";
    kinds[kind](root, context);
  }

  const part = (kind, draw) => { kinds[kind] = draw; };
  const tell = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));
  const hear = (name, then) => bus.addEventListener(name, (event) => then(event.detail));
  const seconds = (value) => value === null || value === undefined ? "" : value < 99.5 ? value.toFixed(value < 10 ? 1 : 0) + " s" : Math.floor(value / 60) + " min " + Math.round(value % 60) + " s";
  const number = (value) => value === null || value === undefined ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(2) : value.toFixed(3);
  const SAID = { reference: "character", driving: "motion", source_prompt: "what the motion clip shows", negative_prompt: "what to avoid" };
  const say = (name) => SAID[name] || name.replaceAll("_", " ");

  // A refusal of the server, without what the transport puts before it.
  const failed = (error) => String(error?.message || error).replace(/^(Error: )?(HTTP \d+: )?/, "");
  // What the server is told of the clips: not their pictures.
  const slim = (clips) => Object.fromEntries(Object.entries(clips).filter(([, c]) => c?.path).map(([name, { path, name: called, start, end, example }]) => [name, { path, name: called, start, end, example }]));

  // Text with what stands between backquotes as code.
  const coded = (text) => (text || "").split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

  async function copy(text, button) {
    try { await navigator.clipboard.writeText(text); }
    catch { // a page that is not on this machine has no clipboard
      const area = h("textarea", { value: text, class: "mk-gone" });
      document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
    }
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1200);
  }

  function tab(name) {
    const found = [...document.querySelectorAll("#mk-tabs button[role=tab], #mk-tabs .overflow-dropdown button")].filter((b) => b.textContent.trim() === name).sort((a, b) => (b.offsetParent ? 1 : 0) - (a.offsetParent ? 1 : 0))[0];
    if (found) found.click();
  }

  part("head", (root, { props }) => {
    root.append(h("div", { class: "mk-brand" },
      h("span", { class: "mk-mark", ariaHidden: "true" }, h("i"), h("i"), h("i"), h("i")),
      h("strong", {}, "motionkit"),
      h("span", { class: "mk-version" }, props.value.version)),
    h("p", {}, "One character, another clip’s motion." + (props.value.alone ? " On this machine alone." : "")));
  });

  document.documentElement.lang = "en";
  return { coded, failed, slim, h, fill, mount, part, store, tell, hear, seconds, number, say, copy, tab };
})();
