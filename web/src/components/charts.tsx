/** Bars and intervals as SVG; each has a text for screen readers. */

import { percent } from "../format";

export interface IntervalProps {
  name: string;
  value: number;
  low?: number | null;
  high?: number | null;
}

/** Intervals on one axis from 0 to 100 %. */
export function Intervals({ items, label }: { items: IntervalProps[]; label: string }) {
  return (
    <figure class="intervals" aria-label={label}>
      {items.map((item) => (
        <div class="interval" key={item.name}>
          <span class="name">{item.name}</span>
          <svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={describe(item)}>
            <rect x="0" y="4" width="100" height="2" class="axis" />
            {item.low != null && item.high != null && (
              <rect x={100 * item.low} y="2" width={Math.max(0.5, 100 * (item.high - item.low))} height="6" class="range" />
            )}
            <rect x={Math.min(99, 100 * item.value - 0.5)} y="0" width="1" height="10" class="mark" />
          </svg>
          <span class="value">
            <strong>{percent(item.value)}</strong>
            {item.low != null && item.high != null && ` (${(100 * item.low).toFixed(0)}-${percent(item.high)})`}
          </span>
        </div>
      ))}
    </figure>
  );
}

const describe = (item: IntervalProps): string =>
  `${item.name}: ${percent(item.value)}` + (item.low != null && item.high != null ? `, between ${percent(item.low)} and ${percent(item.high)}` : "");

export function Bars({ items, label }: { items: [string, number][]; label: string }) {
  const largest = Math.max(1e-9, ...items.map(([, value]) => value));
  return (
    <figure class="bars" aria-label={label}>
      {items.map(([name, value]) => (
        <div class="interval" key={name}>
          <span class="name">{name}</span>
          <svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={`${name}: ${value}`}>
            <rect x="0" y="1" width={(100 * value) / largest} height="8" class="range" />
          </svg>
          <span class="value">{value}</span>
        </div>
      ))}
    </figure>
  );
}

export function Confusion({ matrix, classes }: { matrix: number[][]; classes: string[] }) {
  const largest = Math.max(1, ...matrix.flat());
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Confusion matrix">
      <table class="confusion">
        <caption>Rows are true classes, columns are predictions.</caption>
        <thead>
          <tr>
            <td />
            {classes.map((name) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {matrix.map((row, index) => (
            <tr key={classes[index]}>
              <th scope="row">{classes[index]}</th>
              {row.map((count, column) => (
                <td key={column} class={`heat-${Math.ceil((4 * count) / largest)}`}>
                  {count}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
