"use strict";
// Conversations to read: a list to filter, one conversation or two beside each other. Everything that models and engines
// wrote is set as text, never as markup. What is shown stands in the page's address, after #read?
(() => {
  const collections = JSON.parse(document.getElementById("conversations").textContent);
  const form = document.getElementById("filter");
  const reader = document.getElementById("reader");
  if (!collections.some((collection) => collection.items.length)) return;

  const PER_PAGE = 20;
  const NONE = "nothing";
  const TAGS = /(<\/?(?:think|search|information|answer)>)/;
  const KEYS = ["show", "beside", "low", "high", "from", "until", "ending", "order", "words"];
  const AUTHORS = { prompt: "prompt", policy: "policy", search: "search engine", hint: "hint" };
  let at = 0;

  const make = (tag, kind, text) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const keyOf = (item) => JSON.stringify([item.source, item.id, item.question]);
  const number = (value) => value.toFixed(Number.isInteger(value) ? 0 : 3);

  const choices = (name, entries) => {
    const select = form.elements[name];
    select.replaceChildren(...entries.map(([value, words]) => {
      const option = make("option", "", words);
      option.value = value;
      return option;
    }));
  };

  const chosen = () => collections[Number(form.elements.show.value)] || collections[0];
  const other = () => {
    const value = form.elements.beside.value;
    return value === NONE ? null : collections[Number(value)] || null;
  };

  // Every pair [item, the other collection's item or null] that the filter lets through, in order.
  const filtered = () => {
    const beside = other();
    const partners = new Map(beside ? beside.items.map((item) => [keyOf(item), item]) : []);
    const value = (name) => form.elements[name].value;
    const bound = (name, otherwise) => value(name) === "" ? otherwise : Number(value(name));
    const words = value("words").toLowerCase();
    const pairs = chosen().items
      .map((item) => [item, partners.get(keyOf(item)) || null])
      .filter(([item, partner]) => !beside || partner)
      .filter(([item]) => item.reward >= bound("low", -Infinity) && item.reward <= bound("high", Infinity))
      .filter(([item]) => item.step >= bound("from", -Infinity) && item.step <= bound("until", Infinity))
      .filter(([item]) => value("ending") === "" || item.ending === value("ending"))
      .filter(([item]) => !words || item.pieces.some((piece) => piece.text.toLowerCase().includes(words)));
    const gain = ([item, partner]) => (partner ? partner.reward : 0) - item.reward;
    const orders = {
      low: (a, b) => a[0].reward - b[0].reward,
      high: (a, b) => b[0].reward - a[0].reward,
      gain: (a, b) => gain(b) - gain(a),
      loss: (a, b) => gain(a) - gain(b),
    };
    return orders[value("order")] ? pairs.sort(orders[value("order")]) : pairs;
  };

  // `text` with protocol tags and golden answers marked.
  const marked = (text, golds) => {
    const fragment = document.createDocumentFragment();
    const found = golds.filter((gold) => gold.length > 1)
      .map((gold) => gold.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const gold = found.length ? new RegExp(`(${found.join("|")})`, "i") : null;
    text.split(TAGS).forEach((part, place) => {
      if (place % 2) return fragment.append(make("span", "tag", part));
      const pieces = gold ? part.split(new RegExp(gold, "gi")) : [part];
      pieces.forEach((piece, inner) => fragment.append(inner % 2 ? make("mark", "", piece) : piece));
    });
    return fragment;
  };

  const surprise = (logprob) => {
    const bounds = [0.9, 0.5, 0.1, 0.01];
    const level = bounds.findIndex((bound) => Math.exp(logprob) >= bound);
    return level < 0 ? bounds.length : level;
  };

  // The tokens of a piece of the policy's, the darker the less likely; a click on one tells its number.
  const tokens = (piece) => {
    const fragment = document.createDocumentFragment();
    const told = make("p", "told", "Touch a token for its log-probability.");
    const line = make("div", "words");
    let start = 0;
    piece.logprobs.forEach((logprob, place) => {
      const words = piece.lengths ? piece.text.slice(start, start + piece.lengths[place]) : `${piece.ids[place]} `;
      if (piece.lengths) start += piece.lengths[place];
      const token = make("span", `token p${surprise(logprob)}`, words);
      token.title = `${logprob} (p ${Math.exp(logprob).toPrecision(3)})`;
      token.addEventListener("click", () => {
        told.textContent = `token ${place + 1}, ${JSON.stringify(words)}: log-probability ${token.title}`;
      });
      line.append(token);
    });
    const mean = piece.logprobs.reduce((sum, logprob) => sum + logprob, 0) / piece.logprobs.length;
    const least = Math.min(...piece.logprobs);
    told.append(` Mean ${mean.toFixed(3)}, least ${least}.`);
    fragment.append(line, told);
    return fragment;
  };

  const documents = (piece) => {
    const details = make("details");
    details.append(make("summary", "", `${piece.documents.length} documents as the engine returned them`));
    const list = make("ol");
    piece.documents.forEach(([title, text, engine], place) => {
      const entry = make("li");
      const label = (piece.labels || [])[piece.labels && piece.labels.length > 1 ? place : 0];
      if (label) entry.append(make("span", `label ${label}`, label), " ");
      if (title) entry.append(make("strong", "", title), " ");
      entry.append(make("span", "", text), make("span", "faint", ` (${engine})`));
      list.append(entry);
    });
    details.append(list);
    return details;
  };

  const passage = (piece, golds, withLogprobs) => {
    const block = make(piece.author === "prompt" ? "details" : "div", `piece ${piece.author}`);
    const head = make(piece.author === "prompt" ? "summary" : "div", "head");
    head.append(make("span", "author", AUTHORS[piece.author]));
    (piece.labels || []).forEach((label) => head.append(make("span", `label ${label}`, `told: ${label}`)));
    const mask = piece.trained ? "mask 1, in the loss" : "mask 0, not trained";
    head.append(make("span", "faint", `${mask} · ${piece.tokens} tokens`));
    block.append(head);
    if (withLogprobs && piece.logprobs && (piece.lengths || piece.ids)) {
      block.append(tokens(piece));
    } else {
      const words = make("div", "words");
      words.append(marked(piece.text, piece.author === "prompt" ? [] : golds));
      block.append(words);
    }
    if (piece.documents) block.append(documents(piece));
    return block;
  };

  const conversation = (item, collection) => {
    const column = make("article", "conversation");
    column.append(make("h3", "", collection.training ? `${collection.name}, step ${item.step}` : collection.name));
    column.append(make("p", "question", item.question));
    column.append(make("p", "faint", `golden answers: ${item.golds.join(" | ")} (${item.source}, ${item.id})`));
    const ending = item.words ? `${item.ending}: ${item.words}` : item.ending;
    const verdict = make("p", "verdict");
    verdict.append(make("strong", "", `reward ${number(item.reward)}`),
      ` · EM ${number(item.em)} · sub-EM ${number(item.sub_em)} · F1 ${number(item.f1)} · ${ending}`);
    column.append(verdict);
    if (item.group) {
      const equal = item.group.every((reward) => reward === item.group[0]);
      const rewards = item.group.map(number).join(", ");
      column.append(make("p", "faint", `rewards of its group: ${rewards}${equal ? " (all equal)" : ""}; this is number ${item.member + 1}; chance of noise ${number(item.noise)}`));
    }
    item.pieces.forEach((piece) => column.append(passage(piece, item.golds, form.elements.logprobs.checked)));
    return column;
  };

  const entry = ([item, partner], place, open) => {
    const button = make("button", place === at ? "open" : "");
    button.type = "button";
    const rewards = partner ? `${number(item.reward)} → ${number(partner.reward)}` : number(item.reward);
    button.append(make("span", "reward", rewards));
    if (chosen().training) button.append(make("span", "faint", `step ${item.step}`));
    button.append(make("span", "asked", item.question));
    button.addEventListener("click", () => open(place));
    const line = make("li");
    line.append(button);
    return line;
  };

  const remember = () => {
    const state = new URLSearchParams();
    KEYS.forEach((key) => form.elements[key].value !== "" && state.set(key, form.elements[key].value));
    if (form.elements.logprobs.checked) state.set("logprobs", "1");
    if (at) state.set("at", at);
    history.replaceState(null, "", `#read?${state}`);
  };

  const turner = (words, place, count) => {
    const button = make("button", "", words);
    button.type = "button";
    button.disabled = place < 0 || place >= count;
    button.addEventListener("click", () => open(place));
    return button;
  };

  const render = () => {
    const pairs = filtered();
    at = Math.max(0, Math.min(at, pairs.length - 1));
    const page = Math.floor(at / PER_PAGE);
    const first = page * PER_PAGE;
    const collection = chosen();
    document.getElementById("count").textContent =
      `${pairs.length} of the ${collection.items.length} that are here; ${collection.all} were played`;
    const list = document.getElementById("list");
    list.start = first + 1;
    list.replaceChildren(...pairs.slice(first, first + PER_PAGE).map((pair, inner) => entry(pair, first + inner, open)));
    document.getElementById("pages").replaceChildren(
      turner("‹ page", first - PER_PAGE, pairs.length), turner("‹ one", at - 1, pairs.length),
      turner("one ›", at + 1, pairs.length), turner("page ›", first + PER_PAGE, pairs.length));
    const columns = document.getElementById("columns");
    const [item, partner] = pairs[at] || [null, null];
    columns.replaceChildren(...(item ? [conversation(item, collection)] : []),
      ...(partner ? [conversation(partner, other())] : []));
    columns.className = partner ? "two" : "";
  };

  function open(place) {
    at = place;
    render();
    remember();
  }

  // Before and after: the first two collections that share questions.
  const partnerOf = (show) => {
    const keys = new Set(collections[show].items.map(keyOf));
    const shares = (collection, place) =>
      place !== show && !collection.training && collection.items.some((item) => keys.has(keyOf(item)));
    return collections[show].training ? -1 : collections.findIndex(shares);
  };

  const setUp = () => {
    const names = collections.map((collection, place) => [String(place), collection.name]);
    const endings = new Set(collections.flatMap((collection) => collection.items.map((item) => item.ending)));
    choices("show", names);
    choices("beside", [[NONE, "nothing"], ...names]);
    choices("ending", [["", "any"], ...[...endings].sort().map((ending) => [ending, ending])]);
    choices("order", [["", "as played"], ["low", "least reward first"], ["high", "most reward first"],
      ["gain", "most gained first"], ["loss", "most lost first"]]);
    const partner = partnerOf(0);
    form.elements.beside.value = partner < 0 ? NONE : String(partner);
  };

  const recall = () => {
    const [place, query] = location.hash.split("?");
    if (place !== "#read" || query === undefined) return;
    const state = new URLSearchParams(query);
    if (state.has("show")) form.elements.beside.value = NONE;
    KEYS.forEach((key) => state.has(key) && (form.elements[key].value = state.get(key)));
    form.elements.logprobs.checked = state.get("logprobs") === "1";
    at = Number(state.get("at")) || 0;
    document.getElementById("read").scrollIntoView();
  };

  setUp();
  form.hidden = reader.hidden = false;
  recall();
  render();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.name !== "logprobs") at = 0;
    if (event.target.name === "show") form.elements.beside.value = NONE;
    render();
    remember();
  });
  window.addEventListener("hashchange", () => { recall(); render(); });
})();
