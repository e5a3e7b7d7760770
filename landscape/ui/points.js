// Points of a plot that are networks: which one was clicked, and the rings around those that are open. Read before plot.js.
(window.__landscape ||= { groups: {}, walk: {}, cameras: {} }).rings ||= {};

function nearest(values, at) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (Math.abs(values[i] - at) < Math.abs(values[best] - at)) best = i;
  return best;
}

// The network at a point of the screen on a flat plot: a mark that is near, the cell, or the nearest line's nearest t.
// Read off the axes: what the pointer last hovered may be outdated after a redraw, and there is none on a touch screen.
function pointedAt(element, place, event) {
  const box = element.getBoundingClientRect(), layout = element._fullLayout;
  const axes = (trace) => [layout["xaxis" + (trace.xaxis || "x").slice(1)], layout["yaxis" + (trace.yaxis || "y").slice(1)]];
  if (place.plane) {
    const map = element._fullData[0], [xaxis, yaxis] = axes(map);
    const px = event.clientX - box.left - xaxis._offset, py = event.clientY - box.top - yaxis._offset;
    const marks = element._fullData.find((trace) => trace.name === "marks");
    const on = marks ? [...marks.x].findIndex((x, i) => Math.hypot(xaxis.l2p(x) - px, yaxis.l2p(marks.y[i]) - py) < 12) : -1;
    if (place.marks?.[on]) return { network: place.marks[on] };
    const draw = drawnAt(element, (trace, i) => Math.hypot(xaxis.l2p(trace.x[i]) - px, yaxis.l2p(trace.y[i]) - py));
    if (draw) return draw;
    return { plane: place.plane, x: Number(map.x[nearest(map.x, xaxis.p2l(px))]), y: Number(map.y[nearest(map.y, yaxis.p2l(py))]) };
  }
  let best = null;
  for (const trace of element._fullData) {
    if (trace.mode !== "lines" || !place.paths?.[trace.name] || trace.visible !== true) continue;
    const [xaxis, yaxis] = axes(trace), py = event.clientY - box.top - yaxis._offset;
    const i = nearest(trace.x, xaxis.p2l(event.clientX - box.left - xaxis._offset)), far = Math.abs(yaxis.l2p(trace.y[i]) - py);
    if (py >= 0 && py <= yaxis._length && (!best || far < best.far)) best = { far, where: { path: place.paths[trace.name], t: Number(trace.x[i]) } };
  }
  return best?.where;
}

// The draw of a method that is nearest to the pointer on a flat plot, if it is near; those drawn later lie above.
function drawnAt(element, far) {
  let best = { far: 6 };
  for (const trace of element._fullData) {
    if (!trace.meta?.draws || trace.visible !== true || trace.mode !== "markers") continue;
    for (let i = 0; i < trace.x.length; i++) {
      const distance = far(trace, i);
      if (distance <= best.far) best = { far: distance, network: `${trace.meta.draws} draw ${trace.customdata[i]}` };
    }
  }
  return best.network ? { network: best.network } : null;
}

// Whether a point lies in a polygon: a ray from it crosses the border an odd number of times.
function within(polygon, x, y) {
  return polygon.reduce((odd, [x0, y0], i) => {
    const [x1, y1] = polygon[(i + 1) % polygon.length];
    return (y0 > y) !== (y1 > y) && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0 ? !odd : odd;
  }, false);
}

// A loop drawn on a plot that can be painted: its corners, at most sixty of them; none when a double click takes it away.
// The plot's own selection, which would stay and be dragged about, is replaced by the painted shape.
function paintable(element, Plotly, setTriggerValue) {
  const tell = (polygon) => setTriggerValue("painted", { polygon });
  element.on("plotly_selected", (event) => {
    const loop = event?.lassoPoints;
    if (!element.__paints || !loop?.x?.length) return;
    const step = Math.max(1, Math.ceil(loop.x.length / 60));
    const polygon = Array.from(loop.x, (x, i) => [Number(x), Number(loop.y[i])]).filter((_, i) => i % step === 0);
    setTimeout(() => Plotly.relayout(element, { selections: [], shapes: painted(polygon) }), 0);
    tell(polygon);
  });
  element.on("plotly_doubleclick", () => element.__paints && element._fullLayout.shapes.length && tell([]));
}

// The painted region as a shape of the plot; the draws outside it fade.
function painted(polygon) {
  if (!polygon?.length) return [];
  return [{ type: "path", path: `M${polygon.map((point) => point.join(",")).join("L")}Z`, fillcolor: "rgba(255,59,48,0.08)",
    line: { color: "#ff3b30", width: 2.5 } }];
}

