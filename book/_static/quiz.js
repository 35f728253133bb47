// Quizzes: choosing an answer shows its feedback. Works by mouse, touch and keyboard (the arrow keys move between the
// choices of a question). Without this script the answers can be opened below each question.
document.addEventListener("DOMContentLoaded", () => {
  for (const question of document.querySelectorAll(".quiz-question")) {
    const feedback = question.querySelector(".quiz-feedback");
    question.querySelector(".quiz-answers").hidden = true;
    question.addEventListener("change", (event) => {
      const { right, feedback: text } = event.target.dataset;
      question.classList.toggle("quiz-right", right === "true");
      question.classList.toggle("quiz-wrong", right !== "true");
      feedback.textContent = "";
      // The sign tells right and wrong apart without colour; words between backticks are code, as in the question.
      feedback.append(right === "true" ? "✓ " : "✗ Not quite. ");
      text.split("`").forEach((part, place) => {
        if (place % 2 === 0) return feedback.append(part);
        const code = document.createElement("code");
        code.textContent = part;
        feedback.append(code);
      });
    });
  }
});
