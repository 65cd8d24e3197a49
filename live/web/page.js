// The page of the runner: listens to /stream, writes what comes into a page whose rows stand from the start,
// and draws explanations. Holds no state but the token, in this tab, and the newest message.

const $ = (id) => document.getElementById(id);
const LEVELS = 10, FILL_ROWS = 15, ORDER_ROWS = 4, CURVE_POINTS = 7200, STALE_MS = 1500, SILENT_MS = 2000;
const GATE_MARKS = { green: "●", amber: "◐", red: "■" };
const state = { symbol: "", desk: 0, view: null, heard: 0, socket: null, wait: 250, curves: new Map(), since: null, why: "", killStep: 0 };

const token = () => sessionStorage.getItem("tickloop-read") ?? "";
const fixed = (value, digits) => value === null || value === undefined ? "–" : value.toFixed(digits);
const signed = (value, digits) => value === null || value === undefined ? "–" : (value > 0 ? "+" : "") + value.toFixed(digits);
const moneyDigits = (unit) => unit.startsWith("USD") || unit === "EUR" ? 2 : 8;
const clock = (ns) => new Date(ns / 1e6).toISOString().slice(11, 19);
const precise = (ns) => new Date(ns / 1e6).toISOString().slice(11, 23);
const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) key in made && key !== "list" ? made[key] = value : made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function rows(table, count, columns) {
  const body = table.tBodies[0];
  while (body.rows.length < count) {
    const row = body.insertRow();
    for (let i = 0; i < columns; i++) row.insertCell();
  }
  return body.rows;
}

// ---- the figures ----

function drawHead(view) {
  const { line, journal, book } = view;
  write($("symbol"), view.symbol);
  write($("mid"), fixed(book.mid, view.price_decimals + 1));
  write($("spread"), book.spread_bp === null ? "–" : book.spread_bp.toFixed(3) + " bp");
  write($("age"), line.age_ms === null ? "none yet" : line.age_ms < 1e4 ? line.age_ms.toFixed(0) + " ms ago" : (line.age_ms / 1e3).toFixed(0) + " s ago");
  write($("line"), !line.connected ? "down" : line.waiting_snapshot ? "up, no snapshot" : "up, gaps " + (100 * line.gap_ratio).toFixed(2) + " %");
  write($("journal"), journal.healthy ? (journal.segment_bytes / 1048576).toFixed(1) + " MB" : "failed");
  const up = Math.floor(view.uptime_s);
  write($("uptime"), `${Math.floor(up / 3600)} h ${String(Math.floor(up / 60) % 60).padStart(2, "0")} m ${String(up % 60).padStart(2, "0")} s`);
  write($("unit"), view.quantity_unit);
}

function prepareBook() {
  const body = $("book").tBodies[0];
  const level = (side) => {
    const row = body.insertRow();
    row.className = side;
    row.insertCell();
    row.insertCell().append(element("span", { className: "depth" }), element("span", { className: "size" }));
  };
  for (let i = 0; i < LEVELS; i++) level("ask");
  const middle = body.insertRow();
  middle.className = "middle";
  middle.insertCell().colSpan = 2;
  for (let i = 0; i < LEVELS; i++) level("bid");
}

function drawBook(view) {
  const found = $("book").tBodies[0].rows, { bids, asks } = view.book;
  const most = Math.max(1e-12, ...bids.map((level) => level.quantity), ...asks.map((level) => level.quantity));
  const put = (row, level) => {
    const size = row.cells[1];
    write(row.cells[0], level ? level.price.toFixed(view.price_decimals) : "\u00a0");
    write(size.lastChild, level ? level.quantity.toFixed(view.quantity_decimals) : "\u00a0");
    size.firstChild.style.transform = `scaleX(${level ? level.quantity / most : 0})`;
  };
  for (let i = 0; i < LEVELS; i++) {
    put(found[LEVELS - 1 - i], asks[i]);
    put(found[LEVELS + 1 + i], bids[i]);
  }
  write(found[LEVELS].cells[0], view.book.open ? `spread ${view.book.spread_bp.toFixed(3)} bp` : "the book is closed");
}

