"""The style of a report: no fonts, no pictures, nothing to load.

It fits light and dark screens, and paper.
"""

CSS = """
:root{--bg:#fff;--fg:#1d2127;--soft:#5d6672;--line:#dfe3e8;--card:#f5f7f9;--good:#1a7f4b;--bad:#c2311f;--live:#2463c4;
--busy:#3b78d8;--prompt:#a9c9a4;--blocked:#e08a1e;--quiet:#b9c0c9;--unknown:#9a78c2;--calls:#5b86c9;--tools:#7a9a4f}
@media (prefers-color-scheme:dark){:root{--bg:#15181c;--fg:#e4e7eb;--soft:#98a2ae;--line:#30363d;--card:#1e2329;
--good:#57c98a;--bad:#ff8674;--live:#7db0ff;--busy:#4f8ff0;--prompt:#47694a;--quiet:#4a525c;--calls:#7aa5e8}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1100px;margin:0 auto;padding:28px 20px}
h1,h2{font-size:1.6rem;margin:0;font-weight:650}h2{font-size:1.35rem}h3{font-size:1.02rem;margin:1.6em 0 .5em}
.wide+section,section+section{margin-top:3em;padding-top:2em;border-top:2px solid var(--line)}
.sub{color:var(--soft);margin:.25em 0}.note{color:var(--soft);font-size:.88rem}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.9em}
pre.said{background:var(--card);padding:.7em 1em;border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;margin:.6em 0}
.tag{font-size:.8rem;font-weight:600;padding:.15em .6em;border:1px solid currentColor;border-radius:1em;vertical-align:.2em}
.good{color:var(--good)}.bad{color:var(--bad)}.live{color:var(--live)}
rect.good{fill:var(--good)}rect.bad{fill:var(--bad)}rect.live{fill:var(--live)}
dl{display:flex;flex-wrap:wrap;gap:10px;margin:1.2em 0}
dl div{background:var(--card);border-radius:6px;padding:.5em .9em;min-width:6.5em}
dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.35em .7em .35em 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:500;white-space:nowrap}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td:nth-child(2){white-space:nowrap}
.words{white-space:pre-wrap;overflow-wrap:anywhere;max-height:9em;overflow-y:auto}
.unknown{color:var(--soft)}
svg.timeline{width:100%;height:auto;display:block;margin:.5em 0}svg.runs{width:100%;height:auto;display:block}
.axis text{font-size:11px;fill:var(--soft)}.axis line{stroke:var(--line);stroke-width:1}
.s-busy{fill:var(--busy);background:var(--busy)}.s-prompt{fill:var(--prompt);background:var(--prompt)}
.s-blocked{fill:var(--blocked);background:var(--blocked)}.s-unknown{fill:var(--unknown);background:var(--unknown)}
.s-starting,.s-stopping,.s-exited{fill:var(--quiet);background:var(--quiet)}
.b-turns{fill:var(--busy);fill-opacity:.55}.b-calls{fill:var(--calls)}.b-tools{fill:var(--tools)}
.b-bad{fill:var(--bad)}.b-open{fill-opacity:.3}.m{fill:var(--soft)}.m-bad{fill:var(--bad)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:.3em 0;font-size:.85rem;color:var(--soft)}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}
.screen{overflow-x:auto}.screen svg{max-width:100%;height:auto}
summary{cursor:pointer}summary h3{display:inline-block}
footer{max-width:1100px;margin:0 auto;padding:0 20px 28px;color:var(--soft);font-size:.82rem}
a{color:var(--live)}
@media (max-width:640px){svg.timeline{min-width:620px}.words{min-width:15em}main{padding:18px 12px}}
@media print{:root{--bg:#fff;--fg:#000;--card:#f2f2f2}body{font-size:11px}main{max-width:none;padding:0}
.words{max-height:none}section{break-before:page}section:first-child{break-before:auto}tr,.screen,svg{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
