"use strict";
// Pairs in an order and with sides of this voter's own; votes stay in this browser until they are saved as a file.
const root = document.getElementById("study"), facts = JSON.parse(root.dataset.facts);
const voter = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");
const chance = () => crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32;
const todo = facts.pairs.flatMap((pair) => Object.keys(facts.questions).map((question) => ({ pair, question, turned: chance() < 0.5, order: chance() }))).sort((x, y) => x.order - y.order);
const votes = [];
const make = (tag, more = {}, ...inside) => { const node = Object.assign(document.createElement(tag), more); node.append(...inside); return node; };
function film(src, label) {
  const media = src.startsWith("data:image") ? make("img", { src, alt: label }) : make("video", { src, muted: true, loop: true, autoplay: true, playsInline: true });
  return media;
}
function save() {
  const rows = [facts.columns, ...votes.map((v) => facts.columns.map((c) => v[c]))];
  const link = make("a", { href: URL.createObjectURL(new Blob([rows.map((r) => r.join(",")).join("\n") + "\n"], { type: "text/csv" })), download: `votes-${voter}.csv` });
  link.click();
}
function vote(item, choice) { votes.push({ study: facts.study, pair: item.pair.id, question: item.question, choice, voter }); show(); }
function show() {
  const item = todo[votes.length];
  if (!item) {
    root.replaceChildren(make("h1", {}, "Thank you"), make("p", {}, `${votes.length} votes. Save them, and send the file back to who asked you.`), make("button", { onclick: save, id: "save" }, "Save the votes"));
    save();
    return;
  }
  const sides = item.turned ? ["b", "a"] : ["a", "b"];
  root.replaceChildren(
    make("progress", { max: todo.length, value: votes.length }), make("h1", {}, facts.questions[item.question]),
    make("div", { className: "given" }, ...Object.entries(item.pair.inputs).map(([name, src]) => make("figure", {}, film(src, name), make("figcaption", {}, name === "driving" ? "the motion" : name === "reference" ? "the character" : name)))),
    make("div", { className: "two" }, ...sides.map((side, i) => make("figure", {}, film(item.pair[side], i ? "right" : "left"), make("button", { onclick: () => vote(item, side) }, i ? "The right one (2)" : "The left one (1)")))),
    make("div", { className: "end" }, make("button", { onclick: () => vote(item, "same") }, "No difference (0)"), make("span", { className: "soft" }, `${votes.length + 1} of ${todo.length}`), make("button", { onclick: save, disabled: !votes.length }, "Stop, and save the votes")));
}
document.addEventListener("keydown", (event) => {
  const item = todo[votes.length];
  if (!item || !"012".includes(event.key)) return;
  vote(item, event.key === "0" ? "same" : (item.turned ? ["b", "a"] : ["a", "b"])[event.key - 1]);
});
show();
