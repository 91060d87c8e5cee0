/** The trials of a search, best first. */

import type { Job } from "../api/client";
import { figure } from "../format";
import { Table } from "./common";

interface Trial {
  round: number;
  params?: { algorithm?: string; validator?: string };
  algorithm?: string;
  scores?: Record<string, number | null>;
  steps?: number;
  error?: string | null;
  chosen?: boolean;
}

export function Trials({ job }: { job: Job }) {
  const trials = (job.metrics.search ?? []) as Trial[];
  if (!trials.length) return null;
  const validator = String(job.params.validator ?? "information_maximisation");
  const score = (trial: Trial) => trial.scores?.[validator] ?? -Infinity;
  return (
    <section aria-label="Trials">
      <h2>Trials</h2>
      <Table caption="Trials, best first" head={["Method", "Round", "Score", "Steps", "Chosen", "Error"]}>
        {[...trials]
          .sort((one, other) => score(other) - score(one))
          .map((trial, index) => (
            <tr key={index}>
              <th scope="row">{trial.params?.algorithm ?? trial.algorithm ?? "source-only"}</th>
              <td>{trial.round}</td>
              <td>{Number.isFinite(score(trial)) ? figure(score(trial)) : ""}</td>
              <td>{trial.steps}</td>
              <td>{trial.chosen ? "yes" : ""}</td>
              <td>{trial.error}</td>
            </tr>
          ))}
      </Table>
    </section>
  );
}
