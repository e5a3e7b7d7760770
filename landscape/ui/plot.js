// One plot, redrawn in place. Plots of a group share their camera, their ranges and the walker on their curves. A click on a
// plot that knows its place in weight space says which network was clicked; a ring marks every opened one.
const state = (window.__landscape ||= { groups: {}, walk: {}, cameras: {} });
state.ranges ||= {};

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

// The colour a share of the way from one to another: a 3-D scene draws transparent lines too light.
function between(first, second, share) {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (color) => { paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); return paint.getImageData(0, 0, 1, 1).data; };
  const [a, b] = [read(first), read(second)];
  return `rgb(${[0, 1, 2].map((i) => Math.round(a[i] + (b[i] - a[i]) * share)).join(",")})`;
}

function themed(layout, element) {
  const css = getComputedStyle(element);
  const text = css.getPropertyValue("--st-text-color").trim() || css.color;
  const font = css.getPropertyValue("--st-font").trim() || css.fontFamily;
  const background = css.getPropertyValue("--st-secondary-background-color").trim();
  const soft = "rgba(128,140,148,0.28)", line = between(text, css.getPropertyValue("--st-background-color").trim(), 0.78);
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.font = { ...(layout.font || {}), color: text, family: font };
  layout.autosize = true;
  layout.hoverlabel = { ...(layout.hoverlabel || {}), bgcolor: background, bordercolor: soft, font: { color: text, family: font } };
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: between(text, css.getPropertyValue("--st-background-color").trim(), 0.55), activecolor: text };
  for (const [name, part] of Object.entries(layout)) {
    if (/^[xy]axis/.test(name)) Object.assign(part, { gridcolor: part.gridcolor || soft, zerolinecolor: soft, linecolor: soft });
    if (/^scene/.test(name)) for (const axis of ["xaxis", "yaxis", "zaxis"])
      part[axis] = { ...(part[axis] || {}), gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line, backgroundcolor: "rgba(0,0,0,0)", showbackground: false };
  }
  return layout;
}

function withoutBar(figure) {
  for (const trace of figure.data) if (trace.marker?.showscale) trace.marker.showscale = false;
}

// In a narrow panel a surface needs the room: its height ticks carry the values, so the colour bar and titles go.
function compact(figure) {
  figure.layout.margin = { l: 0, r: 0, t: 0, b: 0 };
  withoutBar(figure);
  for (const [name, part] of Object.entries(figure.layout))
    if (/^scene/.test(name)) for (const axis of ["xaxis", "yaxis"]) part[axis].title = { text: "" };
}

// The camera comes nearer where a wide plot has room at its sides, and backs off where a narrow one would cut them.
function fit(eye, aspect) {
  const share = Math.min(1.5, Math.max(0.86, 0.98 / aspect));
  for (const axis of ["x", "y", "z"]) eye[axis] *= share;
}

function isThreeD(layout) { return Object.keys(layout).some((name) => /^scene/.test(name)); }

function walk(element, Plotly) {
  const where = state.walk[element.__group];
  if (!element.data) return;
  for (const walker of element.__walkers || []) {
    if (walker.trail) trail(element, Plotly, walker, where ? where.t : 1);
    if (walker.trail || !where) continue;
    if (walker.vertical) {
      Plotly.restyle(element, { x: [[where.t, where.t]], visible: true }, [walker.trace]);
      continue;
    }
    const names = Object.keys(walker.paths || {});
    const name = names.includes(where.path) ? where.path : names.find((n) => n !== "segment") || "segment";
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
    if (!camera) state.ranges[group] = ["xaxis", "yaxis"].map((name) => [...element._fullLayout[name].range]);
    for (const other of set) {
      if (!other.isConnected) { set.delete(other); continue; }
      if (other === element || other.__kind !== kind || (kind === "2d" && !other.__linkRanges)) continue;
      other.__muted = true;
      Promise.resolve(Plotly.relayout(other, change)).finally(() => { other.__muted = false; });
    }
  };
  element.on("plotly_doubleclick", () => {
    if (!element.__linkRanges) return;
    delete state.ranges[group];
    for (const each of set) if (each.isConnected && each.__linkRanges && each.__kind === "2d") {
      each.__muted = true;
      const [x, y] = each.__home;
      Promise.resolve(Plotly.relayout(each, { "xaxis.range": [...x], "yaxis.range": [...y] })).finally(() => { each.__muted = false; });
    }
  });
  element.on("plotly_relayout", send);
  element.on("plotly_relayouting", send);
}

// A map of equal aspect is as high as its width allows: nothing stays empty below it on a narrow screen.
function tall(element, data, layout) {
  const span = (axis) => Math.abs(axis.range[1] - axis.range[0]);
  if (!data.place?.plane || !layout.yaxis?.scaleanchor || !element.clientWidth) return data.height;
  const map = (element.clientWidth - 84) * (layout.yaxis.scaleratio || 1) * span(layout.yaxis) / span(layout.xaxis);
  return Math.round(Math.min(data.height, Math.max(220, map + 76)));
}

