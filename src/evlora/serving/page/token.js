// The token that a service may ask for; it is kept in memory, never stored.

import { byId } from "./text.js";

let token = "";
let open = null; // one dialog, however many requests wait for it

export const currentToken = () => token;

/** Whether a token was given. `reason` is what the service had against the last one. */
export function askForToken(reason, signal) {
  open ??= ask(reason, signal).finally(() => { open = null; });
  return open;
}

function ask(reason, signal) {
  const dialog = byId("token"), value = byId("token-value"), note = byId("token-note");
  if (reason) note.textContent = reason;
  value.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const finished = new AbortController();
    const finish = (isGiven) => {
      finished.abort();
      dialog.close();
      resolve(isGiven);
    };
    const listen = (target, name, handler) => target.addEventListener(name, handler, { signal: finished.signal });
    listen(dialog.querySelector("form"), "submit", (event) => {
      event.preventDefault();
      token = value.value.trim();
      finish(Boolean(token));
    });
    listen(byId("token-cancel"), "click", () => finish(false));
    listen(dialog, "cancel", () => finish(false));
    if (signal) listen(signal, "abort", () => finish(false));
  });
}
