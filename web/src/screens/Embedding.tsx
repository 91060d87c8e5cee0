/** The features of source and target in a plane, before and after adaptation; a lasso opens the selected rows. */

import { useMemo, useState } from "preact/hooks";
import { get, type Schemas, type Version } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { Loading, Problem } from "../components/common";
import { Examples } from "../components/Examples";
import { type Dot, Scatter } from "../components/Scatter";
import { link } from "../router";

type Plane = Schemas["EmbeddingOut"];
type Colouring = "class" | "domain" | "disagreement";

const COLOURS = ["#0b6e75", "#ea580c", "#7c3aed", "#16a34a", "#db2777", "#ca8a04", "#2563eb", "#64748b", "#dc2626", "#0891b2"];
const MAX_ROWS = 24;

export function Embedding({ name, number }: { name: string; number: string }) {
  const path = `/models/${name}/versions/${number}`;
  const plane = useLoad<Plane>(`${path}/embedding`);
  const version = useLoad<Version>(path);
  const [colouring, setColouring] = useState<Colouring>("class");
  const [selected, setSelected] = useState<number[]>([]);
  const groups = useMemo(() => (plane.data ? groupsOf(plane.data, colouring) : []), [plane.data, colouring]);
  if (!plane.data || !version.data) return plane.error ? <Problem error={plane.error} /> : <Loading what="the embedding" />;
  const names = [...new Set(groups)].sort();
  const colour = (group: string) => COLOURS[names.indexOf(group) % COLOURS.length]!;
  const dots = (x: number[], y: number[]): Dot[] => x.map((value, index) => ({ x: value, y: y[index]!, colour: colour(groups[index]!), hollow: plane.data!.domain[index] === "source" }));
  return (
    <>
      <h1>
        Embedding of <a href={link("models", name, "versions", number)}>{name} version {number}</a>
      </h1>
      <p>Circles are source rows, discs are target rows. Draw a line around points to see their rows.</p>
      <label>
        Colour by
        <select value={colouring} onChange={(event) => setColouring(event.currentTarget.value as Colouring)}>
          <option>class</option>
          <option>domain</option>
          <option>disagreement</option>
        </select>
      </label>
      <ul class="legend">
        {names.map((group) => (
          <li key={group}>
            <svg width="12" height="12" aria-hidden="true">
              <circle cx="6" cy="6" r="5" fill={colour(group)} />
            </svg>
            {group}
          </li>
        ))}
      </ul>
      <div class="columns">
        <section aria-label="Before">
          <h2>Source-only model</h2>
          <Scatter label="Features of the source-only model" dots={dots(plane.data.x_before, plane.data.y_before)} selected={selected} onSelect={setSelected} />
        </section>
        <section aria-label="After">
          <h2>Adapted model</h2>
          <Scatter label="Features of the adapted model" dots={dots(plane.data.x_after, plane.data.y_after)} selected={selected} onSelect={setSelected} />
        </section>
      </div>
      <Selection plane={plane.data} version={version.data} selected={selected} />
    </>
  );
}

function groupsOf(plane: Plane, colouring: Colouring): string[] {
  if (colouring === "domain") return plane.domain;
  if (colouring === "class") return plane.label;
  return plane.domain.map((_, index) => (plane.disputed?.[index] ? "the models disagree" : "the models agree"));
}

function Selection({ plane, version, selected }: { plane: Plane; version: Version; selected: number[] }) {
  const [examples, setExamples] = useState<Schemas["ExampleOut"][]>([]);
  const action = useAction();
  const target = version.lineage.target;
  const rows = selected.filter((index) => plane.domain[index] === "target" && plane.row).map((index) => plane.row![index]!);
  const shown = rows.sort((a, b) => a - b).slice(0, MAX_ROWS);
  const open = () => action.run(async () => setExamples(await Promise.all(shown.map((row) => get<Schemas["ExampleOut"]>(`/datasets/${target}/rows/${row}`)))));
  if (!selected.length) return <p>No point is selected.</p>;
  return (
    <section aria-label="Selected rows">
      <h2>
        {selected.length} selected, {rows.length} of them in the target
      </h2>
      <button class="secondary" disabled={!shown.length || !target} aria-busy={action.busy} onClick={open}>
        Show {shown.length} rows of the target
      </button>
      <Problem error={action.error} />
      {examples.length > 0 && <Examples examples={examples.map(asThumbnail)} />}
    </section>
  );
}

const asThumbnail = ({ row, example: { image, ...rest } }: Schemas["ExampleOut"]) => ({ row, example: image ? { thumbnail: image, ...rest } : rest });
