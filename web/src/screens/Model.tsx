/** One model: its versions and aliases, and the choice of versions to compare. */

import { useState } from "preact/hooks";
import type { Model, VersionSummary } from "../api/client";
import { useLoad, usePages } from "../api/hooks";
import { Loading, More, Problem, Table } from "../components/common";
import { when } from "../format";
import { link } from "../router";

export function ModelScreen({ name }: { name: string }) {
  const model = useLoad<Model>(`/models/${name}`);
  const versions = usePages<VersionSummary>(`/models/${name}/versions`);
  const [chosen, setChosen] = useState<number[]>([]);
  if (!model.data || !versions.data) return model.error ? <Problem error={model.error} /> : <Loading what="the model" />;
  const toggle = (number: number) => setChosen((old) => (old.includes(number) ? old.filter((one) => one !== number) : [...old, number]));
  const aliases = (number: number) => model.data!.aliases.filter((alias) => alias.version === number).map((alias) => alias.name);
  const query = chosen.map((number) => `version=${number}`).join("&");
  const canCompare = chosen.length >= 2 && chosen.length <= 5;
  return (
    <>
      <h1>{name}</h1>
      <div class="actions">
        <a role="button" href={`#/playground?model=${encodeURIComponent(name)}`}>
          Playground
        </a>
        <a role="button" class="secondary" aria-disabled={!canCompare} href={canCompare ? `${link("models", name, "compare")}?${query}` : undefined}>
          Compare {chosen.length} versions
        </a>
      </div>
      <Table caption="Versions" head={["Compare", "Version", "Summary", "Aliases", "Created"]}>
        {versions.data.map((one) => (
          <tr key={one.number}>
            <td>
              <input type="checkbox" aria-label={`Compare version ${one.number}`} checked={chosen.includes(one.number)} onChange={() => toggle(one.number)} />
            </td>
            <th scope="row">
              <a href={link("models", name, "versions", one.number)}>version {one.number}</a>
            </th>
            <td>{one.summary[0]}</td>
            <td>{aliases(one.number).join(", ")}</td>
            <td>{when(one.created_at)}</td>
          </tr>
        ))}
      </Table>
      <More load={versions.more} />
    </>
  );
}
