#pragma once

#include <string_view>

namespace troupe {

/// The start of report.html up to its title: what the page may load (nothing) and run (nothing), colours for light and dark,
/// layout. The colours --series-1 to -4 hold a contrast of at least 4.5 to 1 against the cards.
inline constexpr std::string_view report_head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
:root{--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--muted:#5f6570;--grid:#e3e6ea;--good:#1a7f45;--bad:#b3261e;
--series-1:#1f6fb2;--series-2:#b4530a;--series-3:#2a7f4f;--series-4:#7a4fa3;--tool:#f0eef6;--say:#e9f2fa}
@media(prefers-color-scheme:dark){:root{--page:#0e1014;--card:#15181d;--ink:#e6e9ee;--muted:#a3abb8;--grid:#2c323b;--good:#6cc792;
--bad:#ff8a80;--series-1:#6db3f2;--series-2:#f0a35e;--series-3:#6cc792;--series-4:#c39be8;--tool:#221f2b;--say:#172431}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.6rem;margin:.5rem 0 0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}
h3{font-size:1rem;margin:0}p{margin:.3rem 0}.muted,figcaption{color:var(--muted)}figcaption{font-size:.85rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.8rem;margin:1.2rem 0}
.card,figure{background:var(--card);border:1px solid var(--grid);border-radius:.6rem;padding:.8rem 1rem;margin:0;min-width:0}
.tiles .number{font-size:1.3rem;white-space:nowrap;font-weight:650;font-variant-numeric:tabular-nums}.good{color:var(--good)}.bad{color:var(--bad)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:1rem}.charts .wide{grid-column:1/-1}
svg{display:block;width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--muted)}.grid{stroke:var(--grid)}
.wide svg{max-height:26rem}.line{fill:none;stroke-width:2;stroke-linejoin:round}.band{fill-opacity:.16}.spot{fill:transparent}
.line.s1{stroke:var(--series-1)}.line.s2{stroke:var(--series-2)}.line.s3{stroke:var(--series-3)}.line.s4{stroke:var(--series-4)}
.s1:is(.band,.dot){fill:var(--series-1)}.s2:is(.band,.dot){fill:var(--series-2)}.s3:is(.band,.dot){fill:var(--series-3)}.s4:is(.band,.dot){fill:var(--series-4)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.35rem .7rem;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:pre}td{font-weight:400}thead th{color:var(--muted);font-weight:600}tbody th{font-weight:400}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr));gap:1rem;margin:.5rem 0 1.5rem}
.turn{margin:.5rem 0;padding:.45rem .7rem;border-radius:.5rem;border-left:3px solid var(--grid)}.turn.tool{background:var(--tool)}
.turn.assistant{background:var(--say);border-left-color:var(--series-1)}.turn .role{font-size:.78rem;color:var(--muted)}
.turn pre,.config pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.45 ui-monospace,monospace}
summary{cursor:pointer;padding:.3rem 0}summary:focus-visible{outline:2px solid var(--series-1)}
</style>
)";

} // namespace troupe
