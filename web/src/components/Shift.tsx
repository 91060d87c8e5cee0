/** A dataset beside another one: the differences that the service finds, and the range of each column. */

import { useState } from "preact/hooks";
import { type Dataset, type Page, type Schemas, write } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { figure } from "../format";
import { Problem, Table, Warnings } from "./common";

type Check = Schemas["JobCheckOut"];

export function Shift({ dataset }: { dataset: Dataset }) {
  const all = useLoad<Page<Dataset>>("/datasets?limit=100");
  const [other, setOther] = useState<Dataset | null>(null);
  const [check, setCheck] = useState<Check | null>(null);
  const action = useAction();
  const others = all.data?.data.filter((one) => one.modality === dataset.modality && one.id !== dataset.id) ?? [];
  if (!others.length) return null;
  const compare = (id: string) => {
    const chosen = others.find((one) => one.id === id) ?? null;
    setOther(chosen);
    setCheck(null);
    if (chosen) action.run(async () => setCheck(await write<Check>("POST", "/jobs/check", checkOf(dataset, chosen))));
  };
  return (
    <section aria-label="Comparison">
      <h2>Compare with another dataset</h2>
      <label>
        Other dataset
        <select onChange={(event) => compare(event.currentTarget.value)}>
          <option value="">none</option>
          {others.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name}
            </option>
          ))}
        </select>
      </label>
      <Problem error={action.error} />
      {check && !check.errors.length && !check.warnings.length && <p>The service found no difference that a job must know of.</p>}
      {check?.errors.map((one) => <p key={one.detail}>{one.detail}</p>)}
      {check && <Warnings items={check.warnings} />}
      {other && <Ranges one={dataset} other={other} />}
    </section>
  );
}

function checkOf(one: Dataset, other: Dataset) {
  const [source, target] = one.labelled ? [one, other] : [other, one];
  return { model: "comparison", source: source.id, target: target.id };
}

function Ranges({ one, other }: { one: Dataset; other: Dataset }) {
  const columns = new Map(other.interpretation.columns?.map((column) => [column.name, column]));
  if (!one.interpretation.columns || !columns.size) return null;
  return (
    <Table caption="Columns of both datasets" head={["Column", one.name, other.name, "Missing", "Shift of the middle"]}>
      {one.interpretation.columns.map((column) => {
        const match = columns.get(column.name);
        return (
          <tr key={column.name}>
            <th scope="row">{column.name}</th>
            <td>{range(column)}</td>
            <td>{match ? range(match) : "absent"}</td>
            <td>
              {column.missing} and {match?.missing ?? "-"}
            </td>
            <td>{match ? shift(column, match) : ""}</td>
          </tr>
        );
      })}
    </Table>
  );
}

type Column = Schemas["ColumnInterpretation"];

const range = (column: Column) => (column.minimum == null ? `${column.levels ?? "many"} levels` : `${figure(column.minimum)} to ${figure(column.maximum)}`);

/** The distance between the middles of both ranges, in widths of the first range. */
function shift(one: Column, other: Column): string {
  if (one.minimum == null || one.maximum == null || other.minimum == null || other.maximum == null) return "";
  const width = one.maximum - one.minimum || 1;
  return `${(100 * ((other.minimum + other.maximum - one.minimum - one.maximum) / 2 / width)).toFixed(0)} % of the range`;
}
