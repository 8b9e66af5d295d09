"use strict";
// Draws the charts of a report, sorts its tables, and prints it. The only user of plotly.js.

const data = JSON.parse(document.getElementById("data").textContent);
// Okabe & Ito's colours, without black: it would not show on a dark ground.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const GREY = "#888888";
const PRINTED = 340; // pixels of a chart's width on paper
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

const several = new Set(data.charts.flatMap((c) => c.curves.map((curve) => curve.run))).size > 1;
const steps = [...new Set(data.charts.flatMap((c) => c.curves.flatMap((curve) => curve.x)))];
const first = Math.min(...steps.filter((x) => x > 0), Infinity);
const last = Math.max(...steps, 1);

function make(name, content = {}, children = []) {
  const found = Object.assign(document.createElement(name), content);
  found.append(...children);
  return found;
}

// Text that plotly.js would read as markup.
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// Linear from 0 to the first step, logarithmic from there: step 0 has a place.
function place(x, log) {
  if (!log) return x;
  return x <= first ? x / first : 1 + Math.log10(x / first);
}

function stepAxis(log) {
  const axis = {
    title: { text: "step", standoff: 6 }, zeroline: false, separatethousands: true,
    ticklabeloverflow: "allow",
  };
  if (!log) return axis;
  const ticks = [0];
  for (let x = 1; x <= last; x *= 10) if (x >= first) ticks.push(x);
  if (ticks.length < 3) ticks.push(first, last);
  const tickvals = ticks.map((x) => place(x, true));
  return { ...axis, tickvals, ticktext: ticks.map((x) => x.toLocaleString("en")) };
}

function valueAxis(chart) {
  if (chart.is_ratio) return { range: [-0.03, 1.03], zeroline: false };
  const values = chart.curves.flatMap((curve) => curve.y).filter((y) => y !== null);
  const low = Math.min(...values), high = Math.max(...values);
  const log = low > 0 && high / low > 200;
  return log
    ? { type: "log", dtick: high / low < 1e5 ? 1 : undefined, exponentformat: "power" }
    : { zeroline: false };
}

function faded(colour) {
  const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return `rgba(${parts.join(",")},0.2)`;
}

function traces(chart, log) {
  const drawn = chart.curves.flatMap((curve) => {
    const colour = COLOURS[(several ? curve.run : curve.series) % COLOURS.length];
    const x = curve.x.map((step) => place(step, log));
    const group = `${curve.run}/${curve.series}`;
    const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: group };
    const band = curve.low
      ? [{ ...edge, y: curve.low }, { ...edge, y: curve.high, fill: "tonexty", fillcolor: faded(colour) }]
      : [];
    const line = {
      x, y: curve.y, name: plain(curve.name), legendgroup: group, mode: "lines",
      customdata: curve.x.map((step) => step.toLocaleString("en")),
      line: { color: colour, width: 1.8, dash: DASHES[curve.series % DASHES.length] },
      hovertemplate: "step %{customdata}: %{y:.4g}",
    };
    return [...band, line];
  });
  if (chart.collapse !== null) {
    drawn.push({
      x: [place(0, log), place(last, log)], y: [chart.collapse, chart.collapse], mode: "lines",
      name: "at collapse", hoverinfo: "skip", line: { color: GREY, width: 1.5, dash: "dot" },
    });
  }
  return drawn;
}

function layout(xaxis, yaxis, legend) {
  return {
    autosize: true, height: 300, xaxis, yaxis, showlegend: legend, hovermode: "x",
    margin: { l: 52, r: 20, t: 8, b: 42 }, font: { family: "inherit", size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { namelength: -1 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
  };
}

function drawCurves(places) {
  const log = document.getElementById("log").checked;
  data.charts.forEach((chart, i) => {
    const drawn = traces(chart, log);
    const names = drawn.filter((trace) => trace.showlegend !== false).map((trace) => trace.name);
    const shape = layout(stepAxis(log), valueAxis(chart), names.length > 1);
    shape.height += 20 * Math.ceil(names.join("").length / 50 + names.length / 8);
    Plotly.react(places[i], drawn, shape, CONFIG);
  });
}

function startCurves() {
  const charts = document.getElementById("charts");
  if (!charts) return;
  const places = data.charts.map((chart) => {
    const place = make("div", { role: "figure", ariaLabel: `Chart of ${chart.title} over steps` });
    charts.append(make("div", { className: "chart" }, [make("h3", { textContent: chart.title }), place]));
    return place;
  });
  const box = document.getElementById("log");
  box.checked = data.log;
  box.addEventListener("change", () => drawCurves(places));
  drawCurves(places);
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => (down ? -1 : 1) * compared(a.cells[column], b.cells[column]));
    table.tBodies[0].append(...rows);
  }));
}