async function draw(element, data, setTriggerValue) {
  const Plotly = await library(data.library);
  const figure = JSON.parse(data.figure);
  const layout = figure.layout || {};
  named(figure);
  if (isThreeD(layout) && element.clientWidth < 560) compact(figure);
  if (!data.bar) withoutBar(figure);
  themed(layout, element);
  layout.uirevision = data.revision;
  (element.__fit = () => { element.style.height = `${tall(element, data, layout)}px`; })();
  element.__walkers = layout.meta?.walkers || [];
  [element.__place, element.__name, element.__rings] = [data.place, data.name, withRings(figure, data.place)];
  element.__paints = Boolean(data.paint);
  withCursor(element, figure, data.place);
  element.__group = data.group;
  element.__linkRanges = data.link_ranges;
  element.__kind = isThreeD(layout) ? "3d" : "2d";
  for (const walker of element.__walkers) if (walker.trail && element.__kind === "2d") figure.data[walker.trace].opacity = 0; // drawn by trail()
  const shown = Boolean(element._fullLayout);
  // A redraw keeps the view as it is, also in the middle of a drag; a new plot takes the view of its group.
  const kept = element._fullLayout?.scene?._scene?.getCamera() || state.cameras[data.group];
  if (kept && layout.scene) layout.scene.camera = kept;
  else if (layout.scene?.camera) fit(layout.scene.camera.eye, element.clientWidth / data.height);
  if (data.link_ranges && element.__kind === "2d") {
    element.__home = [layout.xaxis.range, layout.yaxis.range];
    [layout.xaxis.range, layout.yaxis.range] = state.ranges[data.group] || element.__home;
  }
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, scrollZoom: false,
    modeBarButtonsToRemove: ["sendDataToCloud", "select2d", "resetCameraLastSave3d", ...(data.paint ? [] : ["lasso2d"])], ...(data.config || {}) };
  if (data.paint) [layout.shapes, layout.selections] = [painted(data.paint.polygon), []];
  faded(figure, data.paint?.polygon);
  if (!shown) element.textContent = "";
  await Plotly.react(element, figure.data, layout, config);
  element.dataset.drawn = String(Number(element.dataset.drawn || 0) + 1);
  if (!shown) {
    if (data.group) linked(element, data.group, Plotly);
    clickable(element, setTriggerValue);
    paintable(element, Plotly, setTriggerValue);
    pointed(element, Plotly);
    element.on("plotly_afterplot", () => element.__overlaid && overlaid(element, element.__overlaid));
    element.on("plotly_afterplot", () => element.__kind === "2d" && element.__walkers.some((walker) => walker.trail) && walk(element, Plotly));
    window.addEventListener("landscape:rings", element.__onRings = (event) => {
      if (event.detail.run === element.__place?.run) ring(element, Plotly);
    });
    window.addEventListener("landscape:walk", element.__onWalk = (event) => {
      if (event.detail.group === element.__group) walk(element, Plotly);
    });
    // The outline's colour follows the theme, so that a change of theme is an event.
    element.addEventListener("transitionend", (event) => event.propertyName === "outline-color" && element.__redraw());
    new ResizeObserver(() => element.isConnected && element._fullLayout && (element.__fit(), Plotly.Plots.resize(element))).observe(element);
  }
  walk(element, Plotly);
  ring(element, Plotly);
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const element = parentElement.querySelector(".landscape-plot");
  if (!element._fullLayout) element.style.height = `${data.height}px`;
  element.__redraw = () => {
    const signature = data.digest + getComputedStyle(element).getPropertyValue("--st-text-color");
    if (element.__signature === signature) return;
    element.__signature = signature;
    element.__queue = (element.__queue || Promise.resolve()).then(() => draw(element, data, setTriggerValue)).catch((error) => {
      element.__signature = null;
      if (element._fullLayout) return;
      element.textContent = String(error.message || error);
      element.__tries = (element.__tries || 0) + 1;
      if (element.__tries < 6) setTimeout(() => element.isConnected && element.__redraw(), 500 * element.__tries);
    });
  };
  element.__redraw();
  return () => {
    clearTimeout(element.__settling);
    if (element.__onWalk) window.removeEventListener("landscape:walk", element.__onWalk);
    if (element.__onCursor) window.removeEventListener("landscape:cursor", element.__onCursor);
    if (element.__onRings) window.removeEventListener("landscape:rings", element.__onRings);
    if (state.groups[element.__group]) state.groups[element.__group].delete(element);
    if (window.Plotly && element._fullLayout) window.Plotly.purge(element);
    element.__signature = null;
  };
}
