// What a reader sees inside an element, for tests/tools/pages.py. With `box`, the stage that must hold it:
// text and pictures that run off, are cut or cover each other. Always: missing pictures, wrong formulas.
({ root: selector, box, slack }) => {
  const root = document.querySelector(selector), stage = box && root.closest(box).getBoundingClientRect();
  const scale = box ? stage.width / root.closest(box).offsetWidth : 1;
  const hidden = "aside.notes, script, style, template, mjx-assistive-mml, .fragment:not(.visible)";
  const blocks = "p, li, h1, h2, h3, h4, h5, h6, pre, td, th, dt, dd, figcaption, div";
  const seen = (element) => !element.closest(hidden) &&
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 50);
  const large = (rect) => rect.width > 0.5 && rect.height > 0.5;

  // a line's box without the space that the font leaves above and below letters
  const line = (rect, size) => {
    const spare = Math.max(0, rect.height - size * scale) / 2;
    return { left: rect.left, right: rect.right, top: rect.top + spare, bottom: rect.bottom - spare,
             width: rect.width, height: rect.height - 2 * spare };
  };

  // each piece of text, formula and picture, with the boxes it fills
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

  // of all that leaves the stage at one side, the farthest
  const off = () => ["left", "right", "top", "bottom"].flatMap((side) => {
    let worst = slack, what = null;
    for (const thing of things) for (const rect of thing.rects) {
      const out = ["left", "top"].includes(side) ? stage[side] - rect[side] : rect[side] - stage[side];
      if (out > worst) [worst, what] = [out, thing];
    }
    return what ? [`runs off at the ${side} by ${Math.round(worst)} px: ${what.name}`] : [];
  });

  // what a box that scrolls or hides does not show
  const cut = () => [...root.querySelectorAll("*")].flatMap((element) => {
    if (!seen(element) || !element.clientWidth || element.closest("svg")) return [];
    const style = getComputedStyle(element), what = element.localName, text = short(element.textContent);
    const wide = style.overflowX === "visible" ? 0 : element.scrollWidth - element.clientWidth;
    const high = style.overflowY === "visible" ? 0 : element.scrollHeight - element.clientHeight;
    return [...(wide > 1 ? [`${what} is ${wide} px wider than its box: ${text}`] : []),
            ...(high > 1 ? [`${what} is ${high} px higher than its box: ${text}`] : [])];
  });

  // pieces of different blocks, one over the other
  const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 4 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.3 * Math.min(a.height, b.height);
  const apart = (one, other) => one.kind !== "formula" && other.kind !== "formula" &&
    one.block !== other.block && !one.block?.contains(other.node) && !other.block?.contains(one.node);
  const covered = () => things.flatMap((one, number) => things.slice(number + 1)
    .filter((other) => apart(one, other) && one.rects.some((a) => other.rects.some((b) => overlap(a, b))))
    .map((other) => `${one.name} and ${other.name} overlap`));

  const findings = box ? [...off(), ...cut(), ...new Set(covered())] : [];
  for (const image of root.querySelectorAll("img"))
    if (seen(image) && image.complete && !image.naturalWidth)
      findings.push(`a picture is missing: ${short(image.alt || "img")}`);
  const raw = things.filter(({ kind, node }) => kind === "text" && !node.parentElement.closest("pre, code"))
    .map(({ node }) => node.data.match(/(\$\S[^$]*\$|\\\(|\\\[|\\begin\{).*/s)?.[0]).filter(Boolean);
  const many = raw.length > 1 ? `${raw.length} formulas are` : "a formula is";
  if (raw.length) findings.push(`${many} not rendered: ${short(raw[0])}`);
  for (const formula of root.querySelectorAll("mjx-container")) {
    const wrong = formula.querySelector("[data-mml-node=merror], mjx-merror, merror, [data-mjx-error]");
    const said = wrong?.getAttribute("data-mjx-error") || wrong?.textContent || formula.textContent;
    if (wrong || formula.querySelector("[fill=red]")) findings.push(`a formula is wrong: ${short(said)}`);
    else if (!formula.querySelector("svg, mjx-math")) findings.push("a formula is empty");
  }
  return { findings, things: things.filter((thing) => thing.rects.length).length,
           formulas: root.querySelectorAll("mjx-container").length };
}
