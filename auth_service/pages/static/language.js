"use strict";

// Every text is in the page in all languages; the html element says which one is shown.
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    const { language } = button.dataset;
    const page = document.documentElement;
    page.lang = language;
    document.title = page.getAttribute(`data-title-${language}`);
    for (const other of document.querySelectorAll("[data-language]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  });
}
