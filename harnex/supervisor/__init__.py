"""The supervisor: one process for each session.

| subject | modules |
| --- | --- |
| the process | `__main__`, `entry` (into the registry), `boot` (how the start went), `loop`, `reserve` (descriptors for the end) |
| the session | `session`: wires all parts, and is the only one that knows them |
| the agent | `generations` makes an `agent` (`child` or `pipes`, `evidence`, `helpers`); `feed` is its terminal, `hearing` reads it; `headless` |
| what follows | `deciding` (state), `delivery` (messages), `answers` (to dialogs), `background`, `measured`, `totals`, `words` |
| the watch | `watcher`, `spent`, `jobs`, `notify`, `filehook` |
| clients | `control` (the socket), `requests`, `senders`, `waiters`, `panes`, `viewers` |
| what is written | `journal` (events, entry, messages), `dispatch` (the record's parts), `repository` (git) |
| the end | `conclusion` (of a headless run), `ending` (the ladder, the rest of the output), `sweep`, `closing` (the record) |
| processes | `processes` (children), `offspring` (orphans), `tool_processes`, `lines` |
"""
