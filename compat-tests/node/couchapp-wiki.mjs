// The wiki of fixtures/couchapps, pushed by npm's couchapp into the database named by the second argument:
// shows, update functions, templates through `new Function`, rewrites with values that are no strings.
import assert from 'node:assert/strict'
import { check, finish, request, until } from './checks.mjs'

const db = process.argv[3]
const app = `/${db}/_design/wiki`
const get = async (path, headers = {}) => {
  const answer = await request('GET', path, { headers })
  return { status: answer.status, type: answer.headers.get('content-type'), body: await answer.text() }
}
const save = async (page, form) => {
  const answer = await request('POST', `${app}/_rewrite/save/${page}`, {
    body: new URLSearchParams(form).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' }
  })
  return { status: answer.status, headers: answer.headers, body: await answer.text() }
}

await check('a page that is not there yet', async () => {
  const { status, body } = await get(`${app}/_rewrite/FrontPage`)
  assert.deepEqual([status, body], [404, 'There is no FrontPage yet.'])
  const form = await get(`${app}/_rewrite/edit/FrontPage`)
  assert.match(form.body, /^<form method="post" action="\.\.\/\.\.\/_update\/save\/FrontPage"><textarea name="markup"><\/textarea>/)
})

await check('a form makes and edits a page', async () => {
  const made = await save('FrontPage', { markup: 'Welcome to the WikiOfThings.\n\nSee \'\'\'also\'\'\' HelpPage & more.', summary: 'first é' })
  assert.deepEqual([made.status, made.body, made.headers.get('x-edits')], [201, 'saved FrontPage', '1'])
  assert.equal(made.headers.get('x-couch-id'), 'FrontPage')
  const edited = await save('FrontPage', { markup: 'Welcome back. HelpPage and AnotherPage, HelpPage.', summary: 'second' })
  assert.deepEqual([edited.status, edited.headers.get('x-edits')], [200, '2'])
  const doc = await (await request('GET', `/${db}/FrontPage`)).json()
  assert.equal(edited.headers.get('x-couch-update-newrev'), doc._rev)
  assert.deepEqual(doc.log.map(({ summary, by }) => [summary, by]), [['first é', 'admin'], ['second', 'admin']])
  const empty = await save('FrontPage', { summary: 'nothing' })
  assert.deepEqual([empty.status, JSON.parse(empty.body)], [422, { error: 'empty', page: 'FrontPage' }])
})

await check('the page is shown through a compiled template', async () => {
  const { status, type, body } = await get(`${app}/_rewrite/`)
  assert.deepEqual([status, type], [200, 'text/html; charset=utf-8'])
  assert.match(body, /<title>Front Page<\/title>/)
  assert.match(body, /<div class="page">Welcome back. <a href="HelpPage">HelpPage<\/a> and <a href="AnotherPage">AnotherPage<\/a>/)
  assert.match(body, /<p>Revision 2 by admin<\/p><a href="AnotherPage">AnotherPage<\/a> <a href="HelpPage">HelpPage<\/a> <\/body>/)
  const again = await get(`${app}/_show/page/FrontPage`)
  assert.match(again.body, /Revision 2 by admin/)
  const raw = await get(`${app}/_show/page/FrontPage?raw=1`)
  assert.deepEqual([raw.type, raw.body], ['text/x-wiki; charset=utf-8', 'Welcome back. HelpPage and AnotherPage, HelpPage.'])
})

await check('lists and counts by rewrites whose values are booleans, numbers and objects', async () => {
  await save('HelpPage', { markup: 'Back to FrontPage.', summary: 'help' })
  const all = await get(`${app}/_rewrite/all`)
  assert.deepEqual([all.status, all.body], [200, '2 pages\n* HelpPage: help\n* FrontPage: second\n'])
  const count = await get(`${app}/_rewrite/count`)
  assert.deepEqual(JSON.parse(count.body).rows.map(({ value }) => value), [1, 1])
})

await check('links back, with the pages themselves', async () => {
  const { body } = await get(`${app}/_view/backlinks?key="HelpPage"&include_docs=true`)
  assert.deepEqual(JSON.parse(body).rows.map(({ id, doc }) => [id, doc.title]), [['FrontPage', 'FrontPage']])
})

await check('update functions without a document, and one that removes', async () => {
  const touched = await request('PUT', `${app}/_update/touch`)
  const { id, touched: times } = await touched.json()
  assert.deepEqual([touched.status, times], [201, 1])
  assert.match(id, /^[0-9a-f]{32}$/)
  const again = await request('PUT', `${app}/_update/touch/${id}`)
  assert.deepEqual(await again.json(), { id, touched: 2 })
  const removed = await request('POST', `${app}/_update/remove/${id}`)
  assert.equal(await removed.text(), `removed ${id}`)
  assert.equal((await request('GET', `/${db}/${id}`)).status, 404)
})

await check('what a function logs can be read by admins', async () => {
  const about = JSON.parse((await get(`${app}/_show/about?x=${db}`)).body)
  assert.deepEqual(about, { members: 'javascript', shows: ['about', 'form', 'page'] })
  await until('the line in the log', async () => (await get('/_log?bytes=100000')).body.includes(`"asked":["${db}"`))
})

await check('attachments lie beside the functions', async () => {
  const help = await get(`${app}/_rewrite/static/help.txt`)
  assert.deepEqual([help.status, help.body], [200, 'Pages are named LikeThis.\n'])
  const css = await get(`${app}/wiki.css`)
  assert.equal(css.type, 'text/css')
})

await finish()