function drawDesks(view) {
  const found = rows($("desks"), view.desks.length, 6);
  view.desks.forEach((desk, place) => {
    const row = found[place], { position } = desk;
    if (!row.cells[0].firstChild) {
      const pick = element("button", { type: "button" });
      row.cells[0].append(pick, element("small", { className: "gateway" }));
      row.addEventListener("click", () => { state.desk = place; draw(); });
      row.cells[5].className = "text";
    }
    row.setAttribute("aria-selected", String(place === state.desk));
    row.cells[0].firstChild.setAttribute("aria-pressed", String(place === state.desk));
    write(row.cells[0].firstChild, desk.name);
    write(row.cells[0].lastChild, desk.gateway);
    write(row.cells[1], desk.bundle_sha ? desk.bundle_sha.slice(0, 12) : "no model");
    row.cells[1].title = desk.bundle_sha;
    write(row.cells[2], signed(position.quantity, view.quantity_decimals));
    write(row.cells[3], signed(position.target, view.quantity_decimals));
    write(row.cells[4], `${signed(position.equity, moneyDigits(position.settlement))} ${position.settlement}`);
    write(row.cells[5], desk.killed ? "killed" : desk.reason + (desk.halvings ? `, halved ${desk.halvings}×` : ""));
  });
  while (found.length > view.desks.length) $("desks").tBodies[0].deleteRow(-1);
}

function drawSignal(desk) {
  const signal = desk.signal, ready = Boolean(signal?.ready);
  const box = $("signal");
  ready ? box.removeAttribute("data-none") : box.setAttribute("data-none", "");
  write($("signal-title"), "Signal, " + desk.name + (ready ? `, over ${signal.horizon_ms} ms` : ": no forecast"));
  const odds = [["down", signal?.p_down], ["none", signal?.p_none], ["up", signal?.p_up]];
  for (const [name, p] of odds) {
    box.querySelector(".odds ." + name).style.flexGrow = p ?? 0;
    write($("p-" + name), ready ? (100 * p).toFixed(1) + " %" : "–");
  }
  box.querySelector(".odds").setAttribute("aria-label", ready ? `down ${fixed(signal.p_down, 2)}, no trade ${fixed(signal.p_none, 2)}, up ${fixed(signal.p_up, 2)}` : "no forecast");
  write($("mu"), ready ? signed(signal.mu_bp, 3) + " bp" : "–");
  write($("interval"), ready && signal.lower_bp !== null ? `${signed(signal.lower_bp, 2)} to ${signed(signal.upper_bp, 2)}` : "–");
  write($("cost"), ready ? fixed(signal.cost_bp, 3) + " bp" : "–");
  write($("confidence"), ready ? (100 * signal.confidence).toFixed(1) + " %" : "–");
  drawRange(ready ? signal : null);
}

function drawRange(signal) {
  const mean = $("range").querySelector(".mean"), band = $("range").querySelector(".interval");
  const known = signal && signal.mu_bp !== null;
  mean.style.visibility = known ? "visible" : "hidden";
  band.style.visibility = known && signal.lower_bp !== null ? "visible" : "hidden";
  if (!known) return;
  const reach = 1.1 * Math.max(1, Math.abs(signal.mu_bp), Math.abs(signal.lower_bp ?? 0), Math.abs(signal.upper_bp ?? 0));
  const at = (bp) => 200 + 200 * bp / reach;
  mean.setAttribute("x1", at(signal.mu_bp));
  mean.setAttribute("x2", at(signal.mu_bp));
  if (signal.lower_bp === null) return;
  band.setAttribute("x", at(signal.lower_bp));
  band.setAttribute("width", Math.max(1, at(signal.upper_bp) - at(signal.lower_bp)));
}

