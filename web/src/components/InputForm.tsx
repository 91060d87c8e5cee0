/** The input of a prediction: one field for each column of a table, or a text. Rows of the dataset fill it. */

import { useEffect, useState } from "preact/hooks";
import type { Dataset, Schemas } from "../api/client";

interface InputFormProps {
  modality: string;
  dataset: Dataset | null;
  examples: Schemas["ExampleOut"][];
  busy: boolean;
  onSubmit: (input: unknown) => void;
}

export function InputForm({ modality, dataset, examples, busy, onSubmit }: InputFormProps) {
  const [values, setValues] = useState<Record<string, unknown>>({});
  const columns = dataset?.interpretation.columns?.filter((column) => column.learned) ?? [];
  useEffect(() => {
    if (examples[0]) setValues(examples[0].example);
  }, [examples[0]?.row]);
  const set = (name: string, value: unknown) => setValues((old) => ({ ...old, [name]: value }));
  const submit = (event: Event) => {
    event.preventDefault();
    onSubmit(modality === "text" ? values.text : Object.fromEntries(columns.map(({ name }) => [name, values[name] ?? null])));
  };
  return (
    <form onSubmit={submit}>
      {examples.length > 0 && (
        <label>
          Fill in a row of the dataset
          <select onChange={(event) => setValues(examples[Number(event.currentTarget.value)]!.example)}>
            {examples.map((one, index) => (
              <option key={one.row} value={index}>
                row {one.row}
              </option>
            ))}
          </select>
        </label>
      )}
      {modality === "text" ? (
        <label>
          Text
          <textarea required rows={5} value={String(values.text ?? "")} onInput={(event) => set("text", event.currentTarget.value)} />
        </label>
      ) : (
        <div class="columns">
          {columns.map((column) => (
            <label key={column.name}>
              {column.name}
              <input
                value={String(values[column.name] ?? "")}
                inputMode={column.kind === "number" ? "decimal" : "text"}
                onInput={(event) => set(column.name, read(event.currentTarget.value, column.kind))}
              />
            </label>
          ))}
        </div>
      )}
      <button aria-busy={busy} disabled={busy}>
        Predict
      </button>
    </form>
  );
}

function read(text: string, kind: string): unknown {
  if (text === "") return null;
  return kind === "number" && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
