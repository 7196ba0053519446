// What the page does beside: a choice of colours, and folded parts that open on paper.
{
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "colours";
  const isDark = () => (root.dataset.colours ?? (dark.matches ? "dark" : "light")) === "dark";
  const name = () => (button.textContent = isDark() ? "Light colours" : "Dark colours");
  // Where a browser keeps nothing for a file, the choice lasts as long as the page.
  const kept = (value) => {
    try {
      if (value) localStorage.setItem("colours", value);
      return localStorage.getItem("colours");
    } catch {
      return null;
    }
  };
  button.addEventListener("click", () => {
    root.dataset.colours = isDark() ? "light" : "dark";
    kept(root.dataset.colours);
    name();
  });
  const before = kept();
  if (before === "dark" || before === "light") root.dataset.colours = before;
  dark.addEventListener("change", name);
  name();
  document.querySelector("#contents details").append(button);

  const folded = () => [...document.querySelectorAll("main details:not(.code):not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => (opened = folded()).forEach((part) => (part.open = true)));
  addEventListener("afterprint", () => opened.forEach((part) => (part.open = false)));
}