function faded(figure, polygon) {
  if (polygon?.length) for (const trace of figure.data) if (trace.meta?.draws) {
    const [x, y] = [plain(trace.x), plain(trace.y)];
    trace.selectedpoints = x ? Array.from(x, (_, i) => i).filter((i) => within(polygon, x[i], y[i])) : undefined;
  }
  for (const trace of figure.data) if (trace.name === "marks" && trace.type === "scatter")
    trace.unselected = { marker: { opacity: 1 }, textfont: { color: trace.textfont?.color } };
}

// The numbers of an array that may come in binary, as the figure's JSON has it.
function plain(values) {
  if (Array.isArray(values)) return values;
  if (values?.dtype !== "f4") return null;
  return new Float32Array(Uint8Array.from(atob(values.bdata), (c) => c.charCodeAt(0)).buffer);
}

// The names of classes, which cells of a map hold by number: sent for every cell they would be half of the message.
function named(figure) {
  for (const trace of figure.data) {
    const names = trace.meta?.names, z = names && plain(trace.z), width = z && Number(String(trace.z.shape).split(",")[1]);
    if (z) trace.text = Array.from({ length: z.length / width }, (_, j) =>
      Array.from(z.slice(j * width, (j + 1) * width), (value) => names[Math.floor(value)]));
  }
}

// A click is a press and a release at one place: a scene reports clicks also while it is being turned.
function clickable(element, setTriggerValue) {
  let hovered = null;
  const open = (where) => {
    if (!where) return;
    window.dispatchEvent(new CustomEvent("landscape:open", { detail: { run: element.__place.run, where, element } }));
    const at = where.plane && [{ letter: "", planes: { [where.plane]: [where.x, where.y] } }];
    if (at) setTimeout(() => element.isConnected && ring(element, window.Plotly, at), 0); // when the question has left
  };
  const inScene = ([point]) => {
    const place = element.__place, draws = point.data.meta?.draws;
    const name = point.data.name === "marks" ? place.marks?.[point.pointNumber] : draws ? `${draws} draw ${point.customdata}` : null;
    return name ? { network: name } : { plane: place.plane, x: Number(point.x), y: Number(point.y) };
  };
  for (const name of ["plotly_hover", "plotly_click"]) element.on(name, (event) => {
    hovered = event.points;
    const point = event.points[0];
    if (name === "plotly_click" && !element.__place)
      setTriggerValue("clicked", { x: point.x, y: point.y, z: point.z ?? null, trace: point.data.name ?? null, plot: element.__name });
  });
  element.on("plotly_unhover", () => { hovered = null; });
  element.addEventListener("pointerdown", (down) => {
    const scene = element.__kind === "3d";
    if (!element.__place || down.button || !down.target.matches(scene ? "canvas" : ".nsewdrag")) return;
    const under = hovered;
    let far = 0; // a loop ends where it began
    const moved = (event) => { far = Math.max(far, Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY)); };
    window.addEventListener("pointermove", moved, true);
    window.addEventListener("pointerup", (up) => {
      window.removeEventListener("pointermove", moved, true);
      moved(up);
      if (far > 5) return;
      const seen = () => hovered || under; // a scene looks what is under the pointer when it draws
      if (scene) setTimeout(() => seen() && open(inScene(seen())), 60);
      else open(pointedAt(element, element.__place, up));
    }, { once: true, capture: true });
  }, true);
}

// The height of a drawn surface at a point of its plane, between its cells as they are drawn; null where it is empty.
function heightAt(element, at) {
  const surface = element._fullData.find((trace) => trace.type === "surface");
  const cell = (axis, v) => { let i = 0; while (i < axis.length - 2 && axis[i + 1] <= v) i++; return [i, (v - axis[i]) / (axis[i + 1] - axis[i])]; };
  const [i, u] = cell(surface.x, at[0]), [j, v] = cell(surface.y, at[1]), z = surface.z;
  if (!(u >= -1e-6 && u <= 1 + 1e-6 && v >= -1e-6 && v <= 1 + 1e-6)) return null;
  const found = (1 - u) * (1 - v) * z[j][i] + u * (1 - v) * z[j][i + 1] + (1 - u) * v * z[j + 1][i] + u * v * z[j + 1][i + 1];
  return Number.isFinite(found) ? found + 0.06 : null;
}

// Traces for the rings of opened points: one on a plane, one on each line of a profile.
function withRings(figure, place) {
  if (!place) return [];
  const three = isThreeD(figure.layout || {}), look = { hoverinfo: "skip", showlegend: false, name: "ring", visible: false, x: [null], y: [null] };
  const add = (more, entry) => { figure.data.push({ ...look, ...more }); return { trace: figure.data.length - 1, ...entry }; };
  if (place.plane) return [three
    ? add({ type: "scatter3d", z: [null], mode: "markers", marker: { symbol: "circle-open", size: 16, line: { width: 4 } } }, { plane: place.plane, three })
    : add({ type: "scatter", mode: "markers+text", marker: { symbol: "circle-open" }, textposition: "middle right",
      textfont: { size: 14, color: "#fff", weight: 700, shadow: "0 0 3px #14171f, 0 0 5px #14171f" } }, { plane: place.plane })];
  return figure.data.map((trace, i) => [trace, i]).filter(([trace]) => trace.mode === "lines" && place.paths?.[trace.name]).map(([trace, i]) =>
    add({ type: "scatter", mode: "markers", marker: { symbol: "circle-open" }, cliponaxis: false, xaxis: trace.xaxis, yaxis: trace.yaxis },
      { path: place.paths[trace.name], line: i }));
}