function curveOf(symbol, desk) {
  const key = symbol + "/" + desk;
  if (!state.curves.has(key)) state.curves.set(key, []);
  return state.curves.get(key);
}

function extendCurves(view) {
  for (const desk of view.desks) {
    const curve = curveOf(view.symbol, desk.name), ts = desk.signal?.row_ts;
    if (!ts || desk.position.equity === null || (curve.length && Math.floor(curve.at(-1).ts / 1e9) >= Math.floor(ts / 1e9))) continue;
    curve.push({ ts, equity: desk.position.equity });
    if (curve.length > CURVE_POINTS) curve.shift();
  }
}

function drawCurve(view, desk) {
  const curve = curveOf(view.symbol, desk.name), unit = desk.position.settlement, digits = moneyDigits(unit);
  write($("pnl-unit"), `${unit}, ${desk.name}, ${signed(desk.position.equity, digits)}`);
  const equities = curve.map((point) => point.equity);
  const low = Math.min(0, ...equities), high = Math.max(0, ...equities), span = high - low || 1;
  const first = curve[0]?.ts ?? 0, reach = Math.max(1, (curve.at(-1)?.ts ?? 1) - first);
  const y = (value) => 116 - 112 * (value - low) / span;
  const step = Math.max(1, Math.ceil(curve.length / 600));
  const kept = curve.filter((_, place) => place % step === 0 || place === curve.length - 1);
  $("curve").querySelector("polyline").setAttribute("points", kept.map((point) => `${(600 * (point.ts - first) / reach).toFixed(1)},${y(point.equity).toFixed(1)}`).join(" "));
  const zero = $("curve").querySelector(".zero");
  zero.setAttribute("y1", y(0));
  zero.setAttribute("y2", y(0));
  write($("pnl-top"), high === low ? "" : signed(high, digits));
  write($("pnl-bottom"), high === low ? "" : signed(low, digits));
  write($("pnl-from"), first ? clock(first) : "");
  write($("pnl-to"), first ? clock(curve.at(-1).ts) : "");
}

function drawGates(desk) {
  const list = $("gates");
  while (list.children.length < desk.gates.length) {
    list.append(element("li", {}, element("span", { className: "mark", "aria-hidden": "true" }), element("span", { className: "name" }), element("span", { className: "why" }), element("span", { className: "measure" })));
  }
  while (list.children.length > desk.gates.length) list.lastChild.remove();
  write($("gates-title"), "Gates, " + desk.name);
  desk.gates.forEach((gate, place) => {
    const [mark, name, why, measure] = list.children[place].children;
    list.children[place].dataset.light = gate.light;
    write(mark, GATE_MARKS[gate.light]);
    write(name, gate.name);
    write(measure, gate.value === null || gate.limit === null ? "" : `${brief(gate.value)} / ${brief(gate.limit)} ${gate.unit}`);
    write(why, gate.reason);
    why.title = gate.reason;
    list.children[place].setAttribute("aria-label", `${gate.name}: ${gate.reason || "open"}`);
  });
}

const brief = (value) => Math.abs(value) >= 1000 ? (value / 1000).toFixed(Math.abs(value) >= 1e5 ? 0 : 1) + "k" : Math.abs(value) >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);

function drawLatency(desk) {
  const legs = [["Venue to us", desk.latency.feed], ["Row to decision", desk.latency.batch], ["Event to decision", desk.latency.total]];
  const found = rows($("latency"), legs.length, 4);
  legs.forEach(([name, leg], place) => {
    const cells = found[place].cells;
    cells[0].className = "text";
    write(cells[0], name);
    ["p50_ms", "p95_ms", "p99_ms"].forEach((key, column) => write(cells[column + 1], leg ? leg[key].toFixed(leg[key] < 1 ? 3 : leg[key] < 10 ? 2 : leg[key] < 100 ? 1 : 0) : "–"));
  });
}

