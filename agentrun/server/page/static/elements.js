// Elements of the page, made without markup: nothing that anybody wrote is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

const SHAPES = {
  menu: "M4 7h16M4 12h16M4 17h10",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  clip: "M20 11.5l-8.2 8.2a5 5 0 0 1-7.1-7.1l8.6-8.5a3.3 3.3 0 0 1 4.7 4.7l-8.5 8.5a1.7 1.7 0 0 1-2.4-2.4l7.9-7.8",
  events: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  trace: "M4 6h10M8 12h9M14 18h6",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.8a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4zM9 14.8a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4z",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  bin: "M5 7h14M10 7V4.5h4V7M7 7l.8 13h8.4L17 7M10.5 11v5.5M13.5 11v5.5",
  again: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.4M20 4.5v4.9h-4.9",
  down: "M12 5v14M6 13l6 6 6-6",
  chevron: "M9 6l6 6-6 6",
  tool: "M14.5 6.5a4 4 0 0 1 5.2-2.3l-2.6 2.6.4 2.2 2.2.4 2.6-2.6a4 4 0 0 1-5.4 4.7L8.4 20a2 2 0 0 1-3-3l8.5-8.5a4 4 0 0 1 .6-2z",
  thought: "M9 18h6M10 21h4M12 3a6 6 0 0 0-3.6 10.8c.7.5 1.1 1.2 1.1 2h5c0-.8.4-1.5 1.1-2A6 6 0 0 0 12 3z",
  warning: "M12 4L2.8 19.5h18.4zM12 10v4.5M12 17.2h.01",
  face: "M7 9a3 3 0 0 1 3-3h4a3 3 0 0 1 3 3v4a3 3 0 0 1-3 3h-2l-3 3v-3a2.6 2.6 0 0 1-2-3zM10.3 11h.01M13.7 11h.01",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  question: "M9 9.2a3 3 0 1 1 4.3 2.7c-.9.5-1.3 1-1.3 2.1M12 17.5h.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18z",
};

/** An element with its properties, attributes (`aria-*`, `data-*`, `role`, ...) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.includes("-") && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A drawing, which says nothing to those who listen. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  drawing.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  drawing.append(path);
  return drawing;
}

/** A button that is only a drawing, and has its name for those who listen or point at it. */
export function iconButton(name, label, onclick, properties = {}) {
  return make("button", { type: "button", class: "icon-button", title: label, "aria-label": label, onclick, ...properties }, icon(name));
}

/** A button that copies, and says that it did. */
export function copyButton(label, done, text) {
  const button = iconButton("copy", label, async () => {
    await copy(text());
    button.replaceChildren(icon("check"));
    button.setAttribute("aria-label", done);
    setTimeout(() => {
      button.replaceChildren(icon("copy"));
      button.setAttribute("aria-label", label);
    }, 1500);
  });
  return button;
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages that come without TLS from another machine have no clipboard; a selection can still be copied.
  const field = make("textarea", { value: text, class: "unseen" });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** Does work before the next picture, however often it was asked for; `flush` does it at once. */
export function perFrame(work) {
  let waiting = 0;
  const run = () => {
    waiting = 0;
    work();
  };
  const ask = () => {
    // A page that nobody sees has no pictures.
    if (!waiting) waiting = document.hidden ? setTimeout(run, 100) : requestAnimationFrame(run);
  };
  ask.flush = () => {
    cancelAnimationFrame(waiting);
    clearTimeout(waiting);
    run();
  };
  return ask;
}

export function unique() {
  // `crypto.randomUUID` is missing where a page comes without TLS from another machine.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