const RING = { A: "#ff3b30", B: "#3b8fd4" };
const SETTLED = 500; // ms without a change after which rings become part of a flat plot

// Marks the opened networks. For a ring of its own plotly draws the whole map anew, which takes as long as the answer to a
// click: on a flat map rings are drawn over it at once, and become part of it when all is quiet.
function ring(element, Plotly, given) {
  const opened = given || window.__landscape.rings[element.__place?.run] || [];
  if (element.__kind === "3d") return settle(element, Plotly, opened);
  clearTimeout(element.__settling);
  const changed = (element.__rings || []).some((entry) => ringed(element, entry, opened).drawn !== (entry.drawn || false));
  overlaid(element, changed ? opened : null);
  if (changed) element.__settling = setTimeout(() => {
    if (!element.isConnected || !element._fullLayout) return;
    settle(element, Plotly, opened);
    overlaid(element, null);
  }, SETTLED);
}

// What a trace of rings is to show: the change to it, and a text that says whether it shows that already.
function ringed(element, entry, opened) {
  const points = opened.map((one) => {
    if (entry.plane) return one.planes[entry.plane] && [...one.planes[entry.plane], one];
    if (one.path !== entry.path) return null;
    const line = element._fullData[entry.line], i = Math.round(one.t * (line.x.length - 1));
    return [one.t, line.y[i], one];
  }).filter(Boolean);
  const heights = entry.three ? points.map((point) => heightAt(element, point)) : null;
  const kept = points.filter((_, i) => !heights || heights[i] !== null);
  const twice = (pick) => kept.flatMap((point) => [pick(point, 0), pick(point, 1)]);
  const change = entry.three
    ? { x: [kept.map((p) => p[0])], y: [kept.map((p) => p[1])], z: [heights.filter((h) => h !== null)], "marker.color": [kept.map((p) => RING[p[2].letter || "A"])] }
    : { x: [twice((p) => p[0])], y: [twice((p) => p[1])], text: [twice((p, i) => (i ? `  ${p[2].letter || ""}` : ""))],
      "marker.color": [twice((p, i) => (i ? RING[p[2].letter || "A"] : "#fff"))],
      "marker.size": entry.plane ? 20 : 14, "marker.line.width": [twice((_, i) => (i ? 3 : 6.5))] };
  const rounded = (_, v) => (typeof v === "number" ? v.toPrecision(6) : v); // a click says in 32 bits where the answer is in 64
  return { change, drawn: kept.length > 0 && JSON.stringify(change, rounded) };
}

function settle(element, Plotly, opened) {
  for (const entry of element.__rings || []) {
    const { change, drawn } = ringed(element, entry, opened);
    if (drawn === (entry.drawn || false)) continue;
    entry.drawn = drawn;
    Plotly.restyle(element, drawn ? { ...change, visible: true } : { visible: false }, [entry.trace]);
  }
}

// Rings over a flat map, as its trace of rings will show them; that trace is hidden meanwhile. Null takes them away.
function overlaid(element, opened) {
  element.__overlaid = opened;
  const entry = (element.__rings || []).find((one) => one.plane && !one.three), drawn = entry && layer(element, "landscape-rings");
  if (!drawn) return;
  const trace = element.querySelector(`.scatterlayer .trace${element._fullData[entry.trace].uid}`);
  if (trace) trace.style.display = opened ? "none" : "";
  const { xaxis, yaxis } = element._fullLayout;
  drawn.innerHTML = (opened || []).filter((one) => one.planes[entry.plane]).map((one) => {
    const [x, y] = one.planes[entry.plane], [cx, cy] = [xaxis.d2p(x), yaxis.d2p(y)];
    const circle = (color, width) => `<circle cx="${cx}" cy="${cy}" r="10" fill="none" stroke="${color}" stroke-width="${width}"/>`;
    return circle("#fff", 6.5) + circle(RING[one.letter || "A"], 3) + (one.letter ? `<text x="${cx + 18}" y="${cy + 5}" `
      + `fill="#fff" font-size="14" font-weight="700" style="text-shadow:0 0 3px #14171f,0 0 5px #14171f">${one.letter}</text>` : "");
  }).join("");
}
