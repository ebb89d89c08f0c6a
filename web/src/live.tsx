// The live panel: what the server does now, from its own account once a second.

import type { ComponentChildren } from 'preact'
import { useCell } from './cell'
import { useSession } from './parts'
import { groups, msByGroup, partNames, roundUp, total } from './parted'
import { bytes, percent, short, whole } from './words'
import type { Live } from './wire'

export function LivePanel() {
  const session = useSession()
  const { seconds, trouble } = useCell(session.watched)
  const now = seconds.at(-1)
  const told = seconds.findLast((s) => s !== undefined)
  if (!told) return <p class="hint">{trouble ? `${trouble.what} ${trouble.help ?? ''}` : 'Listening to the server …'}</p>
  const busy = seconds.findLast((s) => s !== undefined && s.tokens_s > 0)
  return (
    <div class="live">
      {!now && trouble && <p class="hint">{trouble.what}</p>}
      <Speed live={now ?? told} seconds={seconds} />
      <Plates live={busy} seconds={seconds} />
      <Context live={told} />
      <Cache live={told} />
      <Memory live={told} />
    </div>
  )
}

function Section({ title, value, children }: { title: string; value?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section>
      <h2>
        <span>{title}</span>
        {value !== undefined && <span class="value">{value}</span>}
      </h2>
      {children}
    </section>
  )
}

function Speed({ live, seconds }: { live: Live; seconds: (Live | undefined)[] }) {
  const most = roundUp(Math.max(...seconds.map((s) => s?.tokens_s ?? 0)))
  const points = seconds.map((s, i) => `${place(i, seconds.length)},${34 - (32 * (s?.tokens_s ?? 0)) / most}`)
  return (
    <section class="speed">
      <p>
        <output aria-live="off">{live.tokens_s > 0 ? short(live.tokens_s) : '0'}</output>
        <span>
          tokens a second
          <small>
            {live.running} running · {live.waiting} waiting
            {live.prompt_tokens_s !== undefined && (
              <>
                <br />
                prompts read at {whole(live.prompt_tokens_s)}
              </>
            )}
          </small>
        </span>
      </p>
      <svg viewBox="0 0 300 36" preserveAspectRatio="none" role="img" aria-label={`Tokens a second in the last minute, at most ${short(most)}`}>
        {points.length > 1 && <polyline points={points.join(' ')} fill="none" vector-effect="non-scaling-stroke" />}
      </svg>
    </section>
  )
}

const pictured = 60
const step = 300 / pictured
/** Where a second lies in a picture 300 wide, the newest at its right edge. */
const place = (i: number, n: number) => step * (pictured - n + i) + step / 2

const depth = 120

/** A plate for each second, hanging from the top: the deeper, the longer a token took, by what it took it for. */
function Plates({ live, seconds }: { live: Live | undefined; seconds: (Live | undefined)[] }) {
  const plates = seconds.map((s) => (s && s.tokens_s > 0 ? msByGroup(s) : []))
  const most = roundUp(Math.max(...plates.map(total)))
  const ms = live ? msByGroup(live) : groups.map(() => 0)
  const label = live
    ? `${short(total(ms))} ms per token: ${groups.map((g, i) => `${g.name} ${percent(ms[i]!, total(ms))}`).join(', ')}`
    : 'No token in the last minute'
  return (
    <Section title="Where a token’s time goes" value={live ? `${short(total(ms))} ms` : '–'}>
      <div class="plates">
        <svg viewBox={`0 0 300 ${depth}`} preserveAspectRatio="none" role="img" aria-label={label}>
          {[0.5, 1].map((share) => (
            <line key={share} x1="0" x2="300" y1={depth * share - 0.5} y2={depth * share - 0.5} vector-effect="non-scaling-stroke" />
          ))}
          {plates.map((plate, i) => (
            <Plate key={i} ms={plate} x={place(i, seconds.length)} most={most} />
          ))}
        </svg>
        {!live && <p class="hint">No token in the last minute</p>}
        <span class="half">{most / 2}</span>
        <span class="whole">{most} ms</span>
      </div>
      <ul class="legend">
        {groups.map((g, i) => (
          <li key={g.key}>
            <span class={`swatch ${g.key}`} aria-hidden="true" />
            <span class="name" title={g.meaning}>
              {g.name}
            </span>
            <span class="number">{live ? short(ms[i]!) : '–'}</span>
            <span class="number share">{live && percent(ms[i]!, total(ms))}</span>
          </li>
        ))}
      </ul>
      {live && <Parts live={live} />}
    </Section>
  )
}

