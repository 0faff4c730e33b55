/* Keeps a batch's page as the server would draw it now, until the batch has ended, and says aloud when its state changes. */

import { becomeChildren } from "./become.js";

/* A page of many requests takes the server a while: it is asked the less often. */
const LEAST_MS = 2_000;
const PAUSES = 20;
const page = document.getElementById("followed");
const said = document.getElementById("said");

function hideHints(within) {
  for (const hint of within.querySelectorAll(".reload")) hint.remove();
}

async function look() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  const wanted = found.getElementById("followed");
  if (!wanted) return;
  const before = page.dataset.said;
  hideHints(wanted);
  becomeChildren(page, wanted);
  document.title = found.title;
  page.dataset.said = wanted.dataset.said;
  if (!("live" in wanted.dataset)) delete page.dataset.live;
  if (before !== page.dataset.said) said.textContent = `${document.getElementById("verdict").textContent}: ${page.dataset.said}`;
}

async function follow() {
  const began = performance.now();
  if (!document.hidden) await look().catch(() => undefined);
  const took = performance.now() - began;
  if ("live" in page.dataset) setTimeout(follow, Math.max(LEAST_MS, PAUSES * took));
}

hideHints(document);
setTimeout(follow, LEAST_MS);
