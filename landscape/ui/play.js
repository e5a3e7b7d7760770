// Plays a walk on all plots of a group, from snapshot to snapshot, in the browser alone, as often as the screen is drawn.
const state = (window.__landscape ||= { groups: {}, walk: {}, cameras: {} });
const PACE = 320; // ms from one snapshot to the next
const SHORTEST = 2500, LONGEST = 14000; // ms of a whole walk

export default function (component) {
  const { data, parentElement } = component;
  const find = (name) => parentElement.querySelector(`.walk-${name}`);
  const [box, slider, play, readout] = ["box", "slider", "play", "readout"].map(find);
  const last = data.said.length - 1, where = (state.walk[data.group] ||= { t: 1, path: "" });
  slider.max = last;
  const show = () => {
    const i = Math.min(last, Math.floor(where.t * last + 1e-6));
    if (readout.textContent !== data.said[i]) readout.textContent = data.said[i];
    slider.value = where.t * last;
    window.dispatchEvent(new CustomEvent("landscape:walk", { detail: { group: data.group } }));
  };
  const stop = () => {
    cancelAnimationFrame(parentElement.__frame);
    parentElement.__frame = null;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  };
  play.onclick = () => {
    if (parentElement.__frame) return stop();
    if (where.t >= 1) where.t = 0;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    const whole = Math.min(LONGEST, Math.max(SHORTEST, PACE * last)), from = where.t;
    let began = null, pictures = 0;
    const next = (now) => {
      began ??= now;
      where.t = Math.min(1, from + (now - began) / whole);
      show();
      pictures += 1;
      if (now > began) box.dataset.rate = ((1000 * (pictures - 1)) / (now - began)).toFixed(1); // pictures a second
      if (where.t < 1) parentElement.__frame = requestAnimationFrame(next);
      else stop();
    };
    parentElement.__frame = requestAnimationFrame(next);
  };
  slider.oninput = () => { stop(); where.t = last ? Number(slider.value) / last : 1; show(); };
  show();
  return stop;
}
