"use strict";

// Nothing here is needed: every page works without scripts.

// The zone for the times on the next page.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const secure = location.protocol === "https:" ? "; Secure" : "";
if (zone) document.cookie = `auth_timezone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;

// The token of a mailed link is behind the #, which no server sees; from here it goes into the form alone.
function takeToken() {
  const found = location.hash.startsWith("#token=") ? location.hash.slice("#token=".length) : "";
  const field = document.querySelector("[data-token] input");
  if (found && !field) {
    // A second link, opened in a tab that shows what became of the first.
    location.replace(`${location.pathname}?again=${Date.now()}${location.hash}`);
    return;
  }
  if (found) {
    // Out of the address bar and of the history, so that no copied address and no later user of this browser has it.
    history.replaceState(null, "", location.pathname);
    field.value = found;
    field.closest("[data-token]").hidden = true;
  }
  // Another language is another page, which needs it too.
  const token = document.querySelector("input[name=token]")?.value;
  if (token) for (const link of document.querySelectorAll("[data-language]")) link.hash = `token=${token}`;
}

addEventListener("hashchange", takeToken);
takeToken();

// On a phone the sections are a row that scrolls.
document.querySelector(".sections [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A look at what was typed.
const words = document.body.dataset;
for (const field of document.querySelectorAll("input[type=password]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "peek";
  button.setAttribute("aria-controls", field.id);
  const say = (shown) => {
    field.type = shown ? "text" : "password";
    button.textContent = shown ? words.hide : words.show;
    button.setAttribute("aria-pressed", String(shown));
  };
  say(false);
  button.addEventListener("click", () => say(field.type === "password"));
  field.form.addEventListener("submit", () => say(false)); // a browser offers to keep passwords, not texts
  const frame = document.createElement("div");
  frame.className = "peekable";
  field.replaceWith(frame);
  frame.append(field, button);
}

// On a phone the picture of roles is wider than the page: what it is about comes first.
const graph = document.querySelector(".graph");
const about = graph?.querySelector(".current rect");
if (about) graph.scrollLeft = about.x.baseVal.value - (graph.clientWidth - about.width.baseVal.value) / 2;

// A field that leaves of many boxes those whose words have what is typed.
for (const all of document.querySelectorAll("[data-filter]")) {
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = all.dataset.filter;
  field.setAttribute("aria-label", all.dataset.filter);
  const groups = [...all.children];
  const opened = new Set(groups.filter((group) => group.open));
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const group of groups) {
      const boxes = [...group.querySelectorAll("label")];
      for (const box of boxes) box.hidden = !box.textContent.toLowerCase().includes(wanted);
      group.hidden = boxes.every((box) => box.hidden);
      group.open = wanted ? !group.hidden : opened.has(group);
    }
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault(); // nothing is sent from here
  });
  all.prepend(field);
}
