// What helps where scripts run; every page works without. Copying, saving, times in the reader's zone, pages that keep
// themselves fresh, and buttons that wait for the right word.
"use strict";

// A button that copies what stands in another element.
for (const button of document.querySelectorAll("[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it and copy";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

// A button that saves what stands in another element as a file.
for (const button of document.querySelectorAll("[data-downloads]")) {
  const source = document.getElementById(button.dataset.downloads);
  if (!source) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    const lines = source.children.length ? [...source.children].map((child) => child.textContent) : [source.textContent];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.map((line) => line.trim() + "\n").join("")], { type: "text/plain" }));
    link.download = button.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

// A moment that is told in UTC: in this browser's zone, with UTC beside it, as a project's pages show theirs.
const zoned = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime()) || at.getTimezoneOffset() === 0) continue;
  const { year, month, day, hour, minute, timeZoneName } =
    Object.fromEntries(zoned.formatToParts(at).map((part) => [part.type, part.value]));
  const [here, there] = [`${year}-${month}-${day}`, at.toISOString().slice(0, 10)];
  const utc = (here === there ? "" : `${there} `) + at.toISOString().slice(11, 16);
  time.textContent = `${here} ${hour}:${minute} ${timeZoneName} (${utc} UTC)`;
}

// A dangerous act: its button waits until the word was typed.
for (const field of document.querySelectorAll("[data-must-be]")) {
  const button = field.form.querySelector("button[type=submit]");
  const look = () => { button.disabled = field.value.trim() !== field.dataset.mustBe; };
  field.addEventListener("input", look);
  look();
}

// A part of a page that is fetched again every few seconds, while somebody looks at it.
for (const part of document.querySelectorAll("[data-fresh]")) {
  let busy = false;
  setInterval(async () => {
    // What somebody reads by keyboard, or has opened, is left alone.
    if (busy || document.hidden || part.contains(document.activeElement)) return;
    const open = new Set([...part.querySelectorAll("details[open]")].map((details) => details.id));
    busy = true;
    try {
      const answer = await fetch(part.dataset.fresh, { credentials: "same-origin", redirect: "error" });
      if (answer.ok) {
        const text = await answer.text();
        if (text !== part.dataset.last) {
          part.dataset.last = text;
          part.innerHTML = text;
          for (const details of part.querySelectorAll("details")) details.open = open.has(details.id);
        }
      }
    } catch {
      // The server is away for a moment; the next round asks again.
    }
    busy = false;
  }, 3000);
}
