/** A new job: three selectors and `auto`, all parameters in a form made from their JSON schemas, and the same as code. */

import { useEffect, useState } from "preact/hooks";
import { type Dataset, type Job, type Page, ROOT, type Schemas, write } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { Code, Loading, Problem, Warnings } from "../components/common";
import { ParamsForm } from "../components/ParamsForm";
import { go, link } from "../router";

type Check = Schemas["JobCheckOut"];
type Body = { model: string; source?: string | string[]; target?: string; evaluation?: string; params?: Record<string, unknown> };

export function NewJob({ query }: { query: URLSearchParams }) {
  const datasets = useLoad<Page<Dataset>>("/datasets?limit=100");
  const algorithms = useLoad<Page<Schemas["AlgorithmOut"]>>("/algorithms");
  const [body, setBody] = useState<Body>({
    model: query.get("model") ?? "",
    source: query.get("source") ?? undefined,
    target: query.get("target") ?? undefined,
  });
  const [further, setFurther] = useState<string[]>([]);
  const [params, setParams] = useState<Record<string, unknown>>({ algorithm: "auto" });
  const [check, setCheck] = useState<Check | null>(null);
  const action = useAction();
  const complete = { ...body, source: further.length && body.source ? [body.source as string, ...further] : body.source, params: Object.keys(params).length > 1 || params.algorithm !== "auto" ? params : undefined };
  const set = (values: Partial<Body>) => setBody((old) => ({ ...old, ...values }));
  useEffect(() => {
    setCheck(null);
    if (!body.source || !body.target) return;
    write<Check>("POST", "/jobs/check", { ...complete, model: body.model || "new" }).then(setCheck, () => setCheck(null));
  }, [body.source, further, body.target, body.evaluation, JSON.stringify(params)]);
  if (!datasets.data || !algorithms.data) return datasets.error ? <Problem error={datasets.error} /> : <Loading what="datasets" />;

  const submit = (event: Event) => {
    event.preventDefault();
    action.run(async () => go(link("jobs", (await write<Job>("POST", "/jobs", complete)).id)));
  };
  const source = datasets.data.data.find((one) => one.id === body.source);
  const fits = (one: Dataset) => !source || one.modality === source.modality;
  const labelled = datasets.data.data.filter((one) => one.labelled);
  return (
    <form onSubmit={submit}>
      <h1>New job</h1>
      <label>
        Name of the model
        <input required pattern="[A-Za-z0-9][A-Za-z0-9._\-]*" placeholder="diagnosis" value={body.model} onInput={(event) => set({ model: event.currentTarget.value })} />
      </label>
      <div class="columns">
        <Choice name="Source (labelled)" value={body.source as string | undefined} from={labelled} required onChange={(source) => set({ source })} />
        <Choice name="Target (to adapt to)" value={body.target} from={datasets.data.data.filter((one) => fits(one) && one.id !== body.source)} onChange={(target) => set({ target })} />
        <Choice name="Evaluation (optional, labelled target data)" value={body.evaluation} from={labelled.filter((one) => fits(one) && one.id !== body.source && one.id !== body.target)} onChange={(evaluation) => set({ evaluation })} />
      </div>
      {labelled.length > 1 && (
        <label>
          Further sources (optional, other domains)
          <select multiple onChange={(event) => setFurther([...event.currentTarget.selectedOptions].map((one) => one.value))}>
            {labelled
              .filter((one) => fits(one) && ![body.source, body.target, body.evaluation].includes(one.id))
              .map((one) => (
                <option key={one.id} value={one.id} selected={further.includes(one.id)}>
                  {one.name}
                </option>
              ))}
          </select>
        </label>
      )}
      {!labelled.length && (
        <p>
          No dataset has labels yet. <a href="#/datasets">Open the source and choose its column with the labels.</a>
        </p>
      )}
      {check?.errors.map((one) => (
        <p class="problem" role="alert" key={one.pointer + one.detail}>
          {one.detail}
        </p>
      ))}
      {check && <Warnings items={check.warnings} />}
      <details>
        <summary>Method: {String(params.algorithm)}</summary>
        <ParamsForm algorithms={algorithms.data.data} params={params} onChange={setParams} />
      </details>
      <Problem error={action.error} />
      <button type="submit" aria-busy={action.busy} disabled={action.busy}>
        Submit
      </button>
      <Code title="The same with curl" text={curl(complete)} />
      <Code title="The same in Python" text={python(complete)} />
    </form>
  );
}

interface ChoiceProps {
  name: string;
  value: string | undefined;
  from: Dataset[];
  required?: boolean;
  onChange: (id: string | undefined) => void;
}

function Choice({ name, value, from, required, onChange }: ChoiceProps) {
  return (
    <label>
      {name}
      <select required={required} value={value ?? ""} onChange={(event) => onChange(event.currentTarget.value || undefined)}>
        <option value="">{required ? "choose a dataset" : "none"}</option>
        {from.map((one) => (
          <option key={one.id} value={one.id}>
            {one.name} ({one.rows} rows)
          </option>
        ))}
      </select>
    </label>
  );
}

const curl = (body: Body): string =>
  `curl -X POST ${ROOT}/jobs \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'`;

function python(body: Body): string {
  const options = body.params ? `, params=${JSON.stringify(body.params)}` : "";
  const evaluation = body.evaluation ? `, evaluation="${body.evaluation}"` : "";
  return `import isthmus

client = isthmus.Client("${ROOT}")
job = client.adapt(${JSON.stringify(body.source ?? "SOURCE")}, "${body.target ?? "TARGET"}", model="${body.model || "MODEL"}"${evaluation}${options})
version = job.wait()`;
}