function Plate({ ms, x, most }: { ms: number[]; x: number; most: number }) {
  let y = 0
  return (
    <g>
      {ms.map((value, i) => {
        const height = (depth * value) / most
        const at = y
        y += height
        return height > 0 ? <rect key={i} class={groups[i]!.key} x={x - 1.8} y={at} width="3.6" height={height} /> : null
      })}
    </g>
  )
}

/** The parts one by one, for who wants to know. */
function Parts({ live }: { live: Live }) {
  const parts = Object.entries(live.ms_by).sort((a, b) => b[1] - a[1])
  const most = Math.max(...parts.map(([, ms]) => ms), 1e-9)
  return (
    <details class="parts">
      <summary>Part by part</summary>
      <table>
        <caption class="unseen">Milliseconds per token by part</caption>
        <tbody>
          {parts.map(([part, ms]) => (
            <tr key={part}>
              <th scope="row">{partNames[part] ?? part}</th>
              <td class="bar">
                <Bar shares={[ms / most]} kinds={[groups.find((g) => g.parts.includes(part))?.key ?? 'other']} />
              </td>
              <td class="number">{short(ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  )
}

/** A bar of parts, each a share of its whole length. */
function Bar({ shares, kinds, label }: { shares: number[]; kinds: string[]; label?: string }) {
  let x = 0
  return (
    <svg
      class="bar"
      viewBox="0 0 100 6"
      preserveAspectRatio="none"
      {...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' as const })}
    >
      <rect class="ground" width="100" height="6" />
      {shares.map((share, i) => {
        const at = x
        const width = Math.max(0, Math.min(100 - at, 100 * share || 0))
        x += width
        return <rect key={i} class={kinds[i]} x={at} width={width} height="6" />
      })}
    </svg>
  )
}

function Context({ live }: { live: Live }) {
  return (
    <Section title="Context" value={percent(live.context_used, live.context)}>
      <Bar shares={[live.context_used / live.context]} kinds={['weights']} label={`Context used: ${percent(live.context_used, live.context)}`} />
      <p class="fine">
        {whole(live.context_used)} of {whole(live.context)} tokens
      </p>
    </Section>
  )
}

/** How much of the prompts was remembered, since the server began. */
function Cache({ live: { cache } }: { live: Live }) {
  const hits = cache.hit_tokens
  const asked = hits + cache.miss_tokens
  return (
    <Section title="Prompts from cache" value={percent(hits, asked)}>
      <Bar shares={[hits / asked]} kinds={['attention']} label={`Prompt tokens answered from the cache: ${percent(hits, asked)}`} />
      <p class="fine">
        {asked > 0 ? `${whole(hits)} tokens remembered, ${whole(asked - hits)} read anew` : 'No prompt yet'}
      </p>
    </Section>
  )
}

const tiers = [
  { key: 'weights', name: 'Weights', kind: 'weights' },
  { key: 'state', name: 'State of running', kind: 'attention' },
  { key: 'cache', name: 'Prefix cache', kind: 'routing' },
  { key: 'disk', name: 'On disk', kind: 'wait' },
]

function Memory({ live: { memory, cache } }: { live: Live }) {
  const known = tiers.filter((t) => memory[t.key] !== undefined)
  const inMemory = known.filter((t) => t.key !== 'disk')
  const all = total(inMemory.map((t) => memory[t.key]!))
  return (
    <Section title="Memory" value={bytes(all)}>
      <Bar shares={inMemory.map((t) => memory[t.key]! / all)} kinds={inMemory.map((t) => t.kind)} label={`In memory: ${bytes(all)}`} />
      <ul class="legend">
        {known.map((t) => (
          <li key={t.key}>
            <span class={`swatch ${t.kind}`} aria-hidden="true" />
            <span class="name">{t.name}</span>
            <span class="number">{bytes(memory[t.key]!)}</span>
            {t.key === 'cache' && cache.limit > 0 && <span class="number of">of {bytes(cache.limit)}</span>}
          </li>
        ))}
      </ul>
    </Section>
  )
}
