"""How the page looks: one accent colour, numbers in columns, light and dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf9; --card: #ffffff; --ink: #1c2024; --soft: #5b646d; --line: #e4e1db;
  --faint: #f1efea; --accent: #0b6e69; --accent-2: #4f9a95; --accent-3: #9cc7c3;
  --accent-4: #cfe4e2; --before: #c9c5bd; --bad: #b3261e; --wash: #e6f1f0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1a1e22; --ink: #e8eaec; --soft: #a2abb4; --line: #2e343a;
    --faint: #20252a; --accent: #5cc8bf; --accent-2: #3f9a92; --accent-3: #2c6f69;
    --accent-4: #234e4a; --before: #545b62; --bad: #ff9389; --wash: #1b2f2e;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
    "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
main, header, footer { max-width: 1080px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 48px; }
header p { margin: 0; color: var(--soft); }
h1 {
  font-size: 2rem; line-height: 1.2; font-weight: 650; letter-spacing: -.015em;
  margin: 2px 0 6px; overflow-wrap: anywhere;
}
h2 { font-size: 1.25rem; font-weight: 650; margin: 0 0 4px; letter-spacing: -.01em; }
h3 { font-size: 1rem; font-weight: 650; margin: 28px 0 4px; }
section { margin-top: 44px; }
p.note, .gloss { color: var(--soft); font-size: .875rem; }
p.note { margin: 0 0 14px; max-width: 72ch; }
code, .mono {
  font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere;
}
.path { overflow-wrap: anywhere; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px;
  background: var(--line); border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; margin: 26px 0 0; padding: 0;
}
.figures > div { background: var(--card); padding: 14px 16px 12px; }
.figures dt { color: var(--soft); font-size: .8125rem; }
.figures dd { margin: 0; }
.figures dd.main { font-size: 1.5rem; font-weight: 620; letter-spacing: -.02em; line-height: 1.3; }
.figures dd.aside { color: var(--soft); font-size: .8125rem; }
ul.gates { list-style: none; margin: 18px 0 0; padding: 0; }
ul.gates li {
  display: grid; grid-template-columns: 4.6em 1fr; padding: 7px 0;
  border-top: 1px solid var(--line);
}
ul.gates b { font-weight: 620; color: var(--accent); }
ul.gates .failed b { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: 6px 16px 6px 0; vertical-align: baseline; }
td:last-child, th:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 500; font-size: .8125rem; vertical-align: bottom; }
thead th, tbody td, tbody th { border-bottom: 1px solid var(--line); }
tbody th { font-weight: 500; }
td code { white-space: nowrap; }
tfoot td, tfoot th { font-weight: 650; }
.n { text-align: right; white-space: nowrap; }
table.narrow { max-width: 46rem; }
.beside th, .beside td { padding-right: 12px; }
th.name { overflow-wrap: anywhere; min-width: 17em; }
table.compared th.name { min-width: 6em; }
table.narrow th.name, .beside th.name { min-width: 0; }
td.bar { width: 24%; min-width: 110px; }
.meter {
  display: block; height: 10px; background: var(--accent); border-radius: 2px; min-width: 1px;
}
.meter.before { background: var(--before); }
.pair .meter + .meter { margin-top: 3px; }
.charts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr));
  gap: 26px 32px; margin-top: 18px; align-items: start;
}
.charts.wide { grid-template-columns: 1fr; }
.charts.wide figure { overflow-x: auto; }
.charts.wide svg { min-width: 620px; }
.charts:not(.wide) figure { max-width: 440px; }
.beside { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 16px 36px; }
.beside figure { max-width: 440px; }
figure { margin: 0; min-width: 0; }
figcaption { margin-bottom: 8px; line-height: 1.4; font-weight: 620; }
figure .gloss { margin: 6px 0 0; line-height: 1.45; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); font-family: inherit; }
svg .label { font-size: 12px; }
svg .mark { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
svg .strong { fill: var(--ink); font-weight: 620; }
svg .axis { stroke: var(--soft); stroke-width: 1; opacity: .55; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .fill { fill: var(--accent); }
svg .pale { fill: var(--accent-3); }
svg .before { fill: var(--before); }
svg .limit { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg .gap { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 1.5 3; }
svg .front { fill: none; stroke: var(--accent); stroke-width: 2; }
svg .point { fill: var(--accent); stroke: var(--paper); stroke-width: 1.5; }
svg .beaten { fill: var(--paper); stroke: var(--accent); stroke-width: 2; }
svg .rule { stroke: var(--ink); stroke-width: 1.25; }
svg .tickmark { stroke: var(--soft); stroke-width: 2; }
.p1 { background: var(--accent); fill: var(--accent); }
.p2 { background: var(--accent-2); fill: var(--accent-2); }
.p3 { background: var(--accent-3); fill: var(--accent-3); }
.p4 { background: var(--accent-4); fill: var(--accent-4); }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 8px; }
details { border-top: 1px solid var(--line); }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: 14px 0; font-weight: 620; overflow-wrap: anywhere; }
summary .gloss { font-weight: 400; margin-left: 10px; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
details > .inside { padding: 0 0 32px; }
dl.list {
  display: grid; grid-template-columns: max-content 1fr; gap: 4px 24px; margin: 12px 0 0;
  font-size: .9rem;
}
dl.list dt { color: var(--soft); }
dl.list dd { margin: 0; overflow-wrap: anywhere; }
.rows td { line-height: 1.9; }
.lost { color: var(--soft); text-decoration: line-through; }
ins { text-decoration: none; color: var(--accent); font-weight: 620; }
.rows span, .rows ins { white-space: nowrap; }
.rows td { word-spacing: .3em; min-width: 15em; }
.rows td.n { min-width: 0; word-spacing: 0; }
footer { margin-top: 56px; padding-bottom: 56px; }
footer > div { border-top: 1px solid var(--line); padding-top: 18px; }
@media (max-width: 620px) {
  main, header, footer { padding-left: 16px; padding-right: 16px; }
  header { padding-top: 28px; }
  h1 { font-size: 1.5rem; }
  th.name { min-width: 9em; }
  dl.list { grid-template-columns: 1fr; gap: 0; }
  dl.list dd { margin-bottom: 8px; }
  td.bar, th.bar { display: none; }
  .beside { grid-template-columns: minmax(0, 1fr); }
}
@media print {
  details > .inside { display: block; }
  section { break-inside: avoid; }
}
"""
