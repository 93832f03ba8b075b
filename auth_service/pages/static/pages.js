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
