// What a person does on the page, in a real browser, against a server that says what it was asked.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { launch, open, waitUntil } from './browser.mjs'
import { half, markdown, start } from './fake.mjs'

let browser
let server

before(async () => {
  server = await start()
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await server?.close()
})

const refused = [/the server responded with a status of 4/]
const last = () => server.requests.at(-1)

test('an answer streams in, and what it took is told', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('Good morning')
  await r.sees(r.answers, 'You said “Good morning”, message 1.')
  await r.sees(r.answers, /\d+ tokens · .*first after .+ · 32 of 40 cached/)
  assert.equal(last().stream, true)
  assert.deepEqual(last().stream_options, { include_usage: true })
  assert.deepEqual(last().messages, [{ role: 'user', content: 'Good morning' }])
  await r.ask('And again')
  await r.sees(r.answers, 'message 2.')
  assert.equal(last().messages.length, 3)
  assert.match(await r.page.title(), /Good morning/)
})

test('an answer is whole however its bytes come', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('odd bytes')
  await r.sees(r.answers, 'Reykjavík ’ 鯨 🐋 end')
})

test('words are to be seen before the answer is complete', async (t) => {
  const r = await open(t, browser, server.address)
  await r.say('be slow')
  await r.sees(r.answers, 'word3')
  assert.ok(!(await r.answers.innerText()).includes('word399'))
})

test('Markdown is drawn, and no markup of a model’s own', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('some markdown')
  const answer = r.answers
  await answer.getByRole('heading', { name: 'Plates' }).waitFor()
  await r.sees(answer, /tokens · [\d.]+ a second/)
  assert.equal(await answer.getByRole('table').count(), 1)
  assert.equal(await answer.getByRole('listitem').count(), 3)
  assert.equal(await answer.getByRole('link', { name: 'link' }).getAttribute('href'), 'https://example.org/whale')
  assert.equal(await answer.getByRole('link').count(), 2) // the bad one is none
  assert.equal(await answer.locator('img, b, script').count(), 0)
  await answer.getByRole('button', { name: 'Copy code' }).click()
  const copied = await r.page.evaluate(() => navigator.clipboard.readText())
  assert.equal(copied, /```go\n([^]*?)```/.exec(markdown)[1])
})

test('what was drawn piece by piece is what is drawn at once', async (t) => {
  const r = await open(t, browser, server.address)
  await r.page.evaluate(() => {
    new MutationObserver(() => (window.drawn = document.querySelector('[aria-busy] .prose')?.innerHTML ?? window.drawn)).observe(document.body, {
      subtree: true,
      childList: true,
      characterData: true,
    })
  })
  await r.ask('some markdown')
  const whole = await r.answers.locator('.prose').evaluate((e) => e.innerHTML)
  assert.equal(await r.page.evaluate('drawn'), whole)
})

test('thinking is folded until it is opened', async (t) => {
  const r = await open(t, browser, server.address)
  await r.say('please think')
  await r.sees(r.answers, 'Thinking')
  await r.quiet()
  await r.sees(r.answers, /Thought for \d/)
  assert.ok(!(await r.answers.innerText()).includes('consider'))
  await r.page.getByText(/Thought for/).click()
  await r.sees(r.answers, 'First I consider the whale.')
  await r.sees(r.answers, 'Thought through.')
})

test('an answer is stopped, kept, and gone on with', async (t) => {
  const r = await open(t, browser, server.address)
  await r.say('be slow')
  await r.sees(r.answers, 'word2')
  const request = last()
  await r.button('Stop').click()
  await r.sees(r.answers, 'Stopped.')
  await waitUntil(() => request.left === true, 'the server saw that nobody reads on')
  const before = await r.answers.locator('.prose').innerText()
  await r.button('Continue').click()
  await r.sees(r.answers, 'and goes on to the end.')
  await r.quiet()
  const said = last().messages.at(-1)
  assert.equal(said.prefix, true)
  assert.equal(said.content.trim(), before.trim())
  assert.equal(await r.answers.count(), 1)
})

