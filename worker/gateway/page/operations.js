// Calling operations: a form made of what introspection tells of them.

import { Fault, intent } from "./api.js";
import { faultNote } from "./dialogs.js";
import { field, foreign, h, say } from "./dom.js";
import { meant, parse, show, whole } from "./values.js";

/** The section of one run; `load()` asks what the model offers. */
export class Operations {
  constructor(api, runKey, { done }) {
    this.api = api;
    this.runKey = runKey;
    this.done = done;
    this.choice = h("select", { change: () => this.#choose() });
    this.doc = foreign("", "p");
    this.doc.className = "doc";
    this.inputs = h("div", { class: "inputs" });
    this.preview = h("code", { class: "preview", dir: "auto" });
    this.send = h("button", { class: "main" }, "Call");
    this.result = h("div", { class: "result", role: "status", "aria-label": "Result" });
    this.form = h(
      "form", { submit: (event) => this.#submit(event), input: () => this.#show() },
      field("Operation", this.choice), this.doc, this.inputs,
      h("p", { class: "sends" }, "Sends ", this.preview), h("div", { class: "row" }, this.send),
    );
    this.body = h("div", { class: "operations" }, h("p", { class: "empty" }, "Asking what the model offers…"));
    this.element = h("section", { class: "card", "aria-labelledby": "operations" }, h("h2", { id: "operations" }, "Operations"), this.body);
  }

  /** Fill the form from an introspection. */
  show(offer) {
    this.functions = offer.functions;
    this.choice.replaceChildren(...this.functions.map((one) => h("option", { value: one.name }, one.name)));
    if (this.functions.length === 0) {
      this.body.replaceChildren(h("p", { class: "empty" }, "The model offers no operations: it has no functions at its top level."));
      return;
    }
    this.body.replaceChildren(this.form, this.result);
    this.#choose();
  }

  /** Say why there is no form. */
  fail(error) {
    this.body.replaceChildren(faultNote(error));
  }

  get #operation() {
    return this.functions[this.choice.selectedIndex];
  }

  #choose() {
    const operation = this.#operation;
    say(this.doc, operation.doc ?? "");
    this.doc.hidden = !operation.doc;
    this.controls = (operation.arguments ?? [{ name: "*arguments" }]).filter((one) => !one.name.startsWith("**")).map(control);
    this.inputs.replaceChildren(...this.controls.map((one) => one.element));
    this.#show();
  }

  /** The arguments as JSON texts, by position. Throws an Error that names what is missing. */
  #arguments() {
    const texts = this.controls.map((one) => one.input.value);
    const last = texts.findLastIndex((text) => text !== "");
    const needed = this.controls.findLastIndex((one) => one.argument.required);
    const given = [];
    for (let at = 0; at <= Math.max(last, needed); at += 1) {
      const { argument } = this.controls[at];
      if (argument.name.startsWith("*")) given.push(...listOf(argument.name, texts[at]));
      else if (texts[at] !== "") given.push(meant(texts[at]));
      else if (argument.required) throw new Error(`${argument.name} is needed`);
      else given.push(show(argument.default));
    }
    return given;
  }

  #show() {
    let text;
    try {
      text = `${this.#operation.name}(${this.#arguments().join(", ")})`;
    } catch (error) {
      text = `nothing yet: ${error.message}`;
    }
    say(this.preview, text);
  }

  #submit(event) {
    event.preventDefault();
    const { name } = this.#operation;
    let given;
    try {
      given = this.#arguments();
    } catch (error) {
      this.result.replaceChildren(faultNote(new Fault(400, "ARGUMENT_MISSING", error.message)));
      return this.controls.find((one) => one.argument.required && one.input.value === "")?.input.focus();
    }
    return this.#call(name, given, intent());
  }

  async #call(name, given, key) {
    this.send.disabled = true;
    this.result.replaceChildren(h("p", { class: "empty" }, "Waiting for the answer…"));
    const text = `{"name":${JSON.stringify(name)},"arguments":[${given.join(",")}]}`;
    try {
      const value = await this.api.ask("POST", `/run/operation/${this.runKey}`, { text, key });
      this.result.replaceChildren(h("p", { class: "good" }, foreign(name, "b"), " returned"), foreign(whole(value), "pre"));
    } catch (error) {
      this.result.replaceChildren(faultNote(error, () => this.#call(name, given, key)));
    } finally {
      this.send.disabled = false;
      this.done();
    }
  }
}

function control(argument) {
  const isRest = argument.name.startsWith("*");
  const optional = isRest ? "optional; a JSON list" : `optional; ${show(argument.default)} without it`;
  const hint = argument.required ? "JSON, or else a text as it stands" : optional;
  const input = h("input", {
    type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", "aria-required": argument.required ? "true" : null,
  });
  return { argument, input, element: field(argument.name, input, hint) };
}

/** What is left over, as JSON texts: the elements of a list. */
function listOf(name, text) {
  if (text === "") return [];
  let value;
  try {
    value = parse(text);
  } catch {
    value = undefined;
  }
  if (!Array.isArray(value)) throw new Error(`${name} is to be a JSON list, as in [1, "a"]`);
  return value.map((one) => show(one));
}
