"use strict";
// Before the first paint: the reader's last choice of theme. Storage may be forbidden on file://.
(function () {
  var names = ["auto", "light", "dark"];
  function read() { try { return localStorage.getItem("codefavor-theme"); } catch (e) { return null; } }
  function write(name) { try { localStorage.setItem("codefavor-theme", name); } catch (e) { /* not kept */ } }
  function apply(name) {
    if (name === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", name);
  }
  var current = names.indexOf(read()) > 0 ? read() : "auto";
  apply(current);
  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    button.hidden = false;
    function label() { button.textContent = "Theme: " + current; }
    button.addEventListener("click", function () {
      current = names[(names.indexOf(current) + 1) % names.length];
      apply(current); write(current); label();
    });
    label();
  });
})();