test('an edited message is another version, and the first is not lost', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('One')
  await r.ask('Two')
  await r.messages.first().hover()
  await r.messages.first().getByRole('button', { name: 'Edit message' }).click()
  const editor = r.page.getByRole('form', { name: 'Edit message' }).getByRole('textbox')
  await editor.fill('Three')
  await editor.press('Enter')
  await r.sees(r.answers, 'You said “Three”, message 1.')
  await r.quiet()
  assert.equal(await r.messages.count(), 1)
  await r.sees(r.messages, '2 / 2')
  await r.button('Version before').click()
  await r.sees(r.answers, 'You said “Two”, message 2.')
  assert.equal(await r.messages.count(), 2)
})

test('a second try is another version of the answer', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('Hello')
  await r.button('Try again').click()
  await r.sees(r.answers, '2 / 2')
  assert.deepEqual(last().messages, [{ role: 'user', content: 'Hello' }])
  await r.button('Version before').click()
  await r.sees(r.answers, '1 / 2')
})

test('a branch is a conversation of its own', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('One')
  await r.ask('Two')
  await r.answers.first().hover()
  await r.answers.first().getByRole('button', { name: 'Branch into a new conversation' }).click()
  await r.page.getByRole('heading', { name: 'One (branch)' }).waitFor()
  assert.equal(await r.messages.count(), 1)
  await r.ask('Other')
  await r.sees(r.answers, 'message 2.')
  await r.list.getByRole('button', { name: 'One', exact: true }).click()
  await r.sees(r.answers, 'You said “Two”')
})

test('a reload keeps what was said, also in the middle of an answer', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('Remember me')
  await r.say('now be slow')
  await r.sees(r.answers, 'word99') // longer than the page waits before it keeps a part
  await r.page.reload()
  await r.sees(r.messages, 'Remember me')
  await r.sees(r.answers, 'word9')
  await r.sees(r.answers, 'The page was closed while this was written.')
  await r.list.getByRole('button', { name: 'Remember me', exact: true }).waitFor()
})

test('an answer goes on while another conversation is on show', async (t) => {
  const r = await open(t, browser, server.address)
  await r.say('think for me')
  await r.sees(r.answers, 'Thinking')
  await r.button('New conversation').click()
  await r.ask('Meanwhile')
  await r.sees(r.answers, 'You said “Meanwhile”, message 1.')
  await r.list.getByRole('button', { name: /think for me/ }).first().click()
  await r.quiet()
  await r.sees(r.answers, 'Thought through.')
})

test('tools: the calls are shown, and results given by hand', async (t) => {
  const r = await open(t, browser, server.address)
  await r.page.getByRole('tab', { name: 'Prompt and sampling' }).click()
  await r.page.getByLabel('Tools').fill('[{"name": "weather", "parameters": {"type": "object"}}]')
  await r.ask('use the tool')
  assert.equal(last().tools[0].function.name, 'weather')
  await r.sees(r.answers, '"city": "Reykjavík"')
  await r.page.getByLabel('Result of weather').first().fill('rain')
  await r.page.getByLabel('Result of weather').last().fill('snow')
  await r.button('Give results').click()
  await r.sees(r.answers, 'The tool said snow.')
  const [, asked, first, second] = last().messages
  assert.deepEqual(asked.tool_calls.map((c) => c.function.arguments), ['{"city":"Reykjavík"}', '{"city":"Tromsø"}'])
  assert.deepEqual([first, second], [
    { role: 'tool', tool_call_id: 'call_a', content: 'rain' },
    { role: 'tool', tool_call_id: 'call_b', content: 'snow' },
  ])
})

