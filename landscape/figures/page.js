// Draws the page's figures when they come into view, in the page's own colours; reliefs turn together.
const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const reliefs = new Set();
let turning = false;

function themed(layout) {
  const css = getComputedStyle(document.body), rule = css.getPropertyValue("--rule").trim();
  layout.font = { color: css.color, family: css.fontFamily, size: 12 };
  layout.hoverlabel = { ...layout.hoverlabel, bgcolor: css.backgroundColor, bordercolor: rule, font: { color: css.color } };
  layout.autosize = true;
  return layout;
}

async function draw(element) {
  const figure = figures[element.id];
  await Plotly.react(element, figure.data, themed(figure.layout), { responsive: true, displaylogo: false, showSendToCloud: false });
  if (!figure.layout.scene || reliefs.has(element)) return;
  reliefs.add(element);
  element.on("plotly_relayout", (change) => {
    if (turning || !change["scene.camera"]) return;
    turning = true;
    const others = [...reliefs].filter((other) => other !== element);
    Promise.all(others.map((other) => Plotly.relayout(other, { "scene.camera": change["scene.camera"] }))).finally(() => { turning = false; });
  });
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "300px" });
document.querySelectorAll(".plot").forEach((element) => seen.observe(element));
dark.addEventListener("change", () => document.querySelectorAll(".plot.js-plotly-plot").forEach(draw));
