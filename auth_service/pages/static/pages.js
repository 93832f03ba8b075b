"use strict";

// Nothing here is needed: every page works without scripts.

// The zone for the times on the next page.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const secure = location.protocol === "https:" ? "; Secure" : "";
if (zone) document.cookie = `auth_timezone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;

// The token of a mailed link is behind the #, which no server sees; from here it goes into the form alone.
function takeToken() {
  const place = document.querySelector("[data-token]");
  const found = location.hash.startsWith("#token=") ? location.hash.slice("#token=".length) : "";
  if (!found) return keepToken(document.querySelector("input[name=token]")?.value);
  // Out of the address bar and of the history, so that no copied address and no later user of this browser has it.
  history.replaceState(null, "", location.pathname + location.search);
  if (!place) return;
  place.querySelector("input").value = found;
  place.hidden = true;
  keepToken(found);
}

// Another language is another page, which needs it too.
function keepToken(token) {
  if (!token) return;
  for (const link of document.querySelectorAll("[data-language]")) link.hash = `token=${token}`;
}

if (document.querySelector("input[name=token]")) {
  addEventListener("hashchange", takeToken); // a second link, opened in the same tab
  takeToken();
}

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