test('the system prompt and the sampling are sent, what is wrong is not', async (t) => {
  const r = await open(t, browser, server.address)
  await r.button('Prompt and sampling').click()
  const form = r.page.getByRole('form', { name: 'Prompt and sampling' })
  await form.getByLabel('System prompt').fill('Be brief.')
  await form.getByLabel('Temperature').fill('0.3')
  await form.getByLabel('Top p').fill('0.9')
  await form.getByLabel('Most tokens').fill('50')
  await form.getByLabel('Seed').fill('7')
  await form.getByLabel('Thinking').selectOption('High')
  await r.ask('Hello')
  const { messages, stream, stream_options, ...fields } = last()
  assert.deepEqual(messages[0], { role: 'system', content: 'Be brief.' })
  assert.deepEqual(fields, {
    model: 'demo', temperature: 0.3, top_p: 0.9, max_tokens: 50, seed: 7, thinking: { type: 'enabled' }, reasoning_effort: 'high', left: false,
  })
  await form.getByLabel('Temperature').fill('9')
  await r.sees(form, 'A number from 0 to 2.')
  await form.getByLabel('Thinking').selectOption('Off')
  await r.ask('Again')
  assert.equal(last().temperature, undefined)
  assert.deepEqual(last().thinking, { type: 'disabled' })
  await r.page.reload()
  assert.equal(await r.page.getByLabel('Message', { exact: true }).count(), 1)
  await r.button('Prompt and sampling').click()
  assert.equal(await form.getByLabel('System prompt').inputValue(), 'Be brief.')
})

test('trouble is told in plain words, and a failed try leaves nothing behind', async (t) => {
  const r = await open(t, browser, server.address, { allowed: [...refused, /ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION/] })
  await r.ask('you are busy')
  await r.sees(r.page.getByRole('alert'), 'The server is busy. Try again in 3 s.')
  await r.button('Try again').click()
  await r.quiet()
  assert.equal(await r.page.getByRole('group', { name: 'Versions' }).count(), 0)
  await r.ask('this is too long')
  await r.sees(r.page.getByRole('alert'), 'This conversation is longer than the model can read.')
  await r.ask('break it')
  await r.sees(r.answers, 'Half of it')
  await r.sees(r.page.getByRole('alert'), 'The connection broke before the answer was complete.')
  await r.ask('fail now')
  await r.sees(r.page.getByRole('alert'), 'engine: a fault was found')
  await r.ask('leave now')
  await r.sees(r.answers, 'Some of it')
  await r.sees(r.page.getByRole('alert'), 'The server is shutting down. Try again when it is back.')
  await r.ask('a short limit')
  await r.sees(r.answers, 'Ended at the limit of tokens.')
})

test('a key is asked for, entered, sent and kept', async (t) => {
  const locked = await start({ key: 'sesame' })
  const r = await open(t, browser, locked.address, { allowed: refused })
  t.after(() => locked.close())
  await r.sees(r.page.getByRole('alert'), 'The server wants an API key')
  await r.button('Enter a key').click()
  await r.page.getByLabel('API key').fill('sesame')
  await r.page.keyboard.press('Enter')
  await r.page.getByText('Connected: demo.').waitFor()
  await r.page.keyboard.press('Escape')
  await r.ask('Hello')
  await r.sees(r.answers, 'You said “Hello”')
  await r.page.reload()
  await r.page.getByText(/tokens\/s/).waitFor() // the live account wants the key too
  assert.equal(await r.page.getByRole('alert').count(), 0)
})

test('a server that comes back is found again', async (t) => {
  const first = await start()
  const port = Number(new URL(first.address).port)
  const r = await open(t, browser, first.address, { allowed: [/ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION/] })
  await r.ask('Hello')
  await first.close()
  await r.ask('Are you there?')
  await r.sees(r.answers, 'The server cannot be reached.')
  await r.page.getByRole('button', { name: 'Live: not heard' }).waitFor()
  const second = await start({ port })
  t.after(() => second.close())
  await r.page.getByText(/tokens\/s/).waitFor()
  await r.button('Try again').last().click()
  await r.sees(r.answers, 'You said “Are you there?”, message 2.')
})

