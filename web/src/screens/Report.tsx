/** The report of a version: how accurate it is, whether adaptation helped and why, and where it comes from. */

import type { ComponentChildren } from "preact";
import { ROOT, type Metrics, type Version } from "../api/client";
import { useLoad } from "../api/hooks";
import { Bars, Confusion, type IntervalProps, Intervals } from "../components/charts";
import { Facts, Loading, Problem, Table, Warnings } from "../components/common";
import { LabelButton } from "../components/LabelButton";
import { Promote } from "../components/Promote";
import { bytes, figure, percent, when } from "../format";
import { link } from "../router";

export function Report({ name, number }: { name: string; number: string }) {
  const path = `/models/${name}/versions/${number}`;
  const { data: version, error, reload } = useLoad<Version>(path);
  if (!version) return error ? <Problem error={error} /> : <Loading what="the version" />;
  const metrics = version.metrics;
  return (
    <>
      <h1>
        <a href={link("models", name)}>{name}</a> version {number} {version.aliases.map((alias) => <span class="badge" key={alias}>{alias}</span>)}
      </h1>
      <div class="summary">
        {version.summary.map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
      </div>
      <div class="actions">
        <a role="button" href={`#/playground?model=${encodeURIComponent(`${name}:${number}`)}`}>
          Try it
        </a>
        <Promote model={name} number={version.number} aliases={version.aliases} onDone={reload} />
        {version.artifacts.some((one) => one.name === "embedding.parquet") && (
          <a role="button" class="secondary outline" href={link("models", name, "versions", number, "embedding")}>
            Embedding
          </a>
        )}
        <LabelButton version={version} />
        <a role="button" class="secondary outline" href={`${ROOT}${path}/report`} download={`${name}-${number}.html`}>
          Report as a file
        </a>
      </div>
      <Warnings items={metrics.warnings ?? []} />
      <Accuracy version={version} />
      <Verdict metrics={metrics} />
      <Shares metrics={metrics} />
      <Classes metrics={metrics} classes={version.classes} />
      <Calibration metrics={metrics} />
      <Lineage version={version} />
      <Downloads version={version} path={path} />
    </>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** The accuracies that are known, each with its interval. */
export function accuracies(metrics: Metrics): IntervalProps[] {
  const items: IntervalProps[] = [];
  const estimate = metrics.target_accuracy_estimate;
  const [low, high] = metrics.target_intervals?.accuracy ?? [];
  if (metrics.target_accuracy != null) items.push({ name: "Target, measured", value: metrics.target_accuracy, low, high });
  if (estimate?.value != null) items.push({ name: "Target, expected", value: estimate.value, low: estimate.low, high: estimate.high });
  if (metrics.source_only_target_accuracy != null) items.push({ name: "Target, source-only model, measured", value: metrics.source_only_target_accuracy });
  const source = metrics.source_intervals?.accuracy ?? [];
  if (metrics.source_accuracy != null) items.push({ name: "Source, held out", value: metrics.source_accuracy, low: source[0], high: source[1] });
  for (const one of metrics.left_out_sources ?? []) items.push({ name: `${one.name}, when this source is left out`, value: one.accuracy });
  return items;
}

/** What labels have measured, beside the estimates. */
function measured({ measured: { labels, evaluation } }: Version): IntervalProps[] {
  const items: IntervalProps[] = [];
  if (labels?.accuracy) items.push({ name: `Target, measured with ${labels.labels} labels`, ...labels.accuracy });
  if (evaluation) items.push({ name: `Measured on ${evaluation.rows} labelled rows`, ...evaluation.accuracy });
  return items;
}

function Accuracy({ version }: { version: Version }) {
  const items = [...accuracies(version.metrics), ...measured(version)];
  return items.length ? (
    <Section title="Accuracy">
      <Intervals items={items} label="Accuracies with their intervals" />
    </Section>
  ) : null;
}

const VERDICTS = {
  yes: "The adapted model is expected to be more accurate.",
  no: "The adapted model is not expected to be more accurate.",
  unsure: "It is unclear whether the adapted model is more accurate.",
};

function Verdict({ metrics }: { metrics: Metrics }) {
  const evidence = metrics.helped_evidence;
  if (!metrics.helped || !evidence) return null;
  return (
    <Section title="Adapted against source-only">
      <p>
        <strong>{VERDICTS[evidence.helped ?? metrics.helped]}</strong>
        {metrics.registered === "source_only" && " The source-only model is served."}
      </p>
      <Facts
        facts={[
          ["Expected gain", `${(100 * evidence.expected_gain).toFixed(1)} points`],
          ["Probability of a gain above one point", percent(evidence.probability_of_gain)],
          ["Probability of a loss above one point", percent(evidence.probability_of_loss)],
          ["Rows on which the models disagree", `${evidence.disagreements} of ${evidence.rows}`],
        ]}
      />
      <details>
        <summary>Evidence behind the verdict</summary>
        <Table caption="Evidence" head={["Measurement", "Value"]}>
          {Object.entries(evidence.measured ?? {}).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name.replaceAll("_", " ")}</th>
              <td>{value === null ? "not measured" : figure(value)}</td>
            </tr>
          ))}
        </Table>
      </details>
      {metrics.validators && (
        <details>
          <summary>Validators</summary>
          <Table caption="Scores of both models" head={["Validator", "Adapted", "Source-only"]}>
            {Object.entries(metrics.validators).map(([name, scores]) => (
              <tr key={name}>
                <th scope="row">{name.replaceAll("_", " ")}</th>
                <td>{figure(scores.adapted)}</td>
                <td>{figure(scores.source_only)}</td>
              </tr>
            ))}
          </Table>
        </details>
      )}
    </Section>
  );
}

