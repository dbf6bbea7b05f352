// The functions of a design document outside of its views. Entries:
//   load(json)                      the design document, before all else
//   call(path, arguments)           [answer] of the function at the path
//   filter(path, documents, request)  a digit for each document: 1 for one that passes
//   list(path, head, request)       `[]`; the answer goes through start and send
(function (host, base) {
  'use strict';
  const { compile, describe, guarded, isOutOfMemory, list, moduleLoader, nextRow, parse, send,
    start, step, stringify, thrown } = base;
  const compiled = { __proto__: null };
  let ddoc;
  let emits = false;

  globalThis.emit = function emit() { emits = true; };
  globalThis.provides = function provides() {};
  globalThis.registerType = function registerType() {};
  globalThis.start = function (response) { start(stringify(response)); };
  globalThis.send = function (chunk) { send(base.text(chunk)); };
  globalThis.getRow = function getRow() {
    const row = nextRow();
    return row === undefined ? null : parse(row);
  };

  const functionAt = (path) => {
    const id = stringify(path);
    if (id in compiled) return compiled[id];
    let point = ddoc;
    for (let i = 0; i < path.length; i++) {
      point = typeof point === 'object' && point !== null ? point[path[i]] : undefined;
      if (point === undefined) throw { missing: path[i] };
    }
    compiled[id] = compile(point);
    return compiled[id];
  };

  const refuse = (error) => {
    try {
      if (typeof error === 'object' && error !== null) {
        for (const kind of ['missing', 'compilation', 'forbidden', 'unauthorized']) {
          if (kind in error) return stringify({ __proto__: null, [kind]: error[kind] });
        }
      }
    } catch (_) { /* Told below. */ }
    return thrown('unknown_error', describe(error));
  };

  const filterOne = (path, found, document, request) => {
    if (path[0] !== 'views') return !!found.call(ddoc, document, request);
    emits = false;
    try {
      found.call(ddoc, document);
    } catch (error) {
      if (isOutOfMemory(error)) throw error;
      return false;
    }
    return emits;
  };

  return {
    __proto__: null,
    load: (json) => {
      ddoc = parse(json);
      globalThis.require = moduleLoader(ddoc);
      return '[]';
    },
    call: guarded((path, texts) => {
      const found = functionAt(parse(path));
      const answer = list();
      answer[0] = found.apply(ddoc, parse(texts));
      return stringify(answer);
    }, refuse),
    filter: guarded((pathText, documents, requestText) => {
      const path = parse(pathText);
      const found = functionAt(path);
      const request = parse(requestText);
      let answer = '';
      for (const document of parse(documents)) {
        step();
        answer += filterOne(path, found, document, request) ? '1' : '0';
      }
      return answer;
    }, refuse),
    list: guarded((path, head, request) => {
      const tail = functionAt(parse(path)).call(ddoc, parse(head), parse(request));
      if (typeof tail === 'string') send(tail);
      return '[]';
    }, refuse),
  };
})
