/** Promotion of a version to `@production`, after a confirmation. */

import { write } from "../api/client";
import { useAction } from "../api/hooks";
import { Problem } from "./common";

interface PromoteProps {
  model: string;
  number: number;
  aliases: string[];
  onDone: () => void;
}

export function Promote({ model, number, aliases, onDone }: PromoteProps) {
  const action = useAction();
  if (aliases.includes("production")) return <span class="badge">in production</span>;
  const promote = () =>
    confirm(`Serve version ${number} of ${model} as ${model}@production? Predictions use it at once.`) &&
    action.run(async () => write("PUT", `/models/${model}/aliases/production`, { version: number }).then(onDone));
  return (
    <>
      <button class="secondary" aria-busy={action.busy} onClick={promote}>
        Promote version {number}
      </button>
      <Problem error={action.error} />
    </>
  );
}
