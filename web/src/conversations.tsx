// The list of conversations.

import type { Ref } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { useCell } from './cell'
import { Icon, Mark } from './icons'
import { keysFor } from './keys'
import { download, IconButton, useSession } from './parts'
import type { Head } from './tree'
import { ageOf } from './words'

interface Props {
  search: Ref<HTMLInputElement>
  onOpened: () => void
  onPreferences: () => void
  onKeys: () => void
  onClose: () => void
}

export function Conversations({ search, onOpened, onPreferences, onKeys, onClose }: Props) {
  const session = useSession()
  const [sought, setSought] = useState('')
  const groups = grouped(useFound(sought))
  return (
    <>
      <header class="list-head">
        <span class="brand">
          <Mark size={26} />
          baleen
        </span>
        <IconButton icon="close" label="Close the list" shortcut={keysFor('list')} onClick={onClose} />
      </header>
      <button type="button" class="new" title={keysFor('new')} onClick={() => (session.begin(), onOpened())}>
        <Icon name="add" /> New conversation
      </button>
      <label class="search">
        <Icon name="find" />
        <input
          ref={search}
          type="search"
          placeholder="Find"
          aria-label="Find in conversations"
          value={sought}
          onInput={(event) => setSought(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Escape' || sought === '') return
            event.stopPropagation() // it clears the field, and stops no answer
            setSought('')
          }}
        />
      </label>
      <nav class="conversations" aria-label="Conversations">
        {groups.map(([age, heads]) => (
          <section key={age}>
            <h2>{age}</h2>
            <ul>
              {heads.map((head) => (
                <Row key={head.id} head={head} onOpened={onOpened} />
              ))}
            </ul>
          </section>
        ))}
        {groups.length === 0 && <p class="hint">{sought ? 'Nothing found.' : 'Conversations are kept in this browser, and nowhere else.'}</p>}
      </nav>
      <footer class="list-foot">
        <button type="button" title={keysFor('preferences')} onClick={onPreferences}>
          <Icon name="person" /> Preferences
        </button>
        <IconButton icon="keys" label="Keyboard shortcuts" shortcut={keysFor('keys')} onClick={onKeys} />
      </footer>
    </>
  )
}

/** The conversations whose title or text has the words. */
function useFound(sought: string): Head[] {
  const session = useSession()
  const heads = useCell(session.heads)
  const [ids, setIds] = useState<Set<string>>()
  const words = sought.trim()
  useEffect(() => {
    if (words === '') return setIds(undefined)
    let stale = false
    void session.shelf.search(words).then((found) => stale || setIds(found))
    return () => {
      stale = true
    }
  }, [words, heads])
  return useMemo(() => (words && ids ? heads.filter((h) => ids.has(h.id)) : heads), [heads, ids, words])
}

function grouped(heads: Head[]): [string, Head[]][] {
  const groups = new Map<string, Head[]>()
  const now = Date.now()
  for (const head of heads) {
    const age = ageOf(head.changed, now)
    groups.set(age, [...(groups.get(age) ?? []), head])
  }
  return [...groups]
}

function Row({ head, onOpened }: { head: Head; onOpened: () => void }) {
  const session = useSession()
  const current = useCell(session.current).id === head.id
  const running = useCell(session.runs).has(head.id)
  const [renaming, setRenaming] = useState(false)
  const row = useRef<HTMLLIElement>(null)
  const back = useRef(false) // to the row, from the field that its title was typed in
  useLayoutEffect(() => {
    if (!renaming && back.current) focusRow(row.current)
    back.current = false
  }, [renaming])
  if (renaming) return <Renaming head={head} onDone={(typed) => ((back.current = typed), setRenaming(false))} />
  const remove = () => {
    focusRow(row.current!.nextElementSibling ?? row.current!.previousElementSibling)
    void session.remove(head.id)
  }
  const save = async () => download(`baleen-${head.id}.json`, await session.exported(head.id))
  return (
    <li ref={row} class={current ? 'current' : ''}>
      <button
        type="button"
        class="open"
        aria-current={current ? 'page' : undefined}
        title={head.title}
        onClick={() => void session.open(head.id).then(onOpened)}
      >
        {running && <span class="busy" role="img" aria-label="answering" />}
        <span class="title">{head.title}</span>
      </button>
      <span class="row-actions">
        <IconButton icon="edit" label={`Rename ${head.title}`} onClick={() => setRenaming(true)} />
        <IconButton icon="export" label={`Export ${head.title}`} onClick={() => void save()} />
        <IconButton icon="delete" label={`Delete ${head.title}`} onClick={remove} />
      </span>
    </li>
  )
}

const focusRow = (row: Element | null) => row?.querySelector<HTMLElement>('.open')?.focus()

function Renaming({ head, onDone }: { head: Head; onDone: (typed: boolean) => void }) {
  const session = useSession()
  const field = useRef<HTMLInputElement>(null)
  const left = useRef(false)
  useEffect(() => field.current!.select(), [])
  const leave = (keep: boolean, typed: boolean) => {
    if (left.current) return // leaving takes the focus away, which is leaving again
    left.current = true
    if (keep) void session.rename(head.id, field.current!.value)
    onDone(typed)
  }
  return (
    <li class="current">
      <input
        ref={field}
        class="rename"
        aria-label="Title"
        defaultValue={head.title}
        onBlur={() => leave(true, false)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') leave(true, true)
          if (event.key === 'Escape') (event.stopPropagation(), leave(false, true))
        }}
      />
    </li>
  )
}