// Numbers before text, and empty cells last.
function compared(a, b) {
  const x = a.dataset.value, y = b.dataset.value;
  if (x !== undefined && y !== undefined) return Number(x) - Number(y);
  if (x !== undefined || y !== undefined) return x !== undefined ? -1 : 1;
  return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
}

function column(table, name) {
  const at = [...table.tHead.rows[0].cells].findIndex((head) => head.textContent === name);
  return [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[at];
    if (cell === undefined) return "";
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  });
}

// One colour a group: its points, and a line through their means at each x.
function groups(table, x, y, by) {
  const [xs, ys, names] = [column(table, x), column(table, y), column(table, by)];
  const rows = xs.map((value, i) => ({ x: value, y: ys[i], name: String(names[i]) }));
  const found = Map.groupBy(rows.filter((row) => typeof row.y === "number" && row.x !== ""), (row) => row.name);
  return [...found].flatMap(([name, own], i) => {
    const means = [...Map.groupBy(own, (row) => row.x)].map(([at, rows]) => (
      { x: at, y: rows.reduce((sum, row) => sum + row.y, 0) / rows.length }));
    if (means.every((mean) => typeof mean.x === "number")) means.sort((a, b) => a.x - b.x);
    const colour = COLOURS[i % COLOURS.length], title = plain(name === "" ? "all" : `${by} ${name}`);
    const shared = { legendgroup: name, name: title, hovertemplate: "%{x}: %{y:.4g}" };
    const of = (points) => ({ x: points.map((p) => p.x), y: points.map((p) => p.y) });
    return [
      { ...shared, ...of(own), mode: "markers", marker: { color: colour, size: 6, opacity: 0.5 }, showlegend: false },
      { ...shared, ...of(means), mode: "lines", line: { color: colour, dash: DASHES[i % DASHES.length] } },
    ];
  });
}

function explore(study) {
  const explorer = study.querySelector(".explorer"), table = study.querySelector("table");
  const names = [...table.tHead.rows[0].cells].map((head) => head.textContent);
  const choices = ["y", "x", "group"].map((axis) => {
    const options = (axis === "group" ? ["", ...names] : names).map((name) => new Option(name || "nothing", name));
    const select = make("select", {}, options);
    select.value = explorer.dataset[axis];
    return select;
  });
  const place = make("div", { role: "figure", ariaLabel: "Chart of columns of the table below" });
  const words = ["draw ", "against ", "by "];
  const labels = choices.map((select, i) => make("label", {}, [words[i], select]));
  explorer.append(make("p", { className: "controls" }, labels), place);
  const draw = () => {
    const [y, x, by] = choices.map((select) => select.value);
    const axes = [{ title: { text: plain(x) } }, { title: { text: plain(y) }, zeroline: false }];
    const drawn = { ...layout(...axes, by !== ""), height: 340, hovermode: "closest" };
    Plotly.react(place, groups(table, x, y, by), drawn, CONFIG);
  };
  choices.forEach((select) => select.addEventListener("change", draw));
  const all = study.querySelector(".all");
  all.addEventListener("change", () => table.classList.toggle("wide", all.checked));
  draw();
}

function resize(width) {
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(plot, width ? { autosize: false, width } : { autosize: true, width: null });
  }
}

document.querySelectorAll("table").forEach(sortable);
startCurves();
document.querySelectorAll(".study").forEach(explore);
addEventListener("beforeprint", () => resize(PRINTED));
addEventListener("afterprint", () => resize(null));
