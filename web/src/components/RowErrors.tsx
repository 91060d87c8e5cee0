/** The rows of a text file that have errors, as they are in the file. */

import { useEffect, useState } from "preact/hooks";
import { Table } from "./common";

const MAX_BYTES = 50_000_000;

export function RowErrors({ file, errors }: { file: File; errors: { pointer: string; detail: string }[] }) {
  const rows = errors.map((error) => ({ ...error, number: Number(/^\/rows\/(\d+)/.exec(error.pointer)?.[1] ?? 0) })).filter((one) => one.number);
  const [lines, setLines] = useState<string[] | null>(null);
  useEffect(() => {
    if (rows.length && file.size < MAX_BYTES && !/\.(zip|gz|npz|parquet|xlsx|ods)$/i.test(file.name)) {
      file.text().then((text) => setLines(text.split(/\r\n|\n|\r/)));
    }
  }, [file]);
  if (!rows.length || !lines) return null;
  const offset = /\.(jsonl|ndjson)$/i.test(file.name) ? -1 : 0;
  return (
    <Table caption={`Rows of ${file.name} with errors`} head={["Row", "Content", "Error"]}>
      {rows.map((one) => (
        <tr key={one.pointer + one.detail}>
          <th scope="row">{one.number}</th>
          <td class="invalid">
            <code>{lines[one.number + offset] ?? ""}</code>
          </td>
          <td>{one.detail}</td>
        </tr>
      ))}
    </Table>
  );
}
