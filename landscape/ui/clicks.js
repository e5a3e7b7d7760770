// Hears which point of a run was clicked or walked to, tells the page, and where the rings of opened points are.
const state = (window.__landscape ||= { groups: {}, walk: {}, cameras: {} });
state.rings ||= {};
const PAUSE = 330; // ms between two answers asked for while something moves
const PATIENCE = 4000; // ms after which a moving point no longer waits for the answer before it

// Brings the answer into view, and keeps what was clicked in view if there is room for both.
function reveal(box, clicked) {
  const top = box.getBoundingClientRect().top, above = (clicked?.isConnected ? clicked.getBoundingClientRect().top : 0) - 70;
  if (top < window.innerHeight - 220) return;
  const wanted = top - window.innerHeight + Math.max(440, window.innerHeight * 0.45);
  const both = above > 0 && top - above < window.innerHeight - 150;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
  box.closest("[data-testid=stMain]")?.scrollBy({ top: both ? Math.min(wanted, above) : wanted, behavior });
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const element = parentElement.querySelector(".landscape-clicks");
  const own = (element.__own ||= { last: 0, asked: 0, next: null, timer: null });
  Object.assign(own, { data, setTriggerValue });
  const words = (text, busy) => { element.textContent = text; element.classList.toggle("busy", busy); };

  const send = (detail) => {
    clearTimeout(own.timer);
    own.next = null;
    own.last = Date.now();
    own.from = detail.element;
    own.asked = Math.max(own.asked, own.data.answered) + 1;
    setTimeout(() => own.data.answered < own.asked && words("Opening …", true), 150);
    own.setTriggerValue("pressed", { where: detail.where, moving: Boolean(detail.moving), id: own.asked });
  };
  const later = () => {
    if (!own.next) return;
    const since = Date.now() - own.last, waiting = own.data.answered < own.asked && since < PATIENCE;
    if (since >= PAUSE && !waiting) return send(own.next);
    clearTimeout(own.timer);
    own.timer = setTimeout(later, Math.max(30, PAUSE - since));
  };
  const hear = (event) => {
    if (event.detail.run !== own.data.run) return;
    if (!event.detail.moving) return send(event.detail);
    own.next = event.detail;
    later();
  };
  if (!element.__hear) {
    window.addEventListener("landscape:open", (element.__hear = hear));
    if (!data.answered) setTriggerValue("visited", true); // a browser is here: whoever answers clicks may get ready
  }

  const text = JSON.stringify(data.rings);
  if (element.__rings !== text) {
    element.__rings = text;
    state.rings[data.run] = data.rings;
    window.dispatchEvent(new CustomEvent("landscape:rings", { detail: { run: data.run } }));
    const on = data.rings[0];
    if (on?.path && !data.moving) window.dispatchEvent(new CustomEvent("landscape:stand", { detail: { run: data.run, path: on.path, t: on.t } }));
  }
  if (data.answered >= own.asked) words(data.hint, false);
  later();
  const box = element.closest(".st-key-opened");
  if (own.asked && !data.moving && data.answered === own.asked && data.answered !== own.revealed && box) {
    own.revealed = data.answered;
    reveal(box, own.from);
  }
  return () => {
    window.removeEventListener("landscape:open", element.__hear);
    element.__hear = null;
    clearTimeout(own.timer);
    delete state.rings[data.run];
  };
}
