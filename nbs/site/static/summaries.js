// A page opened from a file may not fetch its neighbours, from which the search cuts the lines around a hit.
// _static/texts.js brings their texts along (written by tests/tools/site.py).
"use strict";

if (location.protocol === "file:") {
  window.fetch = (address) => {
    const name = address.replace(/^.*?\.\/|^\//, "").replace(/\.html$/, "");
    return Promise.resolve({ text: () => Promise.resolve(SITE_TEXTS[name] || "") });
  };
}
