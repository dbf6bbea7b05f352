// The names that CouchDB gives to design functions. A source is compiled before there is a
// document, a request or a module to load, so what would use one does nothing here; only
// statements in front of the function can tell.
function emit() {}
function log() {}
function provides() {}
function registerType() {}
function start() {}
function send() {}
function index() {}
function getRow() { return null; }
function isArray(value) { return Array.isArray(value); }
function toJSON(value) { return JSON.stringify(value); }
function sum(values) {
  var total = 0;
  for (var i in values) total += values[i];
  return total;
}
function require(name) {
  throw ["error", "invalid_require_path", "There are no modules yet: " + name];
}
