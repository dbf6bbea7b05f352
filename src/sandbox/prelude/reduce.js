// One reduce function. Entries:
//   add(source)           the function
//   reduce(keys, values)  [result], or `!` and why there is none
//   rereduce(values)      the same
(function (host, base) {
  'use strict';
  const { compile, describe, guarded, isArray, isOutOfMemory, list, log, notCompiled, parse,
    stringify, thrown } = base;
  let reduction;

  // It is there, and does nothing.
  globalThis.emit = function emit() {};

  const run = (keys, values, rereduce) => {
    const answer = list();
    try {
      answer[0] = reduction(keys, values, rereduce);
      return stringify(answer);
    } catch (error) {
      if (isOutOfMemory(error)) throw error;
      if (error === null) return '{"out_of_memory":null}';
      if (error === 'fatal_error') {
        return thrown('map_runtime_error', "function raised 'fatal_error'");
      }
      try {
        if (isArray(error) && error[0] === 'fatal') return thrown(`${error[1]}`, `${error[2]}`);
      } catch (_) { /* It is something that only looks fatal. */ }
      const why = describe(error);
      log(`function raised exception (${why})`);
      return `!${base.wellFormed(why)}`;
    }
  };
  const failed = (error) => thrown('reduce_runtime_error', describe(error));

  return {
    __proto__: null,
    add: guarded((source) => {
      reduction = compile(source);
      return '[]';
    }, notCompiled),
    reduce: guarded((keys, values) => run(parse(keys), parse(values), false), failed),
    rereduce: guarded((values) => run(null, parse(values), true), failed),
  };
})