function drawOrders(view) {
  const orders = view.desks.flatMap((desk) => desk.orders), found = rows($("orders"), Math.max(ORDER_ROWS, orders.length), 5);
  for (let place = 0; place < found.length; place++) {
    const order = orders[place], cells = found[place].cells;
    const texts = order ? [order.order, order.side, order.price.toFixed(view.price_decimals), order.left.toFixed(view.quantity_decimals), order.state] : ["\u00a0", "", "", "", ""];
    linkCell(cells[0], texts[0], order ? explainPath(view.symbol, order.order) : "");
    texts.slice(1).forEach((text, column) => write(cells[column + 1], text));
    cells[1].className = order ? order.side : "";
    cells[4].className = "text";
  }
}

function drawFills(view) {
  const fills = view.desks.flatMap((desk) => desk.fills).sort((a, b) => b.visible_ts - a.visible_ts).slice(0, FILL_ROWS);
  const found = rows($("fills"), FILL_ROWS, 6);
  for (let place = 0; place < FILL_ROWS; place++) {
    const fill = fills[place], cells = found[place].cells;
    const texts = fill ? [fill.order, precise(fill.venue_ts), fill.side, fill.price.toFixed(view.price_decimals), fill.quantity.toFixed(view.quantity_decimals), fill.maker ? "maker" : "taker"] : [place ? "\u00a0" : "none yet", "", "", "", "", ""];
    linkCell(cells[0], texts[0], fill ? explainPath(view.symbol, fill.order) : "");
    texts.slice(1).forEach((text, column) => write(cells[column + 1], text));
    cells[2].className = fill ? fill.side : "";
    cells[5].className = "text";
  }
}

const explainPath = (symbol, order) => `/explain/${encodeURIComponent(symbol)}/${encodeURIComponent(order)}`;

function linkCell(cell, text, path) {
  if (!path) { if (cell.firstElementChild || cell.textContent !== text) cell.replaceChildren(element("span", { className: "empty" }, text)); return; }
  let link = cell.querySelector("a");
  if (!link) { link = element("a"); cell.replaceChildren(link); }
  write(link, text);
  if (link.getAttribute("href") !== path) link.setAttribute("href", path);
}

function drawSymbols(lines) {
  const nav = $("symbols");
  while (nav.children.length < lines.length) nav.append(element("a"));
  while (nav.children.length > lines.length) nav.lastChild.remove();
  lines.forEach((line, place) => {
    const link = nav.children[place];
    write(link, line.symbol + (line.killed ? " ■" : line.connected ? "" : " ○"));
    link.href = "/?symbol=" + encodeURIComponent(line.symbol);
    line.symbol === state.symbol ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  });
}

function draw() {
  const view = state.view;
  if (!view || $("live").hidden) return;
  state.desk = Math.min(state.desk, view.desks.length - 1);
  const desk = view.desks[state.desk];
  drawHead(view); drawBook(view); drawDesks(view); drawSignal(desk); drawCurve(view, desk); drawGates(desk); drawLatency(desk); drawOrders(view); drawFills(view);
  const killed = view.desks.every((each) => each.killed);
  $("kill").disabled = killed;
  write($("kill"), killed ? "Killed" : "Kill switch");
}

// ---- what is honest to show ----

function staleness() {
  if (!state.heard) return "connecting";
  if (performance.now() - state.heard > STALE_MS) return "the runner does not answer";
  const line = state.view?.line;
  if (!line) return "";
  if (!line.connected) return "the line to the venue is down";
  if (line.age_ms === null) return "no event has come yet";
  return line.age_ms > SILENT_MS ? "the venue is silent" : "";
}

function judge() {
  const why = staleness();
  if (why && why !== state.why) state.since = new Date();
  state.why = why;
  why ? document.body.setAttribute("data-stale", why) : document.body.removeAttribute("data-stale");
  const since = why && why !== "connecting" ? ` since ${state.since.toISOString().slice(11, 19)} UTC, ${((Date.now() - state.since) / 1e3).toFixed(0)} s` : "";
  write($("link"), why ? (why === "connecting" ? "connecting" : "stale") : "live");
  if (!$("live").hidden) notice(why && why !== "connecting" ? `What stands here is old: ${why}${since}.` : "");
}

