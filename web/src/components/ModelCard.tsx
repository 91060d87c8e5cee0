/** A model with its newest version. */

import type { Model } from "../api/client";
import { when } from "../format";
import { link } from "../router";

export function ModelCard({ model }: { model: Model }) {
  const newest = model.newest;
  return (
    <article>
      <h3>
        <a href={link("models", model.name, "versions", newest.number)}>
          {model.name} version {newest.number}
        </a>
      </h3>
      {newest.summary.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      <small>
        {newest.modality}, {when(newest.created_at)}, <a href={link("models", model.name)}>{model.versions} versions</a>
      </small>
    </article>
  );
}
