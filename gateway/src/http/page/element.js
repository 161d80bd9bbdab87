// Elements without markup: texts come from servers and handlers, so they are only ever set as text.

export const $ = (id) => document.getElementById(id);

/** `properties` are set in their order, which matters where one bounds another (`min` and `max` before `value`). */
export function element(tag, properties = {}, ...children) {
  const created = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in created) created[key] = value;
    else created.setAttribute(key, value);
  }
  created.append(...children);
  return created;
}