function notice(text) {
  $("notice").hidden = !text;
  write($("notice"), text);
}

// ---- the runner ----

async function ask(path, options = {}) {
  const headers = { Accept: "application/json", ...(token() ? { Authorization: "Bearer " + token() } : {}), ...options.headers };
  const answer = await fetch(path, { ...options, headers });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(typeof body.detail === "string" ? body.detail : "the runner refused"), { status: answer.status });
  return body;
}

async function start() {
  try {
    const lines = await ask("/symbols");
    const wanted = new URLSearchParams(location.search).get("symbol");
    state.symbol = lines.find((line) => line.symbol === wanted)?.symbol ?? lines[0].symbol;
    drawSymbols(lines);
  } catch (error) {
    if (error.status === 401) return login(start);
    notice(`The runner cannot be read: ${error.message}`);
    setTimeout(start, 2000);
    return;
  }
  route();
  listen();
}

function login(then) {
  sessionStorage.removeItem("tickloop-read");
  const dialog = $("login");
  dialog.addEventListener("close", () => { sessionStorage.setItem("tickloop-read", $("read-token").value); $("read-token").value = ""; then(); }, { once: true });
  if (!dialog.open) dialog.showModal();
}

const wish = () => JSON.stringify({ token: token(), symbol: state.symbol, hz: 8 });

function listen() {
  const socket = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/stream");
  state.socket = socket;
  socket.addEventListener("open", () => { state.wait = 250; socket.send(wish()); });
  socket.addEventListener("message", (event) => {
    const pulse = JSON.parse(event.data);
    state.heard = performance.now();
    drawSymbols(pulse.symbols);
    if (pulse.view?.symbol !== state.symbol) return;
    state.view = pulse.view;
    extendCurves(pulse.view);
    judge();
    draw();
  });
  socket.addEventListener("close", () => {
    judge();
    setTimeout(listen, state.wait);
    state.wait = Math.min(2 * state.wait, 5000);
  });
}

async function loadCurves() {
  try {
    for (const symbol of await ask("/positions")) {
      for (const desk of symbol.desks) {
        const curve = curveOf(symbol.symbol, desk.position.desk);
        curve.splice(0, curve.length, ...desk.curve);
      }
    }
    draw();
  } catch (error) { notice(`The profit so far cannot be read: ${error.message}`); }
}

// ---- the kill switch asks twice ----

function askToKill() {
  state.killStep = 1;
  write($("kill-title"), `Stop trading ${state.symbol}?`);
  write($("kill-text"), "Every order of every desk is cancelled, every position is left at once, and nothing opens any more. It stays so over restarts.");
  write($("kill-answer"), "");
  write($("kill-go"), "Continue");
  $("kill-label").hidden = false;
  $("kill-token").value = "";
  $("kill-dialog").showModal();
  $("kill-token").focus();
}

async function killStep() {
  if (state.killStep !== 2) {
    if (!$("kill-token").value) { write($("kill-answer"), "The kill token is needed."); return; }
    state.killStep = 2;
    write($("kill-title"), "Are you sure?");
    write($("kill-text"), `This is the last question. ${state.symbol} stops now.`);
    write($("kill-answer"), "");
    write($("kill-go"), "Yes, stop trading");
    $("kill-label").hidden = true;
    $("kill-cancel").focus();
    return;
  }
  $("kill-go").disabled = true;
  try {
    await ask("/kill?symbol=" + encodeURIComponent(state.symbol), { method: "POST", headers: { Authorization: "Bearer " + $("kill-token").value } });
    $("kill-dialog").close();
  } catch (error) { write($("kill-answer"), error.message); }
  $("kill-go").disabled = false;
}

// ---- explanations ----

