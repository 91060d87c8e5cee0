/** Two to five versions of a model: intervals on one axis, parameters that differ, rows with different predictions, promotion. */

import { useEffect, useState } from "preact/hooks";
import { type Dataset, get, type Schemas, type Version, write } from "../api/client";
import { useAction } from "../api/hooks";
import { type IntervalProps, Intervals } from "../components/charts";
import { Loading, Problem, Table } from "../components/common";
import { Promote } from "../components/Promote";
import { figure, percent } from "../format";
import { link } from "../router";
import { accuracies } from "./Report";

interface Compared {
  version: Version;
  params: Record<string, unknown>;
}

export function Compare({ name, numbers }: { name: string; numbers: string[] }) {
  const [items, setItems] = useState<Compared[] | null>(null);
  const [round, setRound] = useState(0);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    Promise.all(numbers.map((number) => load(name, number))).then(setItems, setError);
  }, [name, numbers.join(), round]);
  if (!items) return error ? <Problem error={error} /> : <Loading what="versions" />;
  return (
    <>
      <h1>
        Versions of <a href={link("models", name)}>{name}</a>
      </h1>
      <Intervals label="Target accuracy of each version" items={items.map(({ version }) => interval(version))} />
      <Table caption="Versions" head={["Version", "Summary", "Alias"]}>
        {items.map(({ version }) => (
          <tr key={version.number}>
            <th scope="row">
              <a href={link("models", name, "versions", version.number)}>version {version.number}</a>
            </th>
            <td>{version.summary.join(" ")}</td>
            <td>
              <Promote model={name} number={version.number} aliases={version.aliases} onDone={() => setRound(round + 1)} />
            </td>
          </tr>
        ))}
      </Table>
      <Differences items={items} />
      <Disagreements name={name} items={items} />
    </>
  );
}

async function load(name: string, number: string): Promise<Compared> {
  const version = await get<Version>(`/models/${name}/versions/${number}`);
  const job = await get<Schemas["JobOut"]>(`/jobs/${version.lineage.job}`).catch(() => null);
  return { version, params: { ...(job?.params ?? {}), base: job?.base } };
}

const interval = (version: Version): IntervalProps => ({ ...(accuracies(version.metrics)[0] ?? { value: 0 }), name: `version ${version.number}` });

function Differences({ items }: { items: Compared[] }) {
  const names = [...new Set(items.flatMap(({ params }) => Object.keys(params)))];
  const differing = names.filter((name) => new Set(items.map(({ params }) => JSON.stringify(params[name]))).size > 1);
  return (
    <section aria-label="Parameters">
      <h2>Parameters that differ</h2>
      {differing.length ? (
        <Table caption="Parameters" head={["Parameter", ...items.map(({ version }) => `version ${version.number}`)]}>
          {differing.map((name) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {items.map(({ version, params }) => (
                <td key={version.number}>{figure(params[name]).slice(0, 200)}</td>
              ))}
            </tr>
          ))}
        </Table>
      ) : (
        <p>All parameters are equal.</p>
      )}
    </section>
  );
}

interface Row {
  row: number;
  labels: string[];
}

const ROWS = 50;

/** Predict the first rows of the target of the first version with every version. Tables and texts only: they are the inputs. */
function Disagreements({ name, items }: { name: string; items: Compared[] }) {
  const [rows, setRows] = useState<Row[] | null>(null);
  const action = useAction();
  const target = items[0]!.version.lineage.target;
  if (!target || !["tabular", "text"].includes(items[0]!.version.modality)) return null;
  const predict = async () => {
    const dataset = await get<Dataset>(`/datasets/${target}`);
    const page = await get<Schemas["ExamplePage"]>(`/datasets/${target}/rows?limit=${ROWS}`);
    const inputs = page.data.map(({ example }) => input(example, dataset));
    const answers = await Promise.all(
      items.map(({ version }) => write<Schemas["PredictOut"]>("POST", "/predict", { model: `${name}:${version.number}`, inputs })),
    );
    const all = page.data.map(({ row }, index) => ({ row, labels: answers.map((answer) => answer.predictions[index]!.label) }));
    setRows(all.filter(({ labels }) => new Set(labels).size > 1));
  };
  return (
    <section aria-label="Different predictions">
      <h2>Rows with different predictions</h2>
      <button class="secondary outline" aria-busy={action.busy} onClick={() => action.run(predict)}>
        Predict the first {ROWS} rows of the target
      </button>
      <Problem error={action.error} />
      {rows && (
        <p role="status">
          {rows.length} of {ROWS} rows differ ({percent(rows.length / ROWS)}).
        </p>
      )}
      {rows && rows.length > 0 && (
        <Table caption="Rows with different predictions" head={["Row", ...items.map(({ version }) => `version ${version.number}`)]}>
          {rows.map((one) => (
            <tr key={one.row}>
              <th scope="row">{one.row}</th>
              {one.labels.map((label, index) => (
                <td key={index}>{label}</td>
              ))}
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function input(example: Record<string, unknown>, dataset: Dataset): unknown {
  if (dataset.modality === "text") return example.text;
  const label = dataset.interpretation.label;
  return Object.fromEntries(Object.entries(example).filter(([column]) => column !== label));
}
