for (const head of document.querySelectorAll('th[data-sort]')) head.addEventListener('click', () => {
  const body = head.closest('table').tBodies[0], column = head.cellIndex;
  const up = head.getAttribute('aria-sort') === 'descending';
  for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = (a, b) => { const x = parseFloat(a), y = parseFloat(b);
    return isNaN(x) || isNaN(y) ? (isNaN(x) - isNaN(y)) || a.localeCompare(b) : x - y; };
  [...body.rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b)))
    .forEach((row) => body.append(row));
});
