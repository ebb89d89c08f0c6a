// That everybody can use the page: by keyboard, on a narrow screen, in the dark, with a screen reader.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { launch, open, waitUntil } from './browser.mjs'
import { start } from './fake.mjs'

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

test('everything can be done with the keyboard', async (t) => {
  const r = await open(t, browser, server.address)
  const { keyboard } = r.page
  await r.page.waitForFunction(() => document.activeElement?.tagName === 'TEXTAREA')
  await keyboard.type('First')
  await keyboard.press('Shift+Enter')
  await keyboard.type('line two')
  await keyboard.press('Enter')
  await r.quiet()
  assert.equal(last().messages[0].content, 'First\nline two')
  await keyboard.press('ArrowUp')
  await keyboard.type(' edited')
  await keyboard.press('Enter')
  await r.sees(r.answers, 'line two edited')
  await r.quiet()
  await keyboard.press('Alt+r')
  await r.sees(r.answers, '2 / 2')
  await r.quiet()
  await keyboard.press('Alt+n')
  await keyboard.type('some markdown')
  await keyboard.press('Enter')
  await r.quiet()
  const top = () => r.page.evaluate(() => document.querySelector('.scroll').scrollTop)
  await r.page.setViewportSize({ width: 1280, height: 500 })
  await waitUntil(async () => (await top()) > 0, 'the end is in view')
  for (let i = 0; i < 4; i++) await keyboard.press('PageUp')
  await waitUntil(async () => (await top()) === 0, 'the beginning is in view')
  await r.button('To the end').waitFor()
  await keyboard.press('PageDown')
  await waitUntil(async () => (await top()) > 0, 'the end is in view again')
  await keyboard.press('Alt+n')
  await keyboard.type('be slow')
  await keyboard.press('Enter')
  await r.sees(r.answers, 'word1')
  await keyboard.press('Escape')
  await r.sees(r.answers, 'Stopped.')
  await keyboard.press('Alt+ArrowDown')
  await r.sees(r.answers, 'Plates')
  await keyboard.press('Alt+ArrowDown')
  await r.sees(r.answers, 'line two edited')
  await keyboard.press('Alt+k')
  await keyboard.type('slow')
  await waitUntil(async () => (await r.list.getByRole('listitem').count()) === 1, 'only the one that was sought is left')
  await keyboard.press('Tab')
  await keyboard.press('Enter')
  await r.sees(r.answers, 'Stopped.')
  await keyboard.press('Alt+k')
  await keyboard.press('Escape')
  await waitUntil(async () => (await r.list.getByRole('listitem').count()) === 3, 'all are back')
  await keyboard.press('Alt+h')
  await r.page.getByRole('dialog', { name: 'Keyboard' }).waitFor()
  await keyboard.press('Escape')
  assert.equal(await r.page.getByRole('dialog').count(), 0)
  await keyboard.press('Alt+p')
  await r.page.getByRole('form', { name: 'Prompt and sampling' }).waitFor()
  await keyboard.press('Alt+p')
  await keyboard.press('Alt+b')
  assert.equal(await r.list.count(), 0)
})

test('every button is reached with the tabulator, and seen when it is', async (t) => {
  const r = await open(t, browser, server.address)
  await r.ask('Hello')
  const reached = new Set()
  await r.page.evaluate(() => document.activeElement.blur())
  for (let i = 0; i < 60; i++) {
    await r.page.keyboard.press('Tab')
    reached.add(await r.page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()))
    const faint = await r.page.evaluate(() => {
      for (let e = document.activeElement; e; e = e.parentElement) if (getComputedStyle(e).opacity < 0.4 && !e.disabled) return e.className
    })
    if (faint) await waitUntil(() => r.page.evaluate(() => getComputedStyle(document.activeElement.closest('.actions') ?? document.body).opacity === '1'), `${faint} is seen`)
  }
  for (const name of ['New conversation', 'Rename Hello', 'Delete Hello', 'Edit message', 'Try again', 'Branch into a new conversation', 'Message', 'Preferences', 'Live']) {
    assert.ok(reached.has(name), `${name} is reached, of ${[...reached].join(', ')}`)
  }
})

