// What a reader sees inside an element, for tests/tools/pages.py: text and pictures that run off,
// that are cut or that cover each other, and formulas that are none.
({ root: selector, box, slack }) => {
  const root = document.querySelector(selector);
  const hidden = "aside.notes, script, style, template, mjx-assistive-mml, .fragment:not(.visible)";
  const seen = (element) => !element.closest(hidden) &&
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 50);
  const blocks = "p, li, h1, h2, h3, h4, h5, h6, pre, td, th, dt, dd, figcaption, div";
  const stage = (box ? root.closest(box) : document.documentElement).getBoundingClientRect();
  const large = (rect) => rect.width > 0.5 && rect.height > 0.5;
  const scale = box ? stage.width / root.closest(box).offsetWidth : 1;
  const line = (rect, size) => {   // a line without the space that the font leaves above and below letters
    const spare = Math.max(0, rect.height - size * scale) / 2;
    return { left: rect.left, right: rect.right, top: rect.top + spare, bottom: rect.bottom - spare,
             width: rect.width, height: rect.height - 2 * spare };
  };

  // ---- what there is: lines of text and pictures, each with its boxes
  const things = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest("svg") || !seen(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const size = parseFloat(getComputedStyle(parent).fontSize);
    const rects = [...range.getClientRects()].map((rect) => line(rect, size)).filter(large);
    things.push({ kind: "text", name: short(node.data), block: parent.closest(blocks), node, rects });
  }
  for (const element of root.querySelectorAll("img, svg, video, canvas")) {
    if (!seen(element) || element.parentElement.closest("svg")) continue;
    const formula = element.closest("mjx-container");
    const name = formula ? "a formula" : element.getAttribute("alt") || `a figure (${element.localName})`;
    const rects = [element.getBoundingClientRect()].filter(large);
    things.push({ kind: formula ? "formula" : "figure", name: short(name), block: formula || element,
                  node: element, rects });
  }
  const findings = [];

  // ---- off the stage: of all that leaves it at one side, the farthest
  for (const side of ["left", "right", "top", "bottom"]) {
    let worst = slack, what = null;
    for (const thing of things) for (const rect of thing.rects) {
      const out = ["left", "top"].includes(side) ? stage[side] - rect[side] : rect[side] - stage[side];
      if (out > worst) [worst, what] = [out, thing];
    }
    if (what) findings.push(`runs off at the ${side} by ${Math.round(worst)} px: ${what.name}`);
  }

  // ---- cut by a box that scrolls or hides
  for (const element of root.querySelectorAll("*")) {
    if (!seen(element) || !element.clientWidth || element.closest("svg")) continue;
    const style = getComputedStyle(element);
    const wide = element.scrollWidth - element.clientWidth;
    const high = element.scrollHeight - element.clientHeight;
    const [what, text] = [element.localName, short(element.textContent)];
    if (style.overflowX !== "visible" && wide > 1)
      findings.push(`${what} is ${wide} px wider than its box: ${text}`);
    if (style.overflowY !== "visible" && high > 1)
      findings.push(`${what} is ${high} px higher than its box: ${text}`);
  }

  // ---- one over the other
  const covered = new Set();
  for (const [number, one] of things.entries()) for (const other of things.slice(number + 1)) {
    if (one.kind === "formula" || other.kind === "formula" || one.block === other.block) continue;
    if (one.block?.contains(other.node) || other.block?.contains(one.node)) continue;
    for (const a of one.rects) for (const b of other.rects) {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 4 && height > 0.3 * Math.min(a.height, b.height))
        covered.add(`${one.name} and ${other.name} overlap`);
    }
  }
  findings.push(...covered);

  // ---- pictures and formulas
  for (const image of root.querySelectorAll("img"))
    if (seen(image) && !(image.complete && image.naturalWidth))
      findings.push(`a picture is missing: ${short(image.alt || "img")}`);
  for (const { kind, node } of things)
    if (kind === "text" && !node.parentElement.closest("pre, code")) {
      const raw = node.data.match(/\$\S[^$]*\$|\\\(|\\\[|\\begin\{/);
      if (raw) findings.push(`a formula is not rendered: ${short(node.data.slice(raw.index))}`);
    }
  for (const formula of root.querySelectorAll("mjx-container")) {
    const wrong = formula.querySelector("[data-mml-node=merror], mjx-merror, merror, [data-mjx-error]");
    const unknown = formula.querySelector("[fill=red]");
    if (wrong || unknown) findings.push(`a formula is wrong: ${short(
      wrong?.getAttribute("data-mjx-error") || wrong?.textContent || formula.textContent)}`);
    else if (!formula.querySelector("svg, mjx-math")) findings.push("a formula is empty");
  }
  return { findings, things: things.filter((thing) => thing.rects.length).length,
           formulas: root.querySelectorAll("mjx-container").length };
}
