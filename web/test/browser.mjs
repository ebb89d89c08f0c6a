// A real browser for the tests of the page.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

export function launch() {
  const executablePath = places.find((place) => existsSync(place))
  if (!executablePath) throw new Error(`no browser: none of ${places.join(', ')}: install Debian's package chromium`)
  const root = process.getuid?.() === 0
  return chromium.launch({ executablePath, args: root ? ['--no-sandbox'] : [] })
}

/** What a page must not do: ask another server, break its policy, throw. Collected while it is used, checked at its end. */
function listen(page, address, allowed) {
  const found = []
  page.on('request', (r) => r.url().startsWith(address) || /^(blob|data):/.test(r.url()) || found.push(`asked ${r.url()}`))
  page.on('pageerror', (e) => found.push(`threw ${e.stack}`))
  page.on('console', (m) => {
    const text = `${m.text()} ${m.location().url}`
    if (['error', 'warning'].includes(m.type()) && !allowed.some((a) => a.test(text))) found.push(`said ${text}`)
  })
  return found
}

/**
 * Opens the page in a context of its own, with what a person does on it. `allowed`: what the console may say, such as the
 * browser's own line about a refused request.
 */
export async function open(t, browser, address, { allowed = [], context = {}, in: inside } = {}) {
  const home = inside ?? (await browser.newContext({ viewport: { width: 1280, height: 800 }, permissions: ['clipboard-read', 'clipboard-write'], ...context }))
  const page = await home.newPage()
  page.setDefaultTimeout(15_000)
  const found = listen(page, address, allowed)
  t.after(async () => {
    await page.close()
    if (!inside) await home.close()
    assert.deepEqual(found, [], 'the page behaved')
  })
  await page.goto(address)
  return new Reader(page)
}

/** A person at the page. Everything goes by roles and names, as a screen reader would. */
export class Reader {
  constructor(page) {
    this.page = page
  }

  get field() {
    return this.page.getByRole('form', { name: 'Write' }).getByRole('textbox', { name: 'Message' })
  }

  get answers() {
    return this.page.getByRole('article', { name: 'Answer' })
  }

  get messages() {
    return this.page.getByRole('article', { name: 'You' })
  }

  get list() {
    return this.page.getByRole('navigation', { name: 'Conversations' })
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true })
  }

  /** Types a message as a person would and sends it; does not wait for the answer. */
  async say(text) {
    await this.field.click()
    await this.field.pressSequentially(text)
    await this.page.keyboard.press('Enter')
  }

  /** Says something and waits until it is answered. */
  async ask(text) {
    await this.say(text)
    await this.quiet()
  }

  /** Waits until no answer is being written. */
  async quiet() {
    await this.page.getByRole('form', { name: 'Write' }).getByRole('button', { name: 'Send' }).waitFor()
  }

  /** Waits until a locator's text has words in it. */
  async sees(locator, words) {
    await locator.filter({ hasText: words }).first().waitFor()
  }
}

/** Waits until something holds that no element tells of. */
export async function waitUntil(holds, what) {
  const end = Date.now() + 15_000
  while (!(await holds())) {
    if (Date.now() > end) assert.fail(`not so after 15 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
