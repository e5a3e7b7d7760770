// A slider t in [0, 1] that walks along the curves of all plots of a group, in the browser alone.
const state = (window.__landscape ||= { groups: {}, walk: {}, cameras: {} });

function shown(value) { return value == null || Number.isNaN(value) ? "–" : Number(value).toPrecision(3); }

export default function (component) {
  const { data, parentElement } = component;
  const find = (name) => parentElement.querySelector(`.walk-${name}`);
  const [slider, play, readout, segment] = ["slider", "play", "readout", "segment"].map(find);
  const where = (state.walk[data.group] ||= { t: 0, path: "curve" });
  const tell = () => {
    const i = Math.round(where.t * (data.t.length - 1));
    readout.textContent = `t = ${where.t.toFixed(2)}  ·  ` +
      Object.entries(data.values).map(([name, values]) => `${data.titles[name]} ${shown(values[i])}`).join("  ·  ");
    slider.value = where.t;
    segment.checked = where.path === "segment";
    window.dispatchEvent(new CustomEvent("landscape:walk", { detail: { group: data.group } }));
  };
  slider.oninput = () => { where.t = Number(slider.value); tell(); };
  segment.onchange = () => { where.path = segment.checked ? "segment" : "curve"; tell(); };
  const stop = () => { clearInterval(parentElement.__timer); parentElement.__timer = null; play.textContent = "▶"; play.setAttribute("aria-label", "Play"); };
  play.onclick = () => {
    if (parentElement.__timer) return stop();
    if (where.t >= 1) where.t = 0;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    parentElement.__timer = setInterval(() => {
      where.t = Math.min(1, where.t + 1 / 60);
      tell();
      if (where.t >= 1) stop();
    }, 80);
  };
  tell();
  return stop;
}
