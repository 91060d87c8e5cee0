/** Examples of a dataset: thumbnails, texts or a table. */

import type { Schemas } from "../api/client";
import { figure } from "../format";
import { Table } from "./common";

type Example = Schemas["ExampleOut"];

export function Examples({ examples }: { examples: Example[] }) {
  if (!examples.length) return <p>There are no rows.</p>;
  if (examples[0]!.example.thumbnail) return <Thumbnails examples={examples} />;
  const names = Object.keys(examples[0]!.example);
  return (
    <Table caption="Examples" head={["Row", ...names]}>
      {examples.map((one) => (
        <tr key={one.row}>
          <th scope="row">{one.row}</th>
          {names.map((name) => (
            <td key={name}>{figure(one.example[name])}</td>
          ))}
        </tr>
      ))}
    </Table>
  );
}

function Thumbnails({ examples }: { examples: Example[] }) {
  return (
    <div class="thumbnails">
      {examples.map((one) => (
        <figure key={one.row}>
          <img src={String(one.example.thumbnail)} alt={`Row ${one.row}`} />
          <figcaption>
            {one.row} {figure(one.example.label)}
          </figcaption>
        </figure>
      ))}
    </div>
  );
}
