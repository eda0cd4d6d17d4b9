"""The report's style sheet: light and dark by the reader's setting, and quiet in print."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b2430; --soft: #5b6675; --line: #dfe4ea; --wash: #f5f7f9;
  --good: #0b7a64; --good-wash: #e2f4ef; --bad: #b3261e; --bad-wash: #fce9e7;
  --null: #47566b; --null-wash: #e9edf2; --open: #8f5a00; --open-wash: #fbf0d9;
  --fill: #8aa4c8; --mark: #1b2430; --focus: #1f5fbf;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12171e; --ink: #e7ecf2; --soft: #9aa7b6; --line: #2b3440; --wash: #1a212a;
    --good: #4fd0b0; --good-wash: #12352d; --bad: #ff8f85; --bad-wash: #41201d;
    --null: #a9b7c9; --null-wash: #26303c; --open: #f0bd5b; --open-wash: #3a2d12;
    --fill: #4e6c97; --mark: #e7ecf2; --focus: #8ab8ff;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 74rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 .75rem; }
h2 { font-size: 1.4rem; line-height: 1.3; letter-spacing: -.01em; margin: 0; }
h3 {
  font-size: .8rem; letter-spacing: .07em; text-transform: uppercase; color: var(--soft);
  margin: 2.2rem 0 .5rem;
}
p { margin: 0 0 .7rem; max-width: 46rem; }
a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: .2em; }
.intro { color: var(--soft); font-size: 1.05rem; }
section { margin-top: 3rem; padding-top: 2rem; border-top: 1px solid var(--line); }
h1 + section { border-top: 0; padding-top: 0; margin-top: 1.75rem; }
header.part {
  margin-bottom: .6rem; display: flex; gap: .75rem; align-items: baseline; flex-wrap: wrap;
}
.kind { color: var(--soft); font-size: .9rem; }
.decision {
  margin: 1.1rem 0 1.4rem; padding: 1.35rem 1.5rem 1.4rem; border-radius: .7rem;
  background: var(--wash); border-left: .35rem solid currentColor;
}
.decision.good { color: var(--good); } .decision.bad { color: var(--bad); }
.decision.null { color: var(--null); } .decision.open { color: var(--open); }
.decision .do {
  font-size: 1.9rem; line-height: 1.15; font-weight: 700; letter-spacing: -.02em; margin: 0;
  overflow-wrap: anywhere;
}
.decision .why { color: var(--ink); font-size: 1.1rem; margin: .45rem 0 0; max-width: 52rem; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem 1.75rem;
  margin: 1.25rem 0 0; padding-top: 1.1rem; border-top: 1px solid var(--line); color: var(--ink);
}
.figures dt { font-size: .82rem; color: var(--soft); overflow-wrap: anywhere; }
.figures dd { margin: .1rem 0 0; }
.figures strong {
  display: block; font-size: 1.4rem; line-height: 1.3; font-variant-numeric: tabular-nums;
  letter-spacing: -.01em;
}
.figures small { color: var(--soft); font-size: .84rem; line-height: 1.4; display: block; }
.said { list-style: none; margin: 1rem 0 0; padding: 0; }
.said li {
  display: grid; grid-template-columns: 9.5rem 1fr; gap: 1rem; align-items: baseline;
  padding: .35rem 0; font-size: 1.12rem; line-height: 1.45;
}
.glance {
  margin-top: 1.75rem; padding: .6rem 1.25rem; background: var(--wash); border-radius: .6rem;
}
.glance > div { padding: .7rem 0; }
.glance > div + div { border-top: 1px solid var(--line); }
.glance .said { margin: 0; }
.glance .said li { font-size: 1.05rem; padding: .2rem 0; }
.glance .of { font-size: .85rem; color: var(--soft); margin: 0 0 .15rem; }
.chip {
  display: inline-block; padding: .12rem .55rem; border-radius: 1rem; white-space: nowrap;
  font-size: .75rem; font-weight: 600; line-height: 1.5; justify-self: start;
}
.chip.good { color: var(--good); background: var(--good-wash); }
.chip.bad { color: var(--bad); background: var(--bad-wash); }
.chip.null { color: var(--null); background: var(--null-wash); }
.chip.open { color: var(--open); background: var(--open-wash); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; color: var(--soft); font-size: .88rem; padding: 0 0 .5rem; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; vertical-align: middle; }
th:last-child, td:last-child { padding-right: 0; }
thead th {
  color: var(--soft); font-weight: 500; font-size: .82rem; border-bottom: 1px solid var(--line);
}
tbody th { font-weight: 500; min-width: 7.5rem; }
tbody.metric > tr:first-child > * { padding-top: .9rem; }
tbody.metric > tr:last-child > * { padding-bottom: .5rem; }
tbody.metric + tbody.metric { border-top: 1px solid var(--line); }
tr.name th { font-weight: 650; padding-bottom: 0; }
tr.plain td, tr.plain th { border-bottom: 1px solid var(--line); }
td.num, th.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.num + td:not(.num), th.num + th:not(.num), td.plot { padding-left: 1.1rem; }
.scroll + .scroll, .scroll + p { margin-top: 1.1rem; }
td.plot { padding-top: 0; padding-bottom: 0; width: 260px; }
td small, th small {
  display: block; color: var(--soft); font-size: .8rem; font-weight: 400; white-space: nowrap;
}
td small.why { white-space: normal; max-width: 15rem; }
td.wide { min-width: 14rem; }
td.wide small { white-space: normal; max-width: 17rem; }
svg { display: block; }
.forest .grid { stroke: var(--line); stroke-width: 1; }
.forest .zero { stroke: var(--soft); stroke-width: 1.25; stroke-dasharray: 3 3; }
.forest .bar { stroke: currentColor; stroke-width: 2; fill: none; stroke-linecap: round; }
.forest .bar.endless { stroke-dasharray: 2 5; }
.forest .dot { fill: currentColor; }
.forest .dot.hollow { fill: var(--paper); stroke: currentColor; stroke-width: 2; }
.forest .truth { fill: var(--ink); }
.forest .pale { opacity: .45; }
.forest.good { color: var(--good); } .forest.bad { color: var(--bad); }
.forest.null { color: var(--null); } .forest.open { color: var(--open); }
.axis text { fill: var(--soft); font-size: 11px; text-anchor: middle; }
.charts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.75rem;
}
figure { margin: .3rem 0 .8rem; min-width: 0; }
figcaption { font-size: .9rem; font-weight: 600; margin-bottom: .4rem; overflow-wrap: anywhere; }
figcaption small { display: block; font-weight: 400; color: var(--soft); font-size: .82rem; }
.chart { width: 100%; height: auto; }
.chart.good { color: var(--good); } .chart.bad { color: var(--bad); }
.chart.null { color: var(--null); } .chart.open { color: var(--open); }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .zero { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 4 4; fill: none; }
.chart .band .fill { fill: currentColor; opacity: .14; }
.chart .band .edge { fill: none; stroke: currentColor; stroke-width: 1; opacity: .55; }
.chart .inner .fill { opacity: .2; } .chart .inner .edge { opacity: 0; }
.chart .line { fill: none; stroke: currentColor; stroke-width: 2.25; stroke-linejoin: round; }
.chart .dot { fill: currentColor; }
.chart text { fill: var(--soft); font-size: 12px; }
.chart text.y { text-anchor: end; } .chart text.middle { text-anchor: middle; }
.chart text.end { text-anchor: end; }
details { margin: .5rem 0; font-size: .9rem; }
summary { cursor: pointer; color: var(--soft); padding: .2rem 0; }
summary:hover { color: var(--ink); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 2px; }
pre {
  background: var(--wash); padding: .9rem 1rem; border-radius: .5rem; overflow-x: auto;
  font-size: .8rem; line-height: 1.45;
}
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .92em;
  overflow-wrap: anywhere; }
.warn { color: var(--open); font-weight: 600; }
.panel .warn { margin: .6rem 0; }
.sizes .track { fill: var(--wash); } .sizes .fill { fill: var(--fill); }
.sizes .planned { stroke: var(--mark); stroke-width: 2; }
.said-of {
  display: grid; grid-template-columns: auto 1fr; gap: .75rem; align-items: baseline;
  margin: .8rem 0 .5rem; font-size: .9rem; color: var(--soft); max-width: 54rem;
}
.small { font-size: .9rem; color: var(--soft); max-width: 54rem; }
.small li { margin: .2rem 0; max-width: 52rem; }
ul.small { padding-left: 1.1rem; margin: .3rem 0; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
@media (max-width: 44rem) {
  main { padding: 1.75rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  .said li, .said-of { grid-template-columns: 1fr; gap: .25rem; }
  .said-of .chip { justify-self: start; }
  .decision { padding: 1.1rem 1.1rem 1.2rem; }
  .decision .do { font-size: 1.5rem; }
  .scroll caption { max-width: calc(100vw - 3rem); }
  tr.plain td:not(.num) { min-width: 6.5rem; }
  .charts { grid-template-columns: 1fr; }
  .chart text { font-size: 19px; }
  .forest-table, .forest-table tbody, .forest-table tr, .forest-table td, .forest-table th {
    display: block; width: auto; min-width: 0;
  }
  .forest-table caption { display: block; }
  .forest-table td.num + td:not(.num), .forest-table td.plot { padding-left: 0; }
  .forest-table thead { position: absolute; clip-path: inset(50%); }
  .forest-table tr { padding: .35rem 0; }
  .forest-table tr.ticks td[aria-hidden]:not(.plot) { display: none; }
  .forest-table td, .forest-table td.num {
    text-align: left; padding: .1rem 0; white-space: normal;
  }
  .forest-table tbody.metric > tr:first-child > td { padding-top: .1rem; }
  .forest-table tbody.metric > tr:last-child > td { padding-bottom: .1rem; }
  .forest-table tr.plain td, .forest-table tr.plain th { border-bottom: 0; }
  .forest-table td[data-of]::before {
    content: attr(data-of); display: inline-block; width: 5rem; color: var(--soft);
    font-size: .82rem;
  }
  .forest-table td small { padding-left: 5rem; white-space: normal; }
}
@media print {
  :root {
    --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --wash: #f4f4f4; --mark: #000;
    --good: #00604d; --bad: #96160f; --null: #333; --open: #6d4400; --fill: #99aabb;
    --good-wash: #fff; --bad-wash: #fff; --null-wash: #fff; --open-wash: #fff;
  }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  section { break-before: auto; margin-top: 1.5rem; padding-top: 1rem; }
  tr, .said li, svg { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .chip { border: 1px solid currentColor; }
  .decision { border: 1px solid var(--line); border-left: .35rem solid currentColor; }
  .decision, figure, .panel > .scroll, .figures > div { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  summary { list-style: none; font-weight: 600; }
  pre { white-space: pre-wrap; }
  .scroll { overflow: visible; }
  svg, .fill, .track { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
