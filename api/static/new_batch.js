/* Saves clicks on /batches/new: a file that is dropped is sent at once, one that is too large not at all, and a column's name goes where the cursor is.
   The forms work without it. */

const upload = document.getElementById("upload");
const template = document.getElementById("template");

/* Whether it may be sent; else the browser says why. */
function isFit(file) {
  const most = Number(file.dataset.max);
  const isLarge = file.files.length === 1 && file.files[0].size > most;
  file.setCustomValidity(isLarge ? `The file is larger than ${most.toLocaleString("en")} bytes.` : "");
  return file.reportValidity();
}

if (upload) {
  const file = document.getElementById("file");
  const over = (event, is) => {
    event.preventDefault();
    upload.classList.toggle("over", is);
  };
  file.addEventListener("change", () => isFit(file));
  upload.addEventListener("submit", () => {
    document.getElementById("said").textContent = `${file.files[0].name} is being uploaded.`;
  });
  upload.addEventListener("dragover", (event) => over(event, true));
  upload.addEventListener("dragleave", (event) => over(event, false));
  upload.addEventListener("drop", (event) => {
    over(event, false);
    if (event.dataTransfer.files.length !== 1) return;
    file.files = event.dataTransfer.files;
    if (isFit(file)) upload.requestSubmit();
  });
}

for (const code of document.querySelectorAll("code.column")) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = "put it into the prompt";
  button.append(...code.childNodes);
  button.addEventListener("click", () => {
    template.setRangeText(`{${code.dataset.column}}`, template.selectionStart, template.selectionEnd, "end");
    template.focus();
  });
  code.append(button);
}
