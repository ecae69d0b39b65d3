"use strict";
// Two programs side by side, shared by all pages. All text is set as text nodes, never parsed as HTML.
var PairView = (function () {
  function make(tag, className, text) {
    var node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.appendChild(document.createTextNode(text));
    return node;
  }
  function words(text) { return String(text).replace(/_/g, " "); }
  function cell(row, index, number, name) {
    var runs = row[index];
    var line = make("div", "line-row " + name);
    if (!runs) { line.className += " filler"; return line; }
    var other = row[1 - index];
    var isChanged = function (run) { return run[1]; };
    if (!other || runs.some(isChanged) || other.some(isChanged)) line.className += " differs";
    line.appendChild(make("span", "no", number));
    var text = make("code");
    runs.forEach(function (run) {
      // A line that differs as a whole is barred; marking all of its characters would say nothing.
      text.appendChild(run[1] && runs.length > 1 ? make("mark", "", run[0]) : document.createTextNode(run[0]));
    });
    line.appendChild(text);
    return line;
  }
  function heading(name, title, note) {
    var head = make("h4", name, title);
    head.appendChild(make("span", "", note));
    return head;
  }
  // One grid for both programs, so that their lines stay level where long ones wrap.
  function sides(lines, chosenNote, rejectedNote) {
    var box = make("div", "sides");
    box.appendChild(heading("chosen", "✓ Chosen", chosenNote));
    box.appendChild(heading("rejected", "✗ Rejected", rejectedNote));
    var numbers = [0, 0];
    lines.forEach(function (row) {
      [0, 1].forEach(function (index) {
        if (row[index]) numbers[index] += 1;
        box.appendChild(cell(row, index, numbers[index], index ? "rejected" : "chosen"));
      });
    });
    return box;
  }
  // The text of both programs as it stood before it was cut into runs.
  function plain(lines) {
    return lines.map(function (row) {
      return row.map(function (side) { return side ? side.map(function (run) { return run[0]; }).join("") : ""; }).join("\n");
    }).join("\n");
  }
  function titled(title, text) {
    var part = document.createDocumentFragment();
    part.appendChild(make("b", "", title));
    part.appendChild(make("pre", "", text));
    return part;
  }
  // Keys j and k, unless the reader is typing.
  function onStep(handler) {
    document.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      var step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
      if (step && handler(step)) event.preventDefault();
    });
  }
  return { make: make, words: words, sides: sides, plain: plain, titled: titled, onStep: onStep };
})();
