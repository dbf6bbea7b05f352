// Content negotiation for shows and lists: `registerType` and `provides`.
//
// A type is a short name for one or more content types, the first of which is sent. Which of the
// provided types a request gets is decided by its `format` parameter, else by its Accept header,
// else the first is taken. Fitness counts before quality, and both are compared as text, as
// CouchDB does it.
(function (host, base) {
  'use strict';
  const { list, text } = base;
  const { parseFloat, isNaN } = globalThis;
  const uncurried = Function.prototype.bind.bind(Function.prototype.call);
  const split = uncurried(String.prototype.split);
  const trim = uncurried(String.prototype.trim);
  const apply = Reflect.apply;
  const contentTypes = { __proto__: null };
  const names = { __proto__: null };
  let provided = list();
  let chosen = null;

  const registerType = function registerType(name) {
    const types = list();
    for (let i = 1; i < arguments.length; i++) {
      types[i - 1] = arguments[i];
      names[arguments[i]] = name;
    }
    contentTypes[name] = types;
  };

  const DEFAULTS = [
    ['all', '*/*'],
    ['text', 'text/plain; charset=utf-8', 'txt'],
    ['html', 'text/html; charset=utf-8'],
    ['xhtml', 'application/xhtml+xml', 'xhtml'],
    ['xml', 'application/xml', 'text/xml', 'application/x-xml'],
    ['js', 'text/javascript', 'application/javascript', 'application/x-javascript'],
    ['css', 'text/css'],
    ['ics', 'text/calendar'],
    ['csv', 'text/csv'],
    ['rss', 'application/rss+xml'],
    ['atom', 'application/atom+xml'],
    ['yaml', 'application/x-yaml', 'text/yaml'],
    ['multipart_form', 'multipart/form-data'],
    ['url_encoded_form', 'application/x-www-form-urlencoded'],
    ['json', 'application/json', 'text/x-json'],
  ];
  for (let i = 0; i < DEFAULTS.length; i++) apply(registerType, undefined, DEFAULTS[i]);

  // `type/subtype; name=value`, in parts.
  const parseRange = (range) => {
    const parts = split(range, ';');
    const parameters = { __proto__: null };
    for (let i = 0; i < parts.length; i++) {
      const pair = split(parts[i], '=');
      if (pair.length === 2) parameters[trim(pair[0])] = trim(pair[1]);
    }
    let whole = trim(parts[0]);
    if (whole === '*') whole = '*/*';
    const sides = split(whole, '/');
    return { __proto__: null, type: sides[0], subtype: sides[1], parameters };
  };

  const quality = (range) => {
    const number = parseFloat(range.parameters.q);
    return isNaN(number) || number > 1 || number < 0 ? 1 : number;
  };

  const agree = (one, other) => one === other || one === '*' || other === '*';

  // How well `type` fits the best of `ranges`, and that one's quality.
  const judge = (type, ranges) => {
    const target = parseRange(type);
    let fitness = -1;
    let q = 0;
    for (let i = 0; i < ranges.length; i++) {
      const range = ranges[i];
      if (!agree(range.type, target.type) || !agree(range.subtype, target.subtype)) continue;
      let fits = (range.type === target.type ? 100 : 0)
        + (range.subtype === target.subtype ? 10 : 0);
      for (const name in target.parameters) {
        const same = range.parameters[name] === target.parameters[name];
        if (name !== 'q' && range.parameters[name] && same) fits += 1;
      }
      if (fits > fitness) {
        fitness = fits;
        q = quality(range);
      }
    }
    return { __proto__: null, fitness, q };
  };

  // The type of `supported` that the Accept header likes best; empty where it likes none.
  const bestMatch = (supported, header) => {
    const parts = split(header, ',');
    const ranges = list();
    for (let i = 0; i < parts.length; i++) ranges[i] = parseRange(parts[i]);
    let best = null;
    for (let i = 0; i < supported.length; i++) {
      const { fitness, q } = judge(supported[i], ranges);
      const rank = `${fitness},${q},${i},${supported[i]}`;
      if (best === null || rank > best.rank) best = { rank, q, type: supported[i] };
    }
    if (best === null) throw new TypeError('No type that is provided is registered.');
    return best.q ? best.type : '';
  };

  const reversed = (items) => {
    const out = list();
    for (let i = 0; i < items.length; i++) out[i] = items[items.length - 1 - i];
    return out;
  };

  const typesOf = (name) => {
    const types = contentTypes[name];
    if (types === undefined) throw new TypeError(`The type ${text(name)} is not registered.`);
    return types;
  };

  const joined = (types) => {
    let out = '';
    for (let i = 0; i < types.length; i++) out += (i > 0 ? ', ' : '') + text(types[i]);
    return out;
  };

  const byAccept = (accept) => {
    // What is provided first wins among equals, for the last of the ranks is taken.
    provided = reversed(provided);
    const supported = list();
    for (let i = 0; i < provided.length; i++) {
      const types = contentTypes[provided[i].name];
      for (let j = 0; types !== undefined && j < types.length; j++) {
        supported[supported.length] = text(types[j]);
      }
    }
    chosen = bestMatch(supported, text(accept));
    return names[chosen];
  };

  // Runs the function that fits the request; what it returns.
  const runProvided = (request, self) => {
    const accept = request.headers.Accept;
    let name;
    if (request.query && request.query.format) {
      name = request.query.format;
      chosen = typesOf(name)[0];
    } else if (accept) {
      name = byAccept(accept);
    } else {
      name = provided[0].name;
      chosen = typesOf(name)[0];
    }
    for (let i = 0; name && i < provided.length; i++) {
      if (provided[i].name == name) return apply(provided[i].run, self, []);
    }
    const supported = list();
    for (let i = 0; i < provided.length; i++) {
      supported[i] = joined(typesOf(provided[i].name)) || provided[i].name;
    }
    const wanted = text(accept || name);
    throw ['error', 'not_acceptable',
      `Content-Type ${wanted} not supported, try one of: ${joined(supported)}`];
  };

  globalThis.registerType = registerType;
  globalThis.provides = function provides(name, run) {
    provided[provided.length] = { __proto__: null, name, run };
  };

  const negotiation = {
    __proto__: null,
    reset: () => {
      provided = list();
      chosen = null;
    },
    isUsed: () => provided.length > 0,
    run: runProvided,
    // What the answer's type is, once a function was chosen.
    contentType: () => chosen,
  };
  return { __proto__: null, ...base, negotiation };
})
