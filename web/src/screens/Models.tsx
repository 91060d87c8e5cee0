/** The list of models. */

import type { Model } from "../api/client";
import { usePages } from "../api/hooks";
import { Loading, More, Problem } from "../components/common";
import { ModelCard } from "../components/ModelCard";

export function Models() {
  const models = usePages<Model>("/models");
  return (
    <>
      <h1>Models</h1>
      <Problem error={models.error} />
      {models.data ? (
        <div class="cards">
          {models.data.map((model) => (
            <ModelCard key={model.name} model={model} />
          ))}
          {!models.data.length && <p>There is no model yet. A job makes the first one.</p>}
        </div>
      ) : (
        <Loading what="models" />
      )}
      <More load={models.more} />
    </>
  );
}
