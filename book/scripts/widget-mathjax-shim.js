// The widget manager typesets descriptions through MathJax 2's queue; the book has MathJax 3.
// Without this, every widget with a description throws, and linked widgets stop half-way.
if (window.MathJax && !window.MathJax.Hub) {
  window.MathJax.Hub = { Queue: (job) => window.MathJax.typesetPromise([job[2]]) };
}
