// Markdown to elements, never by way of HTML text: what a model writes can become no markup of its own. Pictures are shown
// as links, since loading one would tell another server.

import MarkdownIt from 'markdown-it'
import type { ComponentChildren, VNode } from 'preact'
import { h } from 'preact'
import { useMemo, useRef } from 'preact/hooks'
import { CopyButton } from './parts'

const parser = new MarkdownIt({ html: false, linkify: true })
type Token = ReturnType<typeof parser.parse>[number]

const plain = new Set(['p', 'ul', 'ol', 'li', 'blockquote', 'thead', 'tbody', 'tr', 'th', 'td', 'strong', 'em', 's'])

/** A block of the outermost level, and where in the text it begins. */
interface Block {
  at: number
  source: string
  node: VNode
}

/** A text and what was made of it. */
interface Drawn {
  text: string
  blocks: Block[]
}

/** Text as Markdown. While it grows, only its end is parsed anew, and blocks that did not change keep their elements. */
export function Markdown({ text }: { text: string }) {
  const before = useRef<Drawn>({ text: '', blocks: [] })
  const drawn = useMemo(() => (before.current = draw(text, before.current)), [text])
  return <div class="prose">{drawn.blocks.map((b) => b.node)}</div>
}

/** More text can change the last block, and join it to the one before: `2` is a paragraph, `2.` goes on with a list. */
const unsettled = 2

/** Where a link is defined apart from its use, a later line can change any block. */
const definition = /^ {0,3}\[[^\]]+\]:/m

function draw(text: string, before: Drawn): Drawn {
  const grown = text.startsWith(before.text) && !definition.test(text)
  const kept = grown ? before.blocks.slice(0, -unsettled) : []
  const from = before.blocks[kept.length]?.at ?? 0
  return { text, blocks: [...kept, ...parse(text, grown ? from : 0, grown ? before.blocks : [], kept.length)] }
}

/** The blocks of a text from an offset on. `old` are those that were there before, `first` is the number of the first. */
function parse(text: string, offset: number, old: Block[], first: number): Block[] {
  const part = text.slice(offset)
  const tokens = parser.parse(part, {})
  const starts = [0]
  for (const line of part.split('\n')) starts.push(starts.at(-1)! + line.length + 1)
  const blocks: Block[] = []
  for (let from = 0; from < tokens.length; ) {
    const to = closing(tokens, from) + 1
    const [top] = tokens[from]!.map ?? [0]
    const next = tokens[to]?.map?.[0]
    const source = tokens[from]!.type + part.slice(starts[top], next === undefined ? part.length : starts[next])
    const same = old[first + blocks.length]
    const node = same?.source === source ? same.node : <div key={first + blocks.length}>{elements(tokens.slice(from, to))}</div>
    blocks.push({ at: offset + starts[top]!, source, node })
    from = to
  }
  return blocks
}

/** The index of the token that closes the one at an index; its own, if it opens nothing. */
function closing(tokens: Token[], from: number): number {
  let depth = 0
  for (let i = from; i < tokens.length; i++) {
    depth += tokens[i]!.nesting
    if (depth <= 0) return i
  }
  return tokens.length - 1
}

function elements(tokens: Token[]): ComponentChildren[] {
  const made: ComponentChildren[] = []
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!
    if (token.nesting === 1) {
      const end = closing(tokens, i)
      made.push(container(token, elements(tokens.slice(i + 1, end))))
      i = end
    } else if (token.nesting === 0) made.push(leaf(token))
  }
  return made
}

function container(token: Token, inside: ComponentChildren[]): ComponentChildren {
  if (token.hidden) return inside // a paragraph of a tight list
  if (token.tag === 'table') return <Scroller>{h('table', {}, inside)}</Scroller>
  if (token.tag === 'a') return <Link to={attribute(token, 'href')}>{inside}</Link>
  if (token.tag === 'th' || token.tag === 'td') return h(token.tag, { class: alignment(token) }, inside)
  if (token.tag === 'ol') return h('ol', { start: Number(token.attrGet('start') ?? 1) }, inside)
  if (/^h[1-6]$/.test(token.tag)) return heading(Number(token.tag[1]), inside)
  return plain.has(token.tag) ? h(token.tag, {}, inside) : inside
}

/** A heading one level down: the first level is the conversation's own. */
const heading = (level: number, inside: ComponentChildren[]) => h(`h${Math.min(level + 1, 6)}`, { class: `level-${level}` }, inside)

function leaf(token: Token): ComponentChildren {
  switch (token.type) {
    case 'inline':
      return elements(token.children ?? [])
    case 'code_inline':
      return <code>{token.content}</code>
    case 'fence':
    case 'code_block':
      return <Code text={token.content} language={token.info.trim().split(/\s/, 1)[0]!} />
    case 'softbreak':
      return '\n'
    case 'hardbreak':
      return <br />
    case 'hr':
      return <hr />
    case 'image':
      return <Link to={attribute(token, 'src')}>Picture: {token.content || 'without a title'}</Link>
  }
  return token.content
}

const attribute = (token: Token, name: string) => String(token.attrGet(name) ?? '')

const alignment = (token: Token) => /right|center/.exec(attribute(token, 'style'))?.[0]

/** A link to where a reader may want to go; an address of any other kind stays text. */
function Link({ to, children }: { to: string; children: ComponentChildren }) {
  if (!/^(https?:|mailto:)/i.test(to)) return <>{children}</>
  return (
    <a href={to} target="_blank" rel="noopener noreferrer nofollow" title={to}>
      {children}
    </a>
  )
}

function Code({ text, language }: { text: string; language: string }) {
  return (
    <figure class="code">
      <figcaption>
        <span>{language || 'text'}</span>
        <CopyButton text={text} what="code" />
      </figcaption>
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
    </figure>
  )
}

/** What may be wider than the column scrolls by itself, with the keyboard too. */
const Scroller = ({ children }: { children: ComponentChildren }) => (
  <div class="scroller" tabIndex={0} role="group" aria-label="Table">
    {children}
  </div>
)
