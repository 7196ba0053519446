// Marks in the contents the section that is being read. Without scripts the contents are plain links.
"use strict";
const links = new Map([...document.querySelectorAll("nav a[href^='#']")].map((a) => [a.hash.slice(1), a]));
const heads = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
const mark = () => {
  const read = heads.filter((head) => head.getBoundingClientRect().top < innerHeight / 3).pop() ?? heads[0];
  for (const [id, link] of links) {
    if (id === read?.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
};
addEventListener("scroll", mark, { passive: true });
mark();
