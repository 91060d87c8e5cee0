/** All options with which the file of a dataset is read, as a form. */

import { useState } from "preact/hooks";
import type { Dataset } from "../api/client";
import { useAction } from "../api/hooks";
import { Problem } from "./common";
import { reinterpret } from "./reinterpret";

export function ReadingOptions({ dataset }: { dataset: Dataset }) {
  const [changed, setChanged] = useState<Record<string, unknown>>({});
  const action = useAction();
  return (
    <details>
      <summary>Options of reading</summary>
      <p>Empty fields are detected from the file. Other options make a dataset from the same file.</p>
      <div class="columns">
        {Object.entries(dataset.options).map(([name, value]) => (
          <Option key={name} name={name} value={value} onChange={(text) => setChanged({ ...changed, [name]: text })} />
        ))}
      </div>
      <button disabled={!Object.keys(changed).length || action.busy} aria-busy={action.busy} onClick={() => action.run(() => reinterpret(dataset, changed))}>
        Read the file again
      </button>
      <Problem error={action.error} />
    </details>
  );
}

function Option({ name, value, onChange }: { name: string; value: unknown; onChange: (value: unknown) => void }) {
  if (typeof value === "boolean")
    return (
      <label>
        <input aria-label={name} type="checkbox" defaultChecked={value} onChange={(event) => onChange(event.currentTarget.checked)} />
        {name}
      </label>
    );
  const isList = Array.isArray(value) || name === "missing";
  const shown = isList ? ((value ?? []) as unknown[]).join(", ") : value == null ? "" : String(value);
  return (
    <label>
      {name}
      <input aria-label={name} defaultValue={shown} placeholder={isList ? "separated by commas" : ""} onInput={(event) => onChange(read(event.currentTarget.value, isList))} />
    </label>
  );
}

/** Return the value of a field: a list, true or false, a number, a text, or null when it is empty. */
function read(text: string, isList: boolean) {
  const trimmed = text.trim();
  if (isList) return trimmed ? trimmed.split(",").map((one) => one.trim()) : [];
  if (!text) return null;
  if (trimmed === "true" || trimmed === "false") return trimmed === "true";
  return /^\d+$/.test(trimmed) ? Number(trimmed) : text;
}
