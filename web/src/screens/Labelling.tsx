/** Rows of a version's target to label by hand: one row at a time, by keys or buttons, and what the labels measure. */

import { useEffect, useState } from "preact/hooks";
import { type Schemas, write } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { Intervals } from "../components/charts";
import { Loading, Problem } from "../components/common";
import { figure } from "../format";
import { link } from "../router";

type Request = Schemas["LabelRequestOut"];
type Row = Schemas["RowToLabel"];

export function Labelling({ id }: { id: string }) {
  const path = `/label-requests/${id}`;
  const request = useLoad<Request>(path);
  const loaded = useLoad<Schemas["RowsToLabel"]>(`${path}/rows`);
  const [rows, setRows] = useState<Row[]>([]);
  const [position, setPosition] = useState(0);
  const action = useAction();
  useEffect(() => {
    setRows(loaded.data?.data ?? []);
    setPosition(Math.max(0, loaded.data?.data.findIndex((row) => row.label === null && !row.unclear) ?? 0));
  }, [loaded.data]);
  const row = rows[position];
  const answer = (label: string | null, unclear = false) =>
    row &&
    action.run(async () => {
      await write("PUT", `${path}/labels`, { labels: [{ row: row.row, label, unclear }] });
      setRows((old) => old.map((one) => (one.row === row.row ? { ...one, label, unclear } : one)));
      setPosition(Math.min(position + 1, rows.length - 1));
      request.reload();
    });
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const label = request.data?.classes[Number(event.key) - 1];
      if (label && !(event.target instanceof HTMLInputElement)) answer(label);
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  });
  if (!request.data || !row) return request.error ? <Problem error={request.error} /> : <Loading what="rows" />;
  const { model, version, answered, count, classes, next_look: next } = request.data;
  return (
    <>
      <h1>
        Labels for <a href={link("models", model, "versions", version)}>{model} version {version}</a>
      </h1>
      <progress value={answered} max={count} aria-label="Labelled rows" />
      <p role="status">
        {answered} of {count} rows have a label. {next && `${next.remaining} more until the figures change.`}
      </p>
      <article aria-label={`Row ${row.row}`}>
        <Preview row={row} />
      </article>
      <div class="actions">
        {classes.map((name, index) => (
          <button key={name} class={row.label === name ? "" : "outline"} aria-busy={action.busy} onClick={() => answer(name)}>
            {index < 9 ? `${index + 1}: ` : ""}
            {name}
          </button>
        ))}
        <button class="secondary outline" onClick={() => answer(null, true)}>
          Unclear
        </button>
        <button class="secondary outline" disabled={position === 0} onClick={() => setPosition(position - 1)}>
          Previous
        </button>
        <button class="secondary outline" disabled={position === rows.length - 1} onClick={() => setPosition(position + 1)}>
          Next
        </button>
      </div>
      <Problem error={action.error} />
      <Figures request={request.data} />
    </>
  );
}

function Preview({ row }: { row: Row }) {
  const { thumbnail, text, ...columns } = row.preview;
  if (thumbnail) return <img src={String(thumbnail)} alt={`Row ${row.row}`} />;
  if (text) return <p>{String(text)}</p>;
  return (
    <dl class="facts">
      {Object.entries(columns).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{figure(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

const VERDICTS = { yes: "Adaptation helped.", no: "Adaptation did not help.", unsure: "It is unclear whether adaptation helped." };

function Figures({ request }: { request: Request }) {
  const measured = request.measured;
  if (!measured) return <p>The first figures need {request.next_look?.remaining ?? "more"} labels.</p>;
  const items = measured.accuracy ? [{ name: "Accuracy, measured", ...measured.accuracy }] : [];
  return (
    <section aria-label="Figures">
      <h2>Measured with {measured.labels} labels</h2>
      <Intervals items={items} label="Measured accuracy" />
      {measured.helped && <p>{VERDICTS[measured.helped]}</p>}
      {measured.labels_to_decide && <p>About {measured.labels_to_decide} labels in all would decide it.</p>}
    </section>
  );
}
