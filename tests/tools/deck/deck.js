// Formulas first, then the slides: a deck is ready when <html> has data-ready="yes".
window.MathJax = {
  tex: { inlineMath: [['$', '$'], ['\\(', '\\)']], displayMath: [['$$', '$$'], ['\\[', '\\]']], tags: 'none' },
  svg: { fontCache: 'local' },          // the speaker's window shows copies of the notes
  options: { enableMenu: false, ignoreHtmlClass: 'highlight' },
  startup: {
    ready: async () => {
      MathJax.startup.defaultReady();
      await MathJax.startup.promise;
      // MathML for screen readers would be seen twice there, where MathJax's style sheet is missing
      document.querySelectorAll('aside.notes mjx-assistive-mml').forEach((copy) => copy.remove());
      await Reveal.initialize({
        width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 4, center: false,
        hash: true, transition: 'none', controls: false, slideNumber: false,
        pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1, plugins: [RevealNotes],
      });
      document.documentElement.dataset.ready = 'yes';
    },
  },
};
const script = document.createElement('script');
script.src = 'lib/tex-svg-full.js';
document.head.appendChild(script);
