// Map functions. Entries:
//   modules(json)   the members of `views` that the functions may require, before all else
//   add(source)     one more map function
//   map(document)   [[key, value, key, value...], ...], with 0 for a function that failed
//
// What a function emits is written as JSON once it has returned, as CouchDB does it: an object
// that it changes after emitting it is seen as it was last.
(function (host, base) {
  'use strict';
  const { compile, describe, freezeDeep, guarded, isArray, isOutOfMemory, list, log, moduleLoader,
    notCompiled, parse, stringify, thrown } = base;
  const functions = list();
  // Keys and values in turn.
  let emitted = list();
  let count = 0;
  // More than this is not kept between documents.
  const EMITTED_MAX = 4096;

  globalThis.emit = function emit(key, value) {
    emitted[count++] = key;
    emitted[count++] = value;
  };

  const forget = () => {
    if (count > EMITTED_MAX) emitted = list();
    else emitted.length = 0;
    count = 0;
  };

  // What ends the whole build; undefined for all else.
  const fatal = (error) => {
    try {
      if (error === 'fatal_error') {
        return thrown('map_runtime_error', "function raised 'fatal_error'");
      }
      if (isArray(error) && error[0] === 'fatal') {
        return thrown(`${error[1]}`, `${error[2]}`);
      }
    } catch (_) { /* It is something that only looks fatal. */ }
    return undefined;
  };

  const report = (error, id) => {
    log(`function raised exception (${describe(error)}) with doc._id ${id}`);
  };

  const map = (json) => {
    let document;
    let id = '';
    let answer = '[';
    try {
      document = parse(json);
      freezeDeep(document);
      id = `${document._id}`;
    } catch (error) {
      if (isOutOfMemory(error)) throw error;
      report(error, id);
      for (let i = 0; i < functions.length; i++) answer += i > 0 ? ',0' : '0';
      return answer + ']';
    }
    for (let i = 0; i < functions.length; i++) {
      if (i > 0) answer += ',';
      forget();
      try {
        const mapped = functions[i];
        mapped(document);
        answer += stringify(emitted);
      } catch (error) {
        if (isOutOfMemory(error)) throw error;
        // A document must not be left out because there was no memory for it; that ends the build,
        // and so does null in CouchDB.
        if (error === null) return '{"out_of_memory":null}';
        const end = fatal(error);
        if (end !== undefined) return end;
        report(error, id);
        answer += '0';
      }
    }
    forget();
    return answer + ']';
  };

  return {
    __proto__: null,
    modules: (json) => {
      globalThis.require = moduleLoader({ __proto__: null, views: parse(json) }, describe).require;
      return '[]';
    },
    add: guarded((source) => {
      functions[functions.length] = compile(source);
      return '[]';
    }, notCompiled),
    map: guarded(map, (error) => thrown('map_runtime_error', describe(error))),
  };
})
