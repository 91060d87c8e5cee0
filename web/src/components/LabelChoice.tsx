/** The choice of the column with the labels, for a table that is read without one. It makes a dataset from the same file. */

import { useState } from "preact/hooks";
import type { Dataset } from "../api/client";
import { useAction } from "../api/hooks";
import { Problem } from "./common";
import { reinterpret } from "./reinterpret";

export function LabelChoice({ dataset }: { dataset: Dataset }) {
  const [column, setColumn] = useState("");
  const action = useAction();
  const columns = dataset.interpretation.columns ?? [];
  if (dataset.labelled || !columns.length) return null;
  return (
    <section aria-label="Labels">
      <h2>Labels</h2>
      <p>No column of this file is read as labels. A source needs labels, a target does not.</p>
      <div class="actions">
        <label>
          Column with the labels
          <select value={column} onChange={(event) => setColumn(event.currentTarget.value)}>
            <option value="">none</option>
            {columns.map((one) => (
              <option key={one.name}>{one.name}</option>
            ))}
          </select>
        </label>
        <button disabled={!column || action.busy} aria-busy={action.busy} onClick={() => action.run(() => reinterpret(dataset, { label: column }))}>
          Read it as labels
        </button>
      </div>
      <Problem error={action.error} />
    </section>
  );
}
