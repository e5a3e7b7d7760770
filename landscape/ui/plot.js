// One plot, redrawn in place. Plots of a group share their camera, their ranges and the walker on their curves.
const state = (window.__landscape ||= { groups: {}, walk: {}, cameras: {} });

function library(address) {
  return (state.library ||= new Promise((ok, fail) => {
    if (window.Plotly) return ok(window.Plotly);
    const script = document.createElement("script");
    script.src = new URL(address, document.baseURI).href;
    script.onload = () => ok(window.Plotly);
    script.onerror = () => { delete state.library; fail(new Error("plotly.js could not be loaded")); };
    document.head.appendChild(script);
  }));
}

function themed(layout, element) {
  const css = getComputedStyle(element);
  const text = css.getPropertyValue("--st-text-color").trim() || css.color;
  const font = css.getPropertyValue("--st-font").trim() || css.fontFamily;
  const soft = "rgba(128,140,148,0.28)";
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.font = { ...(layout.font || {}), color: text, family: font };
  layout.autosize = true;
  const background = css.getPropertyValue("--st-secondary-background-color").trim();
  layout.hoverlabel = { ...(layout.hoverlabel || {}), bgcolor: background, bordercolor: soft, font: { color: text, family: font } };
  for (const [name, part] of Object.entries(layout)) {
    if (/^[xy]axis/.test(name)) Object.assign(part, { gridcolor: part.gridcolor || soft, zerolinecolor: soft, linecolor: soft });
    if (/^scene/.test(name)) for (const axis of ["xaxis", "yaxis", "zaxis"])
      part[axis] = { ...(part[axis] || {}), gridcolor: soft, zerolinecolor: soft, linecolor: soft, backgroundcolor: "rgba(0,0,0,0)", showbackground: false };
  }
  return layout;
}

// In a narrow panel a surface needs the room: its height ticks carry the values, so the colour bar and titles go.
function compact(figure) {
  figure.layout.margin = { l: 0, r: 0, t: 0, b: 0 };
  for (const trace of figure.data) if (trace.marker?.showscale) trace.marker.showscale = false;
  for (const [name, part] of Object.entries(figure.layout))
    if (/^scene/.test(name)) for (const axis of ["xaxis", "yaxis"]) part[axis].title = { text: "" };
}

function isThreeD(layout) { return Object.keys(layout).some((name) => /^scene/.test(name)); }

function walk(element, Plotly) {
  const where = state.walk[element.__group];
  if (!where || !element.data) return;
  for (const walker of element.__walkers || []) {
    if (walker.vertical) {
      Plotly.restyle(element, { x: [[where.t, where.t]], visible: true }, [walker.trace]);
      continue;
    }
    const names = Object.keys(walker.paths || {});
    const name = where.path === "segment" ? "segment" : names.find((n) => n !== "segment") || "segment";
    const path = walker.paths?.[name];
    if (!path) continue;
    const i = Math.round(where.t * (path.x.length - 1));
    const change = { x: [[path.x[i]]], y: [[path.y[i]]], visible: true };
    if (path.z) change.z = [[path.z[i]]];
    Plotly.restyle(element, change, [walker.trace]);
  }
}

function linked(element, group, Plotly) {
  const set = (state.groups[group] ||= new Set());
  set.add(element);
  const send = (event) => {
    if (element.__muted) return;
    const turned = Object.keys(event).some((name) => name.startsWith("scene.camera"));
    const camera = event["scene.camera"] || (turned && element._fullLayout.scene.camera);
    if (camera) state.cameras[group] = camera;
    const kind = camera ? "3d" : "2d";
    const change = camera ? { "scene.camera": camera }
      : Object.fromEntries(Object.entries(event).filter(([k]) => /^[xy]axis\.(range|autorange)/.test(k)));
    if (!camera && !element.__linkRanges) return;
    if (!Object.keys(change).length) return;
    for (const other of set) {
      if (!other.isConnected) { set.delete(other); continue; }
      if (other === element || other.__kind !== kind) continue;
      other.__muted = true;
      Promise.resolve(Plotly.relayout(other, change)).finally(() => { other.__muted = false; });
    }
  };
  element.on("plotly_relayout", send);
  element.on("plotly_relayouting", send);
}

async function draw(element, data, setTriggerValue) {
  const Plotly = await library(data.library);
  const figure = JSON.parse(data.figure);
  const layout = figure.layout || {};
  if (isThreeD(layout) && element.clientWidth < 560) compact(figure);
  themed(layout, element);
  layout.uirevision = data.revision;
  element.__walkers = layout.meta?.walkers || [];
  element.__group = data.group;
  element.__linkRanges = data.link_ranges;
  element.__kind = isThreeD(layout) ? "3d" : "2d";
  const shown = Boolean(element._fullLayout);
  // A redraw keeps the view as it is, also in the middle of a drag; a new plot takes the view of its group.
  const kept = element._fullLayout?.scene?._scene?.getCamera() || state.cameras[data.group];
  if (kept && layout.scene) layout.scene.camera = kept;
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, scrollZoom: false,
    modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d", "resetCameraLastSave3d"], ...(data.config || {}) };
  await Plotly.react(element, figure.data, layout, config);
  element.dataset.drawn = String(Number(element.dataset.drawn || 0) + 1);
  if (!shown) {
    if (data.group) linked(element, data.group, Plotly);
    element.on("plotly_click", (event) => {
      const point = event.points[0];
      setTriggerValue("clicked", { x: point.x, y: point.y, z: point.z ?? null, trace: point.data.name ?? null, plot: data.name });
    });
    window.addEventListener("landscape:walk", element.__onWalk = (event) => {
      if (event.detail.group === element.__group) walk(element, Plotly);
    });
    new ResizeObserver(() => element.isConnected && element._fullLayout && Plotly.Plots.resize(element)).observe(element);
  }
  walk(element, Plotly);
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const element = parentElement.querySelector(".landscape-plot");
  element.style.height = `${data.height}px`;
  const css = getComputedStyle(element);
  const signature = data.digest + css.getPropertyValue("--st-text-color");
  if (element.__signature !== signature) {
    element.__signature = signature;
    element.__queue = (element.__queue || Promise.resolve()).then(() => draw(element, data, setTriggerValue)).catch((error) => {
      element.__signature = null;
      if (!element._fullLayout) element.textContent = String(error.message || error);
    });
  }
  return () => {
    if (element.__onWalk) window.removeEventListener("landscape:walk", element.__onWalk);
    if (state.groups[element.__group]) state.groups[element.__group].delete(element);
    if (window.Plotly && element._fullLayout) window.Plotly.purge(element);
    element.__signature = null;
  };
}
