/** A button that draws rows of a version's target for a person to label. */

import { type Schemas, type Version, write } from "../api/client";
import { useAction } from "../api/hooks";
import { go, link } from "../router";
import { Problem } from "./common";

export function LabelButton({ version }: { version: Version }) {
  const action = useAction();
  if (!version.artifacts.some((one) => one.name === "target.parquet")) return null;
  const draw = () =>
    action.run(async () => {
      const path = `/models/${version.model}/versions/${version.number}/label-requests`;
      go(link("labels", (await write<Schemas["LabelRequestCreated"]>("POST", path, {})).id));
    });
  return (
    <>
      <button class="secondary outline" aria-busy={action.busy} onClick={draw}>
        Measure with labels
      </button>
      <Problem error={action.error} />
    </>
  );
}
