// Who works in a widget keeps the keys, but for those of a presenter's remote control.
const inWidget = () => Boolean(document.activeElement.shadowRoot);

addEventListener("keydown", (event) => {
  const move = { PageDown: "next", PageUp: "prev" }[event.key];
  if (!move || !inWidget()) return;
  event.stopPropagation();
  event.preventDefault();
  Reveal[move]();
}, true);

Reveal.on("slidechanged", ({ previousSlide }) => {
  document.activeElement.blur();
  for (const widget of previousSlide?.querySelectorAll(".widget") || []) widget.player?.pause();
});

// Formulas first: they are measured while every slide is still laid out.
MathJax.startup.promise.then(() => Reveal.initialize({
  // no scaling: a widget takes the pointer's place in its own pixels
  width: "100%", height: "100%", margin: 0, minScale: 1, maxScale: 1,
  center: false, hash: true, transition: "none", slideNumber: "c/t", scrollActivationWidth: null,
  keyboardCondition: () => !inWidget(),
}));
