"use strict";

// The pages of mailed links, and the one that asks for such a link. The token is behind the #, which no server sees;
// from here it goes to the API alone.

const WAIT_MS = 20000;
const form = document.querySelector("form");
const button = form.querySelector("button.main");
const email = document.getElementById("email");
const password = document.getElementById("password");
const again = document.getElementById("again");
let token = "";

function show(name, facts = {}) {
  for (const outcome of document.querySelectorAll("[data-outcome]")) {
    outcome.hidden = outcome.dataset.outcome !== name;
    if (outcome.hidden) continue;
    for (const slot of outcome.querySelectorAll("[data-slot]")) slot.textContent = facts[slot.dataset.slot] ?? "";
    outcome.focus();
  }
}

function takeToken() {
  token = location.hash.startsWith("#token=") ? location.hash.slice("#token=".length) : "";
  // Out of the address bar and of the history, so that no copied address and no later user of this browser has it.
  history.replaceState(null, "", location.pathname + location.search);
  form.hidden = email === null && token === "";
  show(form.hidden ? "missing" : "none");
}

// What the API checks too; said here before the link is asked.
function mistake() {
  if (password === null) return null;
  const length = [...password.value.normalize("NFC")].length;
  if (length < Number(password.dataset.min)) return "short";
  if (length > Number(password.dataset.max)) return "long";
  return password.value === again.value ? null : "different";
}

function message() {
  if (email !== null) return { email: email.value };
  return password === null ? { token } : { token, new_password: password.value };
}

function ask() {
  const headers = { "Content-Type": "application/json" };
  if (password !== null) headers["X-Token-Transport"] = "cookie"; // this browser is a known device from now on
  const signal = AbortSignal.timeout(WAIT_MS);
  return fetch(form.dataset.api, { method: "POST", headers, body: JSON.stringify(message()), signal });
}

async function outcomeOf(answer) {
  const data = await answer.json();
  if (answer.status === 200) return [data.waiting_for?.length ? "waiting" : "done", data];
  if (answer.status === 202) return ["sent", data];
  if (answer.status === 429) return ["busy", { seconds: answer.headers.get("Retry-After") }];
  if (answer.status === 503) return ["down", data];
  const names = { invalid_mail_token: "used", email_taken: "taken" };
  if (data.error !== "validation_error") return [names[data.error] ?? "broken", data];
  if (email !== null) return ["no_address", data];
  return [data.fields?.some(({ field }) => field === "body.new_password") ? "weak" : "used", data];
}

async function send() {
  button.disabled = true;
  show("none");
  try {
    const [name, facts] = await outcomeOf(await ask());
    if (["done", "waiting", "sent", "used", "taken"].includes(name)) {
      form.hidden = true; // nothing is left to do with this link
      form.reset();
      token = "";
    }
    show(name, facts);
  } catch {
    show("down"); // no answer, or one that is not ours
  } finally {
    button.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const found = mistake();
  if (found === null) send();
  else show(found);
});

document.getElementById("shown")?.addEventListener("change", ({ target }) => {
  password.type = again.type = target.checked ? "text" : "password";
});

addEventListener("hashchange", takeToken); // a second link, opened in the same tab
takeToken();
