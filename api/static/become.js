/* Changes what is shown into what the server has drawn anew, in place, so that the focus, a selection and an open list stay. */

/* What the reader has opened or closed stays so, and what was pressed. */
const OURS = ["open", "disabled"];

function become(old, wanted) {
  if (old.nodeType !== wanted.nodeType || old.nodeName !== wanted.nodeName) return old.replaceWith(wanted);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return undefined;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return undefined;
  for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name) && !OURS.includes(name)) old.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value && !OURS.includes(name)) old.setAttribute(name, value);
  }
  if ("kept" in old.dataset) return undefined;
  return becomeChildren(old, wanted);
}

export function becomeChildren(old, wanted) {
  const children = [...wanted.childNodes];
  while (old.childNodes.length > children.length) old.lastChild.remove();
  children.forEach((child, place) => {
    if (place < old.childNodes.length) become(old.childNodes[place], child);
    else old.append(child);
  });
}
