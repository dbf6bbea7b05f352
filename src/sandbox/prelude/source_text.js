// Writes values as the source text that would make them, the way SpiderMonkey's `toSource` does.
// CouchDB tells people with it what a function threw.
(function (host, base) {
  'use strict';
  const { isArray, list, text } = base;
  const { keys } = Object;
  const { Date, Error, RegExp } = globalThis;
  const uncurried = Function.prototype.bind.bind(Function.prototype.call);
  const charCode = uncurried(String.prototype.charCodeAt);
  const slice = uncurried(String.prototype.slice);
  const indexOf = uncurried(String.prototype.indexOf);
  const digits = uncurried(Number.prototype.toString);
  const upperCase = uncurried(String.prototype.toUpperCase);
  const matches = uncurried(RegExp.prototype.exec);
  const time = uncurried(Date.prototype.getTime);
  const functionText = uncurried(Function.prototype.toString);
  const regExpText = uncurried(RegExp.prototype.toString);
  const NAME = /^[A-Za-z_$][A-Za-z0-9_$]*$/;
  const INDEX = /^(?:0|[1-9][0-9]{0,8})$/;
  const LINE = /:([0-9]+):[0-9]+\)?$/m;
  // What a quote or a control character is written as.
  const ESCAPES = {
    __proto__: null,
    '"': '\\"', '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t',
    '\v': '\\v',
  };
  // Longer texts are cut, and deeper values left out: they are for people.
  const UNITS_MAX = 8000;
  const DEPTH_MAX = 20;

  const escaped = (character) => {
    if (character in ESCAPES) return ESCAPES[character];
    const code = charCode(character, 0);
    if (code >= 32 && code < 127) return character;
    const wide = code > 255;
    return (wide ? '\\u' : '\\x') + slice('000' + upperCase(digits(code, 16)), wide ? -4 : -2);
  };

  const quoted = (value) => {
    let out = '"';
    const end = value.length < UNITS_MAX ? value.length : UNITS_MAX;
    for (let i = 0; i < end; i++) out += escaped(value[i]);
    return out + '"';
  };

  const memberName = (name) => {
    if (matches(NAME, name) !== null || matches(INDEX, name) !== null) return name;
    return quoted(name);
  };

  // `place` stands for the file of an error; its line is that of the innermost frame.
  const errorText = (error, place) => {
    const found = typeof error.stack === 'string' ? matches(LINE, error.stack) : null;
    const line = found === null ? 1 : found[1];
    const message = quoted(text(error.message));
    return `(new ${text(error.name)}(${message}, ${quoted(place)}, ${line}))`;
  };

  const write = (value, place, above) => {
    switch (typeof value) {
      case 'string': return quoted(value);
      case 'undefined': return '(void 0)';
      case 'function': return `(${slice(functionText(value), 0, UNITS_MAX)})`;
      case 'object': break;
      default: return text(value);
    }
    if (value === null) return 'null';
    for (let i = 0; i < above.length; i++) if (above[i] === value) return '{}';
    if (above.length >= DEPTH_MAX) return '{}';
    if (value instanceof Error) return errorText(value, place);
    if (value instanceof Date) return `(new Date(${time(value)}))`;
    if (value instanceof RegExp) return regExpText(value);
    above[above.length] = value;
    const out = members(value, place, above);
    above.length -= 1;
    return out;
  };

  const members = (value, place, above) => {
    const array = isArray(value);
    const names = keys(value);
    let out = '';
    for (let i = 0; i < names.length && out.length < UNITS_MAX; i++) {
      if (i > 0) out += ', ';
      if (!array || matches(INDEX, names[i]) === null) out += memberName(names[i]) + ':';
      out += write(value[names[i]], place, above);
    }
    return array ? `[${out}]` : `{${out}}`;
  };

  const boxed = { __proto__: null, string: 'String', number: 'Number', boolean: 'Boolean' };

  // The source text of what was thrown at `place`.
  const sourceText = (value, place) => {
    try {
      const out = write(value, place, list());
      if (typeof value in boxed) return `(new ${boxed[typeof value]}(${out}))`;
      return indexOf(out, '{') === 0 ? `(${out})` : out;
    } catch (_) {
      return 'something that has no text';
    }
  };

  return { __proto__: null, ...base, sourceText };
})