test('the reading of a long prompt is shown as it goes', async (t) => {
  const r = await open(t, browser, server.address)
  await r.say('a long prompt')
  await r.sees(r.answers, /Reading 1,500 of 4,000 tokens/)
  const bar = r.page.getByRole('progressbar', { name: 'Prompt read' })
  assert.equal(await bar.getAttribute('max'), '4000')
  half.see()
  await r.quiet()
  await r.sees(r.answers, 'Read it all.')
})

test('the live panel shows where the time goes', async (t) => {
  const r = await open(t, browser, server.address)
  const panel = r.page.getByRole('tabpanel', { name: 'Live' })
  await r.sees(panel, 'tokens a second')
  await panel.getByRole('img', { name: /ms per token: Weights 7\d %, Attention 1\d %/ }).waitFor()
  await r.sees(panel, /of 4,096 tokens/)
  await panel.getByRole('img', { name: 'Prompt tokens answered from the cache: 75 %' }).waitFor()
  await panel.getByText('Part by part').click()
  await waitUntil(async () => (await panel.getByRole('row').count()) === 12, 'a row for each part')
  await panel.getByRole('row', { name: /routed experts/ }).waitFor()
  await r.sees(panel, /Weights\s*5\.22 GiB/)
  await r.page.getByRole('button', { name: /^Live:/ }).click()
  assert.equal(await panel.count(), 0)
})

test('conversations are renamed, deleted and brought back', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('Old name')
  await r.list.getByRole('listitem').hover()
  await r.button('Rename Old name').click()
  await r.page.getByLabel('Title').fill('New name')
  await r.page.keyboard.press('Enter')
  await r.list.getByRole('button', { name: 'New name', exact: true }).waitFor()
  await r.list.getByRole('listitem').hover()
  await r.button('Delete New name').click()
  await r.sees(r.list, 'Conversations are kept in this browser')
  await r.page.keyboard.press('Alt+z')
  await r.list.getByRole('button', { name: 'New name', exact: true }).click()
  await r.sees(r.answers, 'You said “Old name”')
})

test('back and forth through what was open', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('One')
  await r.button('New conversation').click()
  await r.ask('Two')
  await r.page.goBack()
  await r.sees(r.messages, 'One')
  await r.page.goForward()
  await r.sees(r.messages, 'Two')
  assert.equal(await r.messages.count(), 1)
})

test('what is exported can be imported, elsewhere too', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('Take me along')
  await r.button('Preferences').click()
  const [file] = await Promise.all([r.page.waitForEvent('download'), r.button('Export all').click()])
  const text = await readFile(await file.path(), 'utf8')
  await r.button('Delete all').click()
  await r.button('Delete 1: sure?').click()
  await r.sees(r.list, 'Conversations are kept in this browser')

  const other = await open(t, browser, server.address)
  const give = async (content) => {
    await other.button('Preferences').click()
    await other.page.getByLabel('File to import').setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from(content) })
  }
  await give(text)
  await other.page.getByText('Imported 1 conversation.').waitFor()
  await other.list.getByRole('button', { name: 'Take me along', exact: true }).click()
  await other.sees(other.answers, 'You said “Take me along”')
  const circle = JSON.parse(text)
  for (const m of Object.values(circle.conversations[0].messages)) m.parent ??= circle.conversations[0].tip
  for (const [bad, words] of [['{', 'That file is not JSON.'], ['{"a":1}', 'holds no conversations'], [JSON.stringify(circle), 'follows itself']]) {
    await give(bad)
    await other.page.getByText(words).waitFor()
  }
})

test('two tabs see each other’s conversations', async (t) => {
  const home = await browser.newContext()
  t.after(() => home.close())
  const one = await open(t, browser, server.address, { in: home })
  const two = await open(t, browser, server.address, { in: home })
  await one.ask('Said in one')
  await two.list.getByRole('button', { name: 'Said in one', exact: true }).click()
  await two.ask('Said in two')
  await one.sees(one.answers, 'You said “Said in two”, message 2.')
})
