"use strict";
// The browser of pairs. All text of the data is set as text nodes, never parsed as HTML.
(function () {
  var source = document.getElementById("pairs-data");
  var list = document.getElementById("list");
  if (!source || !list) return;
  var data = JSON.parse(source.textContent);
  var form = document.getElementById("filters");
  var detail = document.getElementById("detail");
  var shown = [];
  var current = null;

  var make = PairView.make, words = PairView.words;
  // Where the reader may pick judges, the picked ones are looked at; else those the report names.
  function focus() { return form.elements.judge ? form.elements.judge.value : data.trained; }
  function base() { return form.elements.against ? form.elements.against.value : data.against; }
  function verdict(item, system) {
    var found = item.verdicts && system !== null ? item.verdicts[system] : null;
    return found ? found.score : null;
  }
  function whole(item) {
    if (!item.search) {
      item.search = [item.id, item.problem_id, item.instruction, item.kind, item.rejected_outcome, item.failed_assert, item.error, PairView.plain(item.lines)]
        .join("\n").toLowerCase();
    }
    return item.search;
  }
  var tests = {
    "trained-wrong": function (t) { return t === 0; },
    "lost": function (t, b) { return t === 0 && b === 1; },
    "won": function (t, b) { return t === 1 && b !== null && b < 1; },
    "base-right": function (t, b) { return b === 1; },
    "undecided": function (t) { return t !== null && t > 0 && t < 1; },
    "failed": function (t) { return t === null; }
  };
  function field(name) { return form.elements[name] ? form.elements[name].value : ""; }
  function matches(item) {
    var test = tests[field("verdict")];
    if (test && !test(verdict(item, focus()), verdict(item, base()))) return false;
    if (field("level") && item.level !== field("level")) return false;
    if (field("topic") && item.topic !== field("topic")) return false;
    return field("text").toLowerCase().split(/\s+/).every(function (word) { return whole(item).indexOf(word) >= 0; });
  }
  function sign(score) {
    return score === 1 ? "✓ right" : score === 0 ? "✗ wrong" : score === null || score === undefined ? "– no answer" : "≈ undecided";
  }
  function tone(score) { return score === 1 ? "right" : score === 0 ? "wrong" : ""; }

  function drawList() {
    shown = data.items.filter(matches);
    list.textContent = "";
    var part = document.createDocumentFragment();
    shown.forEach(function (item) {
      var row = make("li");
      var button = make("button");
      button.type = "button";
      button.appendChild(make("span", "name", item.problem_id || item.id.slice(0, 16)));
      var meta = make("span", "meta");
      meta.appendChild(make("span", "", [item.level, item.kind].filter(Boolean).map(words).join(" · ")));
      if (focus() !== null) {
        var score = verdict(item, focus());
        meta.appendChild(make("span", tone(score), sign(score)));
      }
      button.appendChild(meta);
      button.addEventListener("click", function () { select(item, true); });
      item.button = button;
      row.appendChild(button);
      part.appendChild(row);
    });
    list.appendChild(part);
    document.getElementById("count").textContent = shown.length + " of " + data.items.length + " pairs";
    if (shown.indexOf(current) < 0) select(shown[0] || null, false);
    else mark();
  }
  function mark() {
    shown.forEach(function (item) { item.button.setAttribute("aria-current", item === current ? "true" : "false"); });
  }
  function sides(item) {
    var outcome = item.rejected_outcome ? words(item.rejected_outcome) + ", " : "";
    return PairView.sides(
      item.lines, item.chosen_note || run(item.chosen_run), item.rejected_note || outcome + run(item.rejected_run)
    );
  }
  function failure(item) {
    var box = make("div", "failure");
    [["Failing assert", item.failed_assert], ["What happened", item.error === item.failed_assert ? "" : item.error]].forEach(function (pair) {
      if (pair[1]) box.appendChild(PairView.titled(pair[0], pair[1]));
    });
    return box;
  }
  function verdicts(item) {
    var row = make("ul", "verdicts");
    data.systems.forEach(function (system) {
      var found = (item.verdicts || {})[system];
      var score = found ? found.score : null;
      var text = system + " " + sign(score);
      if (found && found.p !== null && found.p !== undefined) text += " (" + Math.round(100 * found.p) + "% for chosen)";
      var mark = system === focus() || system === base() ? " focus" : "";
      row.appendChild(make("li", tone(score) + mark, text));
    });
    return row;
  }
  // What each judge replied in each order, word for word.
  function replies(item) {
    var box = make("div", "replies");
    data.systems.forEach(function (system) {
      var found = (item.verdicts || {})[system];
      if (!found || !found.orders) return;
      box.appendChild(make("h4", "", system));
      if (found.failure) box.appendChild(make("p", "wrong", "failed: " + found.failure));
      found.orders.forEach(function (order) {
        var says = order.choice + (order.p_a === null ? "" : ", " + Math.round(100 * order.p_a) + "% for A");
        var right = order.is_right === null ? "" : order.is_right ? " ✓" : " ✗";
        var line = make("p", "reply " + (order.is_right === null ? "" : order.is_right ? "right" : "wrong"));
        line.appendChild(make("span", "", order.shown + ": "));
        line.appendChild(make("b", "", says + right));
        box.appendChild(line);
        if (order.raw) box.appendChild(make("pre", "raw", order.raw));
      });
    });
    return box;
  }
  function run(text) { return text ? text + " asserts" : "not run"; }
  function select(item, byReader) {
    current = item;
    detail.textContent = "";
    mark();
    if (!item) { detail.appendChild(make("p", "note", "No pair matches these filters.")); return; }
    detail.appendChild(make("h3", "", item.problem_id || item.id));
    detail.appendChild(make("p", "meta", [item.level, item.topic, item.difficulty, words(item.kind || ""), item.id.slice(0, 12)].filter(Boolean).join(" · ")));
    detail.appendChild(make("p", "instruction", item.instruction));
    if (item.criteria) detail.appendChild(make("p", "note", "Criterion: " + item.criteria));
    if (data.systems.length) detail.appendChild(verdicts(item));
    detail.appendChild(sides(item));
    detail.appendChild(failure(item));
    detail.appendChild(replies(item));
    detail.scrollTop = 0;
    if (byReader) {
      item.button.scrollIntoView({ block: "nearest" });
      try { history.replaceState(null, "", "#pair=" + encodeURIComponent(item.id)); } catch (e) { /* file:// in some browsers */ }
    }
  }
  function options(name) {
    var seen = {};
    data.items.forEach(function (item) { if (item[name]) seen[item[name]] = (seen[item[name]] || 0) + 1; });
    Object.keys(seen).sort().forEach(function (value) {
      var option = make("option", "", value + " (" + seen[value] + ")");
      option.value = value;
      form.elements[name].appendChild(option);
    });
  }
  function judges(name, chosen) {
    if (!form.elements[name]) return;
    data.systems.forEach(function (system) {
      var option = make("option", "", system);
      option.value = system;
      option.selected = system === chosen;
      form.elements[name].appendChild(option);
    });
  }
  judges("judge", data.trained);
  judges("against", data.against);
  options("level");
  options("topic");
  form.addEventListener("input", drawList);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  PairView.onStep(function (step) {
    var next = shown[shown.indexOf(current) + step];
    if (next) select(next, true);
    return next;
  });
  var asked = decodeURIComponent((location.hash.match(/^#pair=(.*)$/) || ["", ""])[1]);
  drawList();
  data.items.forEach(function (item) {
    if (asked && item.id === asked) { select(item, true); document.getElementById("pairs").scrollIntoView(); }
  });
})();
