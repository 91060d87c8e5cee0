/** The columns of a table: how each is read, and the option that changes it. */

import type { Schemas } from "../api/client";
import { figure } from "../format";
import { Table } from "./common";

type Column = Schemas["ColumnInterpretation"];

export function Columns({ columns }: { columns: Column[] }) {
  return (
    <details open={columns.length <= 12}>
      <summary>{columns.length} columns</summary>
      <Table caption="Columns" head={["Column", "Kind", "Learned", "Missing", "Range or levels", "Reason", "Option"]}>
        {columns.map((one) => (
          <tr key={one.name}>
            <th scope="row">{one.name}</th>
            <td>{one.kind}</td>
            <td>{one.learned ? "yes" : "no"}</td>
            <td>{one.missing || ""}</td>
            <td>{one.levels ?? (one.minimum == null ? "" : `${figure(one.minimum)} to ${figure(one.maximum)}`)}</td>
            <td>{one.reason}</td>
            <td>{option(one)}</td>
          </tr>
        ))}
      </Table>
    </details>
  );
}

function option(column: Column) {
  if (!column.learned) return "";
  return <code>{JSON.stringify({ ignore: [column.name] })}</code>;
}
