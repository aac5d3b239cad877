"""The style of our HTML: colours by variables, which follow the notebook's theme, else the reader's system."""

STYLE = """
.ssmlang{--ink:var(--jp-content-font-color1,var(--vscode-editor-foreground,#24292f));
--dim:var(--jp-content-font-color2,var(--vscode-descriptionForeground,#6a737d));
--line:var(--jp-border-color2,var(--vscode-panel-border,#d0d7de));
--code:var(--jp-layout-color2,var(--vscode-textCodeBlock-background,#f6f8fa));
--good:#1a7f37;--bad:#c62828;--warn:#9a6700;--blue:#0b62b8;--violet:#7a3fb0;
color:var(--ink);font-size:13px;line-height:1.45;max-width:62em}
@media (prefers-color-scheme:dark){.ssmlang{--ink:var(--jp-content-font-color1,var(--vscode-editor-foreground,#d8dee6));
--dim:var(--jp-content-font-color2,var(--vscode-descriptionForeground,#98a2ad));
--line:var(--jp-border-color2,var(--vscode-panel-border,#3a424c));
--code:var(--jp-layout-color2,var(--vscode-textCodeBlock-background,#1c2128));
--good:#57b566;--bad:#ef7f78;--warn:#d3a23c;--blue:#6bb1f2;--violet:#c39bea}.ssmlang-page{background:#14181d}}
[data-jp-theme-light="false"] .ssmlang,body.vscode-dark .ssmlang{--good:#57b566;--bad:#ef7f78;--warn:#d3a23c;
--blue:#6bb1f2;--violet:#c39bea}
[data-jp-theme-light="true"] .ssmlang,body.vscode-light .ssmlang{--good:#1a7f37;--bad:#c62828;--warn:#9a6700;
--blue:#0b62b8;--violet:#7a3fb0}
.ssmlang-page{margin:2em auto;max-width:64em;padding:0 1em;font-family:system-ui,sans-serif}
.ssmlang h1{font-size:1.5em}.ssmlang h3{font-size:1.1em;margin:.3em 0}
.ssmlang pre{background:var(--code);color:var(--ink);border:1px solid var(--line);border-radius:4px;padding:.6em .8em;
overflow:auto;max-height:32em;font-size:12px;line-height:1.4;margin:.4em 0}
.ssmlang table{border-collapse:collapse;margin:.3em 0;background:none;color:var(--ink);font-size:12.5px}
.ssmlang th,.ssmlang td{text-align:left!important;padding:.2em .8em .2em 0;border:0;border-bottom:1px solid var(--line);
vertical-align:top;background:none}
.ssmlang th{font-weight:600;color:var(--dim)}
.ssmlang .n{text-align:right!important;font-variant-numeric:tabular-nums}
.ssmlang code{background:none;color:inherit;font-size:12px;padding:0}
.ssmlang ul{margin:.3em 0;padding-left:1.3em}.ssmlang p{margin:.4em 0}
.ssmlang summary{cursor:pointer;color:var(--dim);margin:.3em 0}
.ssmlang .dim{color:var(--dim)}.ssmlang .good{color:var(--good)}.ssmlang .bad{color:var(--bad)}
.ssmlang .warn{color:var(--warn)}
.ssmlang pre .k,.ssmlang pre .kd,.ssmlang pre .kr,.ssmlang pre .kn{color:var(--violet)}
.ssmlang pre .nc,.ssmlang pre .nb,.ssmlang pre .nf{color:var(--blue)}
.ssmlang pre .m,.ssmlang pre .mi,.ssmlang pre .mf,.ssmlang pre .mb{color:var(--good)}
.ssmlang pre .c,.ssmlang pre .c1,.ssmlang pre .cs,.ssmlang pre .sd{color:var(--dim);font-style:italic}
""".replace("\n", "")
