// A slider t in [0, 1] that walks along the curves of all plots of a group, in the browser alone, and opens its networks.
const state = (window.__landscape ||= { groups: {}, walk: {}, cameras: {} });

function shown(value) { return value == null || Number.isNaN(value) ? "–" : Number(value).toPrecision(3); }

// One button for each path; the walker of a plane without that path stays on its own curve.
function choices(box, data, where, tell) {
  box.replaceChildren(...Object.entries(data.titles).filter(([name]) => data.values[name]).map(([name, title]) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: `path-${data.group}`, value: name, checked: where.path === name });
    input.onchange = () => { where.path = name; tell(false); };
    label.append(input, title);
    return label;
  }));
}

export default function (component) {
  const { data, parentElement } = component;
  const find = (name) => parentElement.querySelector(`.walk-${name}`);
  const [slider, play, readout, box] = ["slider", "play", "readout", "choice"].map(find);
  const names = Object.keys(data.titles).filter((name) => data.values[name]);
  const where = (state.walk[data.group] ||= { t: 0, path: names.find((name) => name !== "segment") || "segment" });
  const tell = (moving) => {
    const i = Math.round(where.t * (data.t.length - 1));
    readout.textContent = `t = ${where.t.toFixed(2)}  ·  ` +
      Object.entries(data.values).map(([name, values]) => `${data.titles[name]} ${shown(values[i])}`).join("  ·  ");
    slider.value = where.t;
    window.dispatchEvent(new CustomEvent("landscape:walk", { detail: { group: data.group } }));
    if (moving !== null && data.run)
      window.dispatchEvent(new CustomEvent("landscape:open", { detail: { run: data.run, moving, where: { path: where.path, t: data.t[i] } } }));
  };
  choices(box, data, where, tell);
  slider.oninput = () => { where.t = Number(slider.value); tell(true); };
  slider.onchange = () => tell(false);
  const stop = () => { clearInterval(parentElement.__timer); parentElement.__timer = null; play.textContent = "▶"; play.setAttribute("aria-label", "Play"); };
  play.onclick = () => {
    if (parentElement.__timer) { stop(); return tell(false); }
    if (where.t >= 1) where.t = 0;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    parentElement.__timer = setInterval(() => {
      where.t = Math.min(1, where.t + 1 / 60);
      if (where.t >= 1) stop();
      tell(where.t < 1);
    }, 80);
  };
  const stand = (event) => {
    if (event.detail.run !== data.run || parentElement.__timer || !names.includes(event.detail.path)) return;
    Object.assign(where, { t: event.detail.t, path: event.detail.path });
    for (const input of box.querySelectorAll("input")) input.checked = input.value === where.path;
    tell(null);
  };
  window.removeEventListener("landscape:stand", parentElement.__stand);
  window.addEventListener("landscape:stand", (parentElement.__stand = stand));
  tell(null);
  return () => { stop(); window.removeEventListener("landscape:stand", parentElement.__stand); };
}
