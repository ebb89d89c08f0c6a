// The page from the program itself, with its demo model: that the two fit together.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { launch, open } from './browser.mjs'

const root = new URL('../..', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'baleen-page-'))
const program = join(folder, 'baleen')
const started = []
let browser
let address

before(async () => {
  execFileSync('go', ['build', '-o', program, './cmd/baleen'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  address = await serve()
  browser = await launch()
})

after(async () => {
  await browser?.close()
  for (const baleen of started) baleen.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

/** Starts the program with the demo model on a free port; gives its address. */
function serve(...flags) {
  const baleen = spawn(program, ['serve', 'demo', '--addr', '127.0.0.1:0', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
  started.push(baleen)
  return ready(baleen)
}

/** The address that the program says it is ready at. */
function ready(program) {
  return new Promise((resolve, reject) => {
    const lines = []
    for (const stream of [program.stdout, program.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line)
        const found = /ready: (http:\S+)/.exec(line)
        if (found) resolve(`${found[1]}/`)
      })
    }
    program.on('exit', (code) => reject(new Error(`baleen serve ended with ${code}:\n${lines.join('\n')}`)))
  })
}

test('the demo model answers, is limited, goes on, and the live panel follows', async (t) => {
  const r = await open(t, browser, address)
  await r.page.getByText('demo is listening.').waitFor()
  await r.ask('Tell me a story about a boat. '.repeat(30)) // more than a page, however short the answer is
  await r.sees(r.answers, /\w+ \w+ \w+[^]*\d+ tokens · .*first after/)
  const panel = r.page.getByRole('tabpanel', { name: 'Live' })
  await panel.getByRole('img', { name: /ms per token: Weights \d+ %/ }).waitFor()
  await r.sees(panel, /Weights\s*10\.\d MiB/)
  await r.page.getByRole('tab', { name: 'Prompt and sampling' }).click()
  await r.page.getByLabel('Most tokens').fill('6')
  await r.page.getByLabel('Temperature').fill('0')
  await r.ask('Tell me a story about a whale.')
  await r.sees(r.answers, 'Ended at the limit of tokens.')
  await r.sees(r.answers, /\d+ of \d+ cached/)
  const begun = (await r.answers.last().locator('.prose').innerText()).trim()
  await r.button('Continue').click()
  await r.quiet()
  const whole = (await r.answers.last().locator('.prose').innerText()).trim()
  assert.ok(whole.startsWith(begun) && whole.length > begun.length, `“${whole}” goes on with “${begun}”`)
})

test('a refusal of the server is told', async (t) => {
  const r = await open(t, browser, address, { allowed: [/status of 4/] })
  await r.field.fill('whale '.repeat(5000))
  await r.page.keyboard.press('Enter')
  await r.sees(r.page.getByRole('alert'), 'This conversation is longer than the model can read.')
})

test('the program’s key is entered in the page', async (t) => {
  const keys = join(folder, 'keys')
  writeFileSync(keys, 'a-key-of-the-test-0123456789\n', { mode: 0o600 })
  const locked = await serve('--api-key-file', keys)
  const r = await open(t, browser, locked, { allowed: [/status of 401/] })
  await r.button('Enter a key').click()
  await r.page.getByLabel('API key').fill('a-key-of-the-test-0123456789')
  await r.page.keyboard.press('Enter')
  await r.page.getByText('Connected: demo.').waitFor()
  await r.page.keyboard.press('Escape')
  await r.ask('Hello')
  await r.sees(r.answers, /\d+ tokens/)
  await r.page.getByRole('button', { name: /Live: (idle|[\d.]+ tokens)/ }).waitFor()
})
