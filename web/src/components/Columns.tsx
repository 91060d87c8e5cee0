/** The columns of a table: how each is read, and a button that changes whether it is learned. */

import type { Dataset, Schemas } from "../api/client";
import { useAction } from "../api/hooks";
import { figure } from "../format";
import { Problem, Table } from "./common";
import { reinterpret } from "./reinterpret";

type Column = Schemas["ColumnInterpretation"];

export function Columns({ dataset, columns }: { dataset: Dataset; columns: Column[] }) {
  const action = useAction();
  return (
    <details open={columns.length <= 12}>
      <summary>{columns.length} columns</summary>
      <Table caption="Columns" head={["Column", "Kind", "Learned", "Missing", "Range or levels", "Reason", "Change"]}>
        {columns.map((one) => (
          <tr key={one.name}>
            <th scope="row">{one.name}</th>
            <td>{one.kind}</td>
            <td>{one.learned ? "yes" : "no"}</td>
            <td>{one.missing || ""}</td>
            <td>{one.levels ?? (one.minimum == null ? "" : `${figure(one.minimum)} to ${figure(one.maximum)}`)}</td>
            <td>{one.reason}</td>
            <td>
              {(one.kind !== "empty" || isIgnored(dataset, one)) && (
                <button class="secondary outline" disabled={action.busy} onClick={() => action.run(() => reinterpret(dataset, toggled(dataset, one)))}>
                  {one.learned ? `Ignore ${one.name}` : `Learn ${one.name}`}
                </button>
              )}
            </td>
          </tr>
        ))}
      </Table>
      <Problem error={action.error} />
    </details>
  );
}

function isIgnored(dataset: Dataset, column: Column) {
  return ((dataset.options.ignore ?? []) as string[]).includes(column.name);
}

/** Return the options that make a learned column ignored, or the other way round. */
function toggled(dataset: Dataset, column: Column) {
  const { ignore = [], learn = [] } = dataset.options as { ignore?: string[]; learn?: string[] };
  const others = (names: string[]) => names.filter((name) => name !== column.name);
  if (column.learned) return { ignore: [...ignore, column.name], learn: others(learn) };
  return isIgnored(dataset, column) ? { ignore: others(ignore) } : { learn: [...learn, column.name] };
}