function table(heads, lines) {
  const made = element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))), element("tbody"));
  for (const line of lines) {
    const row = made.tBodies[0].insertRow();
    line.forEach((cell, column) => {
      const made = row.insertCell();
      if (column && column === line.length - 1 && heads.at(-1) === "") made.className = "text";
      made.append(cell ?? "–");
    });
  }
  return element("div", { className: "scroll" }, made);
}

const section = (title, ...parts) => element("section", {}, element("h2", {}, title), ...parts);
const exact = (price) => price === null || price === undefined ? "–" : String(+price.toFixed(8));
const short = (value) => value === null ? "–" : Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(5));

function explainedBook(told) {
  const count = Math.max(told.book.bids.length, told.book.asks.length);
  const lines = Array.from({ length: Math.min(count, 5) }, (_, i) => [short(told.book.bids[i]?.quantity ?? null), exact(told.book.bids[i]?.price), exact(told.book.asks[i]?.price), short(told.book.asks[i]?.quantity ?? null)]);
  return section(`Book seen, mid ${exact(told.book.mid)}, spread ${fixed(told.book.spread_bp, 3)} bp`, table(["Bid size", "Bid", "Ask", "Ask size"], lines));
}

function explainedForecast(told) {
  const { forecast } = told;
  if (!forecast.ready) return section("Forecast", element("p", {}, "No model forecast was ready on this row."));
  const line = (name, f) => [name, fixed(f.p_down, 3), fixed(f.p_none, 3), fixed(f.p_up, 3), signed(f.mu_bp, 3)];
  const interval = forecast.lower_bp === null ? "" : `, interval ${signed(forecast.lower_bp, 2)} to ${signed(forecast.upper_bp, 2)} bp`;
  return section(`Forecast over ${forecast.horizon_ms} ms${interval}`, table(["", "Down", "No trade", "Up", "Expected, bp"], [line("Mixture", forecast), ...forecast.members.map((member, place) => line("Member " + (place + 1), member))]));
}

function explainedQueue(told) {
  const { queue } = told;
  if (!queue) return section("Queue", element("p", {}, "It never rested."));
  const text = `Joined ${precise(queue.joined_ts)} behind ${short(queue.joined_behind)}` + (queue.before_fill === null ? "; never filled." : `; ${short(queue.before_fill)} ahead just before its first fill.`);
  const made = section("Queue", element("p", {}, text));
  made.classList.add("queue");
  if (queue.path.length > 1) made.append(queueChart(queue.path));
  return made;
}

function queueChart(path) {
  const space = "http://www.w3.org/2000/svg", chart = document.createElementNS(space, "svg"), way = document.createElementNS(space, "polyline");
  const most = Math.max(1e-12, ...path.map((point) => point.ahead)), first = path[0].ts, span = Math.max(1, path.at(-1).ts - first);
  chart.setAttribute("viewBox", "0 0 600 70");
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", "Quantity ahead while it waited");
  const steps = path.flatMap((point, place) => { const x = 600 * (point.ts - first) / span, y = 66 - 62 * point.ahead / most; return place ? [`${x},${66 - 62 * path[place - 1].ahead / most}`, `${x},${y}`] : [`${x},${y}`]; });
  way.setAttribute("points", steps.join(" "));
  chart.append(way);
  return chart;
}

function explainedFills(told) {
  if (!told.fills.length) return section("Fills", element("p", {}, "None."));
  const heads = ["Price", "Quantity", "As", "Fee, bp", ...told.fills[0].markouts.map((mark) => `${mark.horizon_ms / 1000} s, bp`)];
  return section("Fills and what became of the price", table(heads, told.fills.map((fill) => [exact(fill.price), short(fill.quantity), fill.maker ? "maker" : "taker", short(fill.fee_bp), ...fill.markouts.map((mark) => signed(mark.bp, 3))])));
}

