// XML values, for the couchapps that were written when JavaScript had XML literals (E4X).
//
// Old syntax is rewritten before it is compiled (`sandbox/e4x`): literals and the rest become
// calls of `$e4x`, and `x.@name` becomes `x["@name"]`. `typeof` says `object`.
//
// A value that users see is a proxy of a list of nodes; one XML is a list of one. A list that was
// read as a member remembers of whom, so that assigning to what is not there makes it. Members
// and methods share their names, so a member that is named like a method can be called as well.
(function (host, base) {
  'use strict';
  const { list, nodes: tree, text } = base;
  const { adopt, allMarkup, allText, collect, collectDescendants, copyOf, element, fill,
    hasSimpleContent, isCalled, localName, nodeText, parsed, plain, positionOf, push, remove,
    setAttribute, settings } = tree;
  const { defineProperty, setPrototypeOf } = Object;
  const { Number, Proxy, Symbol, TypeError, WeakMap } = globalThis;
  const uncurried = Function.prototype.bind.bind(Function.prototype.call);
  const slice = uncurried(String.prototype.slice);
  const matches = uncurried(RegExp.prototype.exec);
  const lookUp = uncurried(WeakMap.prototype.get);
  const enter = uncurried(WeakMap.prototype.set);
  const INDEX = /^(?:0|[1-9][0-9]{0,8})$/;

  // What each proxy stands for, by the proxy and by its target.
  const known = new WeakMap();
  const innerOf = (value) => {
    const held = typeof value === 'object' && value !== null || typeof value === 'function';
    return held ? lookUp(known, value) : undefined;
  };

  // What proxies stand for: nodes, and whose member they were read as.
  const listOf = (nodes, owner, property) => ({ __proto__: null, nodes, owner, property });
  const one = (node) => {
    const nodes = list();
    push(nodes, node);
    return listOf(nodes, null, null);
  };

  const member = (inner, name) => {
    const found = list();
    for (let i = 0; i < inner.nodes.length; i++) collect(inner.nodes[i], name, found);
    return listOf(found, inner, name);
  };

  // Writing.

  // The nodes of an XML value that are not simply its text; undefined for all others.
  const contentOf = (value) => {
    const inner = innerOf(value);
    if (inner === undefined) return undefined;
    for (let i = 0; i < inner.nodes.length; i++) {
      if (inner.nodes[i].kind === 'element') return inner.nodes;
    }
    return undefined;
  };

  const setText = (node, value) => {
    node.children.length = 0;
    if (value !== '') adopt(node, 0, plain('text', null, value));
  };

  const replaceAt = (parent, at, nodes) => {
    const copies = list();
    for (let i = 0; i < nodes.length; i++) push(copies, copyOf(nodes[i]));
    parent.children[at].parent = null;
    remove(parent.children, at);
    for (let i = 0; i < copies.length; i++) adopt(parent, at + i, copies[i]);
  };

  const putOn = (node, name, value) => {
    if (node.kind !== 'element') return;
    if (name[0] === '@') {
      setAttribute(node, slice(name, 1), text(value));
      return;
    }
    let first = -1;
    for (let i = node.children.length - 1; i >= 0; i--) {
      const child = node.children[i];
      if (name !== '*' && (child.kind !== 'element' || !isCalled(child, name))) continue;
      // All but the first of that name go.
      if (first >= 0) remove(node.children, first);
      first = i;
    }
    const nodes = contentOf(value);
    if (first < 0) {
      first = node.children.length;
      adopt(node, first, element(name === '*' ? 'text' : name));
    }
    if (nodes !== undefined) replaceAt(node, first, nodes);
    else if (name === '*') setText(node, text(value));
    else setText(node.children[first], text(value));
  };

  // Makes what a list was read as, if it is not there.
  const resolve = (inner) => {
    if (inner.nodes.length > 0) return inner;
    const { owner, property } = inner;
    if (owner === null || property === '*' || property[0] === '@') return undefined;
    const above = resolve(owner);
    if (above === undefined || above.nodes.length !== 1) return undefined;
    putOn(above.nodes[0], property, '');
    const made = member(above, property);
    for (let i = 0; i < made.nodes.length; i++) push(inner.nodes, made.nodes[i]);
    return inner;
  };

  const putMember = (inner, name, value) => {
    const there = resolve(inner);
    if (there === undefined) return;
    if (there.nodes.length !== 1) throw new TypeError('One XML is wanted, and this is a list.');
    putOn(there.nodes[0], name, value);
  };

  const putIndex = (inner, index, value) => {
    const node = inner.nodes[index];
    if (node === undefined) {
      const above = inner.owner === null ? undefined : resolve(inner.owner);
      if (above === undefined || above.nodes.length !== 1 || inner.property[0] === '@') return;
      const parent = above.nodes[0];
      const made = element(inner.property);
      adopt(parent, parent.children.length, made);
      push(inner.nodes, made);
      const nodes = contentOf(value);
      if (nodes === undefined) setText(made, text(value));
      else replaceAt(parent, parent.children.length - 1, nodes);
      return;
    }
    const nodes = contentOf(value);
    if (node.kind !== 'element') node.value = text(value);
    else if (nodes === undefined) setText(node, text(value));
    else if (node.parent !== null) replaceAt(node.parent, positionOf(node.parent.children, node), nodes);
  };

  const removeNode = (node) => {
    if (node.parent === null) return;
    const items = node.kind === 'attribute' ? node.parent.attributes : node.parent.children;
    const at = positionOf(items, node);
    if (at >= 0) remove(items, at);
    node.parent = null;
  };

  const contains = (ancestor, node) => {
    for (let at = node; at !== null; at = at.parent) if (at === ancestor) return true;
    return false;
  };

  // What may be put into `target`: texts, and nodes that are nobody else's.
  const piecesFrom = (value, target) => {
    const inner = innerOf(value);
    const pieces = list();
    if (inner === undefined) {
      push(pieces, text(value));
      return pieces;
    }
    for (let i = 0; i < inner.nodes.length; i++) {
      const node = inner.nodes[i];
      if (node.kind !== 'element') push(pieces, node.value);
      else push(pieces, node.parent !== null || contains(node, target) ? copyOf(node) : node);
    }
    return pieces;
  };

  const insertInto = (node, at, value) => {
    const pieces = piecesFrom(value, node);
    for (let i = 0; i < pieces.length; i++) {
      const piece = typeof pieces[i] === 'string' ? plain('text', null, pieces[i]) : pieces[i];
      adopt(node, at + i, piece);
    }
  };

  // Adds the pieces of a literal to an element.
  const fillWith = (node, values) => {
    const pieces = list();
    for (let i = 0; i < values.length; i++) {
      const more = piecesFrom(values[i], node);
      for (let j = 0; j < more.length; j++) push(pieces, more[j]);
    }
    return fill(node, pieces);
  };

  // Methods. Each takes what the value stands for, and the arguments.

  const single = (inner) => {
    if (inner.nodes.length !== 1) throw new TypeError('One XML is wanted, and this is a list.');
    return inner.nodes[0];
  };

  const select = (inner, wanted) => {
    const found = list();
    for (let i = 0; i < inner.nodes.length; i++) {
      const { children } = inner.nodes[i];
      for (let j = 0; j < children.length; j++) if (wanted(children[j])) push(found, children[j]);
    }
    return shown(listOf(found, null, null));
  };

  const named = (name) => (name === undefined ? '*' : text(name));

  const appended = (inner, at, value) => {
    const node = single(inner);
    if (node.kind === 'element') insertInto(node, at(node.children), value);
    return shown(inner);
  };

  const besides = (inner, other, value, shift) => {
    const node = single(inner);
    const mark = innerOf(other);
    const found = mark === undefined ? -1 : positionOf(node.children, mark.nodes[0]);
    if (found < 0 && mark !== undefined) return undefined;
    insertInto(node, found < 0 ? (shift > 0 ? 0 : node.children.length) : found + shift, value);
    return shown(inner);
  };

  const methods = {
    __proto__: null,
    appendChild: (inner, value) => appended(inner, (children) => children.length, value),
    prependChild: (inner, value) => appended(inner, () => 0, value),
    insertChildAfter: (inner, other, value) => besides(inner, other, value, 1),
    insertChildBefore: (inner, other, value) => besides(inner, other, value, 0),
    addNamespace: (inner) => shown(inner),
    attribute: (inner, name) => shown(member(inner, '@' + text(name))),
    attributes: (inner) => shown(member(inner, '@*')),
    child: (inner, name) => {
      if (matches(INDEX, text(name)) === null) return shown(member(inner, text(name)));
      const found = list();
      for (let i = 0; i < inner.nodes.length; i++) {
        const node = inner.nodes[i].children[name];
        if (node !== undefined) push(found, node);
      }
      return shown(listOf(found, null, null));
    },
    childIndex: (inner) => {
      const node = single(inner);
      return node.parent === null ? -1 : positionOf(node.parent.children, node);
    },
    children: (inner) => shown(member(inner, '*')),
    comments: (inner) => select(inner, () => false),
    contains: (inner, value) => {
      const other = innerOf(value);
      if (other === undefined) return allText(inner.nodes) === text(value);
      for (let i = 0; i < inner.nodes.length; i++) {
        if (allMarkup([inner.nodes[i]]) === allMarkup(other.nodes)) return true;
      }
      return false;
    },
    copy: (inner) => {
      const copies = list();
      for (let i = 0; i < inner.nodes.length; i++) push(copies, copyOf(inner.nodes[i]));
      return shown(listOf(copies, null, null));
    },
    descendants: (inner, name) => {
      const found = list();
      for (let i = 0; i < inner.nodes.length; i++) {
        collectDescendants(inner.nodes[i], named(name), found);
      }
      return shown(listOf(found, null, null));
    },
    elements: (inner, name) => select(inner, (node) => (
      node.kind === 'element' && isCalled(node, named(name)))),
    hasComplexContent: (inner) => !hasSimpleContent(inner.nodes),
    hasSimpleContent: (inner) => hasSimpleContent(inner.nodes),
    length: (inner) => inner.nodes.length,
    localName: (inner) => {
      const { name } = single(inner);
      return name === null ? null : localName(name);
    },
    name: (inner) => single(inner).name,
    nodeKind: (inner) => single(inner).kind,
    normalize: (inner) => shown(inner),
    parent: (inner) => {
      const above = inner.nodes.length === 0 ? null : inner.nodes[0].parent;
      return above === null ? undefined : shown(one(above));
    },
    processingInstructions: (inner) => select(inner, () => false),
    replace: (inner, name, value) => {
      if (matches(INDEX, text(name)) === null) putMember(inner, text(name), value);
      else putIndex(member(inner, '*'), text(name), value);
      return shown(inner);
    },
    setChildren: (inner, value) => {
      const node = single(inner);
      node.children.length = 0;
      insertInto(node, 0, value);
      return shown(inner);
    },
    setLocalName: (inner, name) => { single(inner).name = text(name); },
    setName: (inner, name) => { single(inner).name = text(name); },
    text: (inner) => select(inner, (node) => node.kind === 'text'),
    toJSON: (inner) => allText(inner.nodes),
    toString: (inner) => allText(inner.nodes),
    toXMLString: (inner) => allMarkup(inner.nodes),
    valueOf: (inner) => shown(inner),
  };
  // Nobody names an element so, and the engine wants functions.
  const ALWAYS_METHODS = { __proto__: null, toJSON: 1, toString: 1, toXMLString: 1, valueOf: 1 };

  // Proxies.

  const itemAt = (inner, index) => {
    const node = inner.nodes[index];
    return node === undefined ? undefined : shown(one(node));
  };

  const symbolMember = (inner, symbol) => {
    if (symbol === Symbol.toPrimitive) {
      return (hint) => (hint === 'number' ? Number(allText(inner.nodes)) : allText(inner.nodes));
    }
    if (symbol === Symbol.toStringTag) return 'XML';
    if (symbol !== Symbol.iterator) return undefined;
    return function* items() {
      for (let i = 0; i < inner.nodes.length; i++) yield itemAt(inner, i);
    };
  };

  const handler = {
    __proto__: null,
    get(target, name) {
      const inner = lookUp(known, target);
      if (typeof name === 'symbol') return symbolMember(inner, name);
      if (matches(INDEX, name) !== null) return itemAt(inner, name);
      if (name === 'constructor') return XML;
      const method = methods[name];
      const call = method === undefined ? undefined
        : (first, second) => method(inner, first, second);
      return name in ALWAYS_METHODS ? call : shown(member(inner, name), call);
    },
    set(target, name, value) {
      if (typeof name === 'symbol') return false;
      const inner = lookUp(known, target);
      if (matches(INDEX, name) !== null) putIndex(inner, name, value);
      else putMember(inner, name, value);
      return true;
    },
    deleteProperty(target, name) {
      if (typeof name === 'symbol') return true;
      const inner = lookUp(known, target);
      const item = matches(INDEX, name) !== null;
      const gone = item ? [inner.nodes[name]] : member(inner, name).nodes;
      for (let i = 0; i < gone.length; i++) if (gone[i] !== undefined) removeNode(gone[i]);
      if (item && gone[0] !== undefined) remove(inner.nodes, Number(name));
      return true;
    },
    has(target, name) {
      if (typeof name === 'symbol') return false;
      const inner = lookUp(known, target);
      if (matches(INDEX, name) !== null) return inner.nodes[name] !== undefined;
      return member(inner, name).nodes.length > 0;
    },
    ownKeys(target) {
      const found = [];
      const { length } = lookUp(known, target).nodes;
      for (let i = 0; i < length; i++) defineProperty(found, i, itemOf(text(i)));
      return found;
    },
    getOwnPropertyDescriptor(target, name) {
      const value = typeof name === 'symbol' || matches(INDEX, name) === null ? undefined
        : itemAt(lookUp(known, target), name);
      return value === undefined ? undefined : itemOf(value);
    },
    defineProperty: () => false,
    preventExtensions: () => false,
    setPrototypeOf: () => false,
  };

  const itemOf = (value) => (
    { __proto__: null, value, writable: true, enumerable: true, configurable: true });

  // What users see of a list of nodes. `call` is the method of that name, if there is one.
  const shown = (inner, call) => {
    const target = call === undefined ? {} : (first, second) => call(first, second);
    setPrototypeOf(target, XML.prototype);
    const proxy = new Proxy(target, handler);
    enter(known, target, inner);
    enter(known, proxy, inner);
    return proxy;
  };

  // What old code calls.

  const sourceOf = (value) => (value === undefined || value === null ? '' : text(value));

  const XML = function XML(value) {
    const inner = innerOf(value);
    if (inner !== undefined) return new.target ? methods.copy(inner) : value;
    const nodes = parsed(sourceOf(value));
    if (nodes.length > 1) throw new TypeError('The text is a list of XML, and one is wanted.');
    if (nodes.length === 0) push(nodes, plain('text', null, ''));
    return shown(listOf(nodes, null, null));
  };

  const XMLList = function XMLList(value) {
    const inner = innerOf(value);
    if (inner !== undefined) return new.target ? methods.copy(inner) : value;
    return shown(listOf(parsed(sourceOf(value)), null, null));
  };
  XMLList.prototype = XML.prototype;

  const DEFAULTS = { __proto__: null, ...settings };
  const set = (values) => {
    for (const name in DEFAULTS) {
      const value = values === undefined || values === null ? DEFAULTS[name] : values[name];
      if (value !== undefined) settings[name] = value;
    }
  };
  for (const name in settings) {
    defineProperty(XML, name, {
      __proto__: null,
      get: () => settings[name],
      set: (value) => { settings[name] = value; },
      enumerable: true,
      configurable: true,
    });
  }
  XML.settings = () => ({ ...settings });
  XML.defaultSettings = () => ({ ...DEFAULTS });
  XML.setSettings = set;

  const $e4x = {
    __proto__: null,
    // `<name attribute="value">pieces</name>`; attributes are names and values in turn.
    element: (name, attributes, pieces) => {
      const node = element(text(name));
      for (let i = 0; i + 1 < attributes.length; i += 2) {
        setAttribute(node, text(attributes[i]), text(attributes[i + 1]));
      }
      return shown(one(fillWith(node, pieces)));
    },
    // `<>pieces</>`
    list: (pieces) => {
      const { children } = fillWith(element('*'), pieces);
      for (let i = 0; i < children.length; i++) children[i].parent = null;
      return shown(listOf(children, null, null));
    },
    // What `for each` goes through.
    each: function* each(value) {
      const inner = innerOf(value);
      if (inner === undefined) for (const name in value) yield value[name];
      else for (let i = 0; i < inner.nodes.length; i++) yield itemAt(inner, i);
    },
    // `left + right`, which joins XML to a list.
    add: (left, right) => {
      const first = innerOf(left);
      const second = innerOf(right);
      if (first === undefined || second === undefined) return left + right;
      const joined = list();
      for (let i = 0; i < first.nodes.length; i++) push(joined, first.nodes[i]);
      for (let i = 0; i < second.nodes.length; i++) push(joined, second.nodes[i]);
      return shown(listOf(joined, null, null));
    },
  };

  const hidden = (name, value) => defineProperty(globalThis, name,
    { __proto__: null, value, writable: true, enumerable: false, configurable: true });
  hidden('$e4x', $e4x);
  hidden('XML', XML);
  hidden('XMLList', XMLList);

  return { __proto__: null, ...base, isXml: (value) => innerOf(value) !== undefined };
})
