// The chat of fixtures/couchapps, pushed by the Python couchapp into the database named by the second argument:
// filters on continuous feeds, update functions, and the application itself in a browser.
import assert from 'node:assert/strict'
import puppeteer from 'puppeteer-core'
import { check, finish, request, server, until } from './checks.mjs'

const db = process.argv[3]
const app = `/${db}/_design/chat`
const origin = new URL(server).origin
// The page in the background must not sleep.
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding']
const BROWSER = process.env.SETTEE_CHROMIUM ?? '/usr/bin/chromium'

const say = async (room, text, extra = {}, id) => {
  const answer = await request('POST', id ? `${app}/_update/say/${id}` : `${app}/_rewrite/say`, { json: { room, text, ...extra } })
  return { status: answer.status, body: await answer.json() }
}

// Follows a continuous feed; `lines` fills as they come.
async function follow (query) {
  const aborter = new AbortController()
  const { authorization } = { authorization: 'Basic ' + Buffer.from('admin:adminpw').toString('base64') }
  const answer = await fetch(`${origin}/${db}/_changes?feed=continuous&heartbeat=1000&${query}`, { headers: { authorization }, signal: aborter.signal })
  assert.equal(answer.status, 200)
  const lines = []
  const reading = (async () => {
    let rest = ''
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split('\n')
      rest = parts.pop()
      lines.push(...parts.filter(Boolean).map((line) => JSON.parse(line)))
    }
  })().catch(() => {})
  return { lines, stop: async () => { aborter.abort(); await reading } }
}

await request('PUT', `/${db}/_security`, { json: { admins: { names: [], roles: [] }, members: { names: [], roles: [] } } })

await check('two rooms on two continuous feeds, each with what is said there', async () => {
  const lobby = await follow('filter=chat/in_room&room=lobby&include_docs=true')
  const garden = await follow('filter=chat/in_room&room=garden')
  const made = []
  for (let n = 0; n < 20; n += 1) {
    const { status, body } = await say(n % 4 ? 'lobby' : 'garden', `line ${n}`, { at: n })
    assert.equal(status, 201)
    made.push(body.id)
  }
  await until('15 lines in the lobby', () => lobby.lines.length >= 15)
  await until('5 lines in the garden', () => garden.lines.length >= 5)
  assert.deepEqual(lobby.lines.map(({ doc }) => doc.at), [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19])
  assert.deepEqual(garden.lines.map(({ id }) => id), made.filter((_, n) => n % 4 === 0))
  const edited = await say('lobby', 'said better', { at: 1 }, made[1])
  assert.equal(edited.status, 201)
  await until('the edit', () => lobby.lines.length === 16)
  assert.deepEqual([lobby.lines[15].doc.edited, lobby.lines[15].doc._rev.startsWith('2-')], [true, true])
  const { _rev } = lobby.lines[15].doc
  await request('DELETE', `/${db}/${made[1]}?rev=${_rev}`)
  await until('the removal on both', () => lobby.lines.length === 17 && garden.lines.length === 6)
  assert.equal(garden.lines[5].deleted, true)
  await Promise.all([lobby.stop(), garden.stop()])
})

await check('filters in the other kinds of feeds', async () => {
  const normal = await (await request('GET', `${app}/_rewrite/changes/garden`)).json()
  assert.equal(normal.results.length, 6)
  const since = normal.last_seq
  const waiting = request('GET', `/${db}/_changes?feed=longpoll&filter=chat/mentions&who=grace&since=${encodeURIComponent(since)}&timeout=20000`)
  await say('lobby', 'nothing for anybody')
  const { body } = await say('lobby', 'are you there, @grace?')
  assert.deepEqual((await (await waiting).json()).results.map(({ id }) => id), [body.id])
  const view = await (await request('GET', `/${db}/_changes?filter=_view&view=chat/messages`)).json()
  assert.equal(view.results.length, 21)
})

await check('the transcript of a room, and who was seen when', async () => {
  await say('hall', 'hello', { at: 100 })
  await say('hall', 'anyone?', { at: 101 })
  const transcript = await (await request('GET', `${app}/_rewrite/room/hall`)).text()
  assert.equal(transcript, 'admin: hello\nadmin: anyone?\n-- admin\n')
  const seen = await (await request('GET', `${app}/_rewrite/seen`)).json()
  assert.deepEqual(seen, { rows: [{ key: 'admin', value: 101 }] })
})

await check('words are validated', async () => {
  const long = await say('hall', 'x'.repeat(501))
  assert.deepEqual([long.status, long.body], [403, { error: 'forbidden', reason: 'Nobody wants to read that much at once.' }])
  const bad = await request('POST', `${app}/_rewrite/say`, { body: '{', headers: { 'content-type': 'application/json' } })
  assert.deepEqual([bad.status, await bad.json()], [400, { error: 'not_json' }])
})

await check('two browsers talk to each other', async () => {
  const browser = await puppeteer.launch({ executablePath: BROWSER, headless: true, args: FLAGS })
  try {
    const open = async (who) => {
      const page = await (await browser.createBrowserContext()).newPage()
      const errors = []
      page.on('pageerror', (error) => errors.push(String(error)))
      await page.goto(`${origin}${app}/_rewrite/?room=salon`)
      await page.waitForFunction("document.getElementById('state').textContent === 'connected'")
      await page.$eval('input[name=who]', (input, who) => { input.value = who }, who)
      return { page, errors }
    }
    const [ada, bob] = [await open('ada'), await open('bob')]
    const talk = (page) => page.$$eval('#talk li', (lines) => lines.map((line) => line.textContent))
    const type = async ({ page }, text) => {
      await page.type('input[name=text]', text)
      await page.click('button')
    }
    await type(ada, 'Good evening, Bob')
    await until('the greeting at Bob\'s', async () => (await talk(bob.page)).length === 1)
    await type(bob, 'Good evening, <b>Ada</b>')
    await until('the answer at Ada\'s', async () => (await talk(ada.page)).length === 2)
    for (const { page, errors } of [ada, bob]) {
      assert.deepEqual(await talk(page), ['ada: Good evening, Bob', 'bob: Good evening, <b>Ada</b>'])
      assert.deepEqual(errors, [])
    }
    await type(ada, 'x'.repeat(501))
    await ada.page.waitForFunction("document.getElementById('state').textContent.includes('that much at once')")
  } finally {
    await browser.close()
  }
})

await finish()
