// What the page does beside: a choice of colors, and folded parts that open on paper.
{
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "colors";
  const isDark = () => (root.dataset.colors ?? (dark.matches ? "dark" : "light")) === "dark";
  const name = () => (button.textContent = isDark() ? "Light colors" : "Dark colors");
  // Where a browser keeps nothing for a file, the choice lasts as long as the page.
  const kept = (value) => {
    try {
      if (value) localStorage.setItem("colors", value);
      return localStorage.getItem("colors");
    } catch {
      return null;
    }
  };
  button.addEventListener("click", () => {
    root.dataset.colors = isDark() ? "light" : "dark";
    kept(root.dataset.colors);
    name();
  });
  const before = kept();
  if (before === "dark" || before === "light") root.dataset.colors = before;
  dark.addEventListener("change", name);
  name();
  document.querySelector("#contents details").append(button);

  const folded = () => [...document.querySelectorAll("main details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => (opened = folded()).forEach((part) => (part.open = true)));
  addEventListener("afterprint", () => opened.forEach((part) => (part.open = false)));
}
