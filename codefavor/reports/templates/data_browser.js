// The browser of rows. The list draws only what is in view; blocks of rows are opened when needed.
(function () {
  var index = JSON.parse(document.getElementById("rows-index").textContent);
  var blocks = document.querySelectorAll("script.block");
  var form = document.getElementById("filters");
  var list = document.getElementById("list");
  var detail = document.getElementById("detail");
  var count = document.getElementById("count");
  var make = PairView.make, words = PairView.words;
  var ROW_HEIGHT = 58, KEPT_BLOCKS = 8;
  var FIRST_FACET = 2;
  var shown = [], current = -1, searching = 0, opened = new Map();

  // One block of rows, decompressed; a few are kept.
  function open(number) {
    if (opened.has(number)) return opened.get(number);
    var bytes = Uint8Array.from(atob(blocks[number].textContent), function (c) { return c.charCodeAt(0); });
    var stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    var rows = new Response(stream).json();
    opened.set(number, rows);
    if (opened.size > KEPT_BLOCKS) opened.delete(opened.keys().next().value);
    return rows;
  }
  function body(row) {
    return open(Math.floor(row / index.block_rows)).then(function (rows) { return rows[row % index.block_rows]; });
  }
  function value(row, name) {
    var facet = index.facets.indexOf(name);
    return index.values[name][index.rows[row][FIRST_FACET + facet]];
  }
  function whole(row, item) {
    var parts = [index.rows[row][0], index.rows[row][1], item.instruction, item.criteria, item.feedback, item.detail, item.raw, value(row, "reason")];
    if (item.lines) parts.push(PairView.plain(item.lines));
    (item.texts || []).forEach(function (pair) { parts.push(pair[1]); });
    (item.conversation || []).forEach(function (turn) { parts.push(turn[1]); });
    return parts.concat((item.facts || []).map(function (fact) { return fact[1]; })).join("\n").toLowerCase();
  }

  // Filters: the menus at once; the words of the search block by block, so that the page stays alive.
  function chosen() {
    var wanted = index.shown.map(function (name) {
      var number = form.elements[name].value;
      return number === "" ? null : [FIRST_FACET + index.facets.indexOf(name), Number(number)];
    }).filter(Boolean);
    var found = [];
    index.rows.forEach(function (row, number) {
      if (wanted.every(function (pair) { return row[pair[0]] === pair[1]; })) found.push(number);
    });
    return found;
  }
  function say(note) {
    count.textContent = shown.length.toLocaleString("en") + " of " + index.rows.length.toLocaleString("en") + " rows" + (note ? " (" + note + ")" : "");
  }
  async function filter() {
    var run = ++searching;
    var candidates = chosen();
    var asked = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    list.scrollTop = 0;
    if (!asked.length) { shown = candidates; say(""); draw(true); return; }
    shown = [];
    var drawn = performance.now();
    for (var i = 0; i < candidates.length; i += 1) {
      var row = candidates[i];
      var item = await body(row);
      if (run !== searching) return;
      var text = whole(row, item);
      if (asked.every(function (word) { return text.indexOf(word) >= 0; })) shown.push(row);
      if (performance.now() - drawn > 200) {
        say("searched " + (i + 1).toLocaleString("en") + " of " + candidates.length.toLocaleString("en"));
        draw(false);
        // A task of its own lets the browser paint and the reader type.
        await new Promise(function (done) { setTimeout(done, 0); });
        if (run !== searching) return;
        drawn = performance.now();
      }
    }
    say("");
    draw(true);
  }

  // The list: a spacer as high as all rows, and buttons for those in view.
  var spacer = make("div", "spacer");
  list.appendChild(spacer);
  function draw(settle) {
    spacer.style.height = shown.length * ROW_HEIGHT + "px";
    var first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - 5);
    var last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW_HEIGHT) + 10);
    spacer.textContent = "";
    for (var place = first; place < last; place += 1) spacer.appendChild(entry(place));
    if (settle && shown.indexOf(current) < 0) select(shown.length ? shown[0] : -1, false);
  }
  function entry(place) {
    var row = shown[place];
    var button = make("button");
    button.type = "button";
    button.style.top = place * ROW_HEIGHT + "px";
    button.setAttribute("aria-current", row === current ? "true" : "false");
    button.setAttribute("aria-setsize", shown.length);
    button.setAttribute("aria-posinset", place + 1);
    button.appendChild(make("span", "name", index.rows[row][1]));
    var meta = make("span", "meta");
    var status = value(row, "status");
    meta.appendChild(make("span", "", ["level", "source", "criterion", "language"].map(function (name) { return value(row, name); }).filter(Boolean).slice(0, 3).map(words).join(" · ")));
    if (status) meta.appendChild(make("span", status === "ok" ? "right" : "wrong", status === "ok" ? "✓ ok" : "✗ " + words(value(row, "reason") || status)));
    button.appendChild(meta);
    button.addEventListener("click", function () { select(row, true); });
    return button;
  }

  function folded(title, open) {
    var box = make("details", "fold");
    box.open = open;
    box.appendChild(make("summary", "", title));
    return box;
  }
  function facts(pairs) {
    var box = make("dl", "facts");
    pairs.forEach(function (pair) {
      var line = make("div");
      line.appendChild(make("dt", "", words(pair[0])));
      line.appendChild(make("dd", "", pair[1]));
      box.appendChild(line);
    });
    return box;
  }
  // An object as lines "name: value", so that a run reads like a sentence and not like JSON.
  function lines(value) {
    if (value === null || typeof value !== "object") return String(value);
    if (Array.isArray(value)) return value.map(function (one) { return typeof one === "object" ? JSON.stringify(one) : String(one); }).join(", ");
    return Object.keys(value).filter(function (key) { return value[key] !== "" && value[key] !== null; }).map(function (key) {
      var inner = value[key];
      return words(key) + ": " + (inner !== null && typeof inner === "object" && !Array.isArray(inner) ? JSON.stringify(inner) : lines(inner));
    }).join("\n");
  }
  function flat(evidence) {
    return Object.keys(evidence).map(function (key) { return [key, lines(evidence[key])]; });
  }
  function show(row, item) {
    detail.textContent = "";
    detail.appendChild(make("h3", "", index.rows[row][1]));
    var shownFacets = index.facets.map(function (name) { return value(row, name); })
      .filter(function (text, place, all) { return text && all.indexOf(text) === place; });
    detail.appendChild(make("p", "meta", shownFacets.map(words).join(" · ")));
    if (item.detail) {
      var why = make("div", "failure");
      why.appendChild(PairView.titled("Why: " + words(value(row, "reason") || "no reason given"), item.detail));
      detail.appendChild(why);
    }
    if (item.instruction) detail.appendChild(make("p", "instruction", item.instruction));
    if (item.criteria) detail.appendChild(make("p", "instruction", "Criteria: " + item.criteria));
    if (item.lines) detail.appendChild(PairView.sides(item.lines, item.notes[0], item.notes[1]));
    if (item.feedback) {
      var said = make("div", "failure said");
      said.appendChild(PairView.titled("Feedback", item.feedback));
      detail.appendChild(said);
    }
    if (item.evidence && Object.keys(item.evidence).length) {
      var evidence = folded("Evidence", true);
      evidence.appendChild(facts(flat(item.evidence)));
      detail.appendChild(evidence);
    }
    if (item.conversation && item.conversation.length) {
      var talk = folded("The conversation that made it (" + item.conversation.length + " messages)", !item.lines);
      item.conversation.forEach(function (turn) {
        talk.appendChild(make("b", "role", turn[0]));
        talk.appendChild(make("pre", "turn " + turn[0].replace(/\W/g, ""), turn[1]));
      });
      detail.appendChild(talk);
    }
    (item.texts || []).forEach(function (pair) {
      var box = make("div", "failure said");
      box.appendChild(PairView.titled(words(pair[0]), pair[1]));
      detail.appendChild(box);
    });
    if (item.raw) {
      var raw = folded("The rest of the row", !item.texts.length);
      raw.appendChild(make("pre", "turn", item.raw));
      detail.appendChild(raw);
    }
    if (item.facts && item.facts.length) {
      var rest = folded("About the row", false);
      rest.appendChild(facts(item.facts));
      detail.appendChild(rest);
    }
  }
  function select(row, byReader) {
    current = row;
    list.querySelectorAll("button").forEach(function (button) { button.setAttribute("aria-current", "false"); });
    if (row < 0) { detail.textContent = ""; detail.appendChild(make("p", "note", "No row matches these filters.")); return; }
    body(row).then(function (item) {
      if (current !== row) return;
      show(row, item);
      detail.scrollTop = 0;
    });
    var place = shown.indexOf(row);
    if (byReader) {
      var top = place * ROW_HEIGHT;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
      try { history.replaceState(null, "", "#row=" + encodeURIComponent(index.rows[row][0])); } catch (e) { /* file:// in some browsers */ }
    }
    draw(false);
  }

  index.shown.forEach(function (name) {
    var facet = FIRST_FACET + index.facets.indexOf(name);
    var counts = index.values[name].map(function () { return 0; });
    index.rows.forEach(function (row) { counts[row[facet]] += 1; });
    var label = make("label", "", name.charAt(0).toUpperCase() + name.slice(1) + " ");
    var menu = make("select");
    menu.name = name;
    var any = make("option", "", "any");
    any.value = "";
    menu.appendChild(any);
    counts.map(function (n, number) { return number; })
      .sort(function (a, b) { return counts[b] - counts[a]; })
      .forEach(function (number) {
        var text = index.values[name][number] || "none";
        var option = make("option", "", (text.length > 60 ? text.slice(0, 59) + "…" : text) + " (" + counts[number] + ")");
        option.value = number;
        menu.appendChild(option);
      });
    label.appendChild(menu);
    form.insertBefore(label, form.lastElementChild);
  });
  var typed = null;
  form.addEventListener("input", function (event) {
    clearTimeout(typed);
    typed = setTimeout(filter, event.target.name === "text" ? 200 : 0);
  });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  list.addEventListener("scroll", function () { draw(false); });
  window.addEventListener("resize", function () { draw(false); });
  PairView.onStep(function (step) {
    var next = shown[shown.indexOf(current) + step];
    if (next === undefined) return false;
    select(next, true);
    return true;
  });
  if (typeof DecompressionStream === "undefined") {
    detail.appendChild(make("p", "note", "This browser cannot open compressed rows (it has no DecompressionStream); Chromium 80, Firefox 113 and Safari 16.4 can."));
    return;
  }
  var asked = decodeURIComponent((location.hash.match(/^#row=(.*)$/) || ["", ""])[1]);
  var wanted = asked ? index.rows.findIndex(function (row) { return row[0] === asked; }) : -1;
  shown = chosen();
  say("");
  if (wanted >= 0) select(wanted, true);
  draw(true);
})();
