// The functions of a design document. Entries:
//   load(json)                        the design document, before all else
//   call(path, arguments, second)     [answer] of the function at the path, which may be a show,
//                                     an update, `rewrites` or `validate_doc_update`; the second
//                                     of two arguments may come by itself
//   filter(path, documents, request)  a digit for each document: 1 for one that passes
//   list(path, head, request)         `[]`; the answer goes through start and send
//
// The answers of `call` are those of CouchDB's query server protocol. What functions throw becomes
// the error and the reason that CouchDB would tell; where CouchDB shows an Erlang term, the reason
// is the JSON value.
//
// `this` is a fresh copy of the design document in every call, so that what a function does to it
// is gone with the call; its members are copied when they are first looked at. As in CouchDB, the
// called function stands in it in the place of its source, and the modules are in
// `_module_cache`.
(function (host, base) {
  'use strict';
  const { compile, describe, isOutOfMemory, isXml, list, moduleLoader, negotiation, nextRow, parse,
    send, sourceText, start, step, stringify, text, thrown } = base;
  const { apply } = Reflect;
  const { defineProperty, hasOwn, keys } = Object;
  const uncurried = Function.prototype.bind.bind(Function.prototype.call);
  const indexOf = uncurried(String.prototype.indexOf);
  const slice = uncurried(String.prototype.slice);
  const split = uncurried(String.prototype.split);
  const exec = uncurried(RegExp.prototype.exec);

  // The design document as it was loaded, and the JSON of its members that are no plain values.
  // No user code ever gets hold of it.
  let ddoc = { __proto__: null };
  const copies = { __proto__: null };
  const compiled = { __proto__: null };
  let modules;

  // What the running function has sent, and where the list it belongs to stands.
  let chunks = '';
  let sent = false;
  let response = {};
  let listing = false;
  let started = false;
  let ended = false;
  let emitted = false;
  // A list's answer is passed on when it has grown so long, even if no row is read.
  const CHUNK_UNITS_MAX = 1 << 16;

  const reset = (lists) => {
    negotiation.reset();
    chunks = '';
    sent = false;
    response = {};
    listing = lists;
    started = false;
    ended = false;
  };

  const isObject = (value) => typeof value === 'object' && value !== null;

  // A copy that may be changed, whoever the original belongs to.
  const copyOf = (value) => {
    const copy = { __proto__: null };
    if (!isObject(value)) return copy;
    const names = keys(value);
    for (let i = 0; i < names.length; i++) {
      defineProperty(copy, names[i], data(value[names[i]]));
    }
    return copy;
  };

  const data = (value) => (
    { __proto__: null, value, writable: true, enumerable: true, configurable: true });

  const withContentType = (answer) => {
    const type = negotiation.contentType();
    const headers = copyOf(answer.headers);
    if (type) headers['Content-Type'] = headers['Content-Type'] || type;
    answer.headers = headers;
    return answer;
  };

  const flush = () => {
    if (!sent) return;
    const piece = chunks;
    chunks = '';
    sent = false;
    if (piece !== '') send(piece);
  };

  const begin = () => {
    started = true;
    const answer = isObject(response) ? withContentType(copyOf(response)) : response;
    response = {};
    start(text(stringify(answer)));
    flush();
  };

  const passOn = () => {
    if (started) flush();
    else begin();
  };

  globalThis.emit = function emit() { emitted = true; };

  globalThis.start = function start(answer) { response = answer || {}; };

  globalThis.send = function send(chunk) {
    chunks += text(chunk.toString());
    sent = true;
    if (listing && chunks.length > CHUNK_UNITS_MAX) passOn();
  };

  globalThis.getRow = function getRow() {
    if (!listing || ended) return null;
    passOn();
    const row = nextRow();
    ended = row === undefined || row === null;
    return ended ? null : parse(row);
  };

  // Errors.

  // Where the running function is in the design document, for those who read what it threw.
  let place = '';

  const protocolError = (error, reason) => {
    let known = reason;
    try {
      if (stringify(reason) === undefined) known = null;
    } catch (_) {
      known = sourceText(reason, place);
    }
    return thrown(typeof error === 'string' ? error : text(error), known);
  };

  // What CouchDB's query server tells about something that was thrown.
  const tell = (error) => {
    try {
      if (error[0] == 'error' || error[0] == 'fatal') return protocolError(error[1], error[2]);
      if (error.error && error.reason) return protocolError(error.error, error.reason);
      if (error.name) return protocolError(error.name, error);
      return thrown('unnamed_error', sourceText(error, place));
    } catch (inner) {
      if (isOutOfMemory(inner)) throw inner;
      return thrown(error === null || error === undefined ? 'TypeError' : 'unnamed_error', {});
    }
  };

  // The frames of user code; those of the preludes below them are nobody's concern.
  const stackOf = (error) => {
    const lines = split(text(error.stack), '\n');
    let out = '';
    let below = '';
    for (let i = 0; i < lines.length && indexOf(lines[i], '<script>') < 0; i++) {
      out += below;
      below = (i > 0 ? '\n' : '') + lines[i];
    }
    return indexOf(below, 'at apply (native)') < 0 ? out + below : out;
  };

  const tellRendering = (error) => {
    try {
      const plain = error.error && error.reason || error[0] == 'error' || error[0] == 'fatal';
      if (plain) return tell(error);
      const reason = `function raised error: ${sourceText(error, place)} \n`
        + `stacktrace: ${stackOf(error)}`;
      base.log(reason);
      return thrown('render_error', reason);
    } catch (inner) {
      if (isOutOfMemory(inner)) throw inner;
      return tell(inner);
    }
  };

  // Runs `entry`; what it throws is told by `teller`.
  const protect = (entry, teller) => {
    try {
      return entry();
    } catch (error) {
      if (isOutOfMemory(error)) return '{"out_of_memory":null}';
      try {
        return teller(error);
      } catch (inner) {
        if (isOutOfMemory(inner)) return '{"out_of_memory":null}';
        return thrown('unnamed_error', describe(inner));
      }
    }
  };

  // Finding functions.

  const NO_TEXT = '(new TypeError("this.source.charCodeAt is not a function", '
    + '"./share/server/main.js", 5356))';

  const compilationError = (why, source) => (
    { __proto__: null, refusal: stringify({ __proto__: null, compilation: `${why} (${source})` }) });

  // What a function cannot see is not made for it. These words may reach anything; an escape may
  // hide any of them.
  const mentions = (source, words) => {
    for (let i = 0; i < words.length; i++) if (indexOf(source, words[i]) >= 0) return true;
    return false;
  };
  const FAR_SEEING = ['eval', 'require', '\\u'];

  const seesThis = (source) => mentions(source, FAR_SEEING) || indexOf(source, 'this') >= 0;

  // Up to the second parameter and its end, where that is the last one.
  const TWO_PARAMETERS = /^\s*function\s*[\w$]*\s*\(\s*[\w$]+\s*,\s*([\w$]+)\s*\)/;

  const seesSecond = (source) => {
    const found = exec(TWO_PARAMETERS, source);
    if (found === null) return true;
    const body = slice(source, found[0].length);
    return mentions(body, FAR_SEEING) || mentions(body, [found[1], 'arguments', 'provides']);
  };

  const compileAt = (path, source) => {
    if (!source) {
      const name = text(path[path.length - 1]);
      const reason = `missing ${text(path[0])} function ${name} on design doc ${text(ddoc._id)}`;
      return { __proto__: null, refusal: thrown('not_found', reason) };
    }
    if (typeof source !== 'string') return compilationError(NO_TEXT, text(source));
    try {
      return { __proto__: null, run: compile(source), seesThis: seesThis(source),
        seesSecond: seesSecond(source) };
    } catch (error) {
      if (isOutOfMemory(error)) throw error;
      const known = isObject(error) && hasOwn(error, 'compilation');
      return compilationError(known ? error.compilation : sourceText(error, place), source);
    }
  };

  const lookUp = (path) => {
    let point = ddoc;
    for (let i = 0; i < path.length; i++) {
      if (!isObject(point)) {
        return { __proto__: null, refusal: thrown('not_found', 'json_mismatch') };
      }
      if (!hasOwn(point, path[i])) {
        return { __proto__: null, refusal: stringify({ __proto__: null, missing: path[i] }) };
      }
      point = point[path[i]];
    }
    return compileAt(path, point);
  };

  // The function at a path, or why there is none. The text is the same for the same path.
  const functionAt = (pathText, path) => {
    if (pathText in compiled) return compiled[pathText];
    const found = lookUp(path);
    if (found.refusal === undefined) compiled[pathText] = found;
    return found;
  };

  // A member of `this` that is copied when it is asked for.
  const lazily = (self, name, make) => {
    defineProperty(self, name, {
      __proto__: null,
      get() {
        const value = make();
        defineProperty(self, name, data(value));
        return value;
      },
      set(value) { defineProperty(self, name, data(value)); },
      enumerable: true,
      configurable: true,
    });
  };

  const selfFor = (path, { run, seesThis: isSeen }) => {
    const self = {};
    if (!isSeen) return self;
    const names = keys(ddoc);
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      const called = name === path[0];
      if (called && path.length === 1) defineProperty(self, name, data(run));
      else if (!(name in copies)) defineProperty(self, name, data(ddoc[name]));
      else {
        lazily(self, name, () => {
          const value = parse(copies[name]);
          if (called && path.length === 2) defineProperty(value, path[1], data(run));
          return value;
        });
      }
    }
    lazily(self, '_module_cache', () => modules.exports());
    return self;
  };

  // Kinds of functions. Each takes the function, `this`, and the arguments.

  const wrapped = (answer) => (
    typeof answer === 'string' || isXml(answer) ? { __proto__: null, body: text(answer) } : answer);

  const json = (value) => {
    const written = stringify(value);
    return written === undefined ? 'null' : written;
  };

  // Adds what a show sent before it returned.
  const withSent = (answer) => {
    const whole = copyOf(answer);
    const headers = copyOf(whole.headers);
    const begun = copyOf(response);
    const names = keys(begun);
    for (let i = 0; i < names.length; i++) {
      const value = begun[names[i]];
      if (names[i] === 'headers' && isObject(value)) {
        const inner = copyOf(value);
        for (const name in inner) headers[name] = inner[name];
      } else if (names[i] === 'code') whole.code = whole.code || value;
      else headers[names[i]] = value;
    }
    whole.headers = headers;
    whole.body = chunks + (whole.body || '');
    return whole;
  };

  // Of what a provided function returns only the body counts.
  const withProvided = (answer, request, self) => {
    const whole = copyOf(answer);
    const provided = wrapped(negotiation.run(request, self) || {});
    whole.body = (whole.body || '') + chunks;
    whole.body += provided.body || '';
    return withContentType(whole);
  };

  const show = (run, self, given) => {
    const { 0: document, 1: request } = given;
    let answer = wrapped(apply(run, self, [document, request]) || {});
    if (sent && chunks !== '' && isObject(answer)) answer = withSent(answer);
    chunks = '';
    if (negotiation.isUsed() && isObject(answer)) {
      answer = withProvided(answer, request, self);
    }
    if (!isObject(answer)) {
      throw ['error', 'render_error', 'undefined response from show function'];
    }
    return `[["resp",${json(answer)}]]`;
  };

  const update = (run, self, given) => {
    const { 0: document, 1: request } = given;
    if (request.method == 'GET') {
      throw ['error', 'method_not_allowed', 'Update functions do not allow GET'];
    }
    const result = apply(run, self, [document, request]);
    const answer = wrapped(result[1]);
    if (!isObject(answer)) {
      throw ['error', 'render_error', 'undefined response from update function'];
    }
    return `[["up",${json(result[0])},${json(answer)}]]`;
  };

  const rewrite = (run, self, given) => {
    const answer = apply(run, self, [given[0]]);
    if (!answer) return '[["no_dispatch_rule"]]';
    const path = typeof answer === 'string' || isXml(answer);
    return `[["ok",${json(path ? { __proto__: null, path: text(answer) } : answer)}]]`;
  };

  const accepted = '[1]';

  // What `validate_doc_update` threw, if CouchDB does not take it for an error of its own.
  const tellVerdict = (error) => {
    if (error.name && error.stack) return tell(error);
    const written = stringify(error);
    const verdict = written === undefined ? undefined : parse(written);
    if (verdict === 1 || verdict === true) return accepted;
    if (typeof verdict === 'string') return thrown('unknown_error', verdict);
    if (isObject(verdict)) {
      if (verdict[0] === 'error' || verdict[0] === 'fatal') return tell(verdict);
      const names = keys(verdict);
      const name = names[0];
      if (names.length === 1 && !base.isArray(verdict)) {
        const reason = verdict[name];
        if (name !== 'forbidden' && name !== 'unauthorized') {
          return thrown('unknown_error', reason);
        }
        return stringify({ __proto__: null, [name]: reason });
      }
    }
    return thrown('case_clause', verdict === undefined ? null : verdict);
  };

  const validate = (run, self, given) => {
    try {
      apply(run, self, given);
    } catch (error) {
      if (isOutOfMemory(error)) throw error;
      return protect(() => tellVerdict(error), tell);
    }
    return accepted;
  };

  const kinds = { __proto__: null, shows: show, updates: update, rewrites: rewrite,
    validate_doc_update: validate };

  // CouchDB takes any failure over a document that is not there for the reason.
  const tellerFor = (path, given, second) => (error) => {
    if (path[0] === 'validate_doc_update') return tell(error);
    if (path[0] === 'shows' && given[0] === null) {
      const { path: steps } = second === undefined ? given[1] : parse(second);
      if (isObject(steps) && steps.length > 5) return thrown('not_found', 'document not found');
    }
    return tellRendering(error);
  };

  const placeOf = (path) => {
    let out = '';
    for (let i = 0; i < path.length; i++) out += (i > 0 ? '.' : '') + text(path[i]);
    return out;
  };

  // Runs `entry` with the function at the path and a `this` for it.
  const withFunction = (pathText, entry) => {
    const path = parse(pathText);
    place = placeOf(path);
    const found = functionAt(pathText, path);
    if (found.refusal !== undefined) return found.refusal;
    return entry(found, path);
  };

  const call = (pathText, argumentsText, second) => protect(() => (
    withFunction(pathText, (found, path) => {
      reset(false);
      const given = parse(argumentsText);
      if (second !== undefined && found.seesSecond) {
        defineProperty(given, 1, data(parse(second)));
      }
      const missing = given[0] === null ? [null, given[1]] : given;
      const kind = kinds[path[0]];
      return protect(() => kind(found.run, selfFor(path, found), given), tellerFor(path, missing, second));
    })), tell);

  const filter = (pathText, documentsText, requestText) => protect(() => (
    withFunction(pathText, (found, path) => {
      reset(false);
      const documents = parse(documentsText);
      const request = parse(requestText);
      const self = path[0] === 'views' ? undefined : selfFor(path, found);
      let answer = '';
      for (let i = 0; i < documents.length; i++) {
        step();
        emitted = false;
        const given = self === undefined ? [documents[i]] : [documents[i], request];
        const passes = apply(found.run, self, given);
        answer += (self === undefined ? emitted : passes) ? '1' : '0';
      }
      return answer;
    })), tell);

  const renderList = (run, self, given) => {
    let tail = apply(run, self, given);
    if (negotiation.isUsed()) tail = negotiation.run(given[1], self);
    if (!started) begin();
    if (tail !== undefined && tail !== null) {
      chunks += isObject(tail) && !isXml(tail) ? text(json(tail)) : text(tail);
      sent = true;
    }
    flush();
    return '[]';
  };

  const runList = (pathText, headText, requestText) => protect(() => (
    withFunction(pathText, (found, path) => {
      reset(true);
      const given = [parse(headText), parse(requestText)];
      return protect(() => renderList(found.run, selfFor(path, found), given), tellRendering);
    })), tell);

  const load = (documentText) => {
    ddoc = parse(documentText);
    const names = keys(ddoc);
    for (let i = 0; i < names.length; i++) {
      if (isObject(ddoc[names[i]])) copies[names[i]] = stringify(ddoc[names[i]]);
    }
    modules = moduleLoader(ddoc, (error) => sourceText(error, place));
    globalThis.require = modules.require;
    return '[]';
  };

  return { __proto__: null, load, call, filter, list: runList };
})
