// What all kinds of programs share: the names that CouchDB gives to every design function, and
// the tools of the other preludes.
//
// A prelude is a function that is called before any user code, with the host and with what the
// prelude before it returned. User code shares the global object with it and may change all that
// can be reached from there, so everything here is taken from the globals once, and no prelude
// calls a method, reads a member of a user's object outside of `try`, or stores into an array
// that inherits from anything.
//
// The host's members:
//   log(line)              writes to the server's log
//   compare(a, b)          a number below, at or above 0: the order of two strings
//   isOver()               whether the step has taken its time
//   step()                 a new step begins: the time limit starts anew
//   nextRow()              the next row of a list, JSON; undefined at the end
//   start(json)            begins the answer of a list with a response object
//   send(text)             sends a piece of it
//   compile(eval, source)  a function, by CouchDB's rules for sources; throws {compilation: why}
//
// Entries take texts and return a text. One that begins with `{` says why there is no result:
//   {"missing": "key"}                           the path leads nowhere
//   {"compilation": "text"}                      a function or a module is none
//   {"forbidden": value}, {"unauthorized": value}
//   {"thrown": {"error": "name", "reason": value}}
//   {"out_of_memory": null}
// Every other text is a result, in the form of the entry.
(function (host) {
  'use strict';
  const globals = globalThis;
  const globalEval = eval;
  const { parse, stringify } = JSON;
  const { defineProperty, freeze, setPrototypeOf, values } = Object;
  const { apply } = Reflect;
  const { isArray } = Array;
  const uncurried = Function.prototype.bind.bind(Function.prototype.call);
  const wellFormed = uncurried(String.prototype.toWellFormed);
  const slice = uncurried(String.prototype.slice);
  const split = uncurried(String.prototype.split);
  const text = String;
  const EngineError = typeof InternalError === 'function' ? InternalError : Error;
  const { log: hostLog, compare, step, nextRow, start, send, compile: hostCompile } = host;

  // Emitted values are made of what JSON can say, and no more.
  delete JSON.rawJSON;
  delete JSON.isRawJSON;

  // Names that no design function of CouchDB sees.
  for (const name of ['performance', 'queueMicrotask', 'DOMException', 'navigator', 'console',
    'print', 'setTimeout', 'clearTimeout', 'gc', 'scriptArgs']) {
    delete globals[name];
  }

  // An array that inherits nothing, so that storing into it calls nobody's setter, and that JSON
  // writes without asking anyone's toJSON.
  const list = () => setPrototypeOf([], null);

  // Longer lines are cut by the host; this keeps the copy short.
  const LINE_UNITS_MAX = 32000;
  const log = (line) => hostLog(wellFormed(slice(line, 0, LINE_UNITS_MAX)));

  // Freezes a value from JSON. It keeps its own stack: documents may be nested deeply.
  const freezeDeep = (value) => {
    if (typeof value !== 'object' || value === null) return;
    const open = list();
    let count = 0;
    open[count++] = value;
    while (count > 0) {
      const object = open[--count];
      freeze(object);
      const members = values(object);
      for (let i = 0; i < members.length; i++) {
        const member = members[i];
        if (typeof member === 'object' && member !== null) open[count++] = member;
      }
    }
  };

  // Where there is no memory left for an error, the engine throws a value of no type, or null,
  // which may as well be the user's.
  const isOutOfMemory = (error) => {
    try {
      if (typeof error === 'unknown') return true;
      return error instanceof EngineError && error.message === 'out of memory';
    } catch (_) {
      return false;
    }
  };

  // What was thrown, for people.
  const describe = (error) => {
    try {
      if (typeof error === 'object' && error !== null && !isArray(error)) {
        const { name, message } = error;
        if (typeof message === 'string' && name !== undefined) {
          return slice(`${text(name)}: ${message}`, 0, LINE_UNITS_MAX);
        }
      }
      const json = stringify(error);
      return slice(json === undefined ? text(error) : json, 0, LINE_UNITS_MAX);
    } catch (unreadable) {
      if (isOutOfMemory(unreadable)) throw unreadable;
      return 'something that has no text';
    }
  };

  // A function whose declarations are its own: sources are told apart by what they return, not by
  // the names that they use on the way.
  // Each has an evaluator of its own, for Boa keeps the names that one has declared.
  const EVALUATOR = '(function () { return eval(arguments[0]); })';
  const compile = (source) => hostCompile(
    (script) => apply(globalEval(EVALUATOR), globals, [script]), source);

  // Makes the `require` of a program whose modules are the members of `root`. `show` writes what
  // a module threw. `exports` tells what all modules export, by their ids.
  const moduleLoader = (root, show) => {
    const cache = { __proto__: null };
    const at = (path) => {
      let current = root;
      for (let i = 0; i < path.length; i++) current = current[path[i]];
      return current;
    };
    const invalid = (why) => ['error', 'invalid_require_path', why];
    const parentOf = (path, steps) => {
      if (path.length < steps) throw invalid(`Object has no parent ${stringify(at(path))}`);
      path.length -= steps;
    };
    const resolve = (names, from) => {
      const path = list();
      if (names[0] === '.' || names[0] === '..') {
        for (let i = 0; i < from.length; i++) path[i] = from[i];
        // From the module to what holds it.
        parentOf(path, 1);
      }
      for (let i = 0; i < names.length; i++) {
        if (names[i] === '..') parentOf(path, 1);
        else if (names[i] !== '.') {
          const current = at(path);
          const next = current === null ? undefined : current[names[i]];
          if (next === undefined) {
            throw invalid(`Object has no property "${names[i]}". ${stringify(current)}`);
          }
          path[path.length] = names[i];
        }
      }
      return path;
    };
    const idOf = (path) => {
      let id = '';
      for (let i = 0; i < path.length; i++) id += (i > 0 ? '/' : '') + path[i];
      return id;
    };
    // What a module sees as its parent: the object that holds it.
    const holderOf = (path) => {
      if (path.length === 0) return undefined;
      const above = list();
      for (let i = 0; i < path.length - 1; i++) above[i] = path[i];
      return {
        get current() { return parse(stringify(at(above))); },
        get parent() { return holderOf(above); },
        id: above.length > 0 ? idOf(above) : undefined,
      };
    };
    const load = (name, from) => {
      const path = resolve(split(text(name), '/'), from);
      const id = idOf(path);
      if (id in cache) return cache[id].exports;
      const source = at(path);
      if (typeof source !== 'string') {
        throw invalid(`Must require a JavaScript string, not: ${typeof source}`);
      }
      const module = { current: source, parent: holderOf(path), id, exports: {} };
      // Known before it runs, so that modules may require one another in a circle.
      cache[id] = module;
      try {
        const body = compile(`(function (module, exports, require) { ${source}\n })`);
        apply(body, globals, [module, module.exports, (inner) => load(inner, path)]);
      } catch (error) {
        delete cache[id];
        if (isOutOfMemory(error)) throw error;
        const why = error !== null && typeof error === 'object' && 'compilation' in error
          ? error.compilation : show(error);
        throw ['error', 'compilation_error', `Module require('${name}') raised error ${why}`];
      }
      return module.exports;
    };
    const nowhere = list();
    const exports = () => {
      const all = {};
      for (const id in cache) {
        const value = cache[id].exports;
        defineProperty(all, id,
          { __proto__: null, value, writable: true, enumerable: true, configurable: true });
      }
      return all;
    };
    return { __proto__: null, require: (name) => load(name, nowhere), exports };
  };

  const thrown = (error, reason) => stringify({ __proto__: null, thrown:
    { __proto__: null, error, reason } });

  // The entry `entry`, answering for what it throws by `refuse`.
  const guarded = (entry, refuse) => (first, second, third) => {
    try {
      return entry(first, second, third);
    } catch (error) {
      if (isOutOfMemory(error)) return '{"out_of_memory":null}';
      return refuse(error);
    }
  };

  // How compilation fails.
  const notCompiled = (error) => {
    if (typeof error === 'object' && error !== null && 'compilation' in error) {
      return stringify({ __proto__: null, compilation: error.compilation });
    }
    return thrown('unknown_error', describe(error));
  };

  String.prototype.localeCompare = function localeCompare(that) {
    if (this === null || this === undefined) throw new TypeError('not an object');
    return compare(wellFormed(text(this)), wellFormed(text(that)));
  };
  globals.log = function log_(message) {
    log(typeof message === 'string' ? message : text(stringify(message)));
  };
  globals.sum = function sum(numbers) {
    let total = 0;
    for (const i in numbers) total += numbers[i];
    return total;
  };
  globals.toJSON = stringify;
  globals.isArray = function (value) { return isArray(value); };

  return {
    __proto__: null, compile, describe, freezeDeep, guarded, isArray, isOutOfMemory, list, log,
    moduleLoader, nextRow, notCompiled, parse, send: (piece) => send(wellFormed(piece)),
    slice, start, step, stringify, text, thrown, uncurried, wellFormed,
  };
})