function explained(told) {
  const { asked } = told;
  const pair = (...parts) => element("div", { className: "pair" }, ...parts);
  return [
    element("a", { href: "/?symbol=" + encodeURIComponent(asked.symbol) }, "← Back to the figures"),
    element("h1", {}, `${asked.order}: ${asked.side} ${short(asked.quantity)} at ${exact(asked.price)}`),
    element("p", { className: "lede" }, `${asked.symbol}, ${asked.kind}, sent ${precise(asked.sent_ts)} UTC, ${asked.end}. Decided «${told.reason}»${asked.bundle_sha ? " by model " + asked.bundle_sha.slice(0, 12) : ", without a model"}. ${told.same_as_written ? "The replay decides the same, bit for bit." : "The replay decides otherwise than the journal says."}`),
    pair(explainedBook(told), explainedForecast(told)),
    section("Features furthest from their norm", table(["Feature", "Value", "Usually", "Deviations", "Model saw"], told.features.map((f) => [f.name, `${short(f.value)} ${f.unit}`, short(f.norm), signed(f.deviation, 1), short(f.seen)]))),
    section("Sizing, step by step", table(["Step", "Value", ""], told.sizing.map((step) => [step.name, `${short(step.value)} ${step.unit}`, step.note]))),
    pair(section("Gates", table(["Gate", "", "Measured", ""], told.gates.map((gate) => [gate.name, GATE_MARKS[gate.light] + " " + ({ green: "passed", amber: "near", red: "closed" })[gate.light], gate.value === null || gate.limit === null ? "" : `${brief(gate.value)} / ${brief(gate.limit)} ${gate.unit}`, gate.reason]))),
      section("Latency, leg by leg", table(["Leg", "ms"], told.legs.map((leg) => [leg.name, leg.ms.toFixed(3)])))),
    explainedQueue(told),
    explainedFills(told),
    section("Had it been sent otherwise", table(["", "Filled", "Average price", `Profit, ${told.settlement}`, "bp", ""], told.outcomes.map((outcome) => [outcome.name, short(outcome.filled), outcome.average_price === null ? "–" : String(+outcome.average_price.toFixed(4)), outcome.profit === null ? "not known yet" : short(outcome.profit), signed(outcome.profit_bp, 3), outcome.what]))),
  ];
}

async function explain(path) {
  const article = $("explanation");
  article.replaceChildren(element("p", { className: "lede" }, "Playing the journal back …"));
  try {
    const told = await ask(path);
    if (location.pathname !== path) return;
    article.replaceChildren(...explained(told));
    document.title = told.asked.order + ", tickloop";
  } catch (error) {
    if (error.status === 401) return login(() => explain(path));
    article.replaceChildren(element("a", { href: "/" }, "← Back to the figures"), element("p", { className: "lede", role: "alert" }, "There is no explanation: " + error.message));
  }
}

// ---- where we are ----

function route() {
  const explaining = location.pathname.startsWith("/explain/");
  $("live").hidden = explaining;
  $("explanation").hidden = !explaining;
  notice("");
  if (explaining) { explain(location.pathname); window.scrollTo(0, 0); return; }
  document.title = "tickloop";
  const wanted = new URLSearchParams(location.search).get("symbol");
  if (wanted && wanted !== state.symbol) { state.symbol = wanted; state.view = null; state.desk = 0; }
  if (state.socket?.readyState === WebSocket.OPEN) state.socket.send(wish());
  loadCurves();
  draw();
}

function follow(event) {
  const link = event.target.closest("a[href^='/']");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.getAttribute("href"));
  route();
  $("main").focus({ preventScroll: true });
}

prepareBook();
document.addEventListener("click", follow);
window.addEventListener("popstate", route);
$("kill").addEventListener("click", askToKill);
$("kill-go").addEventListener("click", killStep);
$("kill-cancel").addEventListener("click", () => $("kill-dialog").close());
$("kill-dialog").addEventListener("close", () => { if (!$("kill-dialog").open) { state.killStep = 0; $("kill-token").value = ""; } });
$("kill-token").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); killStep(); } });
setInterval(judge, 250);
start();
