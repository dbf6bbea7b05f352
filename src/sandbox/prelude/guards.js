// Guards around what the engine cannot interrupt.
//
// The engine looks at the time once in ten thousand calls and turns of loops, never within a
// built-in method. That is often enough where a method takes microseconds, but a loop around one
// that takes milliseconds would go on for minutes. So methods look at the time themselves before
// they do something large. Two kinds of work have no bound that memory gives them, and are taken
// apart or refused: walks along arrays of a length that no memory could hold, and searches of a
// long text in a longer one.
(function (host, base) {
  'use strict';
  const { slice, uncurried } = base;
  const { isOver } = host;
  const { apply, defineProperty } = Reflect;

  // Where the time is over the loop gives the engine its opportunity to stop.
  const look = () => {
    if (isOver()) for (;;) ;
  };

  // Replaces a method under its own name and length.
  const replace = (owner, name, method) => {
    defineProperty(method, 'length', { __proto__: null, value: owner[name].length });
    defineProperty(owner, name,
      { __proto__: null, value: method, writable: true, configurable: true });
  };

  // Members or characters that are worth a look at the time.
  const LARGE = 20000;

  // Beyond it no array can be full.
  const LENGTH_MAX = 2 ** 24;
  const guardLength = (object) => {
    if (object === null || object === undefined) return;
    const length = object.length;
    if (length > LARGE) {
      if (length > LENGTH_MAX) throw new RangeError('Invalid array length');
      look();
    }
  };
  for (const name of ['copyWithin', 'fill', 'flat', 'flatMap', 'indexOf', 'includes', 'join',
    'lastIndexOf', 'reverse', 'shift', 'slice', 'sort', 'splice', 'toReversed', 'toSorted',
    'toSpliced', 'unshift', 'with']) {
    const native = Array.prototype[name];
    replace(Array.prototype, name, {
      [name]() {
        guardLength(this);
        return apply(native, this, arguments);
      },
    }[name]);
  }
  const concat = Array.prototype.concat;
  replace(Array.prototype, 'concat', {
    concat() {
      guardLength(this);
      for (let i = 0; i < arguments.length; i++) {
        if (typeof arguments[i] === 'object') guardLength(arguments[i]);
      }
      return apply(concat, this, arguments);
    },
  }.concat);

  // Methods whose first argument says how much they do.
  for (const name of ['repeat', 'padStart', 'padEnd']) {
    const native = String.prototype[name];
    replace(String.prototype, name, {
      [name](count) {
        if (count > 100) look();
        return apply(native, this, arguments);
      },
    }[name]);
  }

  // Methods that go through the whole of a text.
  for (const name of ['toUpperCase', 'toLowerCase', 'normalize', 'trim', 'match', 'matchAll',
    'search', 'localeCompare', 'toWellFormed', 'isWellFormed']) {
    const native = String.prototype[name];
    replace(String.prototype, name, {
      [name]() {
        if (typeof this === 'string' && this.length > LARGE) look();
        return apply(native, this, arguments);
      },
    }[name]);
  }

  // Functions that do much even where it does not show.
  for (const [owner, names] of [
    [BigInt.prototype, ['toString']],
    [Object.getPrototypeOf(Int8Array.prototype), ['copyWithin', 'fill', 'includes', 'indexOf',
      'join', 'lastIndexOf', 'reverse', 'set', 'slice', 'sort', 'toReversed', 'toSorted']],
    [Array, ['from']],
    [Object, ['assign', 'entries', 'fromEntries', 'getOwnPropertyDescriptors',
      'getOwnPropertyNames']],
    [JSON, ['parse', 'stringify']],
    [globalThis, ['decodeURIComponent', 'encodeURIComponent', 'escape', 'unescape']],
  ]) {
    for (const name of names) {
      const native = owner[name];
      replace(owner, name, {
        [name]() {
          look();
          return apply(native, this, arguments);
        },
      }[name]);
    }
  }

  // Comparisons of two characters that one step of a search may take; what does more than
  // searching is refused where it might take a few seconds.
  const COMPARISONS_MAX = 1e8;
  const REFUSED_COMPARISONS = 1e9;
  const comparisons = (where, what) => (typeof where === 'string' && typeof what === 'string'
    ? where.length * (what.length + 1) : 0);
  const positionsOf = (what) => {
    const positions = COMPARISONS_MAX / what.length;
    return positions > 1 ? positions - positions % 1 : 1;
  };
  const nativeIndexOf = uncurried(String.prototype.indexOf);
  const nativeLastIndexOf = uncurried(String.prototype.lastIndexOf);
  const indexOf = (where, what, from) => {
    const positions = positionsOf(what);
    for (let at = from; at + what.length <= where.length; at += positions) {
      look();
      const found = nativeIndexOf(slice(where, at, at + positions + what.length - 1), what);
      if (found >= 0) return at + found;
    }
    return -1;
  };
  const lastIndexOf = (where, what) => {
    const positions = positionsOf(what);
    for (let end = where.length; end >= what.length; end -= positions) {
      look();
      const begin = end - positions - what.length + 1;
      const at = begin > 0 ? begin : 0;
      const found = nativeLastIndexOf(slice(where, at, end), what);
      if (found >= 0) return at + found;
    }
    return -1;
  };
  const placeIn = (where, from) => {
    const at = +from;
    if (!(at > 0)) return 0;
    return at < where.length ? at - at % 1 : where.length;
  };
  const guardSearch = (name, search) => {
    const native = String.prototype[name];
    replace(String.prototype, name, {
      [name](what, from) {
        const work = comparisons(this, what);
        if (work > COMPARISONS_MAX && what.length > 1) return search(this, what, from);
        if (work > LARGE) look();
        return apply(native, this, arguments);
      },
    }[name]);
  };
  guardSearch('indexOf', (where, what, from) => indexOf(where, what, placeIn(where, from)));
  guardSearch('includes', (where, what, from) => indexOf(where, what, placeIn(where, from)) >= 0);
  guardSearch('lastIndexOf', (where, what, from) => {
    const at = +from;
    return lastIndexOf(at === at ? slice(where, 0, placeIn(where, from) + what.length) : where,
      what);
  });
  for (const name of ['split', 'replace', 'replaceAll']) {
    const native = String.prototype[name];
    replace(String.prototype, name, {
      [name](what) {
        const work = typeof this === 'string' && typeof what !== 'string'
          ? this.length : comparisons(this, what);
        if (work > LARGE) {
          if (work > REFUSED_COMPARISONS) throw new RangeError('Text too long');
          look();
        }
        return apply(native, this, arguments);
      },
    }[name]);
  }
  return base;
})