function Shares({ metrics }: { metrics: Metrics }) {
  const priors = metrics.class_priors;
  if (!priors) return null;
  const largestFirst = ([, one]: [string, { source: number; target: number }]) => -Math.abs(one.target - one.source);
  const classes = first(Object.entries(priors.classes), largestFirst);
  const items = classes.map(([name, one]) => ({ name, value: one.target, low: one.low, high: one.high }));
  return (
    <Section title="Shares of the classes in the target">
      <p>{priors.shifted ? "The shares differ from those of the source." : "No difference from the source was detected."}</p>
      {items.length < Object.keys(priors.classes).length && <p>Only the {items.length} classes whose shares differ most are shown.</p>}
      <Intervals items={items} label="Shares with their intervals" />
    </Section>
  );
}

/** A report with more items shows only some of them. */
const MOST_ITEMS = 100;

const first = <Item,>(items: Item[], key: (item: Item) => number): Item[] =>
  items.length <= MOST_ITEMS ? items : [...items].sort((one, other) => key(one) - key(other)).slice(0, MOST_ITEMS);

function Classes({ metrics, classes }: { metrics: Metrics; classes: string[] }) {
  const domain = metrics.target_classes ? "target" : "source";
  const byClass = metrics.target_classes ?? metrics.source_classes;
  const matrix = domain === "target" ? metrics.target_confusion : metrics.source_confusion;
  const errors = domain === "target" ? metrics.target_largest_errors : metrics.source_largest_errors;
  if (!byClass) return null;
  const known = classes.filter((name) => byClass[name]?.recall != null).map((name) => ({ name, value: byClass[name]!.recall! }));
  const recalls = first(known, (one) => one.value);
  return (
    <Section title={`Classes on the ${domain === "target" ? "evaluation data" : "held-out source"}`}>
      <h3>Recall</h3>
      {recalls.length < known.length && <p>Only the {recalls.length} classes with the lowest recall are shown.</p>}
      <Intervals items={recalls} label="Recall of each class" />
      {matrix && <Confusion matrix={matrix} classes={classes} />}
      {errors && (
        <Table caption="The most frequent errors. The whole confusion matrix is a file of the version." head={["True class", "Prediction", "Rows"]}>
          {errors.map((cell) => (
            <tr key={`${cell.true} ${cell.predicted}`}>
              <th scope="row">{cell.true}</th>
              <td>{cell.predicted}</td>
              <td>{cell.count}</td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  );
}

function Calibration({ metrics }: { metrics: Metrics }) {
  const report = metrics.calibration;
  if (!report) return null;
  return (
    <Section title="Calibration">
      <p>
        Confidences differ from the accuracy by {percent(report.error_before, 1)} before and {percent(report.error_after, 1)} after calibration with
        temperature {figure(report.temperature)}, measured on the source.
      </p>
      <Bars label="Calibration error in percent" items={[["before", Number((100 * report.error_before).toFixed(1))], ["after", Number((100 * report.error_after).toFixed(1))]]} />
    </Section>
  );
}

function Lineage({ version }: { version: Version }) {
  const lineage = version.lineage;
  const dataset = (id: string | null) => (id ? <a href={link("datasets", id)}>{id.slice(0, 8)}</a> : "none");
  return (
    <Section title="Lineage">
      <Facts
        facts={[
          ["Method", lineage.algorithm],
          ["Job", <a href={link("jobs", lineage.job)}>{lineage.job.slice(0, 8)}</a>],
          ...lineage.sources.map((id): [string, preact.ComponentChildren] => ["Source", dataset(id)]),
          ["Target", dataset(lineage.target)],
          ["Evaluation", dataset(lineage.evaluation)],
          ["Base", lineage.base ? `${lineage.base.model}:${lineage.base.number}` : "none"],
          ["Encoder", lineage.encoder ? `${lineage.encoder.id} (${lineage.encoder.licence})` : "none"],
          ["Created", when(version.created_at)],
        ]}
      />
    </Section>
  );
}

function Downloads({ version, path }: { version: Version; path: string }) {
  return (
    <Section title="Downloads">
      <ul>
        {version.artifacts.map((one) => (
          <li key={one.name}>
            <a href={`${ROOT}${path}/artifacts/${one.name}`} download={one.name}>
              {one.name}
            </a>{" "}
            {bytes(one.size_bytes)}
          </li>
        ))}
      </ul>
    </Section>
  );
}
