/** Small parts that every screen uses. */

import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client";

export function Problem({ error }: { error: Error | null }) {
  if (!error) return null;
  const errors = error instanceof ApiError ? (error.problem?.errors ?? []) : [];
  return (
    <article class="problem" role="alert">
      <p>{error.message}</p>
      {errors.length > 1 && (
        <ul>
          {errors.map((one) => (
            <li key={one.pointer + one.detail}>
              <code>{one.pointer || "/"}</code> {one.detail}
            </li>
          ))}
        </ul>
      )}
    </article>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p aria-busy="true" role="status">
      Loading {what}
    </p>
  );
}

export function More({ load }: { load: (() => void) | null }) {
  return load ? (
    <p>
      <button class="secondary outline" onClick={load}>
        Show more
      </button>
    </p>
  ) : null;
}

/** A table that scrolls sideways on narrow screens. */
export function Table({ head, caption, children }: { head: ComponentChildren[]; caption: string; children: ComponentChildren }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {head.map((cell, index) => (
              <th scope="col" key={index}>
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export function Warnings({ items }: { items: { code: string; message: string }[] }) {
  if (!items.length) return null;
  return (
    <section aria-label="Warnings">
      <h2>Warnings</h2>
      <ul class="warnings">
        {items.map((one) => (
          <li key={one.code + one.message}>
            <code>{one.code}</code> {one.message}
          </li>
        ))}
      </ul>
    </section>
  );
}

export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Code({ title, text }: { title: string; text: string }) {
  return (
    <details>
      <summary>{title}</summary>
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
      <button class="secondary outline" onClick={() => navigator.clipboard?.writeText(text)}>
        Copy
      </button>
    </details>
  );
}
