// Dialogs and notes: what asks back, and what tells of a fault.

import { Fault } from "./api.js";
import { field, foreign, freshId, h } from "./dom.js";

/**
 * Ask by a dialog. `act(fields)` does what was asked for; while it fails, its fault stands in the dialog, which stays
 * open. Resolves to what `act` gave, or undefined where the reader thought better of it.
 */
export function ask(title, { body = [], yes, grave = false, act }) {
  return new Promise((done) => {
    const heading = h("h2", { id: freshId("dialog") }, title);
    const trouble = h("div", { "aria-live": "assertive" });
    const cancel = h("button", { type: "button", click: () => dialog.close() }, "Cancel");
    const confirm = h("button", { class: grave ? "grave" : "main" }, yes);
    let result;
    const submit = async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      try {
        result = await act();
        dialog.close();
      } catch (error) {
        trouble.replaceChildren(faultNote(error));
      } finally {
        confirm.disabled = false;
      }
    };
    const form = h("form", { submit }, heading, body, trouble, h("div", { class: "row end" }, cancel, confirm));
    const dialog = h("dialog", { "aria-labelledby": heading.id }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("input, select, textarea") ?? cancel).focus();
  });
}

/** A fault as a reader needs it: code, what happened, what to do, and the model's traceback where there is one. */
export function faultNote(error, again = null) {
  const fault = error instanceof Fault ? error : new Fault(0, "PAGE_ERROR", String(error), { retryable: false });
  const { type, traceback } = fault.information;
  return h(
    "div",
    { class: "fault", role: "group", "aria-label": "Error" },
    h("p", {}, h("strong", {}, fault.code), type ? [" ", foreign(type, "code")] : null),
    foreign(fault.message, "p"),
    traceback ? h("details", {}, h("summary", {}, "Traceback"), foreign(traceback, "pre")) : null,
    h("p", { class: "advice" }, fault.advice),
    again && fault.repeatable ? h("button", { type: "button", click: again }, "Send again") : null,
  );
}

/** A text field with its label; `input` is its control. */
export function textField(label, { hint, ...attributes } = {}) {
  const input = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...attributes });
  return { input, element: field(label, input, hint) };
}