test('a narrow screen: nothing is wider than it, and the sides are drawers', async (t) => {
  const r = await open(t, browser, server.address, { context: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true } })
  await r.ask('some markdown')
  const wide = await r.page.evaluate(() =>
    [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('pre, .scroller')).map((e) => e.outerHTML.slice(0, 80)),
  )
  assert.deepEqual(wide, [])
  const overflow = () => [document.documentElement, document.querySelector('.scroll')].map((e) => e.scrollWidth - e.clientWidth)
  assert.deepEqual(await r.page.evaluate(overflow), [0, 0])
  await r.button('List of conversations').tap()
  await r.list.waitFor()
  await r.page.getByRole('complementary', { name: 'List of conversations' }).getByRole('button', { name: 'New conversation' }).tap()
  assert.equal(await r.list.count(), 0)
  await r.page.getByRole('button', { name: /^Live:/ }).tap()
  await r.sees(r.page.getByRole('tabpanel'), 'tokens a second')
  await r.page.keyboard.press('Escape')
  assert.equal(await r.page.getByRole('tabpanel').count(), 0)
  assert.match(await r.page.evaluate(() => document.activeElement.textContent), /Live/)
})

test('colours follow the system, or the choice', async (t) => {
  const r = await open(t, browser, server.address, { context: { colorScheme: 'dark' } })
  const ground = () => r.page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  assert.equal(await ground(), 'rgb(16, 24, 29)')
  await r.button('Preferences').click()
  await r.page.getByRole('radio', { name: 'Light' }).check()
  assert.equal(await ground(), 'rgb(245, 247, 246)')
  await r.page.reload()
  await r.field.waitFor()
  assert.equal(await ground(), 'rgb(245, 247, 246)')
})

test('nothing moves for those who asked for that', async (t) => {
  const r = await open(t, browser, server.address, { context: { reducedMotion: 'reduce' } })
  await r.say('be slow')
  await r.sees(r.answers, 'word1')
  assert.equal(await r.page.evaluate(() => document.getAnimations().length), 0)
})

const axe = await readFile(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')

/** What the rules of WCAG 2.2 AA, as far as a program can judge them, find on the page. */
async function faults(page, rules) {
  if (!(await page.evaluate('window.axe !== undefined'))) await page.evaluate(axe)
  await page.waitForFunction(() => document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getTiming().iterations === Infinity))
  const { violations } = await page.evaluate((runOnly) => axe.run(document, { runOnly, resultTypes: ['violations'] }), rules)
  return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(' | ')}`)
}

const rules = {
  light: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'],
  dark: ['color-contrast', 'link-in-text-block'], // what the colours change
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds no fault, ${colorScheme}`, async (t) => {
    const r = await open(t, browser, server.address, { context: { colorScheme }, allowed: refused })
    await r.sees(r.page.getByRole('tabpanel'), 'tokens a second')
    assert.deepEqual(await faults(r.page, rules[colorScheme]), [], 'empty')
    await r.ask('some markdown')
    await r.ask('you are busy')
    assert.deepEqual(await faults(r.page, rules[colorScheme]), [], 'with messages')
    await r.page.getByRole('tab', { name: 'Prompt and sampling' }).click()
    await r.page.getByLabel('Temperature').fill('9')
    assert.deepEqual(await faults(r.page, rules[colorScheme]), [], 'controls')
    await r.button('Preferences').click()
    assert.deepEqual(await faults(r.page, rules[colorScheme]), [], 'preferences')
    await r.page.keyboard.press('Escape')
    await r.button('Keyboard shortcuts').click()
    assert.deepEqual(await faults(r.page, rules[colorScheme]), [], 'keys')
  })
}
