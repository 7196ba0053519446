"use strict";
// Marks in the contents the part that is being read; on a narrow screen, folds them into a bar that names it.
// Without scripts the contents are plain links.
{
  const nav = document.getElementById("contents");
  const box = document.createElement("details");
  const here = document.createElement("span");
  const summary = document.createElement("summary");
  here.className = "here";
  summary.append("Contents", here);
  box.append(summary, nav.querySelector("ol"));
  nav.append(box);
  const narrow = matchMedia("(max-width: 62rem)");
  const links = new Map([...nav.querySelectorAll("a[href^='#']")].map((a) => [a.hash.slice(1), a]));
  const heads = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);

  const beingRead = () => {
    if (scrollY < 4) return heads[0];
    const third = innerHeight / 3;
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    // What was asked for counts while it is in sight, though the next heading may be close below it, and though at the
    // end of the page it cannot climb any higher.
    const asked = heads.find((head) => head.id === location.hash.slice(1));
    const at = asked ? asked.getBoundingClientRect().top : -1;
    if (at >= 0 && (atEnd || at < third)) return asked;
    return atEnd ? heads[heads.length - 1] : (heads.findLast((head) => head.getBoundingClientRect().top < third) ?? heads[0]);
  };

  const mark = () => {
    const link = links.get(beingRead()?.id);
    if (!link || link.hasAttribute("aria-current")) return;
    for (const other of links.values()) other.removeAttribute("aria-current");
    for (const item of nav.querySelectorAll("li")) item.classList.toggle("reading", item.contains(link));
    link.setAttribute("aria-current", "location");
    here.textContent = link.textContent;
    if (narrow.matches) return;
    const { top, bottom } = link.getBoundingClientRect();
    const frame = nav.getBoundingClientRect();
    if (top < frame.top || bottom > frame.bottom) nav.scrollTop += top - frame.top - frame.height / 2;
  };

  const fit = () => {
    nav.classList.toggle("bar", narrow.matches);
    box.open = !narrow.matches;
  };
  narrow.addEventListener("change", fit);
  nav.addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest("a")) box.open = false;
  });
  nav.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && narrow.matches && box.open) {
      box.open = false;
      summary.focus();
    }
  });
  for (const event of ["scroll", "resize", "hashchange"]) addEventListener(event, mark, { passive: true });
  fit();
  mark();
}
