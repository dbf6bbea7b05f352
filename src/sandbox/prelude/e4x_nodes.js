// The nodes of XML values: their text, and the reading of texts. `e4x.js` shows them to users.
//
// Left out of the standard (ECMA-357): namespaces other than as attributes and prefixes, and
// comments and processing instructions, which are dropped as by the standard's settings.
(function (host, base) {
  'use strict';
  const { list } = base;
  const { Number, SyntaxError } = globalThis;
  const uncurried = Function.prototype.bind.bind(Function.prototype.call);
  const slice = uncurried(String.prototype.slice);
  const indexOf = uncurried(String.prototype.indexOf);
  const trim = uncurried(String.prototype.trim);
  const matches = uncurried(RegExp.prototype.exec);
  const { fromCodePoint } = String;
  const BLANK = /^[ \t\r\n]*$/;
  const NAME = /^[^\s<>&"'/=!?{}@*]+/;
  const ENTITY = /^&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot|apos));/;
  const ENTITIES = { __proto__: null, lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
  // Nesting that the engine's stack can bear.
  const DEPTH_MAX = 500;

  // What users set as members of `XML`.
  const settings = {
    __proto__: null, ignoreComments: true, ignoreProcessingInstructions: true,
    ignoreWhitespace: true, prettyPrinting: true, prettyIndent: 2,
  };

  // Nodes: elements have `attributes` and `children`, texts and attributes a `value`.
  const element = (name) => (
    { __proto__: null, kind: 'element', name, attributes: list(), children: list(), parent: null });
  const plain = (kind, name, value) => (
    { __proto__: null, kind, name, value, attributes: list(), children: list(), parent: null });

  const push = (items, item) => { items[items.length] = item; };

  const insert = (items, at, item) => {
    for (let i = items.length; i > at; i--) items[i] = items[i - 1];
    items[at] = item;
  };

  const remove = (items, at) => {
    for (let i = at; i + 1 < items.length; i++) items[i] = items[i + 1];
    items.length -= 1;
  };

  const positionOf = (items, item) => {
    for (let i = 0; i < items.length; i++) if (items[i] === item) return i;
    return -1;
  };

  const adopt = (parent, at, node) => {
    insert(parent.children, at, node);
    node.parent = parent;
  };

  const copyOf = (node) => {
    if (node.kind !== 'element') return plain(node.kind, node.name, node.value);
    const copy = element(node.name);
    for (let i = 0; i < node.attributes.length; i++) {
      const { name, value } = node.attributes[i];
      setAttribute(copy, name, value);
    }
    for (let i = 0; i < node.children.length; i++) adopt(copy, i, copyOf(node.children[i]));
    return copy;
  };

  const setAttribute = (node, name, value) => {
    for (let i = 0; i < node.attributes.length; i++) {
      if (node.attributes[i].name === name) {
        node.attributes[i].value = value;
        return;
      }
    }
    const attribute = plain('attribute', name, value);
    attribute.parent = node;
    push(node.attributes, attribute);
  };

  // Texts.

  const escapeText = (value) => {
    let out = '';
    for (let i = 0; i < value.length; i++) {
      const c = value[i];
      out += c === '&' ? '&amp;' : c === '<' ? '&lt;' : c === '>' ? '&gt;' : c;
    }
    return out;
  };

  const ATTRIBUTE_ESCAPES = {
    __proto__: null, '"': '&quot;', '<': '&lt;', '&': '&amp;', '\n': '&#xA;', '\r': '&#xD;',
    '\t': '&#x9;',
  };

  const escapeAttribute = (value) => {
    let out = '';
    for (let i = 0; i < value.length; i++) out += ATTRIBUTE_ESCAPES[value[i]] || value[i];
    return out;
  };

  const isPretty = () => settings.prettyPrinting !== false;

  const indentation = (depth) => {
    if (!isPretty()) return '';
    const width = typeof settings.prettyIndent === 'number' ? settings.prettyIndent : 2;
    let out = '';
    for (let i = 0; i < depth * width && i < DEPTH_MAX; i++) out += ' ';
    return out;
  };

  const shownText = (node) => escapeText(isPretty() ? trim(node.value) : node.value);

  const markup = (node, depth) => {
    const indent = indentation(depth);
    if (node.kind === 'attribute') return escapeAttribute(node.value);
    if (node.kind === 'text') return indent + shownText(node);
    let out = `${indent}<${node.name}`;
    for (let i = 0; i < node.attributes.length; i++) {
      const { name, value } = node.attributes[i];
      out += ` ${name}="${escapeAttribute(value)}"`;
    }
    const { children } = node;
    if (children.length === 0) return out + '/>';
    if (children.length === 1 && children[0].kind === 'text') {
      return `${out}>${shownText(children[0])}</${node.name}>`;
    }
    const lineBreak = isPretty() ? '\n' : '';
    out += '>';
    for (let i = 0; i < children.length; i++) out += lineBreak + markup(children[i], depth + 1);
    return `${out}${lineBreak}${indent}</${node.name}>`;
  };

  const isSimple = (node) => {
    for (let i = 0; i < node.children.length; i++) {
      if (node.children[i].kind === 'element') return false;
    }
    return true;
  };

  const nodeText = (node) => {
    if (node.kind !== 'element') return node.value;
    if (!isSimple(node)) return markup(node, 0);
    let out = '';
    for (let i = 0; i < node.children.length; i++) out += node.children[i].value;
    return out;
  };

  const allMarkup = (nodes) => {
    let out = '';
    for (let i = 0; i < nodes.length; i++) out += (i > 0 ? '\n' : '') + markup(nodes[i], 0);
    return out;
  };

  const hasSimpleContent = (nodes) => {
    if (nodes.length === 1) return isSimple(nodes[0]);
    for (let i = 0; i < nodes.length; i++) if (nodes[i].kind === 'element') return false;
    return true;
  };

  const allText = (nodes) => {
    if (!hasSimpleContent(nodes)) return allMarkup(nodes);
    let out = '';
    for (let i = 0; i < nodes.length; i++) out += nodeText(nodes[i]);
    return out;
  };

  // Reading.

  const localName = (name) => slice(name, indexOf(name, ':') + 1);
  const isCalled = (node, name) => name === '*' || node.name === name
    || (node.kind !== 'attribute' && node.kind !== 'text' && localName(node.name) === name);
  const declares = (name) => name === 'xmlns' || indexOf(name, 'xmlns:') === 0;

  const collect = (node, name, found) => {
    if (name[0] === '@') {
      const wanted = slice(name, 1);
      for (let i = 0; i < node.attributes.length; i++) {
        const attribute = node.attributes[i];
        if (!declares(attribute.name) && isCalled(attribute, wanted)) push(found, attribute);
      }
      return;
    }
    for (let i = 0; i < node.children.length; i++) {
      const child = node.children[i];
      if (name === '*' || (child.kind === 'element' && isCalled(child, name))) push(found, child);
    }
  };

  const collectDescendants = (node, name, found) => {
    if (name[0] === '@') collect(node, name, found);
    for (let i = 0; i < node.children.length; i++) {
      const child = node.children[i];
      if (name === '*' || (child.kind === 'element' && isCalled(child, name))) push(found, child);
      collectDescendants(child, name, found);
    }
  };

  // Filling and parsing.

  const isBlank = (value) => settings.ignoreWhitespace !== false && matches(BLANK, value) !== null;

  // Adds pieces, which are texts and nodes; texts that stand side by side become one.
  const fill = (node, pieces) => {
    let open = '';
    const close = () => {
      if (open !== '' && !isBlank(open)) {
        adopt(node, node.children.length, plain('text', null, open));
      }
      open = '';
    };
    for (let i = 0; i < pieces.length; i++) {
      if (typeof pieces[i] === 'string') open += pieces[i];
      else {
        close();
        adopt(node, node.children.length, pieces[i]);
      }
    }
    close();
    return node;
  };

  const parser = (source) => {
    let at = 0;
    const wrong = (why) => { throw new SyntaxError(`${why} in XML at ${at}`); };
    const rest = (length) => slice(source, at, at + length);
    const skipTo = (end) => {
      const found = indexOf(source, end, at);
      if (found < 0) wrong(`${end} is missing`);
      at = found + end.length;
      return found;
    };
    const skipBlanks = () => {
      while (at < source.length && matches(BLANK, source[at]) !== null) at++;
    };
    const name = () => {
      const found = matches(NAME, slice(source, at, at + 1000));
      if (found === null) return wrong('A name is missing');
      at += found[0].length;
      return found[0];
    };
    const entity = () => {
      const found = matches(ENTITY, rest(12));
      if (found === null) return wrong('An entity is unknown');
      at += found[0].length;
      if (found[3] !== undefined) return ENTITIES[found[3]];
      const code = found[1] === undefined ? Number(found[2]) : Number('0x' + found[1]);
      return code > 0x10ffff ? wrong('A character is unknown') : fromCodePoint(code);
    };
    const textUntil = (end) => {
      let out = '';
      while (at < source.length && source[at] !== end) {
        if (source[at] === '&') out += entity();
        else out += source[at++];
      }
      return out;
    };
    const attributes = (node) => {
      for (;;) {
        skipBlanks();
        if (source[at] === '>' || source[at] === '/' || at >= source.length) return;
        const called = name();
        skipBlanks();
        if (source[at++] !== '=') wrong('= is missing');
        skipBlanks();
        const quote = source[at++];
        if (quote !== '"' && quote !== "'") wrong('A quote is missing');
        const value = textUntil(quote);
        if (source[at++] !== quote) wrong('A quote is missing');
        setAttribute(node, called, value);
      }
    };
    const elementHere = (depth) => {
      if (depth > DEPTH_MAX) wrong('Too many elements are nested');
      at++;
      const node = element(name());
      attributes(node);
      if (rest(2) === '/>') {
        at += 2;
        return node;
      }
      if (source[at++] !== '>') wrong('> is missing');
      fill(node, content(depth + 1));
      if (rest(2) !== '</') wrong(`</${node.name}> is missing`);
      at += 2;
      if (name() !== node.name) wrong(`</${node.name}> is missing`);
      skipBlanks();
      if (source[at++] !== '>') wrong('> is missing');
      return node;
    };
    const content = (depth) => {
      const pieces = list();
      while (at < source.length && rest(2) !== '</') {
        if (rest(4) === '<!--') skipTo('-->');
        else if (rest(2) === '<?') skipTo('?>');
        else if (rest(9) === '<![CDATA[') {
          at += 9;
          const begin = at;
          push(pieces, slice(source, begin, skipTo(']]>')));
        } else if (rest(2) === '<!') skipTo('>');
        else if (source[at] === '<') push(pieces, elementHere(depth));
        else push(pieces, textUntil('<'));
      }
      return pieces;
    };
    const whole = () => {
      const { children } = fill(element('*'), content(0));
      if (at < source.length) wrong('Something follows the end');
      return children;
    };
    return whole;
  };

  // The nodes that a text has.
  const parsed = (source) => {
    const nodes = parser(source)();
    for (let i = 0; i < nodes.length; i++) nodes[i].parent = null;
    return nodes;
  };

  const nodes = {
    __proto__: null, adopt, allMarkup, allText, collect, collectDescendants, copyOf, element, fill,
    hasSimpleContent, isCalled, localName, nodeText, parsed, plain, positionOf, push, remove,
    setAttribute, settings,
  };
  return { __proto__: null, ...base, nodes };
})
