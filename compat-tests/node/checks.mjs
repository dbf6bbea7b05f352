// What every script here stands on: the server's address, named checks that print one line each, waiting for a
// condition with a deadline, and databases that are removed at the end. The address is the first argument:
//   node SCRIPT.mjs http://NAME:PASSWORD@HOST:PORT [more arguments]
// SETTEE_CHECKS=TEXT runs only the checks whose name contains TEXT.
import { randomBytes } from 'node:crypto'
import PouchDB from 'pouchdb'
import memoryAdapter from 'pouchdb-adapter-memory'

PouchDB.plugin(memoryAdapter)

export const server = process.argv[2]?.replace(/\/$/, '')
if (!server) {
  console.error('the first argument must be the address of the server')
  process.exit(2)
}

const SCRIPT_DEADLINE_MS = Number(process.env.SETTEE_SCRIPT_DEADLINE_MS ?? 240_000)
const remoteNames = []
let failed = 0
let passed = 0

setTimeout(() => {
  console.log(`the script did not end within ${SCRIPT_DEADLINE_MS} ms`)
  process.exit(3)
}, SCRIPT_DEADLINE_MS).unref()

let away = false

// While the server is away PouchDB leaves some requests that fail to nobody.
export function serverMayBeAway (may) {
  away = may
}

process.on('unhandledRejection', (error) => {
  if (away && ['ECONNRESET', 'ECONNREFUSED'].includes(error?.code)) return
  console.log('unhandled rejection:', error)
  process.exit(4)
})

export async function check (name, body) {
  if (!name.includes(process.env.SETTEE_CHECKS ?? '')) return
  const start = performance.now()
  try {
    await body()
    passed += 1
    console.log(`ok    ${name} (${Math.round(performance.now() - start)} ms)`)
  } catch (error) {
    failed += 1
    console.log(`FAILS ${name}\n${error?.stack ?? JSON.stringify(error)}`)
    for (const key of ['status', 'statusCode', 'reason', 'description']) {
      if (error?.[key] !== undefined) console.log(`      ${key}: ${error[key]}`)
    }
  }
}

// Removes what was made, prints the count and ends the process: open feeds must not keep it alive.
export async function finish () {
  for (const name of remoteNames) {
    await request('DELETE', `/${name}`).catch(() => {})
  }
  console.log(`${passed} checks passed, ${failed} failed`)
  process.exit(failed === 0 && passed > 0 ? 0 : 1)
}

// Polls `condition` until it returns something truthy, which is returned; throws after the deadline.
export async function until (what, condition, deadlineMs = 30_000) {
  const end = performance.now() + deadlineMs
  for (;;) {
    const found = await condition()
    if (found) return found
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export function freshName (label) {
  const name = `${label}-${randomBytes(6).toString('hex')}`
  remoteNames.push(name)
  return name
}

// A PouchDB on the server; `options` as PouchDB's constructor takes them.
export function remote (label, options = {}) {
  return new PouchDB(`${server}/${freshName(label)}`, options)
}

export function local (label) {
  return new PouchDB(`${label}-${randomBytes(6).toString('hex')}`, { adapter: 'memory' })
}

// A plain HTTP request with the credentials of the address; the answer is fetch's Response.
export function request (method, path, { json, body, headers = {} } = {}) {
  const url = new URL(server)
  if (url.username) {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
    headers = { authorization: `Basic ${Buffer.from(pair).toString('base64')}`, ...headers }
  }
  if (json !== undefined) {
    body = JSON.stringify(json)
    headers = { 'content-type': 'application/json', ...headers }
  }
  return fetch(url.origin + path, { method, body, headers })
}

// The error that `promise` must reject with, so that its fields can be looked at.
export async function failure (promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`expected a failure, got ${JSON.stringify(value)}`)
}

// The same `size` bytes for the same `seed`, not compressible.
export function noise (size, seed) {
  const bytes = Buffer.alloc(size)
  let state = seed >>> 0 || 1
  for (let at = 0; at < size; at += 1) {
    state ^= state << 13; state >>>= 0
    state ^= state >>> 17
    state ^= state << 5; state >>>= 0
    bytes[at] = state & 0xff
  }
  return bytes
}

// Readable text of at least `size` bytes that compresses well but is not one repeated line.
export function prose (size) {
  const lines = []
  for (let length = 0, n = 0; length < size; n += 1) {
    const line = `line ${n}: the quick brown fox jumps over ${n * 7919 % 104729} lazy dogs\n`
    lines.push(line)
    length += line.length
  }
  return Buffer.from(lines.join(''))
}

export function numberedDocs (count, prefix = 'doc') {
  return Array.from({ length: count }, (_, n) => ({
    _id: `${prefix}-${String(n).padStart(6, '0')}`,
    number: n,
    even: n % 2 === 0,
    text: `document number ${n}`
  }))
}

// id -> rev of every live document, to compare two databases.
export async function revisions (db) {
  // Not by allDocs: in PouchDB's memory adapter it leaves out ids such as those in Japanese.
  const { results } = await db.changes({ since: 0, return_docs: true })
  const living = results.filter((row) => !row.deleted)
  return Object.fromEntries(living.map((row) => [row.id, row.changes[0].rev]).sort())
}

export { PouchDB }
