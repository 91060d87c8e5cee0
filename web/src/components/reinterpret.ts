/** Another reading of a dataset's file. It makes a dataset and deletes the first reading, unless a job uses it. */

import { type Dataset, write } from "../api/client";
import { go, link } from "../router";

export async function reinterpret(dataset: Dataset, changed: Record<string, unknown>) {
  const options = { ...dataset.options, ...changed };
  const other = await write<Dataset>("POST", `/datasets/${dataset.id}/reinterpretations`, { options });
  await write("DELETE", `/datasets/${dataset.id}`).catch(() => undefined); // a job may use the first reading
  go(link("datasets", other.id));
}
