function (newDoc, oldDoc, userCtx, secObj) {
  // What documents of the users database must look like, and who may write them.
  function demand(condition, reason) {
    if (!condition) throw({forbidden: reason});
  }
  function has(list, element) {
    return Boolean(list) && list.indexOf(element) !== -1;
  }
  function sorted(list) {
    return JSON.stringify(list.slice().sort());
  }
  var admins = (secObj && secObj.admins) || {};
  var isServerAdmin = has(userCtx.roles, '_admin');
  var isAdmin = isServerAdmin || has(admins.names, userCtx.name) ||
    userCtx.roles.some(function (role) { return has(admins.roles, role); });
  var name = String(newDoc.name);
  var i;

  if (newDoc._deleted === true) {
    demand(isServerAdmin || (oldDoc && oldDoc.name === userCtx.name),
      'Only admins may delete other user docs.');
    return;
  }

  demand(newDoc.type === 'user', 'doc.type must be user');
  demand(newDoc.name, 'doc.name is required');
  demand(newDoc.roles, 'doc.roles must exist');
  demand(isArray(newDoc.roles), 'doc.roles must be an array');
  for (i = 0; i < newDoc.roles.length; i++) {
    demand(typeof newDoc.roles[i] === 'string', 'doc.roles can only contain strings');
  }
  demand(newDoc._id === 'org.couchdb.user:' + newDoc.name,
    'Doc ID must be of the form org.couchdb.user:name');
  demand(!oldDoc || oldDoc.name === newDoc.name, 'Usernames can not be changed.');

  demand(!newDoc.password_sha || newDoc.salt, 'Users with password_sha must have a salt.');
  demand(!newDoc.password_scheme ||
    has(['simple', 'pbkdf2', 'simple+pbkdf2'], newDoc.password_scheme),
    'Password scheme `' + newDoc.password_scheme + '` not supported.');
  if (newDoc.password_scheme === 'pbkdf2') {
    demand(typeof newDoc.iterations === 'number', 'iterations must be a number.');
    demand(typeof newDoc.derived_key === 'string', 'derived_key must be a string.');
  }

  if (!isAdmin && oldDoc) {
    demand(userCtx.name === newDoc.name, 'You may only update your own user document.');
    demand(sorted(newDoc.roles) === sorted(oldDoc.roles || []), 'Only _admin may edit roles');
  } else if (!isAdmin) {
    demand(newDoc.roles.length === 0, 'Only _admin may set roles');
  }

  for (i = 0; i < newDoc.roles.length; i++) {
    demand(newDoc.roles[i] === '_metrics' || newDoc.roles[i].charAt(0) !== '_',
      'No system roles (starting with underscore) in users db.');
  }
  demand(name.charAt(0) !== '_', 'Username may not start with underscore.');
  demand(name.indexOf(':') === -1, 'Character `:` is not allowed in usernames.');
}
