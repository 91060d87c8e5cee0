/** One dataset: how it is read, warnings, classes, examples, a comparison with another one, and its usages. */

import { useState } from "preact/hooks";
import { type Dataset, type Page, type Schemas, write } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { Bars } from "../components/charts";
import { Facts, Loading, Problem, Table, Warnings } from "../components/common";
import { Columns } from "../components/Columns";
import { Examples } from "../components/Examples";
import { LabelChoice } from "../components/LabelChoice";
import { ReadingOptions } from "../components/ReadingOptions";
import { Shift } from "../components/Shift";
import { bytes, when } from "../format";
import { go, link } from "../router";

const PAGE = 20;

export function DatasetScreen({ id }: { id: string }) {
  const { data, error } = useLoad<Dataset>(`/datasets/${id}`);
  const [first, setFirst] = useState(1);
  const examples = useLoad<Schemas["ExamplePage"]>(`/datasets/${id}/rows?first=${first}&limit=${PAGE}`);
  const usages = useLoad<Page<Schemas["Usage"]>>(`/datasets/${id}/usages`);
  if (!data) return error ? <Problem error={error} /> : <Loading what="the dataset" />;
  return (
    <>
      <h1>{data.name}</h1>
      <div class="actions">
        <a role="button" href={`#/jobs/new?${data.labelled ? "source" : "target"}=${id}`}>
          New job with this dataset
        </a>
        <Delete id={id} />
      </div>
      <Facts facts={facts(data)} />
      <LabelChoice dataset={data} />
      <Warnings items={data.warnings} />
      {data.classes && (
        <section aria-label="Classes">
          <h2>Classes</h2>
          <Bars label="Examples of each class" items={Object.entries(data.classes)} />
        </section>
      )}
      {data.interpretation.columns && <Columns dataset={data} columns={data.interpretation.columns} />}
      <ReadingOptions key={id} dataset={data} />
      <section aria-label="Examples">
        <h2>Examples</h2>
        <Problem error={examples.error} />
        {examples.data ? <Examples examples={examples.data.data} /> : <Loading what="examples" />}
        <div class="actions">
          <button class="secondary outline" disabled={first === 1} onClick={() => setFirst(Math.max(1, first - PAGE))}>
            Previous
          </button>
          <span>
            rows {first} to {Math.min(data.rows, first + PAGE - 1)} of {data.rows}
          </span>
          <button class="secondary outline" disabled={first + PAGE > data.rows} onClick={() => setFirst(first + PAGE)}>
            Next
          </button>
        </div>
      </section>
      <Shift dataset={data} />
      {usages.data && <Usages usages={usages.data.data} />}
    </>
  );
}

function facts(data: Dataset): [string, string][] {
  const read = data.interpretation;
  const all: [string, string | null | undefined][] = [
    ["Modality", data.modality],
    ["Rows", String(data.rows)],
    ["File", `${data.filename}, ${bytes(data.size_bytes)}`],
    ["Labels", data.labelled ? (read.label ?? "yes") : "none"],
    ["Delimiter", read.delimiter && JSON.stringify(read.delimiter)],
    ["Encoding", read.encoding],
    ["Sheet", read.sheet],
    ["Values of images", read.value_type],
    ["Uploaded", when(data.created_at)],
  ];
  return all.filter((fact): fact is [string, string] => Boolean(fact[1]));
}

function Delete({ id }: { id: string }) {
  const action = useAction();
  const remove = () =>
    confirm("Delete this dataset and its file? Versions that were trained with it remain.") &&
    action.run(async () => {
      await write("DELETE", `/datasets/${id}`);
      go("#/datasets");
    });
  return (
    <>
      <button class="secondary outline" aria-busy={action.busy} onClick={remove}>
        Delete
      </button>
      <Problem error={action.error} />
    </>
  );
}

function Usages({ usages }: { usages: Schemas["Usage"][] }) {
  if (!usages.length) return null;
  return (
    <section aria-label="Usages">
      <h2>Used by</h2>
      <Table caption="Jobs that use this dataset" head={["Job", "Role", "Status", "Version"]}>
        {usages.map((one) => (
          <tr key={one.job}>
            <th scope="row">{one.kind === "adaptation" ? <a href={link("jobs", one.job)}>{one.model}</a> : one.kind}</th>
            <td>{one.roles.join(", ")}</td>
            <td>{one.status}</td>
            <td>{one.version && <a href={link("models", one.model, "versions", one.version)}>version {one.version}</a>}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
