// Makes what is wider than the page as small as it must be to fit: a browser cuts off at the edge of the paper, or prints
// the whole book smaller. The body is as wide on screen as on paper.
for (const table of document.querySelectorAll("table")) {
  const room = table.parentElement.clientWidth;
  for (let size = 8.4; table.offsetWidth > room && size > 5; size -= 0.4) table.style.fontSize = `${size}pt`;
  if (table.offsetWidth > room) table.classList.add("squeezed"); // words may break
}
for (const formula of document.querySelectorAll("div.math svg")) {
  const room = formula.parentElement.clientWidth - 2 * (formula.parentElement.querySelector(".eqno")?.offsetWidth ?? 0);
  if (formula.getBoundingClientRect().width > room) formula.style.width = `${room}px`;
}
