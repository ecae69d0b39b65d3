"use strict";
// A click on a heading sorts by its column, first from the largest; empty cells stay last.
document.querySelectorAll("table.sortable thead th").forEach(function (head) {
  head.querySelector("button").addEventListener("click", function () {
    var body = head.closest("table").tBodies[0], column = head.cellIndex;
    var isUp = head.getAttribute("aria-sort") === "descending";
    Array.prototype.forEach.call(head.parentNode.cells, function (other) { other.setAttribute("aria-sort", "none"); });
    head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    function value(row) {
      var cell = row.cells[column];
      return cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent;
    }
    function order(a, b) {
      var x = parseFloat(a), y = parseFloat(b);
      if (a === "-" || b === "-") return (a === "-") - (b === "-");
      return (isUp ? 1 : -1) * (isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y);
    }
    Array.prototype.slice.call(body.rows)
      .sort(function (a, b) { return order(value(a), value(b)); })
      .forEach(function (row) { body.appendChild(row); });
  });
});
