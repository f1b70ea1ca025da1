"""Looks and behaviour of index.html, which loads nothing: both stand in the page."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1c20; --faint: #5f6670; --page: #fff; --line: #d9dce1; --head: #f1f3f6;
  --bad: #b3261e; --look: #8a5a00; --good: #1b6e3c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --faint: #9aa1ab; --page: #16181c; --line: #34383f;
  --head: #22252b; --bad: #ff8a80; --look: #ffcc66; --good: #7fd8a0; } }
* { box-sizing: border-box; }
body { margin: 1rem 1.5rem 3rem; background: var(--page); color: var(--ink);
  font: 14px/1.4 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .2rem 0; }
.review { color: var(--look); font-weight: 600; }
.faint, small { color: var(--faint); }
.tools { margin: .8rem 0; }
input { font: inherit; padding: .25rem .5rem; width: 22rem; max-width: 100%; }
table { border-collapse: separate; border-spacing: 0; width: 100%; }
th { position: sticky; top: 0; z-index: 1; background: var(--head); border-bottom: 2px solid var(--line);
  text-align: left; padding: 0; }
th > span, th > button { display: block; width: 100%; padding: .4rem .35rem; font: inherit; font-size: .85rem;
  font-weight: 600; text-align: left; white-space: nowrap; }
th > button { border: 0; background: none; color: inherit; cursor: pointer; }
th > button:hover, th > button:focus-visible { background: var(--line); outline: 2px solid var(--faint);
  outline-offset: -2px; }
th > button::after { content: " \\2195"; color: var(--faint); }
th[aria-sort=ascending] > button::after { content: " \\2191"; color: var(--ink); }
th[aria-sort=descending] > button::after { content: " \\2193"; color: var(--ink); }
td { border-bottom: 1px solid var(--line); padding: .35rem; vertical-align: top; }
td.picture { width: 1px; }
td.picture img { display: block; width: 160px; height: 80px; }
td.who { min-width: 12rem; overflow-wrap: anywhere; }
td.look { min-width: 13rem; max-width: 30rem; overflow-wrap: anywhere; }
td.look ul { margin: 0; padding-left: 1.1rem; }
td.number { white-space: nowrap; }
code { font-size: .8rem; }
.failed td:first-child { border-left: 4px solid var(--bad); }
.odd td:first-child { border-left: 4px solid var(--look); }
.sound td:first-child { border-left: 4px solid var(--good); }
.waiting td:first-child { border-left: 4px solid var(--line); }
.failed .state { color: var(--bad); font-weight: 600; }
.flag { color: var(--look); font-weight: 600; }
summary { cursor: pointer; margin: .3rem 0; }
summary h2 { display: inline; }
@media print { th { position: static; } .tools { display: none; } tr { break-inside: avoid; } }
"""

SCRIPT = """
'use strict';
const body = document.querySelector('#series tbody');
const value = (row, column) => row.cells[column].dataset.v ?? '';
function compare(one, two) {
  const numbers = [Number(one), Number(two)];
  return numbers.some(Number.isNaN) ? one.localeCompare(two, undefined, {numeric: true}) : numbers[0] - numbers[1];
}
function sortBy(head) {
  const column = head.cellIndex;
  const falling = head.getAttribute('aria-sort') === 'ascending' ||
    (head.dataset.first === 'falling' && head.getAttribute('aria-sort') === 'none');
  for (const other of head.parentNode.querySelectorAll('[aria-sort]')) other.setAttribute('aria-sort', 'none');
  head.setAttribute('aria-sort', falling ? 'descending' : 'ascending');
  const rows = [...body.rows].sort((one, two) => {
    const a = value(one, column), b = value(two, column);
    if (a === '' || b === '') return (a === '') - (b === '');  // what has no value stays at the end
    return falling ? compare(b, a) : compare(a, b);
  });
  body.append(...rows);
}
for (const button of document.querySelectorAll('th > button'))
  button.addEventListener('click', () => sortBy(button.parentNode));
const find = document.querySelector('#find'), shown = document.querySelector('#shown');
find.addEventListener('input', () => {
  const words = find.value.toLowerCase().split(/\\s+/);
  let count = 0;
  for (const row of body.rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    count += !row.hidden;
  }
  shown.textContent = find.value ? count + ' shown' : '';
});
"""
