// What moves over a plot without the plot being drawn again: the walk as far as it is revealed, and the cursor of its twins.

// A layer inside the panel of a map: clipped, moved and zoomed with it; the walk lies below the marks, the cursor above all.
function layer(element, name) {
  const panel = element.querySelector(".cartesianlayer .subplot.xy .overplot > .xy");
  if (!panel) return null;
  let found = panel.querySelector(`:scope > .${name}`);
  if (!found) {
    found = document.createElementNS("http://www.w3.org/2000/svg", "g");
    found.setAttribute("class", name);
    panel.insertBefore(found, name === "landscape-trail" ? panel.querySelector(":scope > .scatterlayer") : null);
  }
  return found;
}

// The first share t in [0, 1] of a walk; its head moves evenly from snapshot to snapshot.
function trail(element, Plotly, walker, t) {
  const { x, y, z, colors } = walker.trail, last = x.length - 1;
  const at = Math.min(Math.max(t, 0), 1) * last, i = Math.min(Math.floor(at + 1e-9), last), u = at - i;
  const head = (v) => (i < last ? v[i] + (v[i + 1] - v[i]) * u : v[last]);
  if (z) {
    const upto = (v) => [...v.slice(0, i + 1), ...(u > 1e-9 ? [head(v)] : [])];
    Plotly.restyle(element, { x: [upto(x)], y: [upto(y)], z: [upto(z)], "marker.color": [colors.slice(0, i + 1).concat(colors[i])] }, [walker.trace]);
    return;
  }
  const drawn = layer(element, "landscape-trail"), { xaxis, yaxis } = element._fullLayout;
  if (!drawn) return;
  const place = (px, py) => `${xaxis.l2p(px).toFixed(1)},${yaxis.l2p(py).toFixed(1)}`;
  const points = x.slice(0, i + 1).map((px, k) => place(px, y[k])).concat(place(head(x), head(y))).join(" ");
  const line = (color, width) => `<polyline points="${points}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linejoin="round" stroke-linecap="round"/>`;
  const dot = (px, py, radius, color, rim) => { const [cx, cy] = place(px, py).split(","); return `<circle cx="${cx}" cy="${cy}" r="${radius}" fill="${color}" stroke="${rim}" stroke-width="1.5"/>`; };
  drawn.innerHTML = line("#14171f", 4.4) + line("#fff", 2.2) + x.slice(0, i + 1).map((px, k) => dot(px, y[k], 3.8, colors[k], "#14171f")).join("")
    + (t < 1 ? dot(head(x), head(y), 7.5, "#ff3b30", "#fff") : "");
}

// The value that a map shows in the cell of a point: what its own hover would say.
function valueAt(element, at) {
  const map = element._fullData.find((trace) => trace.type === "contour" || trace.type === "surface");
  const nearest = (axis, v) => { let best = 0; for (let k = 1; k < axis.length; k++) if (Math.abs(axis[k] - v) < Math.abs(axis[best] - v)) best = k; return best; };
  const i = nearest(map.x, at[0]), j = nearest(map.y, at[1]);
  const cell = map.type === "surface" ? map.customdata?.[i]?.[j] : map.customdata?.[j]?.[i], value = Number(cell?.[0]);
  return Number.isFinite(value) ? { value: value.toPrecision(4), name: map.name, at: [map.x[i], map.y[j]] } : null;
}

// Where the pointer is on the twin: a cross at the same place of this plane, with this plane's own value. Null takes it away.
function cursor(element, Plotly, at) {
  if (element.__kind === "3d") {
    if (element.__cursor === undefined) return;
    const height = at && heightAt(element, at);
    if (height == null && !element.__cursorShown) return;
    element.__cursorShown = height != null;
    const told = height != null && valueAt(element, at);
    Plotly.restyle(element, height == null ? { visible: false } : { visible: true, x: [[at[0]]], y: [[at[1]]], z: [[height]],
      text: [[told ? `${told.name} ${told.value}` : ""]] }, [element.__cursor]);
    return;
  }
  const drawn = layer(element, "landscape-cursor");
  if (!drawn) return;
  const told = at && valueAt(element, at);
  if (!told) { drawn.innerHTML = ""; return; }
  const { xaxis, yaxis } = element._fullLayout, x = xaxis.l2p(told.at[0]), y = yaxis.l2p(told.at[1]);
  const right = x > xaxis._length * 0.7, below = y < 26, text = `${told.name} ${told.value}`;
  const cross = (color, width) => `<path d="M${x - 13},${y}H${x + 13}M${x},${y - 13}V${y + 13}" stroke="${color}" stroke-width="${width}" fill="none"/>`;
  drawn.innerHTML = cross("#14171f", 4) + cross("#fff", 1.8) +
    `<text x="${x + (right ? -10 : 10)}" y="${y + (below ? 24 : -9)}" text-anchor="${right ? "end" : "start"}" fill="#fff" font-size="13" font-weight="600" ` +
    `paint-order="stroke" stroke="#14171f" stroke-width="3" stroke-linejoin="round">${text}</text>`;
}

// The hidden point of a relief that stands where the pointer is on its twin.
function withCursor(element, figure, place) {
  element.__cursor = undefined;
  element.__cursorShown = false;
  if (!place?.plane || !isThreeD(figure.layout || {})) return;
  figure.data.push({ type: "scatter3d", x: [null], y: [null], z: [null], mode: "markers+text", visible: false, hoverinfo: "skip", showlegend: false,
    name: "cursor", textposition: "top center", textfont: { color: "#fff", size: 13 }, marker: { symbol: "cross", size: 7, color: "#fff", line: { width: 2, color: "#14171f" } } });
  element.__cursor = figure.data.length - 1;
}

// Tells the twins (plots of the same plane and group) where the pointer is, and hears where it is on them.
function pointed(element, Plotly) {
  let waiting = null, timer = null;
  const tell = (at) => window.dispatchEvent(new CustomEvent("landscape:cursor", { detail: { group: element.__group, plane: element.__place?.plane, at, from: element } }));
  const later = (at) => {
    if (!element.__place?.plane || !element.__group) return;
    waiting = at;
    timer ||= setTimeout(() => { timer = null; tell(waiting); }, element.__kind === "3d" ? 90 : 30);
  };
  element.on("plotly_hover", (event) => { const point = event.points[0]; later([Number(point.x), Number(point.y)]); });
  element.on("plotly_unhover", () => later(null));
  window.addEventListener("landscape:cursor", element.__onCursor = ({ detail }) => {
    if (detail.from !== element && detail.group === element.__group && detail.plane && detail.plane === element.__place?.plane && element._fullLayout) cursor(element, Plotly, detail.at);
  });
}
